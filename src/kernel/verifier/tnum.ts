/**
 * Tracked numbers: what is known of the 64 bits of a value, bit by bit. Analogous to
 * kernel/bpf/tnum.c in Linux, whose results these functions give.
 */

const ALL = 0xffff_ffff_ffff_ffffn;
const LOW = 0xffff_ffffn;

/** A bit is unknown where `mask` has a one; elsewhere it is as in `value`. No bit is in both. */
export interface Tnum {
  /** u64 */
  readonly value: bigint;
  /** u64 */
  readonly mask: bigint;
}

/** Nothing is known. */
export const UNKNOWN: Tnum = { value: 0n, mask: ALL };
const ZERO: Tnum = { value: 0n, mask: 0n };

function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/** @param value - taken modulo 2^64. */
export function constant(value: bigint): Tnum {
  return { value: u64(value), mask: 0n };
}

export function isConstant(a: Tnum): boolean {
  return a.mask === 0n;
}

/** How many bits a number that isn't negative takes. */
function bitLength(value: bigint): number {
  const high = Number(value >> 32n);
  return high === 0 ? 32 - Math.clz32(Number(value & LOW)) : 64 - Math.clz32(high);
}

/** What all numbers from `min` to `max` (both u64) have in common. */
export function range(min: bigint, max: bigint): Tnum {
  const bits = bitLength(min ^ max);
  if (bits === 64) return UNKNOWN;
  const mask = (1n << BigInt(bits)) - 1n;
  return { value: min & (mask ^ ALL), mask };
}

export function add(a: Tnum, b: Tnum): Tnum {
  if (a.mask === 0n && b.mask === 0n) return { value: u64(a.value + b.value), mask: 0n };
  const masks = u64(a.mask + b.mask);
  const values = u64(a.value + b.value);
  const carried = u64(masks + values) ^ values;
  const mask = carried | a.mask | b.mask;
  return { value: values & (mask ^ ALL), mask };
}

export function sub(a: Tnum, b: Tnum): Tnum {
  const values = u64(a.value - b.value);
  const borrowed = u64(values + a.mask) ^ u64(values - b.mask);
  const mask = borrowed | a.mask | b.mask;
  return { value: values & (mask ^ ALL), mask };
}

export function neg(a: Tnum): Tnum {
  return sub(ZERO, a);
}

export function and(a: Tnum, b: Tnum): Tnum {
  const value = a.value & b.value;
  return { value, mask: (a.value | a.mask) & (b.value | b.mask) & (value ^ ALL) };
}

export function or(a: Tnum, b: Tnum): Tnum {
  const value = a.value | b.value;
  return { value, mask: (a.mask | b.mask) & (value ^ ALL) };
}

export function xor(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask;
  return { value: (a.value ^ b.value) & (mask ^ ALL), mask };
}

export function shiftLeft(a: Tnum, bits: bigint): Tnum {
  return { value: u64(a.value << bits), mask: u64(a.mask << bits) };
}

export function shiftRight(a: Tnum, bits: bigint): Tnum {
  return { value: a.value >> bits, mask: a.mask >> bits };
}

/** @param width - 32: the sign is bit 31, and the upper half of the result is 0. */
export function shiftRightSigned(a: Tnum, bits: bigint, width: 32 | 64): Tnum {
  return {
    value: BigInt.asUintN(width, BigInt.asIntN(width, a.value) >> bits),
    mask: BigInt.asUintN(width, BigInt.asIntN(width, a.mask) >> bits),
  };
}

/** What is common to both: the value may be one or the other. */
export function union(a: Tnum, b: Tnum): Tnum {
  const mask = (a.value ^ b.value) | a.mask | b.mask;
  return { value: a.value & b.value & (mask ^ ALL), mask };
}

/** Adds up shifted copies of `b`; an unknown bit of `a` may or may not add its copy. */
export function mul(a: Tnum, b: Tnum): Tnum {
  if (a.mask === 0n && b.mask === 0n) return constant(a.value * b.value);
  let sum = ZERO;
  let left = a;
  let right = b;
  while ((left.value | left.mask) !== 0n && sum.mask !== ALL) {
    if ((left.value & 1n) !== 0n) sum = add(sum, right);
    else if ((left.mask & 1n) !== 0n) sum = union(sum, add(sum, right));
    left = shiftRight(left, 1n);
    right = shiftLeft(right, 1n);
  }
  return sum;
}

/** Both are known to be true of one value. */
export function intersect(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask & b.mask;
  return { value: (a.value | b.value) & (mask ^ ALL), mask };
}

/** Whether there may be a value that both describe. */
export function overlap(a: Tnum, b: Tnum): boolean {
  const known = (a.mask | b.mask) ^ ALL;
  return (a.value & known) === (b.value & known);
}

/** Whether every value of `b` is one of `a`. */
export function contains(a: Tnum, b: Tnum): boolean {
  return (b.mask & (a.mask ^ ALL)) === 0n && a.value === (b.value & (a.mask ^ ALL));
}

/** Whether it is a multiple of `size`, a power of two. */
export function isAligned(a: Tnum, size: number): boolean {
  return ((a.value | a.mask) & BigInt(size - 1)) === 0n;
}

/** The lowest `bytes` bytes in reverse, the others being 0. */
export function swap(a: Tnum, bytes: number): Tnum {
  return { value: reversed(a.value, bytes), mask: reversed(a.mask, bytes) };
}

function reversed(value: bigint, bytes: number): bigint {
  let result = 0n;
  for (let i = 0; i < bytes; i++) result = (result << 8n) | ((value >> BigInt(8 * i)) & 0xffn);
  return result;
}

/** The lower half, the upper being 0. */
export function lowHalf(a: Tnum): Tnum {
  return { value: a.value & LOW, mask: a.mask & LOW };
}

/** The upper half of `a` over the lower half of `low`. */
export function withLowHalf(a: Tnum, low: Tnum): Tnum {
  return {
    value: (a.value & (LOW << 32n)) | (low.value & LOW),
    mask: (a.mask & (LOW << 32n)) | (low.mask & LOW),
  };
}

/** As the log writes it: a number, or value and mask. */
export function format(a: Tnum): string {
  if (a.mask === 0n) return `0x${a.value.toString(16)}`;
  return `(0x${a.value.toString(16)}; 0x${a.mask.toString(16)})`;
}
