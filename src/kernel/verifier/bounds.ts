/**
 * What is known of a 64-bit value: its bits, and its ranges read as s64, u64, s32 and u32, kept in
 * step with each other. Analogous to reg_bounds_sync() in kernel/bpf/verifier.c.
 */

import * as tnum from "./tnum.ts";
import * as W from "./words.ts";

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const S64_MIN: bigint = -(1n << 63n);
export const S64_MAX: bigint = (1n << 63n) - 1n;
export const U32_MAX = 0xffff_ffff;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;

/**
 * Bounds, both ends included. Whoever holds one that others may see must not change it.
 *
 * What is of 64 bits is there twice: as words, for those who come by often, and as a bigint.
 */
export class Bounds {
  bits: tnum.Tnum = tnum.UNKNOWN;
  // Words, see words.ts.
  sminHigh: number = S32_MIN;
  sminLow: number = 0;
  smaxHigh: number = S32_MAX;
  smaxLow: number = -1;
  uminHigh: number = 0;
  uminLow: number = 0;
  umaxHigh: number = -1;
  umaxLow: number = -1;
  s32min: number = S32_MIN;
  s32max: number = S32_MAX;
  u32minWord: number = 0;
  u32maxWord: number = -1;

  get smin(): bigint {
    return W.toSigned(this.sminHigh, this.sminLow);
  }

  set smin(value: bigint) {
    this.sminHigh = W.highWord(value);
    this.sminLow = W.lowWord(value);
  }

  get smax(): bigint {
    return W.toSigned(this.smaxHigh, this.smaxLow);
  }

  set smax(value: bigint) {
    this.smaxHigh = W.highWord(value);
    this.smaxLow = W.lowWord(value);
  }

  get umin(): bigint {
    return W.toUnsigned(this.uminHigh, this.uminLow);
  }

  set umin(value: bigint) {
    this.uminHigh = W.highWord(value);
    this.uminLow = W.lowWord(value);
  }

  get umax(): bigint {
    return W.toUnsigned(this.umaxHigh, this.umaxLow);
  }

  set umax(value: bigint) {
    this.umaxHigh = W.highWord(value);
    this.umaxLow = W.lowWord(value);
  }

  get u32min(): number {
    return this.u32minWord >>> 0;
  }

  set u32min(value: number) {
    this.u32minWord = value | 0;
  }

  get u32max(): number {
    return this.u32maxWord >>> 0;
  }

  set u32max(value: number) {
    this.u32maxWord = value | 0;
  }
}

/** A fresh value of which nothing is known. */
export function unbounded(bits: tnum.Tnum = tnum.UNKNOWN): Bounds {
  const b = new Bounds();
  b.bits = bits;
  return b;
}

/** Nothing is known. Shared, so not to be changed. */
export const UNBOUNDED: Readonly<Bounds> = unbounded();

/** One value. @param value - taken modulo 2^64. */
export function exactly(value: bigint): Bounds {
  return exactlyWords(W.highWord(value), W.lowWord(value));
}

/** One value, by its words. */
export function exactlyWords(high: number, low: number): Bounds {
  const b = new Bounds();
  setExactly(b, high, low);
  return b;
}

/** Makes it one value. */
export function setExactly(b: Bounds, high: number, low: number): void {
  b.bits = tnum.constantWords(high, low);
  setS64(b, high, low, high, low);
  setU64(b, high, low, high, low);
  b.s32min = low;
  b.s32max = low;
  b.u32minWord = low;
  b.u32maxWord = low;
}

/** The value 0. Shared, so not to be changed. */
export const ZERO: Readonly<Bounds> = exactlyWords(0, 0);

/** A copy that may be changed. */
export function copyBounds(from: Readonly<Bounds>): Bounds {
  const b = new Bounds();
  assign(b, from);
  return b;
}

function assign(b: Bounds, from: Readonly<Bounds>): void {
  b.bits = from.bits;
  setS64(b, from.sminHigh, from.sminLow, from.smaxHigh, from.smaxLow);
  setU64(b, from.uminHigh, from.uminLow, from.umaxHigh, from.umaxLow);
  b.s32min = from.s32min;
  b.s32max = from.s32max;
  b.u32minWord = from.u32minWord;
  b.u32maxWord = from.u32maxWord;
}

/** Sets the signed 64-bit range, by the words of its ends. */
export function setS64(
  b: Bounds,
  minHigh: number,
  minLow: number,
  maxHigh: number,
  maxLow: number,
): void {
  b.sminHigh = minHigh;
  b.sminLow = minLow;
  b.smaxHigh = maxHigh;
  b.smaxLow = maxLow;
}

/** Sets the unsigned 64-bit range, by the words of its ends. */
export function setU64(
  b: Bounds,
  minHigh: number,
  minLow: number,
  maxHigh: number,
  maxLow: number,
): void {
  b.uminHigh = minHigh;
  b.uminLow = minLow;
  b.umaxHigh = maxHigh;
  b.umaxLow = maxLow;
}

/** Forgets the signed 64-bit range. */
export function unboundS64(b: Bounds): void {
  setS64(b, S32_MIN, 0, S32_MAX, -1);
}

/** Forgets the unsigned 64-bit range. */
export function unboundU64(b: Bounds): void {
  setU64(b, 0, 0, -1, -1);
}

/** Forgets the 64-bit ranges. */
export function unbound64(b: Bounds): void {
  unboundS64(b);
  unboundU64(b);
}

/** Forgets the 32-bit ranges. */
export function unbound32(b: Bounds): void {
  b.s32min = S32_MIN;
  b.s32max = S32_MAX;
  b.u32minWord = 0;
  b.u32maxWord = -1;
}

export function s32(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

export function u32(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

function narrowS32(b: Bounds, min: number, max: number): void {
  if (min > b.s32min) b.s32min = min;
  if (max < b.s32max) b.s32max = max;
}

/** @param min, max - words, read as u32. */
function narrowU32(b: Bounds, min: number, max: number): void {
  if (min >>> 0 > b.u32minWord >>> 0) b.u32minWord = min;
  if (max >>> 0 < b.u32maxWord >>> 0) b.u32maxWord = max;
}

/** Makes the signed range begin no lower than there. */
export function raiseS64(b: Bounds, high: number, low: number): void {
  if (W.compareSigned(high, low, b.sminHigh, b.sminLow) <= 0) return;
  b.sminHigh = high;
  b.sminLow = low;
}

/** Makes the signed range end no higher than there. */
export function lowerS64(b: Bounds, high: number, low: number): void {
  if (W.compareSigned(high, low, b.smaxHigh, b.smaxLow) >= 0) return;
  b.smaxHigh = high;
  b.smaxLow = low;
}

/** Makes the unsigned range begin no lower than there. */
export function raiseU64(b: Bounds, high: number, low: number): void {
  if (W.compareUnsigned(high, low, b.uminHigh, b.uminLow) <= 0) return;
  b.uminHigh = high;
  b.uminLow = low;
}

/** Makes the unsigned range end no higher than there. */
export function lowerU64(b: Bounds, high: number, low: number): void {
  if (W.compareUnsigned(high, low, b.umaxHigh, b.umaxLow) >= 0) return;
  b.umaxHigh = high;
  b.umaxLow = low;
}

/** Raises the 32-bit ranges to what the bits say. */
export function learn32FromBits(b: Bounds): void {
  const { valueLow, maskLow } = b.bits;
  narrowS32(b, valueLow | (maskLow & S32_MIN), valueLow | (maskLow & S32_MAX));
  narrowU32(b, valueLow, valueLow | maskLow);
}

/** Raises all ranges to what the bits say. */
export function learnFromBits(b: Bounds): void {
  learn32FromBits(b);
  const { valueHigh, valueLow, maskHigh, maskLow } = b.bits;
  raiseS64(b, valueHigh | (maskHigh & S32_MIN), valueLow);
  lowerS64(b, valueHigh | (maskHigh & S32_MAX), valueLow | maskLow);
  raiseU64(b, valueHigh, valueLow);
  lowerU64(b, valueHigh | maskHigh, valueLow | maskLow);
  if (!tnum.isRange(b.bits) || isTurned(b)) settleOnlyOne(b);
}

function isTurned({ uminHigh, uminLow, umaxHigh, umaxLow }: Bounds): boolean {
  return W.compareUnsigned(uminHigh, uminLow, umaxHigh, umaxLow) > 0;
}

/**
 * Where only one value is in the range and has such bits, it is that one. Where none is, Linux
 * settles on one as well: the contradiction is gone then, and the branch not seen to be dead.
 */
function settleOnlyOne(b: Bounds): void {
  if (isAsWide(b) || hasTwo(b)) return;
  const { bits, uminHigh, uminLow } = b;
  const { valueHigh, valueLow, maskHigh, maskLow } = bits;
  const next = tnum.step(bits, uminHigh, uminLow);
  if ((uminHigh & ~maskHigh) === valueHigh && (uminLow & ~maskLow) === valueLow) {
    if (isBelow(b, next)) setExactly(b, uminHigh, uminLow);
    return;
  }
  const { valueHigh: high, valueLow: low } = next;
  const isLast = high === (valueHigh | maskHigh) && low === (valueLow | maskLow);
  if (isLast || (!isBelow(b, next) && isBelow(b, tnum.step(bits, high, low)))) {
    setExactly(b, high, low);
  }
}

/** Whether the unsigned range ends below a number. */
function isBelow({ umaxHigh, umaxLow }: Bounds, { valueHigh, valueLow }: tnum.Tnum): boolean {
  return W.compareUnsigned(umaxHigh, umaxLow, valueHigh, valueLow) < 0;
}

/** Whether the smallest and the largest number with such bits are the ends of the range. */
function isAsWide({ bits, uminHigh, uminLow, umaxHigh, umaxLow }: Bounds): boolean {
  const { valueHigh, valueLow, maskHigh, maskLow } = bits;
  return (
    uminLow === valueLow &&
    uminHigh === valueHigh &&
    umaxLow === (valueLow | maskLow) &&
    umaxHigh === (valueHigh | maskHigh)
  );
}

/** Whether both ends of the range have such bits, and one is above the other. */
function hasTwo({ bits, uminHigh, uminLow, umaxHigh, umaxLow }: Bounds): boolean {
  const { valueHigh, valueLow, maskHigh, maskLow } = bits;
  return (
    (uminLow & ~maskLow) === valueLow &&
    (uminHigh & ~maskHigh) === valueHigh &&
    (umaxLow & ~maskLow) === valueLow &&
    (umaxHigh & ~maskHigh) === valueHigh &&
    W.compareUnsigned(uminHigh, uminLow, umaxHigh, umaxLow) < 0
  );
}

/** The lower half of a range is a range where the upper half stays the same. */
function deduce32(b: Bounds): void {
  const { uminHigh, uminLow, umaxHigh, umaxLow, sminHigh, sminLow, smaxHigh, smaxLow } = b;
  if (uminHigh === umaxHigh) {
    narrowU32(b, uminLow, umaxLow);
    if (uminLow <= umaxLow) narrowS32(b, uminLow, umaxLow);
  }
  if (sminHigh === smaxHigh) {
    if (sminLow >>> 0 <= smaxLow >>> 0) narrowU32(b, sminLow, smaxLow);
    if (sminLow <= smaxLow) narrowS32(b, sminLow, smaxLow);
  }
  // From just below a multiple of 2^32 to just above it, the lower half goes from -x to y.
  if (uminLow < 0 && umaxLow >= 0 && ((uminHigh + 1) | 0) === umaxHigh) {
    narrowS32(b, uminLow, umaxLow);
  }
  if (sminLow < 0 && smaxLow >= 0 && sminHigh + 1 === smaxHigh) narrowS32(b, sminLow, smaxLow);
  if (b.u32minWord <= b.u32maxWord) narrowS32(b, b.u32minWord, b.u32maxWord);
  const least = b.s32min >>> 0;
  const most = b.s32max >>> 0;
  if (least <= most) {
    narrowU32(b, b.s32min, b.s32max);
  } else if (b.u32max < least) {
    // Signed, it goes across zero; unsigned, only the part that isn't negative is left.
    b.s32min = b.u32minWord;
    b.u32max = Math.min(b.u32max, most);
  } else if (most < b.u32min) {
    b.s32max = b.u32maxWord;
    b.u32min = Math.max(b.u32min, least);
  }
}

function deduce64(b: Bounds): void {
  const { uminHigh, uminLow, umaxHigh, umaxLow } = b;
  if (W.compareSigned(uminHigh, uminLow, umaxHigh, umaxLow) <= 0) {
    raiseS64(b, uminHigh, uminLow);
    lowerS64(b, umaxHigh, umaxLow);
  }
  const { sminHigh, sminLow, smaxHigh, smaxLow } = b;
  if (W.compareUnsigned(sminHigh, sminLow, smaxHigh, smaxLow) <= 0) {
    raiseU64(b, sminHigh, sminLow);
    lowerU64(b, smaxHigh, smaxLow);
  } else if (W.compareUnsigned(umaxHigh, umaxLow, sminHigh, sminLow) < 0) {
    // Signed, it goes across zero; unsigned, only the part that isn't negative is left.
    b.sminHigh = uminHigh;
    b.sminLow = uminLow;
    lowerU64(b, smaxHigh, smaxLow);
  } else if (W.compareUnsigned(smaxHigh, smaxLow, uminHigh, uminLow) < 0) {
    b.smaxHigh = umaxHigh;
    b.smaxLow = umaxLow;
    raiseU64(b, sminHigh, sminLow);
  }
}

/** From the 32-bit ranges to the 64-bit ones. */
function deduceMixed(b: Bounds): void {
  const { u32minWord, u32maxWord, s32min, s32max } = b;
  if (u32minWord !== 0 || u32maxWord !== -1) {
    raiseU64(b, b.uminHigh, u32minWord);
    lowerU64(b, b.umaxHigh, u32maxWord);
    raiseS64(b, b.sminHigh, u32minWord);
    lowerS64(b, b.smaxHigh, u32maxWord);
  }
  // What is in the range of an s32 and has a lower half that isn't negative, isn't negative.
  if (s32min < 0 || !isShort(b)) return;
  setS64(b, 0, s32min, s32max >> 31, s32max);
  setU64(b, 0, s32min, s32max >> 31, s32max);
  const bits = tnum.intersect(b.bits, tnum.range(0, s32min, s32max >> 31, s32max));
  if (!tnum.same(bits, b.bits)) b.bits = bits;
}

/** Whether the signed range is one of an s32. */
function isShort({ sminHigh, sminLow, smaxHigh, smaxLow }: Bounds): boolean {
  return (
    W.compareSigned(sminHigh, sminLow, -1, S32_MIN) >= 0 &&
    W.compareSigned(smaxHigh, smaxLow, 0, S32_MAX) <= 0
  );
}

function deduce(b: Bounds): void {
  deduce32(b);
  deduce64(b);
  deduceMixed(b);
}

/** Raises the bits to what the ranges say. */
function learnBits(b: Bounds): void {
  const range = tnum.range(b.uminHigh, b.uminLow, b.umaxHigh, b.umaxLow);
  const all = tnum.intersect(b.bits, range);
  const low = tnum.range(0, b.u32minWord, 0, b.u32maxWord);
  const bits = tnum.withLowHalf(all, tnum.intersect(tnum.lowHalf(all), low));
  if (!tnum.same(bits, b.bits)) b.bits = bits;
}

/** Whether nothing at all is known, so that there is nothing to deduce. */
function isUnbounded(b: Readonly<Bounds>): boolean {
  return b.bits.maskHigh === -1 && b.bits.maskLow === -1 && sameRanges(b, UNBOUNDED);
}

/** How often the ranges are let learn from each other. */
const DEDUCTIONS = 3;
/** What was known before a round. */
const before: Bounds = unbounded();

/** Lets each of the ways to know learn from the others. */
export function sync(b: Bounds): void {
  if (isUnbounded(b)) return;
  learnFromBits(b);
  const { bits } = b;
  if (bits.isConstant && isExactly(b, bits.valueHigh, bits.valueLow)) return;
  for (let round = 0; round < DEDUCTIONS; round++) {
    assign(before, b);
    deduce(b);
    // What found nothing would find nothing again.
    if (sameBounds(before, b)) break;
  }
  learnBits(b);
  learnFromBits(b);
}

/** Whether nothing is left of one of the ranges: there is no such value. */
export function isEmpty(b: Readonly<Bounds>): boolean {
  return (
    W.compareUnsigned(b.uminHigh, b.uminLow, b.umaxHigh, b.umaxLow) > 0 ||
    W.compareSigned(b.sminHigh, b.sminLow, b.smaxHigh, b.smaxLow) > 0 ||
    b.u32min > b.u32max ||
    b.s32min > b.s32max
  );
}

/** Whether the ways to know contradict each other: such a value comes of a dead branch only. */
export function isContradictory(b: Readonly<Bounds>): boolean {
  if (isEmpty(b)) return true;
  const { bits } = b;
  if (bits.isConstant) return !isExactly(b, bits.valueHigh, bits.valueLow);
  return bits.maskLow === 0 && !isExactly32(b, bits.valueLow);
}

/** Whether the 64-bit ranges are empty, or of a known value not one value. */
export function isUneven(b: Readonly<Bounds>): boolean {
  const signed = W.compareSigned(b.sminHigh, b.sminLow, b.smaxHigh, b.smaxLow);
  const unsigned = W.compareUnsigned(b.uminHigh, b.uminLow, b.umaxHigh, b.umaxLow);
  return signed > 0 || unsigned > 0 || (b.bits.isConstant && (signed !== 0 || unsigned !== 0));
}

/** Whether all ranges are one value. */
function isExactly(b: Readonly<Bounds>, high: number, low: number): boolean {
  return (
    b.uminLow === low &&
    b.uminHigh === high &&
    b.umaxLow === low &&
    b.umaxHigh === high &&
    b.sminLow === low &&
    b.sminHigh === high &&
    b.smaxLow === low &&
    b.smaxHigh === high &&
    isExactly32(b, low)
  );
}

function isExactly32(b: Readonly<Bounds>, low: number): boolean {
  return b.u32minWord === low && b.u32maxWord === low && b.s32min === low && b.s32max === low;
}

/** Whether every value of `inner` is one of `outer`, by ranges. */
export function includes(outer: Readonly<Bounds>, inner: Readonly<Bounds>): boolean {
  return (
    outer === inner ||
    (W.compareUnsigned(outer.uminHigh, outer.uminLow, inner.uminHigh, inner.uminLow) <= 0 &&
      W.compareUnsigned(outer.umaxHigh, outer.umaxLow, inner.umaxHigh, inner.umaxLow) >= 0 &&
      W.compareSigned(outer.sminHigh, outer.sminLow, inner.sminHigh, inner.sminLow) <= 0 &&
      W.compareSigned(outer.smaxHigh, outer.smaxLow, inner.smaxHigh, inner.smaxLow) >= 0 &&
      outer.u32min <= inner.u32min &&
      outer.u32max >= inner.u32max &&
      outer.s32min <= inner.s32min &&
      outer.s32max >= inner.s32max &&
      tnum.contains(outer.bits, inner.bits))
  );
}

/** Whether the same is known of both. */
export function sameBounds(a: Readonly<Bounds>, b: Readonly<Bounds>): boolean {
  return a === b || (sameRanges(a, b) && tnum.same(a.bits, b.bits));
}

function sameRanges(a: Readonly<Bounds>, b: Readonly<Bounds>): boolean {
  return (
    a.uminLow === b.uminLow &&
    a.umaxLow === b.umaxLow &&
    a.uminHigh === b.uminHigh &&
    a.umaxHigh === b.umaxHigh &&
    a.sminLow === b.sminLow &&
    a.smaxLow === b.smaxLow &&
    a.sminHigh === b.sminHigh &&
    a.smaxHigh === b.smaxHigh &&
    a.u32minWord === b.u32minWord &&
    a.u32maxWord === b.u32maxWord &&
    a.s32min === b.s32min &&
    a.s32max === b.s32max
  );
}

/** How many bits the value takes at most. */
export function widthOf({ umaxHigh, umaxLow }: Readonly<Bounds>): number {
  return W.bitLength(umaxHigh, umaxLow);
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
