/**
 * Comparisons of numbers: which way a conditional jump is known to go, and what is learnt on each
 * of its ways. Analogous to is_branch_taken() and reg_set_min_max() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import * as tnum from "./tnum.ts";
import * as W from "./words.ts";

type Bounds = Readonly<B.Bounds>;

/** The negation of BPF_JSET, which no instruction is. */
const NOT_SET = 0x100;

/** What holds when the condition doesn't. */
const OPPOSITE: ReadonlyMap<number, number> = new Map([
  [I.BPF_JEQ, I.BPF_JNE],
  [I.BPF_JNE, I.BPF_JEQ],
  [I.BPF_JSET, NOT_SET],
  [I.BPF_JGE, I.BPF_JLT],
  [I.BPF_JGT, I.BPF_JLE],
  [I.BPF_JLE, I.BPF_JGT],
  [I.BPF_JLT, I.BPF_JGE],
  [I.BPF_JSGE, I.BPF_JSLT],
  [I.BPF_JSGT, I.BPF_JSLE],
  [I.BPF_JSLE, I.BPF_JSGT],
  [I.BPF_JSLT, I.BPF_JSGE],
]);

/** The same condition with its operands exchanged. */
const FLIPPED: ReadonlyMap<number, number> = new Map([
  [I.BPF_JGE, I.BPF_JLE],
  [I.BPF_JGT, I.BPF_JLT],
  [I.BPF_JLE, I.BPF_JGE],
  [I.BPF_JLT, I.BPF_JGT],
  [I.BPF_JSGE, I.BPF_JSLE],
  [I.BPF_JSGT, I.BPF_JSLT],
  [I.BPF_JSLE, I.BPF_JSGE],
  [I.BPF_JSLT, I.BPF_JSGT],
]);

/** The operation that says the same of exchanged operands. */
export function flip(operation: number): number {
  return FLIPPED.get(operation) ?? operation;
}

function bitsOf({ bits }: Bounds, is32: boolean): tnum.Tnum {
  return is32 ? tnum.lowHalf(bits) : bits;
}

/** Whether it is one value, of as many bits as are compared. */
export function isOneValue(b: Bounds, is32: boolean): boolean {
  return b.bits.maskLow === 0 && (is32 || b.bits.maskHigh === 0);
}

/** Whether `a operation b` holds: always, never, or null. */
export function outcome(a: Bounds, b: Bounds, operation: number, is32: boolean): boolean | null {
  switch (operation) {
    case I.BPF_JEQ:
      return areEqual(a, b, is32);
    case I.BPF_JNE: {
      const equal = areEqual(a, b, is32);
      return equal === null ? null : !equal;
    }
    case I.BPF_JSET:
      return isOneValue(b, is32)
        ? areSet(a, b, is32)
        : isOneValue(a, is32)
          ? areSet(b, a, is32)
          : null;
    default:
      return order(
        operation,
        lowestAgainstHighest(operation, a, b, is32),
        -lowestAgainstHighest(operation, b, a, is32),
      );
  }
}

function areEqual(a: Bounds, b: Bounds, is32: boolean): boolean | null {
  if (isOneValue(a, is32) && isOneValue(b, is32)) {
    return a.bits.valueLow === b.bits.valueLow && (is32 || a.bits.valueHigh === b.bits.valueHigh);
  }
  if (!tnum.overlap(bitsOf(a, is32), bitsOf(b, is32))) return false;
  if (!is32 && (isApart(a, b) || isApart(b, a))) return false;
  const apart =
    a.u32min > b.u32max || a.u32max < b.u32min || a.s32min > b.s32max || a.s32max < b.s32min;
  return apart ? false : null;
}

/** Whether all of `a` is above all of `b`, in 64 bits. */
function isApart(a: Bounds, b: Bounds): boolean {
  return (
    W.compareUnsigned(a.uminHigh, a.uminLow, b.umaxHigh, b.umaxLow) > 0 ||
    W.compareSigned(a.sminHigh, a.sminLow, b.smaxHigh, b.smaxLow) > 0
  );
}

/** @param b - one value. */
function areSet(a: Bounds, b: Bounds, is32: boolean): boolean | null {
  const { valueHigh, valueLow, maskHigh, maskLow } = bitsOf(a, is32);
  const { valueHigh: wantedHigh, valueLow: wantedLow } = bitsOf(b, is32);
  if (((valueHigh & wantedHigh) | (valueLow & wantedLow)) !== 0) return true;
  const mayBe = ((valueHigh | maskHigh) & wantedHigh) | ((valueLow | maskLow) & wantedLow);
  return mayBe === 0 ? false : null;
}

/** The lower end of `a` against the upper end of `b`: below 0, 0 or above. */
function lowestAgainstHighest(operation: number, a: Bounds, b: Bounds, is32: boolean): number {
  if (isSigned(operation)) {
    if (is32) return a.s32min - b.s32max;
    return W.compareSigned(a.sminHigh, a.sminLow, b.smaxHigh, b.smaxLow);
  }
  if (is32) return a.u32min - b.u32max;
  return W.compareUnsigned(a.uminHigh, a.uminLow, b.umaxHigh, b.umaxLow);
}

function isSigned(operation: number): boolean {
  return (
    operation === I.BPF_JSGT ||
    operation === I.BPF_JSGE ||
    operation === I.BPF_JSLT ||
    operation === I.BPF_JSLE
  );
}

/**
 * Whether an order is known.
 *
 * @param lowest - of the first operand, against the highest of the second: below 0, 0 or above.
 * @param highest - of the first operand, against the lowest of the second.
 */
function order(operation: number, lowest: number, highest: number): boolean | null {
  switch (operation) {
    case I.BPF_JGT:
    case I.BPF_JSGT:
      return lowest > 0 ? true : highest <= 0 ? false : null;
    case I.BPF_JGE:
    case I.BPF_JSGE:
      return lowest >= 0 ? true : highest < 0 ? false : null;
    case I.BPF_JLT:
    case I.BPF_JSLT:
      return highest < 0 ? true : lowest >= 0 ? false : null;
    default:
      return highest <= 0 ? true : lowest > 0 ? false : null;
  }
}

/** What is known of both operands. */
export type Pair = readonly [Bounds, Bounds];

/**
 * What is known of both operands where the condition holds, and where it doesn't; null where that
 * can't be: nothing is left of a range.
 */
export interface Learnt {
  readonly taken: Pair | null;
  readonly passed: Pair | null;
}

/** Lets both operands learn from a comparison. */
export function learn(a: Bounds, b: Bounds, operation: number, is32: boolean): Learnt {
  return {
    taken: refined(a, b, operation, is32),
    passed: refined(a, b, OPPOSITE.get(operation) ?? operation, is32),
  };
}

/**
 * As {@link learn}, of a register that is compared with itself: it learns as if it were two, and
 * then is both. Linux follows either way.
 */
export function learnOfItself(a: Bounds, operation: number, is32: boolean): Learnt {
  return {
    taken: refinedTwice(a, operation, is32),
    passed: refinedTwice(a, OPPOSITE.get(operation) ?? operation, is32),
  };
}

function refinedTwice(a: Bounds, operation: number, is32: boolean): Pair {
  const both = B.copyBounds(a);
  refine(both, both, operation, is32);
  // Once for either operand: ranges that nothing is left of go on telling bits.
  B.sync(both);
  B.sync(both);
  const left = settled(both);
  return [left, left];
}

function refined(a: Bounds, b: Bounds, operation: number, is32: boolean): Pair | null {
  const first = B.copyBounds(a);
  const second = B.copyBounds(b);
  refine(first, second, operation, is32);
  B.sync(first);
  B.sync(second);
  return B.isEmpty(first) || B.isEmpty(second) ? null : [settled(first), settled(second)];
}

/**
 * Contradictions come of branches that are never taken: forget the ranges, as Linux does. Analogous
 * to reg_bounds_sanity_check().
 */
function settled(b: B.Bounds): B.Bounds {
  if (!B.isContradictory(b)) return b;
  B.unbound64(b);
  B.unbound32(b);
  return b;
}

function refine(a: B.Bounds, b: B.Bounds, operation: number, is32: boolean): void {
  switch (operation) {
    case I.BPF_JEQ:
      meet(a, b, is32);
      break;
    case I.BPF_JNE:
      if (isOneValue(b, is32)) trimEdge(a, b, is32);
      else if (isOneValue(a, is32)) trimEdge(b, a, is32);
      break;
    case I.BPF_JSET:
      if (isOneValue(b, is32)) learnSet(a, bitsOf(b, is32), is32);
      else if (isOneValue(a, is32)) learnSet(b, bitsOf(a, is32), is32);
      break;
    case NOT_SET:
      if (isOneValue(b, is32)) learnClear(a, bitsOf(b, is32), is32);
      else if (isOneValue(a, is32)) learnClear(b, bitsOf(a, is32), is32);
      break;
    case I.BPF_JLE:
    case I.BPF_JLT:
      lessUnsigned(a, b, operation === I.BPF_JLT, is32);
      break;
    case I.BPF_JSLE:
    case I.BPF_JSLT:
      lessSigned(a, b, operation === I.BPF_JSLT, is32);
      break;
    default:
      refine(b, a, flip(operation), is32);
  }
}

function meet(a: B.Bounds, b: B.Bounds, is32: boolean): void {
  if (is32) {
    a.u32min = b.u32min = Math.max(a.u32min, b.u32min);
    a.u32max = b.u32max = Math.min(a.u32max, b.u32max);
    a.s32min = b.s32min = Math.max(a.s32min, b.s32min);
    a.s32max = b.s32max = Math.min(a.s32max, b.s32max);
    const low = tnum.intersect(tnum.lowHalf(a.bits), tnum.lowHalf(b.bits));
    a.bits = tnum.withLowHalf(a.bits, low);
    b.bits = tnum.withLowHalf(b.bits, low);
    return;
  }
  meetRanges(a, b);
  meetRanges(b, a);
  a.bits = b.bits = tnum.intersect(a.bits, b.bits);
}

/** Makes the 64-bit ranges of `a` no wider than those of `b`. */
function meetRanges(a: B.Bounds, b: Bounds): void {
  B.raiseU64(a, b.uminHigh, b.uminLow);
  B.lowerU64(a, b.umaxHigh, b.umaxLow);
  B.raiseS64(a, b.sminHigh, b.sminLow);
  B.lowerS64(a, b.smaxHigh, b.smaxLow);
}

/** A value that is excluded makes a range smaller when it is at one of its ends. */
function trimEdge(a: B.Bounds, b: Bounds, is32: boolean): void {
  const { valueHigh: high, valueLow: low } = b.bits;
  if (is32) {
    if (a.u32minWord === low) a.u32min++;
    if (a.u32maxWord === low) a.u32max--;
    if (a.s32min === low) a.s32min = (low + 1) | 0;
    if (a.s32max === low) a.s32max = (low - 1) | 0;
    return;
  }
  const above = (high + W.carry(low, 1)) | 0;
  const below = (high - W.borrow(low, 1)) | 0;
  if (a.uminLow === low && a.uminHigh === high) {
    a.uminHigh = above;
    a.uminLow = (low + 1) | 0;
  }
  if (a.umaxLow === low && a.umaxHigh === high) {
    a.umaxHigh = below;
    a.umaxLow = (low - 1) | 0;
  }
  if (a.sminLow === low && a.sminHigh === high) {
    a.sminHigh = above;
    a.sminLow = (low + 1) | 0;
  }
  if (a.smaxLow === low && a.smaxHigh === high) {
    a.smaxHigh = below;
    a.smaxLow = (low - 1) | 0;
  }
}

/** One of the bits is set; only of a single one is it known which. */
function learnSet(a: B.Bounds, { valueHigh, valueLow }: tnum.Tnum, is32: boolean): void {
  if (!isSingleBit(valueHigh, valueLow)) return;
  const set = tnum.constantWords(valueHigh, valueLow);
  a.bits = is32
    ? tnum.withLowHalf(a.bits, tnum.or(tnum.lowHalf(a.bits), set))
    : tnum.or(a.bits, set);
}

function isSingleBit(high: number, low: number): boolean {
  const rest = (high & (high - 1)) | (low & (low - 1));
  return rest === 0 && (high === 0) !== (low === 0);
}

/** None of the bits is set. The ranges are learnt anew from that. */
function learnClear(a: B.Bounds, { valueHigh, valueLow }: tnum.Tnum, is32: boolean): void {
  B.unbound64(a);
  B.unbound32(a);
  const kept = tnum.constantWords(~valueHigh, ~valueLow);
  a.bits = is32
    ? tnum.withLowHalf(a.bits, tnum.and(tnum.lowHalf(a.bits), kept))
    : tnum.and(a.bits, kept);
}

function lessUnsigned(a: B.Bounds, b: B.Bounds, strict: boolean, is32: boolean): void {
  const by = strict ? 1 : 0;
  if (is32) {
    a.u32max = Math.min(a.u32max, b.u32max - by);
    b.u32min = Math.max(b.u32min, a.u32min + by);
    return;
  }
  B.lowerU64(a, (b.umaxHigh - W.borrow(b.umaxLow, by)) | 0, (b.umaxLow - by) | 0);
  B.raiseU64(b, (a.uminHigh + W.carry(a.uminLow, by)) | 0, (a.uminLow + by) | 0);
}

function lessSigned(a: B.Bounds, b: B.Bounds, strict: boolean, is32: boolean): void {
  const by = strict ? 1 : 0;
  if (is32) {
    a.s32max = Math.min(a.s32max, b.s32max - by);
    b.s32min = Math.max(b.s32min, a.s32min + by);
    return;
  }
  B.lowerS64(a, (b.smaxHigh - W.borrow(b.smaxLow, by)) | 0, (b.smaxLow - by) | 0);
  B.raiseS64(b, (a.sminHigh + W.carry(a.sminLow, by)) | 0, (a.sminLow + by) | 0);
}
