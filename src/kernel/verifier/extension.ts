/**
 * What is left of a number when it is cut, and how it is extended to 64 bits again: by zeros, or by
 * its sign. Analogous to coerce_reg_to_size() and its like in kernel/bpf/verifier.c.
 */

import * as B from "./bounds.ts";
import * as tnum from "./tnum.ts";

/** The upper half becomes 0: what a 32-bit operation leaves. The ranges of 64 bits follow. */
export function zeroExtend(b: B.Bounds): void {
  b.bits = tnum.lowHalf(b.bits);
  B.setU64(b, 0, b.u32minWord, 0, b.u32maxWord);
  const isPositive = b.s32min >= 0 && b.s32max >= 0;
  B.setS64(b, 0, isPositive ? b.s32min : 0, 0, isPositive ? b.s32max : -1);
}

/** What is left of a value after a zero-extending access of 1, 2 or 4 bytes. */
export function truncate(before: Readonly<B.Bounds>, size: number): B.Bounds {
  const b = B.copyBounds(before);
  const { bits, uminHigh, uminLow, umaxHigh, umaxLow } = before;
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1;
  b.bits = new tnum.Tnum(0, bits.valueLow & mask, 0, bits.maskLow & mask);
  const isCut = uminHigh !== umaxHigh || (uminLow & ~mask) !== (umaxLow & ~mask);
  if (isCut) B.setU64(b, 0, 0, 0, mask);
  else B.setU64(b, 0, uminLow & mask, 0, umaxLow & mask);
  B.setS64(b, 0, b.uminLow, 0, b.umaxLow);
  // The 32-bit ranges hold on when they are not cut.
  if (size < 4) B.unbound32(b);
  B.sync(b);
  return b;
}

/** Whether cutting to 1, 2 or 4 bytes and sign-extending changes nothing: the sign bit is 0. */
export function fitsSigned({ umaxHigh, umaxLow }: Readonly<B.Bounds>, size: number): boolean {
  return umaxHigh === 0 && umaxLow >>> (size * 8 - 1) === 0;
}

/** The lowest `width` bits of a word, sign-extended. */
function signed(word: number, width: number): number {
  return (word << (32 - width)) >> (32 - width);
}

/** What is left of a value that is cut to 1, 2 or 4 bytes and sign-extended to 8. */
export function signExtend64(before: Readonly<B.Bounds>, size: number): B.Bounds {
  const width = size * 8;
  const { bits, sminHigh, sminLow, smaxHigh, smaxLow } = before;
  if (bits.isConstant) {
    const value = signed(bits.valueLow, width);
    return B.exactlyWords(value >> 31, value);
  }
  const b = B.unbounded();
  const isOneRange =
    sminHigh === smaxHigh && (width === 32 || sminLow >> width === smaxLow >> width);
  const low = Math.min(signed(sminLow, width), signed(smaxLow, width));
  const high = Math.max(signed(sminLow, width), signed(smaxLow, width));
  if (isOneRange && low < 0 === high < 0) {
    B.setS64(b, low >> 31, low, high >> 31, high);
    B.setU64(b, low >> 31, low, high >> 31, high);
    b.s32min = low;
    b.s32max = high;
    b.u32minWord = low;
    b.u32maxWord = high;
    b.bits = tnum.range(b.uminHigh, b.uminLow, b.umaxHigh, b.umaxLow);
    return b;
  }
  b.s32min = signed(1 << (width - 1), width);
  b.s32max = ~b.s32min;
  B.setS64(b, -1, b.s32min, 0, b.s32max);
  return b;
}

/** As {@link signExtend64}, to 4 bytes of which the upper half of the result knows nothing. */
export function signExtend32(before: Readonly<B.Bounds>, size: number): B.Bounds {
  const width = size * 8;
  if (before.bits.isConstant) return B.exactlyWords(0, signed(before.bits.valueLow, width));
  const b = B.unbounded();
  const low = Math.min(signed(before.s32min, width), signed(before.s32max, width));
  const high = Math.max(signed(before.s32min, width), signed(before.s32max, width));
  if (before.s32min >> width === before.s32max >> width && low < 0 === high < 0) {
    b.s32min = low;
    b.s32max = high;
    b.u32minWord = low;
    b.u32maxWord = high;
    b.bits = tnum.range(0, low, 0, high);
    return b;
  }
  b.s32min = signed(1 << (width - 1), width);
  b.s32max = ~b.s32min;
  b.bits = tnum.lowHalf(tnum.UNKNOWN);
  return b;
}
