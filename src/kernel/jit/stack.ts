/**
 * How much of its stack a function uses, and clearing that: nothing of another program is to be
 * found there, as on the interpreter.
 */

import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_CLASS,
  BPF_K,
  BPF_LDX,
  BPF_MOV,
  BPF_REG_10,
  BPF_SRC,
  BPF_ST,
  BPF_STX,
  BPF_X,
  MAX_BPF_STACK,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { type Block, nextSlot } from "./cfg.ts";
import type { Code } from "./code.ts";

const COPY = BPF_ALU64 | BPF_MOV | BPF_X;
const ADD_IMMEDIATE = BPF_ALU64 | BPF_ADD | BPF_K;
/** More words than this are cleared by one instruction, which takes a call in the engine. */
const MAX_STORES = 16;

/**
 * Bytes of stack that a function may touch, a multiple of 8. A copy of r10 is followed one step: as
 * compilers make pointers to variables, `r2 = r10` and `r2 += -8`.
 */
export function stackUse(insns: readonly Instruction[], blocks: readonly Block[]): number {
  let lowest = 0;
  for (const { start, end } of blocks) {
    for (let slot = start; slot < end; ) {
      const insn = insns[slot] as Instruction;
      lowest = Math.min(lowest, lowestTouched(insn, insns[slot + 1]));
      slot = nextSlot(insn, slot);
    }
  }
  return Math.min(MAX_BPF_STACK, 8 * Math.ceil(-lowest / 8));
}

/** The lowest offset from r10 that an instruction reaches; 0 when it has nothing to do with it. */
function lowestTouched({ opcode, dst, src, off }: Instruction, next?: Instruction): number {
  switch (BPF_CLASS(opcode)) {
    case BPF_ALU:
    case BPF_ALU64: {
      if (BPF_SRC(opcode) !== BPF_X || src !== BPF_REG_10) return 0;
      const isPointer = opcode === COPY && next?.opcode === ADD_IMMEDIATE && next.dst === dst;
      return isPointer ? next.imm : -MAX_BPF_STACK;
    }
    case BPF_LDX:
      return src === BPF_REG_10 ? off : 0;
    case BPF_ST:
      return dst === BPF_REG_10 ? off : 0;
    case BPF_STX: {
      // A pointer that is stored may come back as anything.
      if (src === BPF_REG_10) return -MAX_BPF_STACK;
      return dst === BPF_REG_10 ? off : 0;
    }
    default:
      return 0;
  }
}

/** Clears the upper `size` bytes of a frame. @param frame - an i32 local: its lowest address. */
export function clearStack(code: Code, frame: number, size: number): void {
  const from = MAX_BPF_STACK - size;
  if (size > 8 * MAX_STORES) {
    code.get(frame);
    code.i32(from);
    code.op("i32.add");
    code.i32(0);
    code.i32(size);
    code.fill();
    return;
  }
  for (let at = from; at < MAX_BPF_STACK; at += 8) {
    code.get(frame);
    code.i64(0);
    code.access("i64.store", at);
  }
}
