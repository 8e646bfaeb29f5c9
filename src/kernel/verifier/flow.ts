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

/** The control flow of a program. */
export interface Flow {
  /** By slot: the one that may come next since it is behind, or NOWHERE; calls come back. */
  readonly next: Int32Array;
  /** By slot: the one that is jumped to, or NOWHERE. */
  readonly target: Int32Array;
  /**
   * All slots, each behind those that may come next where there are no loops. Those of a function
   * stand together, where they are in the program.
   */
  readonly order: Int32Array;
  /** A path comes back to where it was. */
  readonly hasLoops: boolean;
}

/** The control flow of a program. */
export function findFlow(insns: readonly Instruction[]): Flow {
  // One buffer: engines take longer to find room for each than to fill it.
  const words = new Int32Array(3 * insns.length).fill(NOWHERE);
  const next = words.subarray(0, insns.length);
  const target = words.subarray(insns.length, 2 * insns.length);
  const order = words.subarray(2 * insns.length);
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    if (insn.opcode === EXIT) continue;
    const offset = jumpOffset(insn);
    if (offset !== undefined) target[slot] = slot + offset + 1;
    const isGoto = offset !== undefined && BPF_OP(insn.opcode) === BPF_JA;
    if (!isGoto) next[slot] = slot + (isLoadImm64(insn) ? 2 : 1);
  }
  const hasLoops = findOrder(next, target, order);
  return { next, target, order, hasLoops };
}

/** Which slots a search in depth has come to, is at, has left. */
const NEW = 0;
const OPEN = 1;
const LEFT = 2;

/** The order in which a search in depth leaves the slots. @returns whether it met a loop. */
function findOrder(next: Int32Array, target: Int32Array, order: Int32Array): boolean {
  const { length } = next;
  const path: number[] = [];
  const states = new Uint8Array(length);
  let left = 0;
  let hasLoops = false;
  for (let first = 0; first < length; first++) {
    if (states[first] !== NEW) continue;
    path.push(first);
    for (let slot = path.at(-1); slot !== undefined; slot = path.at(-1)) {
      states[slot] = OPEN;
      const behind = next[slot] as number;
      const there = target[slot] as number;
      const stateBehind = behind === NOWHERE ? LEFT : states[behind];
      const stateThere = there === NOWHERE ? LEFT : states[there];
      hasLoops ||= stateBehind === OPEN || stateThere === OPEN;
      if (stateBehind === NEW || stateThere === NEW) {
        path.push(stateBehind === NEW ? behind : there);
      } else {
        states[slot] = LEFT;
        order[left] = slot;
        left++;
        path.pop();
      }
    }
  }
  return hasLoops;
}

/**
 * The slots of a function in the order in which Linux goes through them: jumps first, and what was
 * seen once is not looked at again, so that a slot may stand before one that may come next.
 * Analogous to compute_postorder() in kernel/bpf/verifier.c.
 */
export function postorderOf({ next, target }: Flow, start: number): number[] {
  const seen = new Set([start]);
  const explored = new Set<number>();
  const path = [start];
  const order: number[] = [];
  for (let slot = path.at(-1); slot !== undefined; slot = path.at(-1)) {
    if (explored.has(slot)) {
      order.push(slot);
      path.pop();
      continue;
    }
    explored.add(slot);
    for (const after of [next[slot] as number, target[slot] as number]) {
      if (after === NOWHERE || seen.has(after)) continue;
      seen.add(after);
      path.push(after);
    }
  }
  return order;
}
