/**
 * Where control may go from each instruction within its function. Analogous to
 * bpf_insn_successors() in kernel/bpf/liveness.c.
 */

import { BPF_EXIT, BPF_JA, BPF_JMP, BPF_OP } from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";

/** Where there is no instruction to go to. */
export const NOWHERE = -1;

const EXIT = BPF_JMP | BPF_EXIT;

/** By slot: the slots that may come next; calls come back. */
export interface Flow {
  /** The one behind, or NOWHERE. */
  readonly next: Int32Array;
  /** The one that is jumped to, or NOWHERE. */
  readonly target: Int32Array;
  /** A jump leads back. */
  readonly hasLoops: boolean;
}

/** The control flow of a program. */
export function findFlow(insns: readonly Instruction[]): Flow {
  const next = new Int32Array(insns.length).fill(NOWHERE);
  const target = new Int32Array(insns.length).fill(NOWHERE);
  let hasLoops = false;
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    if (insn.opcode === EXIT) continue;
    const offset = jumpOffset(insn);
    if (offset !== undefined) target[slot] = slot + offset + 1;
    hasLoops ||= (offset ?? 0) < 0;
    const isGoto = offset !== undefined && BPF_OP(insn.opcode) === BPF_JA;
    if (!isGoto) next[slot] = slot + (isLoadImm64(insn) ? 2 : 1);
  }
  return { next, target, hasLoops };
}
