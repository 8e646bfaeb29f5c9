/**
 * Turns of the event loop in long tests.
 */

import { setImmediate } from "node:timers/promises";

/** Rounds of a test that make one or more kernels each, between turns. */
const ROUNDS = 50;

/**
 * Lets the engine collect what earlier rounds have made, now and then: what a WeakRef was made for
 * or asked about lives until the event loop turns, a kernel's memory with it.
 */
export async function turnAfter(round: number): Promise<void> {
  if (round % ROUNDS === 0) await setImmediate();
}
