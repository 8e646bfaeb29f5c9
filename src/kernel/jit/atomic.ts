/**
 * Atomic operations: RFC 9669, section 5.3, and Linux's load-acquire and store-release. Where the
 * memory of a kernel belongs to one thread, a plain load and a plain store do.
 */

import {
  BPF_ADD,
  BPF_AND,
  BPF_ATOMIC,
  BPF_CLASS,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_FETCH,
  BPF_LOAD_ACQ,
  BPF_MODE,
  BPF_OR,
  BPF_REG_0,
  BPF_REG_10,
  BPF_SIZE,
  BPF_STORE_REL,
  BPF_STX,
  BPF_W,
  BPF_XCHG,
  BPF_XOR,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { FunctionWriter } from "./function.ts";
import { ACCESSES, type Access, writeLoad, writeStore } from "./load_store.ts";
import type { AtomicOp, Op } from "./wasm.ts";

/** What is done to the old value and the operand; null: the operand takes its place. */
const UPDATES: ReadonlyMap<number, Op | null> = new Map<number, Op | null>([
  [BPF_ADD, "i64.add"],
  [BPF_OR, "i64.or"],
  [BPF_AND, "i64.and"],
  [BPF_XOR, "i64.xor"],
  [BPF_XCHG, null],
]);

/** The same on shared memory, on 64 and on 32 bits; they leave the old value. */
const SHARED_UPDATES: ReadonlyMap<number, readonly [wide: AtomicOp, narrow: AtomicOp]> = new Map([
  [BPF_ADD, ["i64.atomic.rmw.add", "i64.atomic.rmw32.add_u"]],
  [BPF_OR, ["i64.atomic.rmw.or", "i64.atomic.rmw32.or_u"]],
  [BPF_AND, ["i64.atomic.rmw.and", "i64.atomic.rmw32.and_u"]],
  [BPF_XOR, ["i64.atomic.rmw.xor", "i64.atomic.rmw32.xor_u"]],
  [BPF_XCHG, ["i64.atomic.rmw.xchg", "i64.atomic.rmw32.xchg_u"]],
]);

/** Writes an atomic operation; false when the instruction is none. */
export function writeAtomic(writer: FunctionWriter, insn: Instruction): boolean {
  const { opcode, imm, src } = insn;
  if (BPF_CLASS(opcode) !== BPF_STX || BPF_MODE(opcode) !== BPF_ATOMIC) return false;
  const access = ACCESSES.get(BPF_SIZE(opcode));
  if (access === undefined) return false;
  if (imm === BPF_LOAD_ACQ) return writeLoadAcquire(writer, insn, access);
  if (imm === BPF_STORE_REL) {
    writeStoreRelease(writer, insn, access);
    return true;
  }
  const width = BPF_SIZE(opcode);
  if (width !== BPF_W && width !== BPF_DW) return false;
  if (imm === BPF_CMPXCHG) {
    writeCompareAndExchange(writer, insn, access);
    return true;
  }
  const fetches = (imm & BPF_FETCH) !== 0;
  const kind = imm === BPF_XCHG ? imm : imm & ~BPF_FETCH;
  const [update, shared] = [UPDATES.get(kind), SHARED_UPDATES.get(kind)];
  if (update === undefined || shared === undefined) return false;
  if (fetches && src === BPF_REG_10) return false;
  if (writer.program.shared) writeSharedUpdate(writer, insn, access, shared, fetches);
  else writeReadModifyWrite(writer, insn, access, update, fetches);
  return true;
}

/** The atomic form of a plain load or store. */
function atomic(op: Op): AtomicOp {
  return op.replace("i64.", "i64.atomic.") as AtomicOp;
}

function writeLoadAcquire(writer: FunctionWriter, insn: Instruction, access: Access): boolean {
  if (!writer.program.shared) return writeLoad(writer, insn, access, access.load);
  const { dst, src, off } = insn;
  if (dst === BPF_REG_10) return false;
  const offset = writer.base(src, off, access.size, false);
  writer.code.atomic(atomic(access.load), access.size, offset);
  writer.set(dst);
  return true;
}

function writeStoreRelease(writer: FunctionWriter, insn: Instruction, access: Access): void {
  if (!writer.program.shared) {
    writeStore(writer, insn, access);
    return;
  }
  const offset = writer.base(insn.dst, insn.off, access.size, true);
  writer.get(insn.src);
  writer.code.atomic(atomic(access.store), access.size, offset);
}

function writeSharedUpdate(
  writer: FunctionWriter,
  { dst, src, off }: Instruction,
  { size }: Access,
  [wide, narrow]: readonly [AtomicOp, AtomicOp],
  fetches: boolean,
): void {
  const { code } = writer;
  const offset = writer.base(dst, off, size, true);
  writer.get(src);
  code.atomic(size === 8 ? wide : narrow, size, offset);
  if (fetches) writer.set(src);
  else code.op("drop");
}

/** Leaves the value at dst + off, and keeps the address. @returns what to add to the address. */
function writeOld(writer: FunctionWriter, { dst, off }: Instruction, access: Access): number {
  const offset = writer.base(dst, off, access.size, true);
  writer.code.tee(writer.address);
  writer.code.access(access.load, offset);
  return offset;
}

function writeReadModifyWrite(
  writer: FunctionWriter,
  insn: Instruction,
  access: Access,
  update: Op | null,
  fetches: boolean,
): void {
  const { code, wide, address } = writer;
  const offset = writeOld(writer, insn, access);
  code.set(wide);
  code.get(address);
  if (update !== null) code.get(wide);
  writer.get(insn.src);
  if (update !== null) code.op(update);
  code.access(access.store, offset);
  if (!fetches) return;
  code.get(wide);
  writer.set(insn.src);
}

/** r0 is what to compare with, and gets what was there. */
function writeCompareAndExchange(writer: FunctionWriter, insn: Instruction, access: Access): void {
  const { code, wide, address } = writer;
  if (writer.program.shared) {
    const { size } = access;
    const isWide = size === 8;
    const offset = writer.base(insn.dst, insn.off, size, true);
    writer.get(BPF_REG_0);
    if (!isWide) code.op("i32.wrap_i64", "i64.extend_i32_u");
    writer.get(insn.src);
    code.atomic(isWide ? "i64.atomic.rmw.cmpxchg" : "i64.atomic.rmw32.cmpxchg_u", size, offset);
    writer.set(BPF_REG_0);
    return;
  }
  const offset = writeOld(writer, insn, access);
  code.tee(wide);
  writer.get(BPF_REG_0);
  if (access.size === 4) code.op("i32.wrap_i64", "i64.extend_i32_u");
  code.op("i64.eq");
  code.open("if");
  code.get(address);
  writer.get(insn.src);
  code.access(access.store, offset);
  code.end();
  code.get(wide);
  writer.set(BPF_REG_0);
}
