/**
 * A function's stack as the verifier sees it: 64 slots of 8 bytes, each byte of one of four kinds,
 * and what was spilled where. Analogous to struct bpf_stack_state in Linux.
 */

import type { Register } from "./register.ts";

/** Bytes of a slot. */
export const SLOT_BYTES = 8;

// What a byte of the stack holds.
/** Never written. */
export const INVALID = 0;
/** Something. */
export const MISC = 1;
export const ZERO_BYTE = 2;
/** A byte of the register that was spilled at the slot's beginning. */
export const SPILL = 3;

/** Eight bytes of stack. Never changed: states share them. */
export interface Slot {
  /** Two bits a byte, the lowest address in the lowest bits. */
  readonly kinds: number;
  /** What was spilled; null when byte 0 isn't {@link SPILL}. */
  readonly spilled: Register | null;
}

export const EMPTY_SLOT: Slot = { kinds: 0, spilled: null };
const ALL_MISC = 0x5555;

/** The kind of byte `i`, counted from the lowest address. */
export function kindAt({ kinds }: Slot, i: number): number {
  return (kinds >> (2 * i)) & 3;
}

/** `kinds` with byte `i` of another kind. */
export function setKind(kinds: number, i: number, kind: number): number {
  return (kinds & ~(3 << (2 * i))) | (kind << (2 * i));
}

/** The slot that holds the byte `offset` (negative) from the frame pointer. */
export function slotIndex(offset: number): number {
  return (-offset - 1) >> 3;
}

/** Which byte of its slot that is. */
export function byteIndex(offset: number): number {
  return offset & 7;
}

/** How many bytes the spilled register takes; 0 without one. */
export function spillSize(slot: Slot): number {
  if (slot.spilled === null) return 0;
  let size = 1;
  while (size < SLOT_BYTES && kindAt(slot, size) === SPILL) size++;
  return size;
}

/** The slot without its spilled register, whose bytes are something now. */
export function unspill(slot: Slot): Slot {
  return withSomething(slot, (kind) => kind === SPILL);
}

/** As {@link unspill}; and so are, as for Linux, zeros beside the register. */
export function scrub(slot: Slot): Slot {
  return withSomething(slot, (kind) => kind !== INVALID);
}

function withSomething(slot: Slot, where: (kind: number) => boolean): Slot {
  if (slot.spilled === null) return slot;
  let { kinds } = slot;
  for (let i = 0; i < SLOT_BYTES; i++) {
    if (where((kinds >> (2 * i)) & 3)) kinds = setKind(kinds, i, MISC);
  }
  return { kinds, spilled: null };
}

/** The slot after a register was spilled at its beginning. */
export function spill(before: Slot, register: Register, size: number): Slot {
  let { kinds } = before;
  for (let i = 0; i < SLOT_BYTES; i++) {
    if (i < size) {
      kinds = setKind(kinds, i, SPILL);
      continue;
    }
    const kind = (kinds >> (2 * i)) & 3;
    if (kind === ZERO_BYTE || kind === INVALID) continue;
    kinds = setKind(kinds, i, MISC);
  }
  return { kinds, spilled: register };
}

/** Whether all bytes are something, or may be read though they were never written. */
export function isAllMisc({ kinds }: Slot, invalidCounts: boolean): boolean {
  if (kinds === ALL_MISC) return true;
  // Bytes of kinds 0 and 1 only: no upper bit of a pair is set.
  return invalidCounts && (kinds & 0xaaaa) === 0;
}
