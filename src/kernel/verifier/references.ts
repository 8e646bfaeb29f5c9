/**
 * References: what one helper gave to the program, which has to give it back to another one on
 * every path. Analogous to acquire_reference(), release_reference() and check_resource_leak() in
 * kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";
import { NOT_INIT, UNKNOWN_SCALAR } from "./register.ts";
import type { State } from "./state.ts";

/** The current instruction gives a reference to the program. @returns its id. */
export function acquire(env: Environment): number {
  const { state, slot } = env;
  const id = env.nextId();
  state.references = [...state.references, { id, slot }];
  return id;
}

/** The program doesn't hold a reference any more. @returns whether it did. */
export function drop(state: State, id: number): boolean {
  const left = state.references.filter((reference) => reference.id !== id);
  const wasHeld = left.length < state.references.length;
  state.references = left;
  return wasHeld;
}

/** Gives a reference back: copies of its pointer are good no more. @returns whether it was held. */
export function release({ state, subject }: Environment, id: number): boolean {
  if (!drop(state, id)) return false;
  const left = subject.perfmon ? UNKNOWN_SCALAR : NOT_INIT;
  state.update((register) => (register.reference === id ? left : register));
  return true;
}

/**
 * Nothing is held where the program may end. A function that it calls may hand on what it holds.
 *
 * @param what - the instruction that may be the end. @throws {Refusal}
 */
export function checkNothingHeld({ state }: Environment, what: string): void {
  if (state.depth > 0 || state.references.length === 0) return;
  const held = state.references.map(
    ({ id, slot }) => `Unreleased reference id=${id} alloc_insn=${slot}`,
  );
  throw new Refusal(EINVAL, [...held, `${what} would lead to reference leak`].join("\n"));
}
