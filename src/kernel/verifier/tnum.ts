/**
 * Tracked numbers: what is known of the 64 bits of a value, bit by bit. Analogous to
 * kernel/bpf/tnum.c in Linux, whose results these functions give.
 */

import * as W from "./words.ts";

/** A bit is unknown where the mask has a one; elsewhere it is as in the value; never in both. */
export class Tnum {
  // Words, see words.ts.
  readonly valueHigh: number;
  readonly valueLow: number;
  readonly maskHigh: number;
  readonly maskLow: number;

  constructor(valueHigh: number, valueLow: number, maskHigh: number, maskLow: number) {
    this.valueHigh = valueHigh;
    this.valueLow = valueLow;
    this.maskHigh = maskHigh;
    this.maskLow = maskLow;
  }

  /** u64 */
  get value(): bigint {
    return W.toUnsigned(this.valueHigh, this.valueLow);
  }

  /** u64 */
  get mask(): bigint {
    return W.toUnsigned(this.maskHigh, this.maskLow);
  }

  /** Whether all bits are known. */
  get isConstant(): boolean {
    return (this.maskHigh | this.maskLow) === 0;
  }

  /** Whether it is known to be 0. */
  get isZero(): boolean {
    return (this.valueHigh | this.valueLow | this.maskHigh | this.maskLow) === 0;
  }
}

/** Nothing is known. */
export const UNKNOWN: Tnum = new Tnum(0, 0, -1, -1);
const ZERO: Tnum = new Tnum(0, 0, 0, 0);

/** @param value - taken modulo 2^64. */
export function constant(value: bigint): Tnum {
  return constantWords(W.highWord(value), W.lowWord(value));
}

export function constantWords(high: number, low: number): Tnum {
  return new Tnum(high, low, 0, 0);
}

/** Ones from the highest bit of a word that is one on downwards. */
function onesBelow(word: number): number {
  return word === 0 ? 0 : (-1 >>> Math.clz32(word)) | 0;
}

/** What all numbers from `min` to `max` (both u64) have in common. */
export function range(minHigh: number, minLow: number, maxHigh: number, maxLow: number): Tnum {
  const maskHigh = onesBelow(minHigh ^ maxHigh);
  const maskLow = maskHigh === 0 ? onesBelow(minLow ^ maxLow) : -1;
  return new Tnum(minHigh & ~maskHigh, minLow & ~maskLow, maskHigh, maskLow);
}

export function add(a: Tnum, b: Tnum): Tnum {
  const masksLow = (a.maskLow + b.maskLow) | 0;
  const masksHigh = (a.maskHigh + b.maskHigh + W.carry(a.maskLow, b.maskLow)) | 0;
  const valuesLow = (a.valueLow + b.valueLow) | 0;
  const valuesHigh = (a.valueHigh + b.valueHigh + W.carry(a.valueLow, b.valueLow)) | 0;
  const sumLow = (masksLow + valuesLow) | 0;
  const sumHigh = (masksHigh + valuesHigh + W.carry(masksLow, valuesLow)) | 0;
  const maskHigh = (sumHigh ^ valuesHigh) | a.maskHigh | b.maskHigh;
  const maskLow = (sumLow ^ valuesLow) | a.maskLow | b.maskLow;
  return new Tnum(valuesHigh & ~maskHigh, valuesLow & ~maskLow, maskHigh, maskLow);
}

export function sub(a: Tnum, b: Tnum): Tnum {
  const valuesLow = (a.valueLow - b.valueLow) | 0;
  const valuesHigh = (a.valueHigh - b.valueHigh - W.borrow(a.valueLow, b.valueLow)) | 0;
  const mostLow = (valuesLow + a.maskLow) | 0;
  const mostHigh = (valuesHigh + a.maskHigh + W.carry(valuesLow, a.maskLow)) | 0;
  const leastLow = (valuesLow - b.maskLow) | 0;
  const leastHigh = (valuesHigh - b.maskHigh - W.borrow(valuesLow, b.maskLow)) | 0;
  const maskHigh = (mostHigh ^ leastHigh) | a.maskHigh | b.maskHigh;
  const maskLow = (mostLow ^ leastLow) | a.maskLow | b.maskLow;
  return new Tnum(valuesHigh & ~maskHigh, valuesLow & ~maskLow, maskHigh, maskLow);
}

export function neg(a: Tnum): Tnum {
  return sub(ZERO, a);
}

export function and(a: Tnum, b: Tnum): Tnum {
  const high = a.valueHigh & b.valueHigh;
  const low = a.valueLow & b.valueLow;
  const maskHigh = (a.valueHigh | a.maskHigh) & (b.valueHigh | b.maskHigh) & ~high;
  const maskLow = (a.valueLow | a.maskLow) & (b.valueLow | b.maskLow) & ~low;
  return new Tnum(high, low, maskHigh, maskLow);
}

export function or(a: Tnum, b: Tnum): Tnum {
  const high = a.valueHigh | b.valueHigh;
  const low = a.valueLow | b.valueLow;
  return new Tnum(high, low, (a.maskHigh | b.maskHigh) & ~high, (a.maskLow | b.maskLow) & ~low);
}

export function xor(a: Tnum, b: Tnum): Tnum {
  const maskHigh = a.maskHigh | b.maskHigh;
  const maskLow = a.maskLow | b.maskLow;
  const high = (a.valueHigh ^ b.valueHigh) & ~maskHigh;
  return new Tnum(high, (a.valueLow ^ b.valueLow) & ~maskLow, maskHigh, maskLow);
}

/** @param bits - 0 to 63, as of the other shifts. */
export function shiftLeft(a: Tnum, bits: number): Tnum {
  return new Tnum(
    W.shiftLeftHigh(a.valueHigh, a.valueLow, bits),
    W.shiftLeftLow(a.valueLow, bits),
    W.shiftLeftHigh(a.maskHigh, a.maskLow, bits),
    W.shiftLeftLow(a.maskLow, bits),
  );
}

export function shiftRight(a: Tnum, bits: number): Tnum {
  return new Tnum(
    W.shiftRightHigh(a.valueHigh, bits),
    W.shiftRightLow(a.valueHigh, a.valueLow, bits),
    W.shiftRightHigh(a.maskHigh, bits),
    W.shiftRightLow(a.maskHigh, a.maskLow, bits),
  );
}

/** @param width - 32: the sign is bit 31, and the upper half of the result is 0. */
export function shiftRightSigned(a: Tnum, bits: number, width: 32 | 64): Tnum {
  if (width === 32) return new Tnum(0, a.valueLow >> bits, 0, a.maskLow >> bits);
  return new Tnum(
    W.shiftSignedHigh(a.valueHigh, bits),
    W.shiftSignedLow(a.valueHigh, a.valueLow, bits),
    W.shiftSignedHigh(a.maskHigh, bits),
    W.shiftSignedLow(a.maskHigh, a.maskLow, bits),
  );
}

/** What is common to both: the value may be one or the other. */
export function union(a: Tnum, b: Tnum): Tnum {
  const maskHigh = (a.valueHigh ^ b.valueHigh) | a.maskHigh | b.maskHigh;
  const maskLow = (a.valueLow ^ b.valueLow) | a.maskLow | b.maskLow;
  const high = a.valueHigh & b.valueHigh & ~maskHigh;
  return new Tnum(high, a.valueLow & b.valueLow & ~maskLow, maskHigh, maskLow);
}

/** Adds up shifted copies of `b`; an unknown bit of `a` may or may not add its copy. */
export function mul(a: Tnum, b: Tnum): Tnum {
  if (a.isConstant && b.isConstant) return constant(a.value * b.value);
  if (isUnknown(a) && b.isConstant) return multiples(b);
  let sum = ZERO;
  let left = a;
  let right = b;
  while (!left.isZero && !isUnknown(sum)) {
    if ((left.valueLow & 1) !== 0) sum = add(sum, right);
    else if ((left.maskLow & 1) !== 0) sum = union(sum, add(sum, right));
    // On to the next bit that is one, or may be.
    const bits = Math.max(1, trailingZeros((left.valueLow | left.maskLow) & ~1));
    left = shiftRight(left, bits);
    right = shiftLeft(right, bits);
  }
  return sum;
}

function isUnknown({ maskHigh, maskLow }: Tnum): boolean {
  return (maskHigh & maskLow) === -1;
}

/** How many zeros follow the last one of a word; 32 without any. */
function trailingZeros(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}

/** Any number times a constant: zeros where the constant ends with zeros, and no more is known. */
function multiples({ valueHigh, valueLow }: Tnum): Tnum {
  if (valueLow !== 0) return new Tnum(0, 0, -1, valueLow | -valueLow);
  return new Tnum(0, 0, valueHigh | -valueHigh, 0);
}

/** Both are known to be true of one value. */
export function intersect(a: Tnum, b: Tnum): Tnum {
  const maskHigh = a.maskHigh & b.maskHigh;
  const maskLow = a.maskLow & b.maskLow;
  const high = (a.valueHigh | b.valueHigh) & ~maskHigh;
  return new Tnum(high, (a.valueLow | b.valueLow) & ~maskLow, maskHigh, maskLow);
}

/** Whether there may be a value that both describe. */
export function overlap(a: Tnum, b: Tnum): boolean {
  const differHigh = (a.valueHigh ^ b.valueHigh) & ~(a.maskHigh | b.maskHigh);
  const differLow = (a.valueLow ^ b.valueLow) & ~(a.maskLow | b.maskLow);
  return (differHigh | differLow) === 0;
}

/** Whether every value of `b` is one of `a`. */
export function contains(a: Tnum, b: Tnum): boolean {
  const vaguer = (b.maskHigh & ~a.maskHigh) | (b.maskLow & ~a.maskLow);
  if (vaguer !== 0) return false;
  const differ =
    (a.valueHigh ^ (b.valueHigh & ~a.maskHigh)) | (a.valueLow ^ (b.valueLow & ~a.maskLow));
  return differ === 0;
}

/** Whether the same is known of both. */
export function same(a: Tnum, b: Tnum): boolean {
  return (
    a.valueLow === b.valueLow &&
    a.maskLow === b.maskLow &&
    a.valueHigh === b.valueHigh &&
    a.maskHigh === b.maskHigh
  );
}

/** Whether its values are all those of a range: what is unknown are the lowest bits. */
export function isRange({ maskHigh, maskLow }: Tnum): boolean {
  return maskLow === -1
    ? (maskHigh & (maskHigh + 1)) === 0
    : (maskHigh | (maskLow & (maskLow + 1))) === 0;
}

/** The smallest of its values (u64) that is greater than a number; the largest when none is. */
export function step(a: Tnum, thanHigh: number, thanLow: number): Tnum {
  const { valueHigh, valueLow, maskHigh, maskLow } = a;
  const lastHigh = valueHigh | maskHigh;
  const lastLow = valueLow | maskLow;
  if (W.compareUnsigned(thanHigh, thanLow, lastHigh, lastLow) >= 0) {
    return constantWords(lastHigh, lastLow);
  }
  const leastHigh = (thanHigh + W.carry(thanLow, 1)) | 0;
  const leastLow = (thanLow + 1) | 0;
  const wrongHigh = (leastHigh ^ valueHigh) & ~maskHigh;
  const wrongLow = (leastLow ^ valueLow) & ~maskLow;
  if ((wrongHigh | wrongLow) === 0) return constantWords(leastHigh, leastLow);
  // The highest known bit that is otherwise decides: below it all is as small as it may be.
  const restHigh = onesBelow(wrongHigh);
  const restLow = wrongHigh === 0 ? onesBelow(wrongLow) : -1;
  const isTooSmall =
    W.compareUnsigned(
      leastHigh & wrongHigh,
      leastLow & wrongLow,
      valueHigh & wrongHigh,
      valueLow & wrongLow,
    ) < 0;
  if (isTooSmall) {
    const high = (leastHigh & ~restHigh) | (valueHigh & restHigh);
    return constantWords(high, (leastLow & ~restLow) | (valueLow & restLow));
  }
  // It is too large already: the lowest unknown bit above that isn't set has to be.
  const setHigh = maskHigh & ~leastHigh & ~restHigh;
  const setLow = maskLow & ~leastLow & ~restLow;
  if (setLow !== 0) {
    const bit = setLow & -setLow;
    return constantWords(leastHigh, (leastLow & -bit) | bit | (valueLow & (bit - 1)));
  }
  const bit = setHigh & -setHigh;
  return constantWords((leastHigh & -bit) | bit | (valueHigh & (bit - 1)), valueLow);
}

/** Whether it is a multiple of `size`, a power of two. */
export function isAligned(a: Tnum, size: number): boolean {
  return ((a.valueLow | a.maskLow) & (size - 1)) === 0;
}

/** The lowest `bytes` bytes in reverse, the others being 0. */
export function swap(a: Tnum, bytes: number): Tnum {
  const value = reversed(a.value, bytes);
  const mask = reversed(a.mask, bytes);
  return new Tnum(W.highWord(value), W.lowWord(value), W.highWord(mask), W.lowWord(mask));
}

function reversed(value: bigint, bytes: number): bigint {
  let result = 0n;
  for (let i = 0; i < bytes; i++) result = (result << 8n) | ((value >> BigInt(8 * i)) & 0xffn);
  return result;
}

/** The lower half, the upper being 0. */
export function lowHalf(a: Tnum): Tnum {
  return new Tnum(0, a.valueLow, 0, a.maskLow);
}

/** The upper half of `a` over the lower half of `low`. */
export function withLowHalf(a: Tnum, low: Tnum): Tnum {
  return new Tnum(a.valueHigh, low.valueLow, a.maskHigh, low.maskLow);
}

/** Constants above it are written in hexadecimal. */
const MAX_DECIMAL = 0xffffn;

/** As the log writes it: a number, or value and mask. */
export function format(a: Tnum): string {
  if (a.isConstant) return a.value <= MAX_DECIMAL ? `${a.value}` : `0x${a.value.toString(16)}`;
  return `(0x${a.value.toString(16)}; 0x${a.mask.toString(16)})`;
}
