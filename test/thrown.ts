/** What a call throws that is refused, for tests to look at. */

import { BpfError } from "../src/index.ts";

/** @throws {TypeError} when nothing is refused; or what else went wrong. */
export function thrownBy(call: () => unknown): BpfError {
  try {
    call();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new TypeError("call: nothing was refused");
}
