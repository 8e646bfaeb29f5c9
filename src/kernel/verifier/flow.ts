/**
 * Where control may go from each instruction within its function, and in which order what is true
 * of an instruction follows from what comes behind it. Analogous to bpf_insn_successors() in
 * kernel/bpf/liveness.c and compute_postorder() in kernel/bpf/verifier.c.
 */

import { BPF_EXIT, BPF_JA, BPF_JMP, BPF_OP } from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";

/** Where there is no instruction to go to. */
export const NOWHERE = -1;

const EXIT = BPF_JMP | BPF_EXIT;

/** By slot: the slots that may come next; calls come back. */
interface Successors {
  /** The one behind, or NOWHERE. */
  readonly next: Int32Array;
  /** The one that is jumped to, or NOWHERE. */
  readonly target: Int32Array;
}

interface Order {
  /**
   * All slots, each behind those that may come next where there are no loops. Those of a function
   * stand together, where they are in the program.
   */
  readonly order: Int32Array;
  /** A path comes back to where it was. */
  readonly hasLoops: boolean;
}

/** The control flow of a program. */
export interface Flow extends Successors, Order {}

/** The control flow of a program. */
export function findFlow(insns: readonly Instruction[]): Flow {
  const next = new Int32Array(insns.length).fill(NOWHERE);
  const target = new Int32Array(insns.length).fill(NOWHERE);
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    if (insn.opcode === EXIT) continue;
    const offset = jumpOffset(insn);
    if (offset !== undefined) target[slot] = slot + offset + 1;
    const isGoto = offset !== undefined && BPF_OP(insn.opcode) === BPF_JA;
    if (!isGoto) next[slot] = slot + (isLoadImm64(insn) ? 2 : 1);
  }
  return { next, target, ...findOrder({ next, target }) };
}

/** Which slots a search in depth has come to, is at, has left. */
const NEW = 0;
const OPEN = 1;
const LEFT = 2;

/** The order in which a search in depth leaves the slots. */
function findOrder({ next, target }: Successors): Order {
  const { length } = next;
  const order = new Int32Array(length);
  const path = new Int32Array(length);
  const states = new Uint8Array(length);
  let left = 0;
  let hasLoops = false;
  for (let first = 0; first < length; first++) {
    if (states[first] !== NEW) continue;
    path[0] = first;
    for (let depth = 1; depth > 0; ) {
      const slot = path[depth - 1] as number;
      states[slot] = OPEN;
      const behind = next[slot] as number;
      const there = target[slot] as number;
      hasLoops ||= states[behind] === OPEN || states[there] === OPEN;
      if (states[behind] === NEW || states[there] === NEW) {
        path[depth] = states[behind] === NEW ? behind : there;
        depth++;
      } else {
        states[slot] = LEFT;
        order[left] = slot;
        left++;
        depth--;
      }
    }
  }
  return { order, hasLoops };
}
