/**
 * BPF_PROG_LOAD: who may load what, then the checks of the program itself. Mirrors bpf_prog_load()
 * in kernel/bpf/syscall.c, in the order of Linux 6.18.
 */

import { PROG_LOAD } from "../../abi/attr.ts";
import * as BPF from "../../abi/bpf.ts";
import { E2BIG, EFAULT, EINVAL, ENOMEM, ENOTSUPP, EOPNOTSUPP, EPERM } from "../../abi/errno.ts";
import {
  BPF_INSN_SIZE,
  BPF_LD_IMM64,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../../abi/insn.ts";
import { NET_ADMIN_TYPES, PERFMON_TYPES, UNPRIVILEGED_PROG_TYPES } from "../../abi/rights.ts";
import { decodeInstructions } from "../../asm/index.ts";
import type { Attr } from "../attr.ts";
import { sha256 } from "../sha256.ts";
import type { Task } from "../task.ts";
import { readCString } from "../user_memory.ts";
import { VerifierLog } from "../verifier/log.ts";
import { checkStructure, type Structure } from "../verifier/structure.ts";
import { BtfFile } from "./btf.ts";
import { CONTEXTS } from "./context.ts";
import { loadObjectName } from "./map/name.ts";
import { ProgArray, type TailCallFacts } from "./map/prog_array.ts";
import { Prog } from "./prog.ts";
import { newProgFd } from "./prog_fd.ts";
import { checkToken } from "./token.ts";

const KNOWN_FLAGS =
  BPF.BPF_F_STRICT_ALIGNMENT |
  BPF.BPF_F_ANY_ALIGNMENT |
  BPF.BPF_F_TEST_RND_HI32 |
  BPF.BPF_F_TEST_STATE_FREQ |
  BPF.BPF_F_SLEEPABLE |
  BPF.BPF_F_XDP_HAS_FRAGS |
  BPF.BPF_F_XDP_DEV_BOUND_ONLY |
  BPF.BPF_F_TEST_REG_INVARIANTS;

/** Licenses that open GPL-only helpers, to the letter (license_is_gpl_compatible() in Linux). */
const GPL_COMPATIBLE: ReadonlySet<string> = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
]);
/** So many bytes of the license are looked at; a longer one is cut. */
const MAX_LICENSE = 127;

/** The most bytes of a signature, and the keyrings that Linux has by itself. */
const MAX_SIGNATURE = 8192;
const LAST_SYSTEM_KEYRING = 2;
/** The loopback device, the only one that a namespace of ours has. */
const LOOPBACK_IFINDEX = 1;

/**
 * BPF_PROG_LOAD.
 *
 * The embedded kernel runs flow dissectors, sk_lookup, socket filters and XDP programs; any other
 * type is EINVAL, as a type is to a Linux that was built without it.
 *
 * @returns an fd, or a negative errno.
 */
export function progLoad(task: Task, attr: Attr): number {
  const type = attr.u32(PROG_LOAD.prog_type);
  const refused = checkRights(task, attr, type) || checkAttachment(task, attr, type);
  if (refused !== 0) return refused;

  const count = attr.u32(PROG_LOAD.insn_cnt);
  const given = task.memory.read(attr.u64(PROG_LOAD.insns), count * BPF_INSN_SIZE);
  if (given === null) return -EFAULT;
  // Once: another thread may share the caller's memory.
  const bytes = given.slice();
  const license = readLicense(task, attr);
  if (license === null) return -EFAULT;
  const rejected = checkSignature(task, attr) || checkDevice(attr, type);
  if (rejected !== 0) return rejected;
  if (!CONTEXTS.has(type)) return -EINVAL;
  const name = loadObjectName(attr.bytes(PROG_LOAD.prog_name));
  if (typeof name === "number") return name;

  const digest = digestOf(bytes);
  const gplCompatible = GPL_COMPATIBLE.has(license);
  const structure = verify(task, attr, { type, gplCompatible, bytes, digest });
  if (typeof structure === "number") return structure;
  const expectedAttachType = attr.u32(PROG_LOAD.expected_attach_type);
  const xdpHasFrags = (attr.u32(PROG_LOAD.prog_flags) & BPF.BPF_F_XDP_HAS_FRAGS) !== 0;
  const kind = { type, expectedAttachType, xdpHasFrags };
  if (!fitsProgArrays(structure, kind)) return -EINVAL;
  const { instructions, xlated, maps, subprograms, debugInfo, processed, assumptions } = structure;
  // Written out: spreading objects took as long as hashing the program.
  const prog = new Prog(task.machine, {
    instructions,
    xlated,
    maps,
    subprograms,
    ...(debugInfo !== null && { debugInfo }),
    type,
    expectedAttachType,
    xdpHasFrags,
    name,
    tag: digest.slice(0, BPF.BPF_TAG_SIZE),
    gplCompatible,
    loadTimeNs: task.machine.options.clock.monotonicNs(),
    uid: task.uid,
    verifiedInsns: processed,
    assumptions,
  });
  return newProgFd(task, prog);
}

/** Flags, capabilities and the number of instructions. */
function checkRights(task: Task, attr: Attr, type: number): number {
  const flags = attr.u32(PROG_LOAD.prog_flags);
  const refused = checkToken(task, flags, KNOWN_FLAGS, attr.s32(PROG_LOAD.prog_token_fd));
  if (refused !== 0) return refused;
  if (!task.mayMakeBpf) return -EPERM;
  const capable = task.capable("CAP_BPF");
  const count = attr.u32(PROG_LOAD.insn_cnt);
  const most = capable ? BPF.BPF_MAXINSNS_PRIVILEGED : BPF.BPF_MAXINSNS;
  if (count === 0 || count > most) return -E2BIG;
  if (!capable && !UNPRIVILEGED_PROG_TYPES.has(type)) return -EPERM;
  if (NET_ADMIN_TYPES.has(type) && !task.capable("CAP_NET_ADMIN")) return -EPERM;
  if (PERFMON_TYPES.has(type) && !task.capable("CAP_PERFMON")) return -EPERM;
  return 0;
}

/** Analogous to bpf_prog_load_check_attach() in Linux, for types that attach to no function. */
function checkAttachment(task: Task, attr: Attr, type: number): number {
  const fd = attr.u32(PROG_LOAD.attach_prog_fd);
  if (fd !== 0 && task.files.get(fd) instanceof BtfFile) return -ENOTSUPP;
  if (fd !== 0 || attr.u32(PROG_LOAD.attach_btf_id) !== 0) return -EINVAL;
  const attachType = attr.u32(PROG_LOAD.expected_attach_type);
  const isGood = type !== BPF.BPF_PROG_TYPE_SK_LOOKUP || attachType === BPF.BPF_SK_LOOKUP;
  return isGood ? 0 : -EINVAL;
}

function readLicense(task: Task, attr: Attr): string | null {
  const address = attr.u64(PROG_LOAD.license);
  const terminated = readCString(task.memory, address, MAX_LICENSE);
  if (typeof terminated !== "number") return String.fromCharCode(...terminated);
  // One that doesn't end is cut, and so none of those that count.
  return terminated === -EFAULT ? null : "";
}

/** No key can be checked here, as in a Linux without the parser for signatures. */
function checkSignature(task: Task, attr: Attr): number {
  const address = attr.u64(PROG_LOAD.signature);
  if (address === 0n) return 0;
  const size = attr.u32(PROG_LOAD.signature_size);
  const keyring = attr.s32(PROG_LOAD.keyring_id);
  if (size > MAX_SIGNATURE || keyring < 0 || keyring > LAST_SYSTEM_KEYRING) return -EINVAL;
  return task.memory.read(address, size) === null ? -ENOMEM : -EOPNOTSUPP;
}

/** Analogous to bpf_prog_dev_bound_init() in Linux: no device here takes programs. */
function checkDevice(attr: Attr, type: number): number {
  const ifindex = attr.u32(PROG_LOAD.prog_ifindex);
  if (ifindex === 0) return 0;
  const flags = attr.u32(PROG_LOAD.prog_flags);
  const hasFrags = (flags & BPF.BPF_F_XDP_HAS_FRAGS) !== 0;
  const boundOnly = (flags & BPF.BPF_F_XDP_DEV_BOUND_ONLY) !== 0;
  const others = flags & ~(BPF.BPF_F_XDP_HAS_FRAGS | BPF.BPF_F_XDP_DEV_BOUND_ONLY);
  if (type !== BPF.BPF_PROG_TYPE_XDP || others !== 0 || (hasFrags && !boundOnly)) return -EINVAL;
  return ifindex === LOOPBACK_IFINDEX ? -EOPNOTSUPP : -EINVAL;
}

/** SHA-256 of the instructions, fds of maps zeroed: analogous to bpf_prog_calc_tag() in Linux. */
function digestOf(bytes: Uint8Array): Uint8Array {
  const hashed = bytes.slice();
  const view = new DataView(hashed.buffer);
  for (let at = 0; at + 2 * BPF_INSN_SIZE <= hashed.length; at += BPF_INSN_SIZE) {
    const source = view.getUint8(at + 1) >> 4;
    const namesMap = source === BPF_PSEUDO_MAP_FD || source === BPF_PSEUDO_MAP_VALUE;
    if (view.getUint8(at) !== BPF_LD_IMM64 || !namesMap) continue;
    view.setUint32(at + 4, 0, true);
    at += BPF_INSN_SIZE;
    view.setUint32(at + 4, 0, true);
  }
  return sha256(hashed);
}

interface Loaded {
  readonly type: number;
  readonly gplCompatible: boolean;
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

/** Checks the program and writes the log, whose own faults win over the verdict. */
function verify(task: Task, attr: Attr, loaded: Loaded): Structure | number {
  const log = VerifierLog.open(
    task.memory,
    attr.u32(PROG_LOAD.log_level),
    attr.u64(PROG_LOAD.log_buf),
    attr.u32(PROG_LOAD.log_size),
  );
  if (typeof log === "number") return log;
  const insns = decodeInstructions(loaded.bytes);
  const structure = checkStructure({ task, attr, insns, ...loaded }, log);
  const { errno, trueSize } = log.finish();
  if (attr.reaches(PROG_LOAD.log_true_size)) attr.put(PROG_LOAD.log_true_size, trueSize);
  return errno === 0 ? structure : errno;
}

/** Tail calls lead only to programs of one kind. Analogous to bpf_check_tail_call() in Linux. */
function fitsProgArrays({ maps }: Structure, kind: TailCallFacts): boolean {
  return maps.every((map) => !(map instanceof ProgArray) || map.checkOwner(kind));
}
