/**
 * How compiled code is left before its end.
 */

/** How V8 names places in WebAssembly: a function, and an offset into the module. */
const PLACE = /wasm-function\[(\d+)\]:0x([0-9a-f]+)/g;

/** A place in a module: the index of a function, and an offset from the module's beginning. */
export type Place = readonly [index: number, offset: number];

/** How compiled code was left before its end. Can be sent in a message. */
export interface Trap {
  readonly message: string;
  /** Where it was, the innermost first, as far as the engine says. */
  readonly places: readonly Place[];
}

/** A trap, or a stack that was full; null for errors that don't come of what a program does. */
export function trapOf(error: unknown, tailCalls: number): Trap | null {
  if (error instanceof RangeError) return { message: error.message, places: [] };
  if (!(error instanceof WebAssembly.RuntimeError)) return null;
  // Code of a program that was tail called has places that mean nothing in the first one.
  const found = tailCalls > 0 ? [] : [...(error.stack ?? "").matchAll(PLACE)];
  const places = found.map(([, index, offset]): Place => {
    return [Number(index), Number.parseInt(offset ?? "", 16)];
  });
  return { message: error.message, places };
}
