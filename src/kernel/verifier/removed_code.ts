/**
 * Functions whose address a program takes, but which are never walked: Linux takes out such code,
 * and may not find again what an address was. Mirrors what comes of bpf_remove_insns() for
 * jit_subprogs() in kernel/bpf/verifier.c.
 */

import { EFAULT } from "../../abi/errno.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";

/** @throws {Refusal} where Linux doesn't find a function at the address that is left. */
export function checkNamedFunctions(env: Environment): void {
  const { named, seen, subject } = env;
  const left = subject.subprograms.filter(({ start }) => seen[start] === 1);
  // A main function alone is not taken apart, so that nothing is looked for.
  if (left.length === 1) return;
  for (const name of named) {
    const target = targetOf(name, seen);
    if (left.some(({ start }) => start === target)) continue;
    throw new Refusal(EFAULT, `No program to jit: the function at insn ${name} is never called`);
  }
}

/**
 * The slot that an address leads to. Where it led into code that was taken out, it stays as it is,
 * and so leads as much further as was taken out there.
 */
function targetOf(name: number, seen: Uint8Array): number {
  let target = name;
  for (let slot = 0; slot < seen.length; slot++) {
    if (seen[slot] === 1) continue;
    const start = slot;
    while (slot < seen.length && seen[slot] === 0) slot++;
    if (target >= start && target < slot) target += slot - start;
  }
  return target;
}
