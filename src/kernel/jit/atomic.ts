/**
 * Atomic operations: RFC 9669, section 5.3, and Linux's load-acquire and store-release. The memory
 * of a kernel belongs to one thread, so a plain load and a plain store do.
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
import type { Op } from "./wasm.ts";

/** What is done to the old value and the operand; null: the operand takes its place. */
const UPDATES: ReadonlyMap<number, Op | null> = new Map<number, Op | null>([
  [BPF_ADD, "i64.add"],
  [BPF_OR, "i64.or"],
  [BPF_AND, "i64.and"],
  [BPF_XOR, "i64.xor"],
  [BPF_XCHG, null],
]);

/** Writes an atomic operation; false when the instruction is none. */
export function writeAtomic(writer: FunctionWriter, insn: Instruction): boolean {
  const { opcode, imm, src } = insn;
  if (BPF_CLASS(opcode) !== BPF_STX || BPF_MODE(opcode) !== BPF_ATOMIC) return false;
  const access = ACCESSES.get(BPF_SIZE(opcode));
  if (access === undefined) return false;
  if (imm === BPF_LOAD_ACQ) return writeLoad(writer, insn, access, access.load);
  if (imm === BPF_STORE_REL) {
    writeStore(writer, insn, access);
    return true;
  }
  const width = BPF_SIZE(opcode);
  if (width !== BPF_W && width !== BPF_DW) return false;
  if (imm === BPF_CMPXCHG) {
    writeCompareAndExchange(writer, insn, access);
    return true;
  }
  const fetches = (imm & BPF_FETCH) !== 0;
  const update = UPDATES.get(imm === BPF_XCHG ? imm : imm & ~BPF_FETCH);
  if (update === undefined || (fetches && src === BPF_REG_10)) return false;
  writeReadModifyWrite(writer, insn, access, update, fetches);
  return true;
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
