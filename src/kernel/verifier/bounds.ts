/**
 * What is known of a 64-bit value: its bits, and its ranges read as s64, u64, s32 and u32, kept in
 * step with each other. Analogous to reg_bounds_sync() in kernel/bpf/verifier.c.
 */

import * as tnum from "./tnum.ts";

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const S64_MIN: bigint = -(1n << 63n);
export const S64_MAX: bigint = (1n << 63n) - 1n;
export const U32_MAX = 0xffff_ffff;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;

const SIGN: bigint = 1n << 63n;
const HIGH = 0xffff_ffff_0000_0000n;
const S32_MIN_64 = BigInt(S32_MIN);
const S32_MAX_64 = BigInt(S32_MAX);

/** Bounds, both ends included. Whoever holds one that others may see must not change it. */
export interface Bounds {
  bits: tnum.Tnum;
  smin: bigint;
  smax: bigint;
  umin: bigint;
  umax: bigint;
  s32min: number;
  s32max: number;
  u32min: number;
  u32max: number;
}

/** A fresh value of which nothing is known. */
export function unbounded(bits: tnum.Tnum = tnum.UNKNOWN): Bounds {
  return {
    bits,
    smin: S64_MIN,
    smax: S64_MAX,
    umin: 0n,
    umax: U64_MAX,
    s32min: S32_MIN,
    s32max: S32_MAX,
    u32min: 0,
    u32max: U32_MAX,
  };
}

/** Nothing is known. Shared, so not to be changed. */
export const UNBOUNDED: Readonly<Bounds> = unbounded();

/** One value. @param value - taken modulo 2^64. */
export function exactly(value: bigint): Bounds {
  const signed = BigInt.asIntN(64, value);
  const unsigned = BigInt.asUintN(64, value);
  const low = Number(BigInt.asUintN(32, value));
  return {
    bits: { value: unsigned, mask: 0n },
    smin: signed,
    smax: signed,
    umin: unsigned,
    umax: unsigned,
    s32min: low | 0,
    s32max: low | 0,
    u32min: low,
    u32max: low,
  };
}

/** The value 0. Shared, so not to be changed. */
export const ZERO: Readonly<Bounds> = exactly(0n);

/** A copy that may be changed. */
export function copyBounds(b: Readonly<Bounds>): Bounds {
  return {
    bits: b.bits,
    smin: b.smin,
    smax: b.smax,
    umin: b.umin,
    umax: b.umax,
    s32min: b.s32min,
    s32max: b.s32max,
    u32min: b.u32min,
    u32max: b.u32max,
  };
}

/** Forgets the 64-bit ranges. */
export function unbound64(b: Bounds): void {
  b.smin = S64_MIN;
  b.smax = S64_MAX;
  b.umin = 0n;
  b.umax = U64_MAX;
}

/** Forgets the 32-bit ranges. */
export function unbound32(b: Bounds): void {
  b.s32min = S32_MIN;
  b.s32max = S32_MAX;
  b.u32min = 0;
  b.u32max = U32_MAX;
}

export function s32(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

export function u32(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function s64(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/** Raises the 32-bit ranges to what the bits say. */
export function learn32FromBits(b: Bounds): void {
  const value = u32(b.bits.value);
  const mask = u32(b.bits.mask);
  b.s32min = Math.max(b.s32min, value | (mask & S32_MIN));
  b.s32max = Math.min(b.s32max, value | (mask & S32_MAX));
  b.u32min = Math.max(b.u32min, value);
  b.u32max = Math.min(b.u32max, (value | mask) >>> 0);
}

/** Raises all ranges to what the bits say. */
export function learnFromBits(b: Bounds): void {
  learn32FromBits(b);
  const { value, mask } = b.bits;
  const smin = s64(value | (mask & SIGN));
  const smax = s64(value | (mask & S64_MAX));
  const umax = value | mask;
  if (smin > b.smin) b.smin = smin;
  if (smax < b.smax) b.smax = smax;
  if (value > b.umin) b.umin = value;
  if (umax < b.umax) b.umax = umax;
}

function narrowS32(b: Bounds, min: number, max: number): void {
  b.s32min = Math.max(b.s32min, min);
  b.s32max = Math.min(b.s32max, max);
}

function narrowU32(b: Bounds, min: number, max: number): void {
  b.u32min = Math.max(b.u32min, min);
  b.u32max = Math.min(b.u32max, max);
}

function narrowS64(b: Bounds, min: bigint, max: bigint): void {
  if (min > b.smin) b.smin = min;
  if (max < b.smax) b.smax = max;
}

function narrowU64(b: Bounds, min: bigint, max: bigint): void {
  if (min > b.umin) b.umin = min;
  if (max < b.umax) b.umax = max;
}

/** The lower half of a range is a range where the upper half stays the same. */
function deduce32(b: Bounds): void {
  const uHighMin = b.umin >> 32n;
  const uHighMax = b.umax >> 32n;
  const uLowMin = s32(b.umin);
  const uLowMax = s32(b.umax);
  if (uHighMin === uHighMax) {
    narrowU32(b, uLowMin >>> 0, uLowMax >>> 0);
    if (uLowMin <= uLowMax) narrowS32(b, uLowMin, uLowMax);
  }
  const sHighMin = b.smin >> 32n;
  const sHighMax = b.smax >> 32n;
  const sLowMin = s32(b.smin);
  const sLowMax = s32(b.smax);
  if (sHighMin === sHighMax) {
    if (sLowMin >>> 0 <= sLowMax >>> 0) narrowU32(b, sLowMin >>> 0, sLowMax >>> 0);
    if (sLowMin <= sLowMax) narrowS32(b, sLowMin, sLowMax);
  }
  // From just below a multiple of 2^32 to just above it, the lower half goes from -x to y.
  if (uLowMin < 0 && uLowMax >= 0 && BigInt.asUintN(32, uHighMin + 1n) === uHighMax) {
    narrowS32(b, uLowMin, uLowMax);
  }
  if (sLowMin < 0 && sLowMax >= 0 && sHighMin + 1n === sHighMax) narrowS32(b, sLowMin, sLowMax);
  if ((b.u32min | 0) <= (b.u32max | 0)) narrowS32(b, b.u32min | 0, b.u32max | 0);
  const least = b.s32min >>> 0;
  const most = b.s32max >>> 0;
  if (least <= most) {
    narrowU32(b, least, most);
  } else if (b.u32max < least) {
    // Signed, it goes across zero; unsigned, only the part that isn't negative is left.
    b.s32min = b.u32min | 0;
    b.u32max = Math.min(b.u32max, most);
  } else if (most < b.u32min) {
    b.s32max = b.u32max | 0;
    b.u32min = Math.max(b.u32min, least);
  }
}

function deduce64(b: Bounds): void {
  const lowest = s64(b.umin);
  const highest = s64(b.umax);
  if (lowest <= highest) narrowS64(b, lowest, highest);
  const least = u64(b.smin);
  const most = u64(b.smax);
  if (least <= most) {
    narrowU64(b, least, most);
  } else if (b.umax < least) {
    // Signed, it goes across zero; unsigned, only the part that isn't negative is left.
    b.smin = s64(b.umin);
    if (most < b.umax) b.umax = most;
  } else if (most < b.umin) {
    b.smax = s64(b.umax);
    if (least > b.umin) b.umin = least;
  }
}

/** From the 32-bit ranges to the 64-bit ones. */
function deduceMixed(b: Bounds): void {
  if (b.u32min !== 0 || b.u32max !== U32_MAX) {
    const min = BigInt(b.u32min);
    const max = BigInt(b.u32max);
    narrowU64(b, (b.umin & HIGH) | min, (b.umax & HIGH) | max);
    narrowS64(b, s64((u64(b.smin) & HIGH) | min), s64((u64(b.smax) & HIGH) | max));
  }
  // What is in the range of an s32 and has a lower half that isn't negative, isn't negative.
  if (b.s32min >= 0 && b.smin >= S32_MIN_64 && b.smax <= S32_MAX_64) {
    b.smin = BigInt(b.s32min);
    b.smax = BigInt(b.s32max);
    b.umin = b.smin;
    b.umax = b.smax;
    if (b.umin <= b.umax) b.bits = tnum.intersect(b.bits, tnum.range(b.umin, b.umax));
  }
}

function deduce(b: Bounds): void {
  deduce32(b);
  deduce64(b);
  deduceMixed(b);
}

/** Raises the bits to what the ranges say. */
function learnBits(b: Bounds): void {
  const bits = tnum.intersect(b.bits, tnum.range(b.umin, b.umax));
  const low = tnum.range(BigInt(b.u32min), BigInt(b.u32max));
  b.bits = tnum.withLowHalf(bits, tnum.intersect(tnum.lowHalf(bits), low));
}

/** Whether nothing at all is known, so that there is nothing to deduce. */
function isUnbounded(b: Readonly<Bounds>): boolean {
  return (
    b.bits.mask === U64_MAX &&
    b.umax === U64_MAX &&
    b.umin === 0n &&
    b.smin === S64_MIN &&
    b.smax === S64_MAX &&
    b.u32min === 0 &&
    b.u32max === U32_MAX &&
    b.s32min === S32_MIN &&
    b.s32max === S32_MAX
  );
}

/** Lets each of the ways to know learn from the others. */
export function sync(b: Bounds): void {
  if (isUnbounded(b)) return;
  learnFromBits(b);
  deduce(b);
  deduce(b);
  deduce(b);
  learnBits(b);
  learnFromBits(b);
}

/** Whether the ways to know contradict each other: such a value comes of a dead branch only. */
export function isContradictory(b: Readonly<Bounds>): boolean {
  if (b.umin > b.umax || b.smin > b.smax || b.u32min > b.u32max || b.s32min > b.s32max) return true;
  const { value, mask } = b.bits;
  if (mask === 0n) {
    const signed = s64(value);
    if (b.umin !== value || b.umax !== value || b.smin !== signed || b.smax !== signed) return true;
  }
  if (u32(mask) !== 0) return false;
  const low = u32(value);
  const signedLow = low | 0;
  return b.u32min !== low || b.u32max !== low || b.s32min !== signedLow || b.s32max !== signedLow;
}

/** The upper half becomes 0: what a 32-bit operation leaves. The ranges of 64 bits follow. */
export function zeroExtend(b: Bounds): void {
  b.bits = tnum.lowHalf(b.bits);
  b.umin = BigInt(b.u32min);
  b.umax = BigInt(b.u32max);
  const isPositive = b.s32min >= 0 && b.s32max >= 0;
  b.smin = isPositive ? BigInt(b.s32min) : 0n;
  b.smax = isPositive ? BigInt(b.s32max) : BigInt(U32_MAX);
}

/** What is left of a value after a zero-extending access of 1, 2 or 4 bytes. */
export function truncate(before: Readonly<Bounds>, size: number): Bounds {
  const b = copyBounds(before);
  const mask = (1n << BigInt(size * 8)) - 1n;
  b.bits = { value: b.bits.value & mask, mask: b.bits.mask & mask };
  if ((b.umin & ~mask) === (b.umax & ~mask)) {
    b.umin &= mask;
    b.umax &= mask;
  } else {
    b.umin = 0n;
    b.umax = mask;
  }
  b.smin = b.umin;
  b.smax = b.umax;
  // The 32-bit ranges hold on when they are not cut.
  if (size < 4) unbound32(b);
  sync(b);
  return b;
}

/** What is left of a value that is cut to 1, 2 or 4 bytes and sign-extended to 8. */
export function signExtend64(before: Readonly<Bounds>, size: number): Bounds {
  const width = size * 8;
  if (before.bits.mask === 0n) return exactly(BigInt.asIntN(width, before.bits.value));
  const min = BigInt.asIntN(width, before.smin);
  const max = BigInt.asIntN(width, before.smax);
  const b = unbounded();
  if (before.smin >> BigInt(width) === before.smax >> BigInt(width)) {
    const low = min < max ? min : max;
    const high = min < max ? max : min;
    if (low < 0n === high < 0n) {
      b.smin = low;
      b.smax = high;
      b.umin = u64(low);
      b.umax = u64(high);
      b.s32min = s32(low);
      b.s32max = s32(high);
      b.u32min = u32(low);
      b.u32max = u32(high);
      b.bits = tnum.range(b.umin, b.umax);
      return b;
    }
  }
  b.smin = -(1n << BigInt(width - 1));
  b.smax = (1n << BigInt(width - 1)) - 1n;
  b.s32min = s32(b.smin);
  b.s32max = s32(b.smax);
  return b;
}

/** As {@link signExtend64}, to 4 bytes of which the upper half of the result knows nothing. */
export function signExtend32(before: Readonly<Bounds>, size: number): Bounds {
  const width = size * 8;
  if (before.bits.mask === 0n) {
    return exactly(BigInt.asUintN(32, BigInt.asIntN(width, before.bits.value)));
  }
  const b = unbounded();
  const shift = 32 - width;
  if (before.s32min >> width === before.s32max >> width) {
    const min = (before.s32min << shift) >> shift;
    const max = (before.s32max << shift) >> shift;
    const low = Math.min(min, max);
    const high = Math.max(min, max);
    if (low < 0 === high < 0) {
      b.s32min = low;
      b.s32max = high;
      b.u32min = low >>> 0;
      b.u32max = high >>> 0;
      b.bits = tnum.lowHalf(tnum.range(BigInt(b.u32min), BigInt(b.u32max)));
      return b;
    }
  }
  b.s32min = -(2 ** (width - 1));
  b.s32max = 2 ** (width - 1) - 1;
  b.bits = tnum.lowHalf(tnum.UNKNOWN);
  return b;
}

/** Whether every value of `inner` is one of `outer`, by ranges. */
export function includes(outer: Readonly<Bounds>, inner: Readonly<Bounds>): boolean {
  return (
    outer.umin <= inner.umin &&
    outer.umax >= inner.umax &&
    outer.smin <= inner.smin &&
    outer.smax >= inner.smax &&
    outer.u32min <= inner.u32min &&
    outer.u32max >= inner.u32max &&
    outer.s32min <= inner.s32min &&
    outer.s32max >= inner.s32max &&
    tnum.contains(outer.bits, inner.bits)
  );
}

/** Whether the same is known of both. */
export function sameBounds(a: Readonly<Bounds>, b: Readonly<Bounds>): boolean {
  return (
    a === b ||
    (a.bits.value === b.bits.value &&
      a.bits.mask === b.bits.mask &&
      a.umin === b.umin &&
      a.umax === b.umax &&
      a.smin === b.smin &&
      a.smax === b.smax &&
      a.u32min === b.u32min &&
      a.u32max === b.u32max &&
      a.s32min === b.s32min &&
      a.s32max === b.s32max)
  );
}

/** How many bits the value takes at most. */
export function widthOf({ umax }: Readonly<Bounds>): number {
  return umax === 0n ? 0 : umax.toString(2).length;
}

/** Math.max() for bigint. */
export function larger(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

/** Math.min() for bigint. */
export function smaller(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}
