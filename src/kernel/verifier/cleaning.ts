/**
 * What nobody reads any more is forgotten in checkpoints from which all paths are at their ends, so
 * that more states are covered by them. Analogous to clean_verifier_state() in Linux.
 */

import type { SlotMask } from "./live_stack.ts";
import { EMPTY_SLOT } from "./stack.ts";
import type { Checkpoint, Frame } from "./state.ts";

/** Slots that were forgotten in a checkpoint, by frame. */
export interface Forgotten {
  readonly checkpoint: Checkpoint;
  readonly slots: readonly SlotMask[];
}

/** @param live - the registers that are read later on, by slot. */
export function clean(checkpoint: Checkpoint, live: Uint16Array): Forgotten {
  const { frames, slot, precise } = checkpoint;
  const slots: SlotMask[] = [];
  for (const [depth, frame] of frames.entries()) {
    precise.dropRegisters(depth, ~(live[frames[depth + 1]?.callSite ?? slot] as number));
    const { low, high } = liveSlots(checkpoint, depth);
    const forgotten: SlotMask = { low: 0, high: 0 };
    slots.push(forgotten);
    for (let index = 0; index < frame.stack.length; index++) {
      const bit = 1 << (index & 31);
      if (((index < 32 ? low : high) & bit) !== 0) continue;
      if (frame.slot(index).kinds === 0) continue;
      if (index < 32) forgotten.low |= bit;
      else forgotten.high |= bit;
      frame.stack[index] = EMPTY_SLOT;
      precise.dropSlot(depth, index);
    }
  }
  return { checkpoint, slots };
}

/** Whether somebody reads, as is known now, what was forgotten. */
export function isReadNow({ checkpoint, slots }: Forgotten): boolean {
  return slots.some((forgotten, depth) => {
    const { low, high } = liveSlots(checkpoint, depth);
    return ((forgotten.low & low) | (forgotten.high & high)) !== 0;
  });
}

/** The slots of a frame's stack that are read by any of the frames. */
function liveSlots({ frames, slot }: Checkpoint, depth: number): SlotMask {
  const mask: SlotMask = { low: 0, high: 0 };
  (frames.at(-1) as Frame).use.addLive(slot, depth, mask);
  for (let i = depth; i < frames.length - 1; i++) {
    (frames[i] as Frame).use.addLiveBehind((frames[i + 1] as Frame).callSite, depth, mask);
  }
  return mask;
}
