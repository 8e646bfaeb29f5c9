/**
 * From the map fds in a program to the maps. Mirrors process_fd_array() and
 * resolve_pseudo_ldimm64() in kernel/bpf/verifier.c.
 */

import { BPF_MAP_TYPE_ARRAY, BPF_PROG_TYPE_SOCKET_FILTER } from "../../abi/bpf.ts";
import { E2BIG, EACCES, EFAULT, EINVAL, ENOTSUPP, EPROTO } from "../../abi/errno.ts";
import {
  BPF_CLASS,
  BPF_INSN_SIZE,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MODE,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
} from "../../abi/insn.ts";
import { type Instruction, isLoadImm64 } from "../../asm/index.ts";
import { BtfFile } from "../bpf/btf.ts";
import { ArrayMap } from "../bpf/map/array.ts";
import { type BpfMap, MapFile } from "../bpf/map/map.ts";
import type { Task } from "../task.ts";
import type { MapReference } from "./environment.ts";
import type { VerifierLog } from "./log.ts";
import { isOpcode } from "./opcodes.ts";

/** The most maps that one program may use. */
export const MAX_USED_MAPS = 64;
/** The largest constant that may be added to a pointer. */
const BPF_MAX_VAR_OFF = 1 << 29;
/** How many fds an array may name. */
const MAX_FD_ARRAY = 0x3fffffff;
const FD_BYTES = 4n;

/** What a load is told about where its map fds are. */
export interface FdArray {
  /** Address of an array of s32; 0: there is none. */
  readonly address: bigint;
  /** When not 0, that many entries all belong to the program. */
  readonly count: number;
}

/** The maps of one program, in the order in which they are met. */
export class UsedMaps {
  readonly maps: BpfMap[] = [];
  readonly #task: Task;
  readonly #type: number;
  readonly #digest: Uint8Array;
  readonly #log: VerifierLog;

  /** @param type - BPF_PROG_TYPE_…. @param digest - the SHA-256 of the program. */
  constructor(task: Task, type: number, digest: Uint8Array, log: VerifierLog) {
    this.#task = task;
    this.#type = type;
    this.#digest = digest;
    this.#log = log;
  }

  /** The map behind an fd, or a negative errno. Analogous to add_used_map() in Linux. */
  add(fd: number): BpfMap | number {
    const file = this.#task.file(fd, MapFile);
    if (typeof file === "number") {
      return this.#log.refuse(-file, `fd ${fd} is not pointing to valid bpf_map`);
    }
    return this.#use(file.map);
  }

  /** Takes in every fd of an array: maps and BTF. 0 or a negative errno. */
  addAll({ address, count }: FdArray): number {
    if (count >= MAX_FD_ARRAY) {
      return this.#log.refuse(EINVAL, `fd_array_cnt is too big (${count})`);
    }
    for (let i = 0; i < count; i++) {
      const fd = readFd(this.#task, address, BigInt(i));
      if (fd === null) return -EFAULT;
      const map = this.#task.file(fd, MapFile);
      const used = typeof map === "number" ? this.#acceptBtf(fd, map) : this.#use(map.map);
      if (typeof used === "number" && used < 0) return used;
    }
    return 0;
  }

  /** BTF in an fd array belongs to the program, too, and has no say here. */
  #acceptBtf(fd: number, errno: number): number {
    if (this.#task.files.get(fd) instanceof BtfFile) return 0;
    return this.#log.refuse(-errno, `fd ${fd} is not pointing to valid bpf_map or btf`);
  }

  #use(map: BpfMap): BpfMap | number {
    if (this.maps.includes(map)) return map;
    const { exclusiveTo } = map.facts;
    if (exclusiveTo?.some((byte, i) => byte !== this.#digest[i]) === true) {
      return this.#log.refuse(EACCES, "program's hash doesn't match map's excl_prog_hash");
    }
    const refused = this.#checkFields(map);
    if (refused !== 0) return refused;
    if (this.maps.length >= MAX_USED_MAPS) {
      const text = "The total number of maps per program has reached the limit of";
      return this.#log.refuse(E2BIG, `${text} ${MAX_USED_MAPS}`);
    }
    this.maps.push(map);
    return map;
  }

  /**
   * Programs may touch what the kernel looks after by its own helpers and functions only, none of
   * which the embedded kernel has yet.
   */
  #checkFields(map: BpfMap): number {
    const fields = map.facts.btf?.fields ?? [];
    if (fields.length === 0) return 0;
    const lock = fields.find(
      ({ kind }) => kind === "bpf_spin_lock" || kind === "bpf_res_spin_lock",
    );
    if (lock !== undefined && this.#type === BPF_PROG_TYPE_SOCKET_FILTER) {
      return this.#log.refuse(EINVAL, `socket filter progs cannot use ${lock.kind} yet`);
    }
    const found = fields.map(({ kind, path, offset }) => `${kind} ${path} at offset ${offset}`);
    const reason = "Linux has programs that use such fields, the embedded kernel does not";
    const name = map.facts.name === "" ? `with id ${map.id}` : map.facts.name;
    return this.#log.refuse(EINVAL, `map ${name}: its values hold ${found.join(", ")}: ${reason}`);
  }
}

function readFd(task: Task, array: bigint, index: bigint): number | null {
  const bytes = task.memory.read(array + index * FD_BYTES, Number(FD_BYTES));
  if (bytes === null) return null;
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
}

/** A program whose maps are known. */
export interface ResolvedProgram {
  /** With addresses where map fds were. */
  readonly instructions: readonly Instruction[];
  /** The bytes, with map ids where map fds were: what info shows. */
  readonly xlated: Uint8Array;
  /** What the two-slot loads of maps stand for, by slot. */
  readonly references: ReadonlyMap<number, MapReference>;
}

/**
 * Replaces map fds, and finds opcodes that don't exist. A program or a negative errno.
 *
 * @param bytes - of the instructions.
 */
export function resolveMaps(
  task: Task,
  bytes: Uint8Array,
  insns: readonly Instruction[],
  fdArray: FdArray,
  used: UsedMaps,
  log: VerifierLog,
): ResolvedProgram | number {
  const instructions = insns.slice();
  const xlated = new Uint8Array(bytes);
  const view = new DataView(xlated.buffer);
  const references = new Map<number, MapReference>();
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    if (!isLoadImm64(insn)) {
      const errno = checkOpcode(insn, log);
      if (errno !== 0) return errno;
      continue;
    }
    const second = insns[slot + 1];
    if (second === undefined || !isSecondHalf(second)) {
      return log.refuse(EINVAL, "invalid bpf_ld_imm64 insn");
    }
    if (insn.src !== 0 && insn.src !== BPF_PSEUDO_FUNC) {
      const target = resolve(task, insn, second, fdArray, used, log);
      if (typeof target === "number") return target;
      const offset = target.isValue ? second.imm : 0;
      references.set(slot, { map: target.map, valueOffset: target.isValue ? offset >>> 0 : null });
      instructions[slot] = { ...insn, imm: target.address | 0 };
      instructions[slot + 1] = { ...second, imm: 0 };
      const source = target.isValue ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
      const at = slot * BPF_INSN_SIZE;
      view.setUint8(at + 1, (source << 4) | insn.dst);
      view.setInt32(at + 4, target.map.id, true);
      view.setInt32(at + BPF_INSN_SIZE + 4, offset, true);
    }
    slot++;
  }
  return { instructions, xlated, references };
}

function checkOpcode({ opcode, imm }: Instruction, log: VerifierLog): number {
  if (BPF_CLASS(opcode) === BPF_LDX) {
    const mode = BPF_MODE(opcode);
    if ((mode !== BPF_MEM && mode !== BPF_MEMSX) || imm !== 0) {
      return log.refuse(EINVAL, "BPF_LDX uses reserved fields");
    }
  }
  if (isOpcode(opcode)) return 0;
  return log.refuse(EINVAL, `unknown opcode ${opcode.toString(16).padStart(2, "0")}`);
}

function isSecondHalf({ opcode, dst, src, off }: Instruction): boolean {
  return opcode === 0 && dst === 0 && src === 0 && off === 0;
}

/** What a two-slot load of a map comes to. */
interface Target {
  readonly map: BpfMap;
  readonly address: number;
  /** It points to a value, not to the map. */
  readonly isValue: boolean;
}

function resolve(
  task: Task,
  { src, imm }: Instruction,
  second: Instruction,
  fdArray: FdArray,
  used: UsedMaps,
  log: VerifierLog,
): Target | number {
  if (src === BPF_PSEUDO_BTF_ID) return refuseBtfId(imm, log);
  const isValue = src === BPF_PSEUDO_MAP_VALUE || src === BPF_PSEUDO_MAP_IDX_VALUE;
  const isMap = src === BPF_PSEUDO_MAP_FD || src === BPF_PSEUDO_MAP_IDX;
  if (!isValue && !(isMap && second.imm === 0)) {
    return log.refuse(EINVAL, "unrecognized bpf_ld_imm64 insn");
  }
  let fd: number | null = imm;
  if (src === BPF_PSEUDO_MAP_IDX || src === BPF_PSEUDO_MAP_IDX_VALUE) {
    if (fdArray.address === 0n) return log.refuse(EPROTO, "fd_idx without fd_array is invalid");
    fd = readFd(task, fdArray.address, BigInt(imm));
    if (fd === null) return -EFAULT;
  }
  const map = used.add(fd);
  if (typeof map === "number") return map;
  if (!isValue) return { map, address: map.address, isValue };
  const address = directValue(map, second.imm >>> 0, log);
  return address < 0 ? address : { map, address, isValue };
}

function directValue(map: BpfMap, offset: number, log: VerifierLog): number {
  if (offset >= BPF_MAX_VAR_OFF) {
    return log.refuse(EINVAL, `direct value offset of ${offset} is not allowed`);
  }
  if (!(map instanceof ArrayMap) || map.facts.type !== BPF_MAP_TYPE_ARRAY) {
    return log.refuse(EINVAL, "no direct value access support for this map type");
  }
  const { maxEntries, valueSize } = map.facts;
  // Only the array of one entry is a variable that can be pointed to.
  const address = maxEntries === 1 ? map.directValueAddress(offset) : -ENOTSUPP;
  if (address >= 0) return address;
  const text = `invalid access to map value pointer, value_size=${valueSize} off=${offset}`;
  return log.refuse(-address, text);
}

/** The types of Linux itself are not there to be pointed to. */
function refuseBtfId(id: number, log: VerifierLog): number {
  return log.refuse(
    EINVAL,
    `pseudo btf_id ${id} in ldimm64: the embedded kernel has no kernel BTF`,
  );
}
