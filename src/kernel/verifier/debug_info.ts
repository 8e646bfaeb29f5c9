/**
 * The func_info and line_info that a loader may send along. Mirrors check_btf_info_early() and
 * check_btf_info() in kernel/bpf/verifier.c.
 */

import { PROG_LOAD } from "../../abi/attr.ts";
import { E2BIG, EFAULT, EINVAL } from "../../abi/errno.ts";
import type { Field } from "../../abi/layout.ts";
import type { Instruction } from "../../asm/index.ts";
import type { Attr } from "../attr.ts";
import { type Btf, btfFromFd } from "../bpf/btf.ts";
import type { Task } from "../task.ts";
import * as KIND from "./btf_parse.ts";
import { checkAbnormalReturn } from "./instructions.ts";
import type { VerifierLog } from "./log.ts";
import type { Subprogram } from "./subprograms.ts";

/** sizeof(struct bpf_func_info), sizeof(struct bpf_line_info), sizeof(struct bpf_core_relo) */
export const FUNC_INFO_SIZE = 8;
export const LINE_INFO_SIZE = 16;
/** Below the number of a line stands that of its column. */
const COLUMN_BITS = 10;
const CORE_RELO_SIZE = 16;
/** The largest record that a newer loader may send; what we don't know of it must be zero. */
const MAX_RECORD_SIZE = 252;
/** More line infos or relocations than this don't count in an int. */
const MAX_RECORDS = Math.floor(0x7fffffff / 16);

/** A function of the program: struct bpf_func_info. */
interface FuncInfo {
  readonly slot: number;
  /** Id of its FUNC. */
  readonly typeId: number;
}

/** What a loader said, so far as it is good by itself. */
export interface EarlyInfo {
  readonly btf: Btf;
  readonly functions: readonly FuncInfo[];
}

/** Reads the BTF and the func_info. null: none was given. Or a negative errno. */
export function readDebugInfo(task: Task, attr: Attr, log: VerifierLog): EarlyInfo | null | number {
  const count = attr.u32(PROG_LOAD.func_info_cnt);
  // Without either kind of info not even prog_btf_fd is looked at.
  if (count === 0 && attr.u32(PROG_LOAD.line_info_cnt) === 0) return null;
  const btf = btfFromFd(task, attr.u32(PROG_LOAD.prog_btf_fd));
  if (typeof btf === "number") return btf;
  const functions = count === 0 ? [] : readFunctions(task, attr, btf, log);
  return typeof functions === "number" ? functions : { btf, functions };
}

function badRecordSize(size: number, known: number): boolean {
  return size < known || size > MAX_RECORD_SIZE || size % 4 !== 0;
}

/** Where an array of records lies, and how to say that it can't be. */
interface Records {
  readonly address: bigint;
  readonly recordSize: number;
  readonly sizeField: Field;
  /** Bytes of a record that are known here. */
  readonly known: number;
  readonly name: string;
}

/** Goes through the caller's records, all of which are read at once where all are mapped. */
class RecordReader {
  readonly #task: Task;
  readonly #attr: Attr;
  readonly #log: VerifierLog;
  readonly #records: Records;
  readonly #all: boolean;
  #view: DataView;
  /** Where in the view the record begins. */
  #at: number = 0;

  constructor(task: Task, attr: Attr, records: Records, count: number, log: VerifierLog) {
    this.#task = task;
    this.#attr = attr;
    this.#records = records;
    this.#log = log;
    const all = task.memory.read(records.address, count * records.recordSize);
    this.#all = all !== null;
    this.#view = viewOf(all ?? new Uint8Array(0));
  }

  /** Goes to record `i`. @returns 0 or a negative errno. */
  go(i: number): number {
    const { address, recordSize, sizeField, known, name } = this.#records;
    if (this.#all) {
      this.#at = i * recordSize;
    } else {
      const record = this.#task.memory.read(address + BigInt(i) * BigInt(recordSize), recordSize);
      if (record === null) return -EFAULT;
      this.#view = viewOf(record);
    }
    for (let at = known; at < recordSize; at++) {
      if (this.#view.getUint8(this.#at + at) === 0) continue;
      // Tells the loader how much to keep.
      if (this.#attr.put(sizeField, known) !== 0) return -EFAULT;
      return this.#log.refuse(E2BIG, `nonzero tailing record in ${name}`);
    }
    return 0;
  }

  /** A word of the record, by its offset in bytes. */
  u32(offset: number): number {
    return this.#view.getUint32(this.#at + offset, true);
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function readFunctions(
  task: Task,
  attr: Attr,
  btf: Btf,
  log: VerifierLog,
): readonly FuncInfo[] | number {
  const recordSize = attr.u32(PROG_LOAD.func_info_rec_size);
  if (badRecordSize(recordSize, FUNC_INFO_SIZE)) {
    return log.refuse(EINVAL, `invalid func info rec size ${recordSize}`);
  }
  const records: Records = {
    address: attr.u64(PROG_LOAD.func_info),
    recordSize,
    sizeField: PROG_LOAD.func_info_rec_size,
    known: FUNC_INFO_SIZE,
    name: "func info",
  };
  const functions: FuncInfo[] = [];
  const count = attr.u32(PROG_LOAD.func_info_cnt);
  const record = new RecordReader(task, attr, records, count, log);
  for (let i = 0; i < count; i++) {
    const errno = record.go(i);
    if (errno !== 0) return errno;
    const slot = record.u32(0);
    const typeId = record.u32(4);
    const before = functions[i - 1]?.slot;
    if (before === undefined && slot !== 0) {
      return log.refuse(EINVAL, `nonzero insn_off ${slot} for the first func info record`);
    }
    if (before !== undefined && slot <= before) {
      const text = `same or smaller insn offset (${slot}) than previous func info record`;
      return log.refuse(EINVAL, `${text} (${before})`);
    }
    if (btf.type(typeId)?.kind !== KIND.BTF_KIND_FUNC) {
      return log.refuse(EINVAL, `invalid type id ${typeId} in func info`);
    }
    functions.push({ slot, typeId });
  }
  return functions;
}

/** Holds func_info against the functions there are. 0 or a negative errno. */
export function checkFunctions(
  info: EarlyInfo | null,
  subprograms: readonly Subprogram[],
  log: VerifierLog,
): number {
  if (info === null || info.functions.length === 0) return checkAbnormalReturn(subprograms, log);
  const { btf, functions } = info;
  if (functions.length !== subprograms.length) {
    return log.refuse(EINVAL, "number of funcs in func_info doesn't match number of subprogs");
  }
  for (const [i, { start, hasLdAbs, hasTailCall }] of subprograms.entries()) {
    const { slot, typeId } = functions[i] as FuncInfo;
    if (slot !== start) {
      const text = "func_info BTF section doesn't match subprog layout in BPF program";
      return log.refuse(EINVAL, text);
    }
    if (i === 0 || (!hasLdAbs && !hasTailCall) || returnsInt(btf, typeId)) continue;
    const what = hasLdAbs ? "LD_ABS" : "tail_call";
    return log.refuse(EINVAL, `${what} is only allowed in functions that return 'int'.`);
  }
  return 0;
}

function returnsInt(btf: Btf, typeId: number): boolean {
  const prototype = btf.type(btf.type(typeId)?.sizeOrType ?? 0);
  const result = btf.typeBehind(prototype?.sizeOrType ?? 0);
  switch (result?.kind) {
    case KIND.BTF_KIND_INT:
      return result.sizeOrType <= 8;
    case KIND.BTF_KIND_ENUM:
    case KIND.BTF_KIND_ENUM64:
      return true;
    default:
      return false;
  }
}

/** Whether the function that begins at a slot is `static`; null without func_info. */
export function staticFunctions(info: EarlyInfo | null): ((start: number) => boolean) | null {
  if (info === null || info.functions.length === 0) return null;
  const { btf, functions } = info;
  return (start) => {
    const typeId = functions.find(({ slot }) => slot === start)?.typeId ?? 0;
    // The linkage of a FUNC lies where other kinds count their parts; BTF_FUNC_STATIC is 0.
    return btf.type(typeId)?.vlen === 0;
  };
}

/** The FUNC of each function of the program, in order; null without func_info. */
export function functionTypes(
  info: EarlyInfo | null,
): { readonly btf: Btf; readonly typeIds: readonly number[] } | null {
  if (info === null || info.functions.length === 0) return null;
  return { btf: info.btf, typeIds: info.functions.map(({ typeId }) => typeId) };
}

/** func_info as info gives it out. */
export function encodeFunctions({ functions }: EarlyInfo): Uint8Array {
  const bytes = new Uint8Array(functions.length * FUNC_INFO_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, { slot, typeId }] of functions.entries()) {
    view.setUint32(FUNC_INFO_SIZE * i, slot, true);
    view.setUint32(FUNC_INFO_SIZE * i + 4, typeId, true);
  }
  return bytes;
}

/** Reads and checks line_info: 16 bytes a record, as info gives them out. Or a negative errno. */
export function readLines(
  task: Task,
  attr: Attr,
  { btf }: EarlyInfo,
  insns: readonly Instruction[],
  subprograms: readonly Subprogram[],
  log: VerifierLog,
): Uint8Array | number {
  const count = attr.u32(PROG_LOAD.line_info_cnt);
  if (count === 0) return new Uint8Array(0);
  const recordSize = attr.u32(PROG_LOAD.line_info_rec_size);
  if (count > MAX_RECORDS || badRecordSize(recordSize, LINE_INFO_SIZE)) return -EINVAL;
  const records: Records = {
    address: attr.u64(PROG_LOAD.line_info),
    recordSize,
    sizeField: PROG_LOAD.line_info_rec_size,
    known: LINE_INFO_SIZE,
    name: "line_info",
  };
  // Offsets must grow and stay in the program, so no more records than slots are ever read.
  const bytes = new Uint8Array(Math.min(count, insns.length) * LINE_INFO_SIZE);
  const kept = new DataView(bytes.buffer);
  const record = new RecordReader(task, attr, records, count, log);
  let before = 0;
  let functions = 0;
  for (let i = 0; i < count; i++) {
    const errno = record.go(i);
    if (errno !== 0) return errno;
    const slot = record.u32(0);
    const fault =
      lineFault(record, i, before, btf, insns) ??
      ((subprograms[functions]?.start ?? slot) < slot
        ? `missing bpf_line_info for func#${functions}`
        : null);
    if (fault !== null) return log.refuse(EINVAL, fault);
    if (subprograms[functions]?.start === slot) functions++;
    for (let at = 0; at < LINE_INFO_SIZE; at += 4) {
      kept.setUint32(LINE_INFO_SIZE * i + at, record.u32(at), true);
    }
    before = slot;
  }
  if (functions === subprograms.length) return bytes;
  const missing = subprograms.length - functions;
  const text = `missing bpf_line_info for ${missing} funcs starting from func#${functions}`;
  return log.refuse(EINVAL, text);
}

/** What {@link readLines} read, as the log writes it: "i = 0; @ a.c:7" for every slot. */
export function linesBySlot(btf: Btf, lineInfo: Uint8Array, slots: number): string[] {
  const view = new DataView(lineInfo.buffer, lineInfo.byteOffset, lineInfo.length);
  const lines: string[] = [];
  for (let at = 0; at < lineInfo.length; at += LINE_INFO_SIZE) {
    const [file, text] = [4, 8].map((field) => btf.name(view.getUint32(at + field, true)) ?? "");
    const line = view.getUint32(at + 12, true) >>> COLUMN_BITS;
    const written = `${text?.trimStart()} @ ${baseName(file ?? "")}:${line}`;
    // A record is for all instructions up to the next one's.
    const next = at + LINE_INFO_SIZE;
    const end = next < lineInfo.length ? view.getUint32(next, true) : slots;
    for (let slot = lines.length; slot < end; slot++) lines.push(written);
  }
  return lines;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function lineFault(
  record: RecordReader,
  i: number,
  before: number,
  btf: Btf,
  insns: readonly Instruction[],
): string | null {
  const slot = record.u32(0);
  const insn = insns[slot];
  if ((i > 0 && slot <= before) || insn === undefined) {
    const where = `prev_offset:${before} prog->len:${insns.length}`;
    return `Invalid line_info[${i}].insn_off:${slot} (${where})`;
  }
  if (insn.opcode === 0) return `Invalid insn code at line_info[${i}].insn_off`;
  const named = btf.hasName(record.u32(8));
  if (named && btf.hasName(record.u32(4))) return null;
  return `Invalid line_info[${i}].line_off or .file_name_off`;
}

/** Relocations against the types of Linux itself, which are not there: 0 or a negative errno. */
export function checkCoreRelocations(attr: Attr, log: VerifierLog): number {
  const count = attr.u32(PROG_LOAD.core_relo_cnt);
  if (count === 0) return 0;
  const recordSize = attr.u32(PROG_LOAD.core_relo_rec_size);
  if (count > MAX_RECORDS || badRecordSize(recordSize, CORE_RELO_SIZE)) return -EINVAL;
  return log.refuse(
    EINVAL,
    "core_relos: the embedded kernel has no kernel BTF to relocate against",
  );
}
