/**
 * Rotations of 64-bit values. BPF has no instruction for them: compilers write two shifts of copies
 * and `|=`, of which an engine's optimizer makes one instruction on 32 bits only.
 */

import { BPF_ALU64, BPF_K, BPF_LSH, BPF_MOV, BPF_OR, BPF_RSH, BPF_X } from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { writtenBy } from "./known_values.ts";

const MOVE = BPF_ALU64 | BPF_MOV | BPF_X;
const OR = BPF_ALU64 | BPF_OR | BPF_X;
const SHIFT_LEFT = BPF_ALU64 | BPF_LSH | BPF_K;
const SHIFT_RIGHT = BPF_ALU64 | BPF_RSH | BPF_K;

/** How far apart the first and the last instruction of a rotation may be. */
const MAX_DISTANCE = 16;

/** `dst = (value << bits) | (value >> (64 - bits))` */
export interface Rotation {
  /** The slot of the `|=`. */
  readonly slot: number;
  /** The slot of the second shift, before which the value is in this register. */
  readonly shift: number;
  readonly register: number;
  /** To the left, 1 to 63. */
  readonly bits: number;
}

const NONE: ReadonlyMap<number, Rotation> = new Map();

/**
 * Rotations of a block, by the slots of their second shift and of their `|=`. None begins before
 * the one before it has ended, so that one local is enough for what is rotated.
 */
export function findRotations(
  insns: readonly Instruction[],
  start: number,
  end: number,
): ReadonlyMap<number, Rotation> {
  let found: Map<number, Rotation> | null = null;
  let last = -1;
  for (let slot = start; slot < end; slot++) {
    if (insns[slot]?.opcode !== OR) continue;
    const rotation = rotationAt(insns, start, slot);
    if (rotation === null || rotation.shift < last) continue;
    found ??= new Map();
    found.set(rotation.shift, rotation).set(slot, rotation);
    last = slot;
  }
  return found ?? NONE;
}

function rotationAt(insns: readonly Instruction[], start: number, slot: number): Rotation | null {
  const first = Math.max(start, slot - MAX_DISTANCE);
  /** The last instruction before `until` that sets a register; -1 when there is none. */
  const setter = (register: number, until: number): number => {
    for (let at = until - 1; at >= first; at--) {
      if (writtenBy(insns[at] as Instruction).includes(register)) return at;
    }
    return -1;
  };
  const { dst, src } = insns[slot] as Instruction;
  const [one, other] = [setter(dst, slot), setter(src, slot)];
  const [early, late] = [Math.min(one, other), Math.max(one, other)];
  const [before, after] = [insns[early], insns[late]];
  if (before === undefined || after === undefined || early === late) return null;
  const left = before.opcode === SHIFT_LEFT ? before : after;
  const right = before.opcode === SHIFT_LEFT ? after : before;
  if (left.opcode !== SHIFT_LEFT || right.opcode !== SHIFT_RIGHT) return null;
  if (left.imm + right.imm !== 64 || left.imm === 0 || right.imm === 0) return null;
  // One register is a copy of the other, and neither has changed since.
  const copied = Math.max(setter(before.dst, early), setter(after.dst, late));
  const copy = insns[copied];
  if (copy?.opcode !== MOVE || copy.off !== 0) return null;
  if (copy.dst !== before.dst && copy.dst !== after.dst) return null;
  if (copy.src !== before.dst && copy.src !== after.dst) return null;
  return copied < early && copy.dst !== copy.src
    ? { slot, shift: late, register: after.dst, bits: left.imm }
    : null;
}
