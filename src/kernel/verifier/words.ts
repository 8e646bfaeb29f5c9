/**
 * Numbers of 64 bits as two words, each a signed 32-bit number: an engine is quick with those, and
 * slow with bigint. What is signed and what unsigned is a matter of the operation, as in a machine.
 */

const TWO_32 = 0x1_0000_0000;

/** The upper word of a number, taken modulo 2^64. */
export function highWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n));
}

/** The lower word of a number. */
export function lowWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

/** The upper word of a number that is exact, its lower one being `value | 0`. */
export function highOf(value: number): number {
  return Math.floor(value / TWO_32) | 0;
}

/** The words as an s64. */
export function toSigned(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

/** The words as a u64. */
export function toUnsigned(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/**
 * The words as an s64 that is rounded where it is 2^53 or further from 0: on which side of a
 * smaller limit it lies is right all the same.
 */
export function nearSigned(high: number, low: number): number {
  return high * TWO_32 + (low >>> 0);
}

/** As {@link nearSigned}, for a u64. */
export function nearUnsigned(high: number, low: number): number {
  return (high >>> 0) * TWO_32 + (low >>> 0);
}

/** Below 0, 0 or above, as a is less than b, equal or greater, read as s64. */
export function compareSigned(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh === bHigh ? (aLow >>> 0) - (bLow >>> 0) : aHigh - bHigh;
}

/** As {@link compareSigned}, read as u64. */
export function compareUnsigned(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh === bHigh ? (aLow >>> 0) - (bLow >>> 0) : (aHigh >>> 0) - (bHigh >>> 0);
}

/** 1 when the sum of the lower words goes over into the upper ones. */
export function carry(aLow: number, bLow: number): number {
  return (aLow >>> 0) + (bLow >>> 0) >= TWO_32 ? 1 : 0;
}

/** 1 when taking the second lower word from the first one takes from the upper ones. */
export function borrow(aLow: number, bLow: number): number {
  return aLow >>> 0 < bLow >>> 0 ? 1 : 0;
}

// Shifts by 0 to 63 bits, each word of the result by itself.

export function shiftLeftHigh(high: number, low: number, bits: number): number {
  if (bits === 0) return high;
  return bits < 32 ? (high << bits) | (low >>> (32 - bits)) : low << (bits - 32);
}

export function shiftLeftLow(low: number, bits: number): number {
  return bits < 32 ? low << bits : 0;
}

export function shiftRightHigh(high: number, bits: number): number {
  return bits < 32 ? (high >>> bits) | 0 : 0;
}

export function shiftRightLow(high: number, low: number, bits: number): number {
  if (bits === 0) return low;
  return bits < 32 ? (low >>> bits) | (high << (32 - bits)) : (high >>> (bits - 32)) | 0;
}

/** The upper word of a shift that keeps the sign. */
export function shiftSignedHigh(high: number, bits: number): number {
  return high >> Math.min(bits, 31);
}

/** The lower word of a shift that keeps the sign. */
export function shiftSignedLow(high: number, low: number, bits: number): number {
  return bits < 32 ? shiftRightLow(high, low, bits) : high >> (bits - 32);
}

/** How many bits an unsigned number takes. */
export function bitLength(high: number, low: number): number {
  return high === 0 ? 32 - Math.clz32(low) : 64 - Math.clz32(high);
}
