/**
 * Copying keys and values within linear memory.
 */

import type { LinearMemory } from "../../memory.ts";

/** Up to here a loop is faster than the call that copyWithin() is. */
const LOOP_BYTES = 128;

/** Copies `size` bytes. The two places are the same or don't overlap. */
export function copyBytes(memory: LinearMemory, to: number, from: number, size: number): void {
  if (size > LOOP_BYTES) {
    memory.bytes.copyWithin(to, from, from + size);
    return;
  }
  const { view } = memory;
  let i = 0;
  for (; i + 4 <= size; i += 4) view.setInt32(to + i, view.getInt32(from + i, true), true);
  for (; i < size; i++) view.setUint8(to + i, view.getUint8(from + i));
}
