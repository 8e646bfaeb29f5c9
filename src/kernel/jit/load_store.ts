/**
 * Loads, stores and 64-bit immediates: RFC 9669, sections 5.1, 5.2 and 5.4.
 */

import {
  BPF_B,
  BPF_CLASS,
  BPF_DW,
  BPF_H,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MODE,
  BPF_PSEUDO_FUNC,
  BPF_REG_10,
  BPF_SIZE,
  BPF_ST,
  BPF_STX,
  BPF_W,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { FUNCTION_TAG } from "../program_run.ts";
import type { FunctionWriter } from "./function.ts";
import type { Op } from "./wasm.ts";

/** How memory of one size is reached. */
export interface Access {
  /** Bytes. */
  readonly size: number;
  /** Zero-extends to i64. */
  readonly load: Op;
  /** Sign-extends to i64; null where there is nothing to extend. */
  readonly signedLoad: Op | null;
  /** Stores the low bytes of an i64. */
  readonly store: Op;
}

/** By BPF_SIZE. */
export const ACCESSES: ReadonlyMap<number, Access> = new Map<number, Access>([
  [BPF_B, { size: 1, load: "i64.load8_u", signedLoad: "i64.load8_s", store: "i64.store8" }],
  [BPF_H, { size: 2, load: "i64.load16_u", signedLoad: "i64.load16_s", store: "i64.store16" }],
  [BPF_W, { size: 4, load: "i64.load32_u", signedLoad: "i64.load32_s", store: "i64.store32" }],
  [BPF_DW, { size: 8, load: "i64.load", signedLoad: null, store: "i64.store" }],
]);

/** Writes a load, a store or a 64-bit immediate; false when the instruction is none. */
export function writeLoadStore(
  writer: FunctionWriter,
  insn: Instruction,
  slot: number,
  following: Instruction | undefined,
): boolean {
  const { opcode } = insn;
  if (opcode === BPF_LD_IMM64) return writeImmediate(writer, insn, slot, following);
  const mode = BPF_MODE(opcode);
  const access = ACCESSES.get(BPF_SIZE(opcode));
  if (access === undefined) return false;
  switch (BPF_CLASS(opcode)) {
    case BPF_LDX:
      if (mode !== BPF_MEM && mode !== BPF_MEMSX) return false;
      return writeLoad(writer, insn, access, mode === BPF_MEM ? access.load : access.signedLoad);
    case BPF_STX:
      if (mode !== BPF_MEM) return false;
      writeStore(writer, insn, access);
      return true;
    case BPF_ST: {
      if (mode !== BPF_MEM) return false;
      const offset = writer.base(insn.dst, insn.off, access.size, true);
      writer.code.i64(insn.imm);
      writer.code.access(access.store, offset);
      return true;
    }
    default:
      return false;
  }
}

/** `dst = *(src + off)` by the given instruction. */
export function writeLoad(
  writer: FunctionWriter,
  { dst, src, off }: Instruction,
  { size }: Access,
  load: Op | null,
): boolean {
  if (load === null || dst === BPF_REG_10) return false;
  writer.code.access(load, writer.base(src, off, size, false));
  writer.set(dst);
  return true;
}

/** `*(dst + off) = src` */
export function writeStore(
  writer: FunctionWriter,
  { dst, src, off }: Instruction,
  { size, store }: Access,
): void {
  const offset = writer.base(dst, off, size, true);
  writer.get(src);
  writer.code.access(store, offset);
}

/** Maps and their values have become addresses by now; a function becomes what is no address. */
function writeImmediate(
  writer: FunctionWriter,
  { dst, src, imm }: Instruction,
  slot: number,
  following: Instruction | undefined,
): boolean {
  if (following === undefined || dst === BPF_REG_10) return false;
  if (src === BPF_PSEUDO_FUNC) {
    const target = slot + 1 + imm;
    if (writer.insns[target] === undefined) return false;
    writer.program.callback(target);
    writer.code.i64Halves(target, FUNCTION_TAG);
  } else {
    writer.code.i64Halves(imm, following.imm);
  }
  writer.set(dst);
  return true;
}
