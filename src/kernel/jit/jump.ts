/**
 * Conditions of jumps, on 64 or 32 bits: RFC 9669, section 4.3.
 */

import {
  BPF_CLASS,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_OP,
  BPF_SRC,
  BPF_X,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { type FunctionWriter, MAY_GOTO } from "./function.ts";
import type { Op } from "./wasm.ts";

const COMPARISONS: ReadonlyMap<number, readonly [wide: Op, narrow: Op]> = new Map([
  [BPF_JEQ, ["i64.eq", "i32.eq"]],
  [BPF_JNE, ["i64.ne", "i32.ne"]],
  [BPF_JGT, ["i64.gt_u", "i32.gt_u"]],
  [BPF_JGE, ["i64.ge_u", "i32.ge_u"]],
  [BPF_JLT, ["i64.lt_u", "i32.lt_u"]],
  [BPF_JLE, ["i64.le_u", "i32.le_u"]],
  [BPF_JSGT, ["i64.gt_s", "i32.gt_s"]],
  [BPF_JSGE, ["i64.ge_s", "i32.ge_s"]],
  [BPF_JSLT, ["i64.lt_s", "i32.lt_s"]],
  [BPF_JSLE, ["i64.le_s", "i32.le_s"]],
]);

/** Leaves whether a conditional jump is taken: an i32. What is no jump that exists traps. */
export function writeCondition(writer: FunctionWriter, insn: Instruction): void {
  const { code } = writer;
  const { opcode, dst, src, imm } = insn;
  if (opcode === MAY_GOTO) {
    writer.mayGoto();
    return;
  }
  const op = BPF_OP(opcode);
  const comparison = COMPARISONS.get(op);
  if (comparison === undefined && op !== BPF_JSET) {
    writer.trap();
    return;
  }
  const isWide = BPF_CLASS(opcode) === BPF_JMP;
  const register = (number: number): void => {
    if (isWide) writer.get(number);
    else writer.get32(number);
  };
  register(dst);
  if (BPF_SRC(opcode) === BPF_X) register(src);
  else if (isWide) code.i64(imm);
  else code.i32(imm);
  if (comparison !== undefined) {
    code.op(isWide ? comparison[0] : comparison[1]);
  } else if (isWide) {
    code.op("i64.and", "i64.eqz", "i32.eqz");
  } else {
    code.op("i32.and");
  }
}
