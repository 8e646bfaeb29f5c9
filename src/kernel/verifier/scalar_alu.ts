/**
 * Arithmetic on bounds: what is known of the result of an operation on numbers. Analogous to
 * adjust_scalar_min_max_vals() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import { truncate, zeroExtend } from "./extension.ts";
import * as tnum from "./tnum.ts";
import * as W from "./words.ts";

type Bounds = B.Bounds;
type Source = Readonly<Bounds>;

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

/** The ranges of a sum; unsigned it is one range when both ends wrap around or neither does. */
export function addRanges(b: Bounds, src: Source): void {
  const s32min = b.s32min + src.s32min;
  const s32max = b.s32max + src.s32max;
  if (fits32(s32min) && fits32(s32max)) setS32(b, s32min, s32max);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const u32min = b.u32min + src.u32min;
  const u32max = b.u32max + src.u32max;
  if (u32min <= B.U32_MAX && u32max > B.U32_MAX) setU32(b, 0, B.U32_MAX);
  else setU32(b, u32min, u32max);
  // Upper words that may be too large for one: that is how an overflow shows.
  const smin = b.sminHigh + src.sminHigh + W.carry(b.sminLow, src.sminLow);
  const smax = b.smaxHigh + src.smaxHigh + W.carry(b.smaxLow, src.smaxLow);
  if (fits32(smin) && fits32(smax)) {
    B.setS64(b, smin, (b.sminLow + src.sminLow) | 0, smax, (b.smaxLow + src.smaxLow) | 0);
  } else {
    B.unboundS64(b);
  }
  const umin = (b.uminHigh >>> 0) + (src.uminHigh >>> 0) + W.carry(b.uminLow, src.uminLow);
  const umax = (b.umaxHigh >>> 0) + (src.umaxHigh >>> 0) + W.carry(b.umaxLow, src.umaxLow);
  if (umin <= B.U32_MAX && umax > B.U32_MAX) {
    B.unboundU64(b);
  } else {
    const minLow = (b.uminLow + src.uminLow) | 0;
    const maxLow = (b.umaxLow + src.umaxLow) | 0;
    B.setU64(b, umin | 0, minLow, umax | 0, maxLow);
  }
}

function subRanges(b: Bounds, src: Source): void {
  const s32min = b.s32min - src.s32max;
  const s32max = b.s32max - src.s32min;
  if (fits32(s32min) && fits32(s32max)) setS32(b, s32min, s32max);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const u32min = b.u32min - src.u32max;
  const u32max = b.u32max - src.u32min;
  if (u32min < 0 && u32max >= 0) setU32(b, 0, B.U32_MAX);
  else setU32(b, u32min, u32max);
  const smin = b.sminHigh - src.smaxHigh - W.borrow(b.sminLow, src.smaxLow);
  const smax = b.smaxHigh - src.sminHigh - W.borrow(b.smaxLow, src.sminLow);
  if (fits32(smin) && fits32(smax)) {
    B.setS64(b, smin, (b.sminLow - src.smaxLow) | 0, smax, (b.smaxLow - src.sminLow) | 0);
  } else {
    B.unboundS64(b);
  }
  const umin = (b.uminHigh >>> 0) - (src.umaxHigh >>> 0) - W.borrow(b.uminLow, src.umaxLow);
  const umax = (b.umaxHigh >>> 0) - (src.uminHigh >>> 0) - W.borrow(b.umaxLow, src.uminLow);
  if (umin < 0 && umax >= 0) {
    B.unboundU64(b);
  } else {
    const minLow = (b.uminLow - src.umaxLow) | 0;
    const maxLow = (b.umaxLow - src.uminLow) | 0;
    B.setU64(b, umin | 0, minLow, umax | 0, maxLow);
  }
}

function mulRanges(b: Bounds, src: Source): void {
  mul32Ranges(b, src);
  mulSignedRange(b, src);
  mulUnsignedRange(b, src);
}

function mul32Ranges(b: Bounds, src: Source): void {
  // Products of 32-bit numbers may be past 2^53, but then they are out of range all the same.
  const u32max = b.u32max * src.u32max;
  if (u32max > B.U32_MAX) setU32(b, 0, B.U32_MAX);
  else setU32(b, b.u32min * src.u32min, u32max);
  const { least, most } = extremes(b.s32min, b.s32max, src.s32min, src.s32max);
  if (fits32(least) && fits32(most)) setS32(b, least, most);
  else setS32(b, B.S32_MIN, B.S32_MAX);
}

/** The least and the most that a product of two ranges can be. */
function extremes(
  min: number,
  max: number,
  otherMin: number,
  otherMax: number,
): { readonly least: number; readonly most: number } {
  const a = min * otherMin;
  const b = min * otherMax;
  const c = max * otherMin;
  const d = max * otherMax;
  // -0 is no value of a range.
  return { least: Math.min(a, b, c, d) + 0, most: Math.max(a, b, c, d) + 0 };
}

function mulSignedRange(b: Bounds, src: Source): void {
  const { least, most } = extremes(
    W.nearSigned(b.sminHigh, b.sminLow),
    W.nearSigned(b.smaxHigh, b.smaxLow),
    W.nearSigned(src.sminHigh, src.sminLow),
    W.nearSigned(src.smaxHigh, src.smaxLow),
  );
  if (Number.isSafeInteger(least) && Number.isSafeInteger(most)) {
    B.setS64(b, W.highOf(least), least | 0, W.highOf(most), most | 0);
    return;
  }
  // Far out of range, rounding or not; else it has to be counted to the last bit.
  if (least < -CERTAIN || most > CERTAIN) {
    B.unboundS64(b);
    return;
  }
  const products = [b.smin * src.smin, b.smin * src.smax, b.smax * src.smin, b.smax * src.smax];
  const min = products.reduce(B.smaller);
  const max = products.reduce(B.larger);
  B.unboundS64(b);
  if (min < B.S64_MIN || max > B.S64_MAX) return;
  b.smin = min;
  b.smax = max;
}

function mulUnsignedRange(b: Bounds, src: Source): void {
  const least = W.nearUnsigned(b.uminHigh, b.uminLow) * W.nearUnsigned(src.uminHigh, src.uminLow);
  const most = W.nearUnsigned(b.umaxHigh, b.umaxLow) * W.nearUnsigned(src.umaxHigh, src.umaxLow);
  if (Number.isSafeInteger(least) && Number.isSafeInteger(most)) {
    B.setU64(b, W.highOf(least), least | 0, W.highOf(most), most | 0);
    return;
  }
  const umax = most > CERTAIN ? null : b.umax * src.umax;
  if (umax === null || umax > B.U64_MAX) {
    B.unboundU64(b);
    return;
  }
  b.umin *= src.umin;
  b.umax = umax;
}

/** What is rounded and past this is out of the range of 64 bits. */
const CERTAIN: number = 2 ** 65;

/** Where the unsigned ranges don't cross the sign, the signed ones are the same. */
function castSigned(b: Bounds): void {
  if (b.u32minWord <= b.u32maxWord) setS32(b, b.u32minWord, b.u32maxWord);
  else setS32(b, B.S32_MIN, B.S32_MAX);
  const { uminHigh, uminLow, umaxHigh, umaxLow } = b;
  const isOne = W.compareSigned(uminHigh, uminLow, umaxHigh, umaxLow) <= 0;
  if (isOne) B.setS64(b, uminHigh, uminLow, umaxHigh, umaxLow);
  else B.unboundS64(b);
}

/** For and, or, xor: how the unsigned ranges follow from the bits and from each other. */
function bitwise(b: Bounds, src: Source, operation: number): void {
  const bits = bitwiseBits(b.bits, src.bits, operation);
  const { valueHigh, valueLow } = bits;
  if (bits.isConstant) {
    B.setExactly(b, valueHigh, valueLow);
    return;
  }
  b.bits = bits;
  const mostHigh = valueHigh | bits.maskHigh;
  const mostLow = valueLow | bits.maskLow;
  if (operation === I.BPF_AND) {
    setU32(b, valueLow, Math.min(b.u32max, src.u32max));
    b.uminHigh = valueHigh;
    b.uminLow = valueLow;
    B.lowerU64(b, src.umaxHigh, src.umaxLow);
  } else if (operation === I.BPF_OR) {
    setU32(b, Math.max(b.u32min, src.u32min), mostLow);
    B.raiseU64(b, src.uminHigh, src.uminLow);
    b.umaxHigh = mostHigh;
    b.umaxLow = mostLow;
  } else {
    setU32(b, valueLow, mostLow);
    B.setU64(b, valueHigh, valueLow, mostHigh, mostLow);
  }
  castSigned(b);
  if (bits.maskLow === 0) {
    setU32(b, valueLow, valueLow);
    setS32(b, valueLow, valueLow);
  }
  B.learnFromBits(b);
}

function bitwiseBits(a: tnum.Tnum, b: tnum.Tnum, operation: number): tnum.Tnum {
  if (operation === I.BPF_AND) return tnum.and(a, b);
  return operation === I.BPF_OR ? tnum.or(a, b) : tnum.xor(a, b);
}

function shiftLeft32Ranges(b: Bounds, shift: number): void {
  setS32(b, B.S32_MIN, B.S32_MAX);
  if (shift > 31 || b.u32max > 2 ** (31 - shift)) setU32(b, 0, B.U32_MAX);
  else setU32(b, b.u32min << shift, b.u32max << shift);
}

function shift32(b: Bounds, shift: number, operation: number): void {
  const low = tnum.lowHalf(b.bits);
  if (operation === I.BPF_LSH) {
    shiftLeft32Ranges(b, shift);
    b.bits = tnum.lowHalf(tnum.shiftLeft(low, shift));
  } else if (operation === I.BPF_RSH) {
    setS32(b, B.S32_MIN, B.S32_MAX);
    b.bits = tnum.shiftRight(low, shift);
    setU32(b, b.u32min >>> shift, b.u32max >>> shift);
  } else {
    setS32(b, b.s32min >> shift, b.s32max >> shift);
    b.bits = tnum.shiftRightSigned(low, shift, 32);
    setU32(b, 0, B.U32_MAX);
  }
  B.unbound64(b);
  B.learn32FromBits(b);
}

function shift64(b: Bounds, shift: number, operation: number): void {
  const { uminHigh, uminLow, umaxHigh, umaxLow, sminHigh, sminLow, smaxHigh, smaxLow } = b;
  if (operation === I.BPF_LSH) {
    // By 32 to the left and back is how compilers extend a sign.
    if (shift === 32) B.setS64(b, b.s32min, 0, b.s32max, 0);
    else B.unboundS64(b);
    const limitHigh = W.shiftLeftHigh(0, 1, 63 - shift);
    const limitLow = W.shiftLeftLow(1, 63 - shift);
    if (W.compareUnsigned(umaxHigh, umaxLow, limitHigh, limitLow) > 0) {
      B.unboundU64(b);
    } else {
      b.uminHigh = W.shiftLeftHigh(uminHigh, uminLow, shift);
      b.uminLow = W.shiftLeftLow(uminLow, shift);
      b.umaxHigh = W.shiftLeftHigh(umaxHigh, umaxLow, shift);
      b.umaxLow = W.shiftLeftLow(umaxLow, shift);
    }
    shiftLeft32Ranges(b, shift);
    b.bits = tnum.shiftLeft(b.bits, shift);
  } else if (operation === I.BPF_RSH) {
    B.unboundS64(b);
    b.bits = tnum.shiftRight(b.bits, shift);
    b.uminHigh = W.shiftRightHigh(uminHigh, shift);
    b.uminLow = W.shiftRightLow(uminHigh, uminLow, shift);
    b.umaxHigh = W.shiftRightHigh(umaxHigh, shift);
    b.umaxLow = W.shiftRightLow(umaxHigh, umaxLow, shift);
    B.unbound32(b);
  } else {
    b.sminHigh = W.shiftSignedHigh(sminHigh, shift);
    b.sminLow = W.shiftSignedLow(sminHigh, sminLow, shift);
    b.smaxHigh = W.shiftSignedHigh(smaxHigh, shift);
    b.smaxLow = W.shiftSignedLow(smaxHigh, smaxLow, shift);
    b.bits = tnum.shiftRightSigned(b.bits, shift, 64);
    B.unboundU64(b);
    B.unbound32(b);
  }
  B.learnFromBits(b);
}

/** The one value of a shift's width, or null where nothing can be said of the result. */
function shiftWidth(src: Source, is64: boolean): number | null {
  const known = is64
    ? src.bits.isConstant && src.smin === src.smax && src.umin === src.umax
    : src.bits.maskLow === 0 && src.s32min === src.s32max && src.u32min === src.u32max;
  const isShort = src.umaxHigh === 0 && src.umaxLow >>> 0 < (is64 ? 64 : 32);
  return known && isShort ? src.bits.valueLow : null;
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
      B.setExactly(b, 0, 0);
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
  if (!is64) zeroExtend(b);
  B.sync(b);
  return b;
}

/**
 * What is known after the lowest bytes were put into another order, the others becoming 0.
 *
 * @param bytes - 2, 4 or 8. @param swaps - reverses them; else they are only cut off.
 */
export function reorder(src: Source, bytes: number, swaps: boolean): Bounds {
  if (!swaps) return bytes === 8 ? B.copyBounds(src) : truncate(src, bytes);
  const b = B.unbounded(tnum.swap(src.bits, bytes));
  B.sync(b);
  return b;
}
