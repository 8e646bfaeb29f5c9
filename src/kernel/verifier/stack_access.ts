/**
 * Loads from and stores to the stack, byte by byte, with registers that are spilled and filled.
 * Analogous to the check_stack functions in kernel/bpf/verifier.c.
 */

import { EACCES, EINVAL } from "../../abi/errno.ts";
import { MAX_BPF_STACK } from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import { type Environment, withId } from "./environment.ts";
import { fitsSigned, signExtend64, truncate } from "./extension.ts";
import { markPrecise, markSlotPrecise } from "./precision.ts";
import { Refusal } from "./refusal.ts";
import { BPF_MAX_VAR_OFF } from "./region.ts";
import { known, type Register, scalar, UNKNOWN_SCALAR } from "./register.ts";
import { noteStore } from "./speculation.ts";
import * as S from "./stack.ts";
import type { Frame } from "./state.ts";
import * as tnum from "./tnum.ts";
import * as W from "./words.ts";

/** What is stored. */
export interface Stored {
  /** The register's number; -1 for a constant or for what a helper writes. */
  readonly register: number;
  /** null: something. */
  readonly contents: Register | null;
}

/** What is left of any number when it is cut to 1, 2 or 4 bytes. */
const UNKNOWN_OF_SIZE: Readonly<Record<number, Readonly<B.Bounds>>> = {
  1: truncate(B.UNBOUNDED, 1),
  2: truncate(B.UNBOUNDED, 2),
  4: truncate(B.UNBOUNDED, 4),
};

function refuse(text: string, errno: number = EACCES): Refusal {
  return new Refusal(errno, text);
}

/** The frame that a stack pointer points into. */
export function frameOf(env: Environment, { frame }: Register): Frame {
  return env.state.frames[frame] as Frame;
}

/** The first and the last byte offset at which an access may begin. */
export interface Reach {
  readonly min: number;
  readonly max: number;
}

/**
 * Where an access may begin, all of it within the stack.
 *
 * @param register - the pointer's number, for the log. @param off - bytes, `pointer.off` included.
 */
export function stackReach(
  env: Environment,
  register: number,
  pointer: Register,
  off: number,
  size: number,
  write: boolean,
): Reach {
  const { bits, sminHigh, sminLow, smaxHigh, smaxLow } = pointer.bounds;
  const way = write ? " write to" : " read from";
  const isFixed = bits.isConstant;
  const value = W.nearSigned(bits.valueHigh, bits.valueLow);
  const smin = isFixed ? value : W.nearSigned(sminHigh, sminLow);
  const smax = isFixed ? value : W.nearSigned(smaxHigh, smaxLow);
  if (!isFixed && (smax >= BPF_MAX_VAR_OFF || smin <= -BPF_MAX_VAR_OFF)) {
    throw refuse(`invalid unbounded variable-offset${way} stack R${register}`);
  }
  const min = off + smin;
  const max = off + smax;
  const lowest =
    write || env.subject.perfmon ? -MAX_BPF_STACK : -8 * frameOf(env, pointer).stack.length;
  if (min < lowest || min >= 0 || max + size > 0) {
    const errno = min < lowest || min >= 0 ? EACCES : EINVAL;
    throw refuse(
      isFixed
        ? `invalid${way} stack R${register} off=${min} size=${size}`
        : `invalid variable-offset${way} stack R${register} var_off=${tnum.format(bits)} ` +
            `off=${off} size=${size}`,
      errno,
    );
  }
  const frame = frameOf(env, pointer);
  frame.reach(S.slotIndex(min));
  if (-min > (env.stackDepths.get(frame.start) ?? 0)) env.stackDepths.set(frame.start, -min);
  return { min, max };
}

/** Loads from the stack. @param off - bytes, `pointer.off` included. @returns what was there. */
export function loadStack(
  env: Environment,
  register: number,
  pointer: Register,
  off: number,
  size: number,
  fills: boolean,
): Register {
  const isFixed = pointer.bounds.bits.isConstant;
  if (!fills && !isFixed) {
    const { bits } = pointer.bounds;
    const text = "variable offset stack pointer cannot be passed into helper function";
    throw refuse(`${text}; var_off=${tnum.format(bits)} off=${off} size=${size}`);
  }
  const reach = stackReach(env, register, pointer, off, size, false);
  if (isFixed) return loadFixed(env, pointer, reach.min, size, fills);
  checkInitialized(env, register, pointer, size, reach, false);
  return readBytes(env, pointer, reach.min, reach.max + size);
}

function loadFixed(
  env: Environment,
  pointer: Register,
  off: number,
  size: number,
  fills: boolean,
): Register {
  const frame = frameOf(env, pointer);
  const index = S.slotIndex(off);
  const slot = frame.slot(index);
  env.noteRead(pointer.frame, index);
  env.trace?.touchSlot(index);
  const { spilled } = slot;
  if (spilled === null) {
    checkReadable(env, slot, off, size, false);
    return readBytes(env, pointer, off, off + size);
  }
  const spillBytes = S.spillSize(slot);
  if (size === S.SLOT_BYTES && spillBytes === S.SLOT_BYTES) {
    if (fills) {
      // A number without an id gets none by being filled: the copies are not linked.
      env.noteAccess(pointer.frame, index);
      return spilled;
    }
    if (spilled.isPointer && !env.subject.perfmon) {
      throw new Refusal(EACCES, `leaking pointer from stack off ${off}`);
    }
    return UNKNOWN_SCALAR;
  }
  if (!spilled.isScalar) {
    throw new Refusal(EACCES, "invalid size of register fill");
  }
  if (!fills) return UNKNOWN_SCALAR;
  return fillPart(env, pointer, off, size, slot);
}

/** Part of a spilled number, or a load over its end. */
function fillPart(
  env: Environment,
  pointer: Register,
  off: number,
  size: number,
  slot: S.Slot,
): Register {
  const spilled = slot.spilled as Register;
  const index = S.slotIndex(off);
  const spillBytes = S.spillSize(slot);
  if (size <= spillBytes && S.byteIndex(off) === 0) {
    env.noteAccess(pointer.frame, index);
    return B.widthOf(spilled.bounds) > size * 8 ? spilled.unlinked() : spilled;
  }
  checkReadable(env, slot, off, size, true);
  let spills = 0;
  let zeros = 0;
  for (let i = 0; i < size; i++) {
    const kind = S.kindAt(slot, S.byteIndex(off + i));
    if (kind === S.SPILL) spills++;
    if (kind === S.ZERO_BYTE) zeros++;
  }
  if (spills === size && spilled.isNull) {
    env.noteAccess(pointer.frame, index);
    return known(0n);
  }
  return zeros === size ? known(0n) : UNKNOWN_SCALAR;
}

function checkReadable(
  env: Environment,
  slot: S.Slot,
  off: number,
  size: number,
  spillCounts: boolean,
): void {
  for (let i = 0; i < size; i++) {
    const kind = S.kindAt(slot, S.byteIndex(off + i));
    if (kind === S.MISC || kind === S.ZERO_BYTE) continue;
    if (kind === S.SPILL && spillCounts) continue;
    if (kind === S.INVALID && env.subject.perfmon) continue;
    const text = `invalid read from stack off ${off}+${i} size ${size}`;
    throw new Refusal(EACCES, text);
  }
}

/** Zero where all bytes from `from` to before `to` are; else any number. */
function readBytes(env: Environment, pointer: Register, from: number, to: number): Register {
  const frame = frameOf(env, pointer);
  for (let off = from; off < to; off++) {
    const slot = frame.slot(S.slotIndex(off));
    if (S.kindAt(slot, S.byteIndex(off)) !== S.ZERO_BYTE) return UNKNOWN_SCALAR;
  }
  return known(0n);
}

/**
 * Every byte that an access may meet was written. Analogous to check_stack_range_initialized().
 *
 * @param overwrites - a helper will write there.
 */
export function checkInitialized(
  env: Environment,
  register: number,
  pointer: Register,
  size: number,
  reach: Reach,
  overwrites: boolean,
): void {
  const { bits } = pointer.bounds;
  const isFixed = bits.isConstant;
  if (!isFixed && !env.subject.perfmon) {
    const text = `R${register} variable offset stack access prohibited for !root`;
    throw refuse(`${text}, var_off=${tnum.format(bits)}`);
  }
  const frame = frameOf(env, pointer);
  for (let at = reach.min; at < reach.max + size; at++) {
    const index = S.slotIndex(at);
    const slot = frame.slot(index);
    const kind = S.kindAt(slot, S.byteIndex(at));
    env.noteRead(pointer.frame, index);
    if (kind === S.MISC) continue;
    if (kind === S.ZERO_BYTE || (kind === S.INVALID && env.subject.perfmon)) {
      if (overwrites) {
        const kinds = S.setKind(slot.kinds, S.byteIndex(at), S.MISC);
        frame.setSlot(index, { kinds, spilled: slot.spilled });
      }
      continue;
    }
    if (slot.spilled !== null && (slot.spilled.isScalar || env.subject.perfmon)) {
      if (overwrites) frame.setSlot(index, S.scrub(slot));
      continue;
    }
    const where = isFixed ? `off ${reach.min}` : `var_off ${tnum.format(bits)}`;
    const text = `invalid read from stack R${register} ${where}+${at - reach.min} size ${size}`;
    throw new Refusal(EACCES, text);
  }
}

/** Stores to the stack. @param off - bytes, `pointer.off` included. */
export function storeStack(
  env: Environment,
  register: number,
  pointer: Register,
  off: number,
  size: number,
  stored: Stored,
): void {
  const reach = stackReach(env, register, pointer, off, size, true);
  if (pointer.bounds.bits.isConstant) storeFixed(env, pointer, reach.min, size, stored);
  else storeVariable(env, pointer, reach.min, reach.max + size, stored);
}

function storeFixed(
  env: Environment,
  pointer: Register,
  off: number,
  size: number,
  { register, contents }: Stored,
): void {
  const { perfmon } = env.subject;
  const frame = frameOf(env, pointer);
  const index = S.slotIndex(off);
  const before = frame.slot(index);
  if (!perfmon && before.spilled?.isPointer === true && size !== S.SLOT_BYTES) {
    throw new Refusal(EACCES, "attempt to corrupt spilled pointer on stack");
  }
  env.trace?.touchSlot(index);
  noteStore(env, before, off, size, contents?.isPointer === true);
  if (contents?.isScalar === true && S.byteIndex(off) === 0 && env.subject.bpfCapable) {
    const fits = B.widthOf(contents.bounds) <= size * 8;
    let spilled = contents;
    if (register >= 0 && fits) {
      spilled = withId(env, contents);
      env.state.frame.set(register, spilled);
    } else if (!fits) {
      spilled = contents.unlinked();
    }
    frame.setSlot(index, S.spill(before, spilled, size));
  } else if (contents?.isPointer === true) {
    checkSpill(env, pointer, contents, size);
    frame.setSlot(index, S.spill(before, contents, size));
  } else {
    const isZero = contents?.isNull === true;
    if (isZero && register >= 0) markPrecise(env, register);
    let { kinds } = S.scrub(before);
    for (let i = 0; i < size; i++) {
      kinds = S.setKind(kinds, S.byteIndex(off + i), isZero ? S.ZERO_BYTE : S.MISC);
    }
    frame.setSlot(index, { kinds, spilled: null });
    if (size === S.SLOT_BYTES) env.noteWrite(pointer.frame, index);
    return;
  }
  if (size === S.SLOT_BYTES) env.noteWrite(pointer.frame, index);
  env.noteAccess(pointer.frame, index);
}

function checkSpill(env: Environment, pointer: Register, contents: Register, size: number): void {
  if (size !== S.SLOT_BYTES) {
    throw new Refusal(EACCES, "invalid size of register spill");
  }
  if (pointer.frame !== env.state.depth && contents.type === "fp") {
    const text = "cannot spill pointers to stack into stack frame of the caller";
    throw new Refusal(EINVAL, text);
  }
}

/** Any of the bytes from `from` to before `to` may be written. */
function storeVariable(
  env: Environment,
  pointer: Register,
  from: number,
  to: number,
  { register, contents }: Stored,
): void {
  const frame = frameOf(env, pointer);
  const { perfmon } = env.subject;
  const isZero = contents?.isNull === true;
  let zeroKept = false;
  for (let off = from; off < to; off++) {
    const index = S.slotIndex(off);
    const slot = frame.slot(index);
    const kind = S.kindAt(slot, S.byteIndex(off));
    env.trace?.touchSlot(index);
    if (!perfmon && kind !== S.MISC && kind !== S.ZERO_BYTE) {
      const text = "spilled ptr in range of var-offset stack write";
      throw new Refusal(EINVAL, `${text}; insn ${env.slot}, ptr off: ${off}`);
    }
    if (isZero && kind === S.SPILL && slot.spilled?.isNull === true) {
      // The zero that stays must be one on every path that is held equal to this one.
      markSlotPrecise(env, pointer.frame, index);
      zeroKept = true;
      continue;
    }
    const keepsZero = isZero && kind === S.ZERO_BYTE;
    zeroKept ||= keepsZero;
    const { kinds } = S.unspill(slot);
    const next = S.setKind(kinds, S.byteIndex(off), keepsZero ? S.ZERO_BYTE : S.MISC);
    frame.setSlot(index, { kinds: next, spilled: null });
  }
  if (zeroKept && register >= 0) markPrecise(env, register);
}

/** A number that a load of fewer than 8 bytes leaves in its register. */
export function narrowed(contents: Register, size: number, signed: boolean): Register {
  if (!contents.isScalar || size === S.SLOT_BYTES) return contents;
  if (signed) {
    const extended = signExtend64(contents.bounds, size);
    // A filled number stays equal to its copies only where its sign bit is 0. Linux 6.18 keeps the
    // link where the bit may be set, too, which lets it accept accesses out of bounds.
    return fitsSigned(contents.bounds, size) ? contents.withBounds(extended) : scalar(extended);
  }
  const isUnknown = contents.bounds === B.UNBOUNDED;
  return contents.withBounds(
    isUnknown ? (UNKNOWN_OF_SIZE[size] as Readonly<B.Bounds>) : truncate(contents.bounds, size),
  );
}
