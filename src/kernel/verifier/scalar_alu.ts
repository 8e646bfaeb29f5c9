/**
 * Arithmetic on bounds: what is known of the result of an operation on numbers. Analogous to
 * adjust_scalar_min_max_vals() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import * as tnum from "./tnum.ts";

type Bounds = B.Bounds;
type Source = Readonly<Bounds>;

const S64_MIN = B.S64_MIN;
const S64_MAX = B.S64_MAX;

function setU32(b: Bounds, min: number, max: number): void {
  b.u32min = min;
  b.u32max = max;
}

function setS32(b: Bounds, min: number, max: number): void {
  b.s32min = min;
  b.s32max = max;
}

function fits32(value: number): boolean {
  return value >= B.S32_MIN && value <= B.S32_MAX;
}

function fits64(value: bigint): boolean {
  return value >= S64_MIN && value <= S64_MAX;
}

/** Sets the signed 64-bit range unless an end of it is out of range. */
function setS64(b: Bounds, min: bigint, max: bigint): void {
  const good = fits64(min) && fits64(max);
  b.smin = good ? min : S64_MIN;
  b.smax = good ? max : S64_MAX;
}

/** The ranges of a sum; unsigned it is one range when both ends wrap around or neither does. */
export function addRanges(b: Bounds, src: Source): void {
  const smin = b.s32min + src.s32min;
  const smax = b.s32max + src.s32max;
  if (fits32(smin) && fits32(smax)) setS32(b, smin, smax);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const umin = b.u32min + src.u32min;
  const umax = b.u32max + src.u32max;
  if (umin <= B.U32_MAX && umax > B.U32_MAX) setU32(b, 0, B.U32_MAX);
  else setU32(b, umin >>> 0, umax >>> 0);
  setS64(b, b.smin + src.smin, b.smax + src.smax);
  const least = b.umin + src.umin;
  const most = b.umax + src.umax;
  const split = least <= B.U64_MAX && most > B.U64_MAX;
  b.umin = split ? 0n : BigInt.asUintN(64, least);
  b.umax = split ? B.U64_MAX : BigInt.asUintN(64, most);
}

function subRanges(b: Bounds, src: Source): void {
  const smin = b.s32min - src.s32max;
  const smax = b.s32max - src.s32min;
  if (fits32(smin) && fits32(smax)) setS32(b, smin, smax);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const umin = b.u32min - src.u32max;
  const umax = b.u32max - src.u32min;
  if (umin < 0 && umax >= 0) setU32(b, 0, B.U32_MAX);
  else setU32(b, umin >>> 0, umax >>> 0);
  setS64(b, b.smin - src.smax, b.smax - src.smin);
  const least = b.umin - src.umax;
  const most = b.umax - src.umin;
  const split = least < 0n && most >= 0n;
  b.umin = split ? 0n : BigInt.asUintN(64, least);
  b.umax = split ? B.U64_MAX : BigInt.asUintN(64, most);
}

function mulRanges(b: Bounds, src: Source): void {
  // Products of 32-bit numbers may be past 2^53, but then they are out of range all the same.
  const u32max = b.u32max * src.u32max;
  if (u32max > B.U32_MAX) setU32(b, 0, B.U32_MAX);
  else setU32(b, b.u32min * src.u32min, u32max);
  const low = [
    b.s32min * src.s32min,
    b.s32min * src.s32max,
    b.s32max * src.s32min,
    b.s32max * src.s32max,
  ];
  // -0 is no value of a range.
  if (low.every(fits32)) setS32(b, Math.min(...low) + 0, Math.max(...low) + 0);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const umax = b.umax * src.umax;
  const isWide = umax > B.U64_MAX;
  b.umin = isWide ? 0n : b.umin * src.umin;
  b.umax = isWide ? B.U64_MAX : umax;
  const products = [b.smin * src.smin, b.smin * src.smax, b.smax * src.smin, b.smax * src.smax];
  let min = products[0] as bigint;
  let max = min;
  for (const product of products) {
    if (product < min) min = product;
    if (product > max) max = product;
  }
  setS64(b, min, max);
}

/** Where the unsigned ranges don't cross the sign, the signed ones are the same. */
function castSigned(b: Bounds): void {
  if ((b.u32min | 0) <= (b.u32max | 0)) setS32(b, b.u32min | 0, b.u32max | 0);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const min = BigInt.asIntN(64, b.umin);
  const max = BigInt.asIntN(64, b.umax);
  b.smin = min <= max ? min : S64_MIN;
  b.smax = min <= max ? max : S64_MAX;
}

/** Known results of bit operations. @returns whether all 64 bits are known. */
function settleKnown(b: Bounds): boolean {
  if (b.bits.mask !== 0n) return false;
  Object.assign(b, B.exactly(b.bits.value));
  return true;
}

/** For and, or, xor: `low` and `high` are how the unsigned ranges follow. */
function bitwise(b: Bounds, src: Source, operation: number): void {
  if (operation === I.BPF_AND) {
    b.bits = tnum.and(b.bits, src.bits);
    if (settleKnown(b)) return;
    setU32(b, B.u32(b.bits.value), Math.min(b.u32max, src.u32max));
    b.umin = b.bits.value;
    if (src.umax < b.umax) b.umax = src.umax;
  } else if (operation === I.BPF_OR) {
    b.bits = tnum.or(b.bits, src.bits);
    if (settleKnown(b)) return;
    setU32(b, Math.max(b.u32min, src.u32min), B.u32(b.bits.value | b.bits.mask));
    if (src.umin > b.umin) b.umin = src.umin;
    b.umax = b.bits.value | b.bits.mask;
  } else {
    b.bits = tnum.xor(b.bits, src.bits);
    if (settleKnown(b)) return;
    setU32(b, B.u32(b.bits.value), B.u32(b.bits.value | b.bits.mask));
    b.umin = b.bits.value;
    b.umax = b.bits.value | b.bits.mask;
  }
  castSigned(b);
  const low = tnum.lowHalf(b.bits);
  if (low.mask === 0n) {
    const value = Number(low.value);
    setU32(b, value, value);
    setS32(b, value | 0, value | 0);
  }
  B.learnFromBits(b);
}

function shiftLeft32Ranges(b: Bounds, shift: number): void {
  setS32(b, B.S32_MIN, B.S32_MAX);
  if (shift > 31 || b.u32max > 2 ** (31 - shift)) setU32(b, 0, B.U32_MAX);
  else setU32(b, (b.u32min << shift) >>> 0, (b.u32max << shift) >>> 0);
}

function shift32(b: Bounds, shift: number, operation: number): void {
  const low = tnum.lowHalf(b.bits);
  const bits = BigInt(shift);
  if (operation === I.BPF_LSH) {
    shiftLeft32Ranges(b, shift);
    b.bits = tnum.lowHalf(tnum.shiftLeft(low, bits));
  } else if (operation === I.BPF_RSH) {
    setS32(b, B.S32_MIN, B.S32_MAX);
    b.bits = tnum.shiftRight(low, bits);
    setU32(b, b.u32min >>> shift, b.u32max >>> shift);
  } else {
    setS32(b, b.s32min >> shift, b.s32max >> shift);
    b.bits = tnum.shiftRightSigned(low, bits, 32);
    setU32(b, 0, B.U32_MAX);
  }
  B.unbound64(b);
  B.learn32FromBits(b);
}

function shift64(b: Bounds, shift: number, operation: number): void {
  const bits = BigInt(shift);
  if (operation === I.BPF_LSH) {
    // By 32 to the left and back is how compilers extend a sign.
    b.smin = shift === 32 ? BigInt(b.s32min) << 32n : S64_MIN;
    b.smax = shift === 32 ? BigInt(b.s32max) << 32n : S64_MAX;
    const isWide = b.umax > 1n << (63n - bits);
    b.umin = isWide ? 0n : b.umin << bits;
    b.umax = isWide ? B.U64_MAX : b.umax << bits;
    shiftLeft32Ranges(b, shift);
    b.bits = tnum.shiftLeft(b.bits, bits);
  } else if (operation === I.BPF_RSH) {
    b.smin = S64_MIN;
    b.smax = S64_MAX;
    b.bits = tnum.shiftRight(b.bits, bits);
    b.umin >>= bits;
    b.umax >>= bits;
    B.unbound32(b);
  } else {
    b.smin >>= bits;
    b.smax >>= bits;
    b.bits = tnum.shiftRightSigned(b.bits, bits, 64);
    b.umin = 0n;
    b.umax = B.U64_MAX;
    B.unbound32(b);
  }
  B.learnFromBits(b);
}

/** The one value of a shift's width, or null where nothing can be said of the result. */
function shiftWidth(src: Source, is64: boolean): number | null {
  const known = is64
    ? src.bits.mask === 0n && src.smin === src.smax && src.umin === src.umax
    : B.u32(src.bits.mask) === 0 && src.s32min === src.s32max && src.u32min === src.u32max;
  return known && src.umax < (is64 ? 64n : 32n) ? Number(src.umax) : null;
}

/**
 * What is known after `dst operation= src`.
 *
 * @param operation - BPF_ADD … BPF_ARSH or BPF_NEG. @param is64 - of 64 bits; else of 32.
 */
export function arithmetic(operation: number, dst: Source, src: Source, is64: boolean): Bounds {
  const b = B.copyBounds(dst);
  switch (operation) {
    case I.BPF_ADD:
      addRanges(b, src);
      b.bits = tnum.add(b.bits, src.bits);
      break;
    case I.BPF_SUB:
      subRanges(b, src);
      b.bits = tnum.sub(b.bits, src.bits);
      break;
    case I.BPF_NEG:
      Object.assign(b, B.ZERO);
      subRanges(b, dst);
      b.bits = tnum.neg(dst.bits);
      break;
    case I.BPF_MUL:
      b.bits = tnum.mul(b.bits, src.bits);
      mulRanges(b, src);
      break;
    case I.BPF_AND:
    case I.BPF_OR:
    case I.BPF_XOR:
      bitwise(b, src, operation);
      break;
    case I.BPF_LSH:
    case I.BPF_RSH:
    case I.BPF_ARSH: {
      const width = shiftWidth(src, is64);
      if (width === null) return B.unbounded();
      if (is64) shift64(b, width, operation);
      else shift32(b, width, operation);
      break;
    }
    default:
      // Quotients and remainders are not tracked.
      return B.unbounded();
  }
  if (!is64) B.zeroExtend(b);
  B.sync(b);
  return b;
}

/**
 * What is known after the lowest bytes were put into another order, the others becoming 0.
 *
 * @param bytes - 2, 4 or 8. @param swaps - reverses them; else they are only cut off.
 */
export function reorder(src: Source, bytes: number, swaps: boolean): Bounds {
  if (!swaps) return bytes === 8 ? B.copyBounds(src) : B.truncate(src, bytes);
  const b = B.unbounded(tnum.swap(src.bits, bytes));
  B.sync(b);
  return b;
}
