/**
 * Which programs could run for more than a moment.
 */

import { BPF_CALL, BPF_JMP, BPF_PSEUDO_FUNC, BPF_PSEUDO_KFUNC_CALL } from "../abi/insn.ts";
import { decodeInstructions, isLoadImm64 } from "../asm/index.ts";
import type { ProgramSpec } from "../elf/index.ts";

/** BPF_JMP | BPF_JCOND: may_goto. */
const MAY_GOTO = 0xe5;

/**
 * Whether a program could run for more than a moment: a verifier walks each round of a plain loop,
 * of one million instructions at most, but only some rounds of what calls back, of may_goto and of
 * iterators, which are kernel functions. Others need no watch, which costs a thread's start.
 */
export function mayRunLong({ instructions }: ProgramSpec): boolean {
  return decodeInstructions(instructions).some((insn) => {
    if (isLoadImm64(insn)) return insn.src === BPF_PSEUDO_FUNC;
    const isKernelFunction =
      insn.opcode === (BPF_JMP | BPF_CALL) && insn.src === BPF_PSEUDO_KFUNC_CALL;
    return insn.opcode === MAY_GOTO || isKernelFunction;
  });
}
