/**
 * How deep functions call each other, and how much stack they take: eight frames and 512 bytes for
 * all of them, code that never runs included. Analogous to check_max_stack_depth() in
 * kernel/bpf/verifier.c.
 */

import { E2BIG, EACCES } from "../../abi/errno.ts";
import { MAX_BPF_STACK, MAX_CALL_FRAMES } from "../../abi/insn.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";
import { namesFunction, type Subprogram } from "./subprograms.ts";

/** What the stack of a compiled function is rounded up to. */
const GRANULARITY = 16;
/** With so much stack taken by its callers, no function may make a tail call. */
const TAIL_CALL_LIMIT = 256;

function roundUp(bytes: number): number {
  return Math.ceil(bytes / GRANULARITY) * GRANULARITY;
}

/** @throws {Refusal} */
export function checkStackDepth(env: Environment): void {
  const { subprograms } = env.subject;
  const byStart = new Map(subprograms.map((subprogram) => [subprogram.start, subprogram]));
  /** By function: the most bytes that were found above it, by the number of frames. */
  const seen = new Map<Subprogram, number[]>();
  const follow = (subprogram: Subprogram, above: number, frames: number): void => {
    if (frames > MAX_CALL_FRAMES) {
      const text = `the call stack of ${frames - 1} frames is too deep !`;
      throw new Refusal(E2BIG, text);
    }
    const before = seen.get(subprogram) ?? [];
    if ((before[frames] ?? -1) >= above) return;
    before[frames] = above;
    seen.set(subprogram, before);
    if (frames > 1 && subprogram.hasTailCall && above >= TAIL_CALL_LIMIT) {
      const text = "tail_calls are not allowed when call stack of previous frames is";
      throw new Refusal(EACCES, `${text} ${above} bytes. Too large`);
    }
    const depth = above + roundUp(env.stackDepths.get(subprogram.start) ?? 0);
    if (depth > MAX_BPF_STACK) {
      const text = `combined stack size of ${frames} calls is ${depth}. Too large`;
      throw new Refusal(EACCES, text);
    }
    for (let slot = subprogram.start; slot < subprogram.end; slot++) {
      const insn = env.subject.insns[slot];
      if (insn === undefined || !namesFunction(insn)) continue;
      const callee = byStart.get(slot + insn.imm + 1);
      if (callee !== undefined) follow(callee, depth, frames + 1);
    }
  };
  const main = subprograms[0];
  if (main !== undefined) follow(main, 0, 1);
}
