/**
 * Waiting for what a kernel does later.
 */

import { setTimeout as delay } from "node:timers/promises";

const TIMEOUT_MS = 10_000;
const STEP_MS = 5;

/** Waits until something is so, ten seconds at most. @returns whether it is so. */
export async function waitFor(isSo: () => boolean): Promise<boolean> {
  const end = performance.now() + TIMEOUT_MS;
  while (!isSo()) {
    if (performance.now() >= end) return false;
    await delay(STEP_MS);
  }
  return true;
}
