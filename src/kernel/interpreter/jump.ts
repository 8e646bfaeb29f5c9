/**
 * Jumps within a function, on 64 or 32 bits: RFC 9669, section 4.3.
 */

import {
  BPF_CLASS,
  BPF_JA,
  BPF_JCOND,
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
import { type Instruction, jumpOffset } from "../../asm/index.ts";
import { IMMEDIATE_REGISTER, type Registers } from "./registers.ts";
import type { Step } from "./step.ts";

/** Whether to jump, for register numbers. */
type Condition = (registers: Registers, dst: number, src: number) => boolean;

/** Below 0, 0 or above 0, as a < b, a = b or a > b. */
type Order = (registers: Registers, a: number, b: number) => number;

const unsigned64: Order = (registers, a, b) =>
  registers.high(a) - registers.high(b) || registers.low(a) - registers.low(b);
const signed64: Order = (registers, a, b) =>
  (registers.high(a) | 0) - (registers.high(b) | 0) || registers.low(a) - registers.low(b);
const unsigned32: Order = (registers, a, b) => registers.low(a) - registers.low(b);
const signed32: Order = (registers, a, b) => (registers.low(a) | 0) - (registers.low(b) | 0);

/** Conditions by BPF_OP, for one width. */
function conditions(unsigned: Order, signed: Order): ReadonlyMap<number, Condition> {
  return new Map<number, Condition>([
    [BPF_JEQ, (registers, a, b) => unsigned(registers, a, b) === 0],
    [BPF_JNE, (registers, a, b) => unsigned(registers, a, b) !== 0],
    [BPF_JGT, (registers, a, b) => unsigned(registers, a, b) > 0],
    [BPF_JGE, (registers, a, b) => unsigned(registers, a, b) >= 0],
    [BPF_JLT, (registers, a, b) => unsigned(registers, a, b) < 0],
    [BPF_JLE, (registers, a, b) => unsigned(registers, a, b) <= 0],
    [BPF_JSGT, (registers, a, b) => signed(registers, a, b) > 0],
    [BPF_JSGE, (registers, a, b) => signed(registers, a, b) >= 0],
    [BPF_JSLT, (registers, a, b) => signed(registers, a, b) < 0],
    [BPF_JSLE, (registers, a, b) => signed(registers, a, b) <= 0],
  ]);
}

const JMP64: ReadonlyMap<number, Condition> = new Map([
  ...conditions(unsigned64, signed64),
  [
    BPF_JSET,
    (registers: Registers, a: number, b: number) =>
      ((registers.low(a) & registers.low(b)) | (registers.high(a) & registers.high(b))) !== 0,
  ],
]);

const JMP32: ReadonlyMap<number, Condition> = new Map([
  ...conditions(unsigned32, signed32),
  [
    BPF_JSET,
    (registers: Registers, a: number, b: number) => (registers.low(a) & registers.low(b)) !== 0,
  ],
]);

/** A step for a jump; null when the instruction is none. */
export function decodeJump(insn: Instruction, slot: number): Step | null {
  const { opcode, dst, src, imm } = insn;
  const offset = jumpOffset(insn);
  if (offset === undefined) return null;
  const next = slot + 1;
  const target = next + offset;
  const op = BPF_OP(opcode);
  if (op === BPF_JA) return () => target;
  if (op === BPF_JCOND) return (run) => (run.takesRound() ? next : target);
  const condition = (BPF_CLASS(opcode) === BPF_JMP ? JMP64 : JMP32).get(op);
  if (condition === undefined) return null;
  if (BPF_SRC(opcode) === BPF_X) {
    return (run) => (condition(run.registers, dst, src) ? target : next);
  }
  return (run) => {
    const { registers } = run;
    registers.setS32(IMMEDIATE_REGISTER, imm);
    return condition(registers, dst, IMMEDIATE_REGISTER) ? target : next;
  };
}
