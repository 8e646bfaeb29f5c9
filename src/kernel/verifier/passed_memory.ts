/**
 * Memory that is handed to a global function, which may read and write all of it. Analogous to
 * check_mem_reg() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import type { Environment } from "./environment.ts";
import { checkMemory } from "./helper_memory.ts";
import { Refusal } from "./refusal.ts";
import { notNull, type Register, type RegisterType } from "./register.ts";

/** Kinds of memory that a function may be handed. */
export const PASSED_KINDS: ReadonlySet<RegisterType> = new Set([
  "fp",
  "pkt",
  "pkt_meta",
  "map_key",
  "map_value",
  "mem",
]);

/** @param size - bytes that the function's signature promises. */
export function checkPassedMemory(
  env: Environment,
  register: number,
  contents: Register,
  size: number,
): void {
  // The function has to find out for itself whether it was given anything.
  const given = contents.mayBeNull ? notNull(contents) : contents;
  if (!PASSED_KINDS.has(given.type)) {
    const text = `R${register} type=${given.type} expected=fp`;
    throw new Refusal(EINVAL, text);
  }
  env.state.frame.set(register, given);
  try {
    checkMemory(env, register, size, false);
    if (given.type !== "map_key") checkMemory(env, register, size, true);
  } catch (error) {
    // Whatever is wrong with the memory, the caller is told of its argument.
    throw error instanceof Refusal ? new Refusal(EINVAL, error.message) : error;
  }
}
