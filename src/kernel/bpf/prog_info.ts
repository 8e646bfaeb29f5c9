/**
 * `struct bpf_prog_info`: what BPF_OBJ_GET_INFO_BY_FD tells of a program. Mirrors
 * bpf_prog_get_info_by_fd() in kernel/bpf/syscall.c of a Linux without a JIT.
 */

import { BPF_TAG_SIZE } from "../../abi/bpf.ts";
import { EFAULT, EINVAL } from "../../abi/errno.ts";
import { PROG_INFO } from "../../abi/info.ts";
import { BPF_INSN_SIZE } from "../../abi/insn.ts";
import { type Field, readField, writeField } from "../../abi/layout.ts";
import { sha256 } from "../sha256.ts";
import type { Task } from "../task.ts";
import { FUNC_INFO_SIZE, LINE_INFO_SIZE } from "../verifier/debug_info.ts";
import type { Prog } from "./prog.ts";

/** Bytes of a line of machine code (there are none), of an id, and of a function's length. */
const JITED_LINE_INFO_SIZE = 8;
const ID_SIZE = 4;
const LENGTH_SIZE = 4;
const NONE = new Uint8Array(0);

type U32 = Field<"u32">;
type U64 = Field<"u64">;

/** The caller's struct, which says where arrays go, while it becomes the answer. */
class InfoWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #task: Task;

  constructor(task: Task, user: Uint8Array) {
    this.#task = task;
    this.bytes = user;
    this.#view = new DataView(user.buffer, user.byteOffset, user.length);
  }

  u32(field: U32): number {
    return readField(this.#view, field) as number;
  }

  set(field: Field, value: number | bigint | Uint8Array): void {
    writeField(this.#view, field, value);
  }

  /**
   * Copies as many entries as the caller has room for, and says how many there are.
   *
   * @param entrySize - bytes that `count` counts as one. @returns 0 or -EFAULT.
   */
  array(count: U32, pointer: U64, entries: Uint8Array, entrySize: number): number {
    const existing = entries.length / entrySize;
    const copied = Math.min(this.u32(count), existing);
    this.set(count, existing);
    if (copied === 0) return 0;
    const address = readField(this.#view, pointer) as bigint;
    const bytes = entries.subarray(0, copied * entrySize);
    return this.#task.memory.write(address, bytes) ? 0 : -EFAULT;
  }

  /** Record sizes must be right when they or their counts are given. 0 or -EINVAL. */
  recordSize(count: U32, field: U32, size: number): number {
    const given = this.u32(field);
    if ((this.u32(count) !== 0 || given !== 0) && given !== size) return -EINVAL;
    return 0;
  }
}

/** Counts that tell about code; a caller without CAP_BPF sees zeros. */
const CODE_COUNTS: readonly U32[] = [
  PROG_INFO.jited_prog_len,
  PROG_INFO.xlated_prog_len,
  PROG_INFO.nr_jited_ksyms,
  PROG_INFO.nr_jited_func_lens,
  PROG_INFO.nr_func_info,
  PROG_INFO.nr_line_info,
  PROG_INFO.nr_jited_line_info,
];

/**
 * What to write back to the caller.
 *
 * There is no machine code: functions have an address of 0, which isn't given out, and a length of
 * 0. `xlated` is the program as it
 * was loaded, with map ids for map fds: nothing is rewritten here. Fields that say nothing about
 * a program of ours come back as the caller passed them, as they do in Linux.
 *
 * @param user - a copy of the caller's struct, 232 bytes, which becomes the answer.
 * @returns 232 bytes, or a negative errno.
 */
export function fillProgInfo(task: Task, prog: Prog, user: Uint8Array): Uint8Array | number {
  const { facts } = prog;
  const info = new InfoWriter(task, user);
  info.set(PROG_INFO.type, facts.type);
  info.set(PROG_INFO.id, prog.id);
  info.set(PROG_INFO.tag, facts.tag);
  info.set(PROG_INFO.load_time, facts.loadTimeNs);
  info.set(PROG_INFO.created_by_uid, facts.uid);
  // A bit field: the other bits are the caller's.
  const others = info.u32(PROG_INFO.gpl_compatible) & ~1;
  info.set(PROG_INFO.gpl_compatible, (others | (facts.gplCompatible ? 1 : 0)) >>> 0);
  info.set(PROG_INFO.name, nameBytes(facts.name));
  const errno =
    info.array(PROG_INFO.nr_map_ids, PROG_INFO.map_ids, mapIds(prog), ID_SIZE) ||
    checkRecordSizes(info);
  if (errno !== 0) return errno;
  info.set(PROG_INFO.run_time_ns, 0n);
  info.set(PROG_INFO.run_cnt, prog.runCount);
  info.set(PROG_INFO.recursion_misses, 0n);
  info.set(PROG_INFO.verified_insns, facts.verifiedInsns);
  if (facts.debugInfo !== undefined) info.set(PROG_INFO.btf_id, facts.debugInfo.btf.id);
  if (!task.capable("CAP_BPF")) {
    for (const count of CODE_COUNTS) info.set(count, 0);
    return info.bytes;
  }
  return fillCode(info, prog) || info.bytes;
}

function checkRecordSizes(info: InfoWriter): number {
  const errno =
    info.recordSize(PROG_INFO.nr_func_info, PROG_INFO.func_info_rec_size, FUNC_INFO_SIZE) ||
    info.recordSize(PROG_INFO.nr_line_info, PROG_INFO.line_info_rec_size, LINE_INFO_SIZE) ||
    info.recordSize(
      PROG_INFO.nr_jited_line_info,
      PROG_INFO.jited_line_info_rec_size,
      JITED_LINE_INFO_SIZE,
    );
  if (errno !== 0) return errno;
  info.set(PROG_INFO.func_info_rec_size, FUNC_INFO_SIZE);
  info.set(PROG_INFO.line_info_rec_size, LINE_INFO_SIZE);
  info.set(PROG_INFO.jited_line_info_rec_size, JITED_LINE_INFO_SIZE);
  return 0;
}

/** What only a caller with CAP_BPF sees. 0 or -EFAULT. */
function fillCode(info: InfoWriter, prog: Prog): number {
  const { facts } = prog;
  const { debugInfo } = facts;
  const functions = facts.subprograms?.length ?? 1;
  // As to a reader that may not see addresses: how many there are, and no more.
  if (info.u32(PROG_INFO.nr_jited_ksyms) !== 0) info.set(PROG_INFO.jited_ksyms, 0n);
  info.set(PROG_INFO.nr_jited_ksyms, functions);
  const errno =
    info.array(PROG_INFO.xlated_prog_len, PROG_INFO.xlated_prog_insns, facts.xlated, 1) ||
    info.array(PROG_INFO.jited_prog_len, PROG_INFO.jited_prog_insns, NONE, 1) ||
    info.array(
      PROG_INFO.nr_jited_func_lens,
      PROG_INFO.jited_func_lens,
      new Uint8Array(functions * LENGTH_SIZE),
      LENGTH_SIZE,
    ) ||
    info.array(
      PROG_INFO.nr_func_info,
      PROG_INFO.func_info,
      debugInfo?.funcInfo ?? NONE,
      FUNC_INFO_SIZE,
    ) ||
    info.array(
      PROG_INFO.nr_line_info,
      PROG_INFO.line_info,
      debugInfo?.lineInfo ?? NONE,
      LINE_INFO_SIZE,
    ) ||
    info.array(PROG_INFO.nr_jited_line_info, PROG_INFO.jited_line_info, NONE, JITED_LINE_INFO_SIZE);
  if (errno !== 0) return errno;
  info.set(PROG_INFO.attach_btf_id, 0);
  return info.array(PROG_INFO.nr_prog_tags, PROG_INFO.prog_tags, functionTags(prog), BPF_TAG_SIZE);
}

/** One tag a function; a program of one function has just its own. */
function functionTags({ facts }: Prog): Uint8Array {
  const { subprograms = [0], tag, xlated } = facts;
  if (subprograms.length === 1) return tag;
  const tags = new Uint8Array(subprograms.length * BPF_TAG_SIZE);
  for (const [i, start] of subprograms.entries()) {
    const end = (subprograms[i + 1] ?? xlated.length) * BPF_INSN_SIZE;
    const digest = sha256(xlated.subarray(start * BPF_INSN_SIZE, end));
    tags.set(digest.subarray(0, BPF_TAG_SIZE), i * BPF_TAG_SIZE);
  }
  return tags;
}

function mapIds({ facts }: Prog): Uint8Array {
  const bytes = new Uint8Array(facts.maps.length * ID_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, map] of facts.maps.entries()) view.setUint32(i * ID_SIZE, map.id, true);
  return bytes;
}

/** The whole field, so that nothing of the caller's is left behind the name. */
function nameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(PROG_INFO.name[1]);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}
