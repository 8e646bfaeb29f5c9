/**
 * Comparisons of numbers: which way a conditional jump is known to go, and what is learnt on each
 * of its ways. Analogous to is_branch_taken() and reg_set_min_max() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import * as tnum from "./tnum.ts";

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
  return is32 ? B.u32(b.bits.mask) === 0 : b.bits.mask === 0n;
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
    case I.BPF_JSGT:
    case I.BPF_JSGE:
    case I.BPF_JSLT:
    case I.BPF_JSLE:
      return is32
        ? order(operation, a.s32min, a.s32max, b.s32min, b.s32max)
        : order(operation, a.smin, a.smax, b.smin, b.smax);
    default:
      return is32
        ? order(operation, a.u32min, a.u32max, b.u32min, b.u32max)
        : order(operation, a.umin, a.umax, b.umin, b.umax);
  }
}

function areEqual(a: Bounds, b: Bounds, is32: boolean): boolean | null {
  const bits = bitsOf(a, is32);
  const others = bitsOf(b, is32);
  if (bits.mask === 0n && others.mask === 0n) return bits.value === others.value;
  if (!tnum.overlap(bits, others)) return false;
  if (!is32) {
    if (a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin) return false;
  }
  const apart =
    a.u32min > b.u32max || a.u32max < b.u32min || a.s32min > b.s32max || a.s32max < b.s32min;
  return apart ? false : null;
}

/** @param b - one value. */
function areSet(a: Bounds, b: Bounds, is32: boolean): boolean | null {
  const { value, mask } = bitsOf(a, is32);
  const wanted = bitsOf(b, is32).value;
  if ((value & wanted) !== 0n) return true;
  return ((value | mask) & wanted) === 0n ? false : null;
}

function order<T extends number | bigint>(
  operation: number,
  min: T,
  max: T,
  otherMin: T,
  otherMax: T,
): boolean | null {
  switch (operation) {
    case I.BPF_JGT:
    case I.BPF_JSGT:
      return min > otherMax ? true : max <= otherMin ? false : null;
    case I.BPF_JGE:
    case I.BPF_JSGE:
      return min >= otherMax ? true : max < otherMin ? false : null;
    case I.BPF_JLT:
    case I.BPF_JSLT:
      return max < otherMin ? true : min >= otherMax ? false : null;
    default:
      return max <= otherMin ? true : min > otherMax ? false : null;
  }
}

/** What is known of both operands. */
export type Pair = readonly [Bounds, Bounds];

/** What is known of both operands where the condition holds, and where it doesn't. */
export function learn(
  a: Bounds,
  b: Bounds,
  operation: number,
  is32: boolean,
): { readonly taken: Pair; readonly passed: Pair } {
  return {
    taken: refined(a, b, operation, is32),
    passed: refined(a, b, OPPOSITE.get(operation) ?? operation, is32),
  };
}

function refined(a: Bounds, b: Bounds, operation: number, is32: boolean): Pair {
  const first = B.copyBounds(a);
  const second = B.copyBounds(b);
  refine(first, second, operation, is32);
  return [settled(first), settled(second)];
}

/** Contradictions come of branches that are never taken: forget, as Linux does. */
function settled(b: B.Bounds): B.Bounds {
  B.sync(b);
  return B.isContradictory(b) ? B.unbounded() : b;
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
      if (isOneValue(b, is32)) learnSet(a, bitsOf(b, is32).value, is32);
      else if (isOneValue(a, is32)) learnSet(b, bitsOf(a, is32).value, is32);
      break;
    case NOT_SET:
      if (isOneValue(b, is32)) learnClear(a, bitsOf(b, is32).value, is32);
      else if (isOneValue(a, is32)) learnClear(b, bitsOf(a, is32).value, is32);
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
  a.umin = b.umin = B.larger(a.umin, b.umin);
  a.umax = b.umax = B.smaller(a.umax, b.umax);
  a.smin = b.smin = B.larger(a.smin, b.smin);
  a.smax = b.smax = B.smaller(a.smax, b.smax);
  a.bits = b.bits = tnum.intersect(a.bits, b.bits);
}

/** A value that is excluded makes a range smaller when it is at one of its ends. */
function trimEdge(a: B.Bounds, b: Bounds, is32: boolean): void {
  const { value } = b.bits;
  if (is32) {
    const low = B.u32(value);
    if (a.u32min === low) a.u32min++;
    if (a.u32max === low) a.u32max--;
    if (a.s32min === (low | 0)) a.s32min++;
    if (a.s32max === (low | 0)) a.s32max--;
    return;
  }
  const signed = BigInt.asIntN(64, value);
  if (a.umin === value) a.umin++;
  if (a.umax === value) a.umax--;
  if (a.smin === signed) a.smin++;
  if (a.smax === signed) a.smax--;
}

/** One of the bits is set; only of a single one is it known which. */
function learnSet(a: B.Bounds, value: bigint, is32: boolean): void {
  if (value === 0n || (value & (value - 1n)) !== 0n) return;
  const set = tnum.constant(value);
  a.bits = is32
    ? tnum.withLowHalf(a.bits, tnum.or(tnum.lowHalf(a.bits), set))
    : tnum.or(a.bits, set);
}

/** None of the bits is set. The ranges are learnt anew from that. */
function learnClear(a: B.Bounds, value: bigint, is32: boolean): void {
  B.unbound64(a);
  B.unbound32(a);
  const kept = tnum.constant(~value);
  a.bits = is32
    ? tnum.withLowHalf(a.bits, tnum.and(tnum.lowHalf(a.bits), kept))
    : tnum.and(a.bits, kept);
}

function lessUnsigned(a: B.Bounds, b: B.Bounds, strict: boolean, is32: boolean): void {
  if (is32) {
    const by = strict ? 1 : 0;
    a.u32max = Math.min(a.u32max, b.u32max - by);
    b.u32min = Math.max(b.u32min, a.u32min + by);
    return;
  }
  const by = strict ? 1n : 0n;
  if (b.umax - by < a.umax) a.umax = b.umax - by;
  if (a.umin + by > b.umin) b.umin = a.umin + by;
}

function lessSigned(a: B.Bounds, b: B.Bounds, strict: boolean, is32: boolean): void {
  if (is32) {
    const by = strict ? 1 : 0;
    a.s32max = Math.min(a.s32max, b.s32max - by);
    b.s32min = Math.max(b.s32min, a.s32min + by);
    return;
  }
  const by = strict ? 1n : 0n;
  if (b.smax - by < a.smax) a.smax = b.smax - by;
  if (a.smin + by > b.smin) b.smin = a.smin + by;
}
