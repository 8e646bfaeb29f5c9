/**
 * JavaScript's operators on numbers that are terms: bit vectors, read as signed, together with the
 * range in which they are known to be, so that each is as wide as its numbers need.
 */

import { larger, smaller } from "../../src/kernel/verifier/bounds.ts";
import * as T from "./terms.ts";

/** What the rewritten code does that has no meaning here: nothing is left out silently. */
export class Inexpressible extends Error {}

/** Terms are no JavaScript values: code that was not rewritten must not calculate with them. */
class Opaque {
  [Symbol.toPrimitive](): never {
    throw new Inexpressible("a term in code that was not rewritten");
  }
}

/** A truth value. */
export class Bool extends Opaque {
  readonly term: T.Term;
  constructor(term: T.Term) {
    super();
    this.term = term;
  }
}

/** A number or bigint, from `min` to `max`. */
export class Num extends Opaque {
  readonly term: T.Term;
  readonly min: bigint;
  readonly max: bigint;
  readonly isBig: boolean;
  /** Of a number that may be rounded: what it is without. */
  readonly exact: Num | null;
  /** Of a number times a power of two: that number, and the power. */
  scaled: { readonly of: Num; readonly bits: number } | null = null;

  constructor(term: T.Term, min: bigint, max: bigint, isBig = false, exact: Num | null = null) {
    super();
    const width = widthFor(min, max);
    this.term = width < term.width ? T.extract(term, width - 1, 0) : term;
    this.min = min;
    this.max = max;
    this.isBig = isBig;
    this.exact = exact;
  }
}

/** Above it numbers are rounded. */
const EXACT = 2n ** 53n;
const S32_MIN = -(2n ** 31n);
const S32_MAX = 2n ** 31n - 1n;
const U32_MAX = 2n ** 32n - 1n;

/** Bits of the signed bit vectors that hold all from `min` to `max`. */
function widthFor(min: bigint, max: bigint): number {
  let width = 1;
  while (min < -(1n << BigInt(width - 1)) || max >= 1n << BigInt(width - 1)) width++;
  return width;
}

/** A JavaScript value as a term. */
export function numOf(value: unknown): Num {
  if (value instanceof Num) return value;
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw new Inexpressible(`${String(value)} is no number`);
  }
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new Inexpressible(`${value} is no integer`);
  }
  const big = BigInt(value);
  const term = T.constant(widthFor(big, big), big);
  return new Num(term, big, big, typeof value === "bigint");
}

export function boolOf(value: unknown): Bool {
  if (value instanceof Bool) return value;
  if (typeof value === "boolean") return new Bool(value ? T.TRUE : T.FALSE);
  throw new Inexpressible(`${String(value)} is no truth value`);
}

/** Constants as what they are in JavaScript. */
export function simplified(value: Num | Bool): Num | Bool | number | bigint | boolean {
  if (!T.isConstant(value.term)) return value;
  if (value instanceof Bool) return value.term === T.TRUE;
  const big = T.signedValue(value.term);
  return value.isBig ? big : Number(big);
}

/** The term, in so many bits or, where that is fewer, the lowest of them. */
export function bitsOf(value: unknown, width: number): T.Term {
  const { term } = numOf(value);
  return width < term.width ? T.extract(term, width - 1, 0) : T.signExtend(term, width);
}

/** An s32, of which nothing else is known. */
export function wordOf(term: T.Term): Num {
  return new Num(term, S32_MIN, S32_MAX);
}

export function unsignedOf(term: T.Term, isBig = false): Num {
  const max = (1n << BigInt(term.width)) - 1n;
  return new Num(T.zeroExtend(term, term.width + 1), 0n, max, isBig);
}

export function signedOf(term: T.Term, isBig = false): Num {
  const limit = 1n << BigInt(term.width - 1);
  return new Num(term, -limit, limit - 1n, isBig);
}

/** What the rounding of numbers is known by: see {@link rounded}. */
export type Assume = (fact: T.Term) => void;

/**
 * A number of which the exact value may need more than 53 bits. It is that value if either of them
 * is below 2^53: rounding to the nearest keeps the order, and keeps those numbers as they are.
 */
function rounded(exact: Num, { assume, roundings }: Arithmetic): Num {
  const { min, max } = exact;
  if (min >= -EXACT && max <= EXACT) return exact;
  if (T.isConstant(exact.term)) {
    const value = BigInt(Number(T.signedValue(exact.term)));
    return new Num(T.constant(widthFor(value, value), value), value, value, false, exact);
  }
  const known = roundings.get(exact.term);
  if (known !== undefined) return known;
  const lowest = min < 0n ? min * 2n : 0n;
  const highest = max > 0n ? max * 2n : 0n;
  const width = widthFor(lowest, highest);
  const term = T.variable("rounded", width);
  assume(isBetween(term, lowest, highest));
  const isSmall = (value: T.Term): T.Term =>
    T.and(
      T.signedLess(T.constant(width, -EXACT), value),
      T.signedLess(value, T.constant(width, EXACT)),
    );
  const wide = bitsOf(exact, width);
  assume(T.implies(T.or(isSmall(wide), isSmall(term)), T.equal(wide, term)));
  const result = new Num(term, lowest, highest, false, exact);
  roundings.set(exact.term, result);
  return result;
}

function isBetween(term: T.Term, min: bigint, max: bigint): T.Term {
  const [low, high] = [T.constant(term.width, min), T.constant(term.width, max)];
  return T.and(T.not(T.signedLess(term, low)), T.not(T.signedLess(high, term)));
}

/** Products of terms are variables: what is known of them, a lemma has to say. */
export interface Product {
  readonly a: Num;
  readonly b: Num;
  readonly result: Num;
}

/** Where products are kept, and what rounding is known by. */
export interface Arithmetic {
  readonly products: Map<string, Product>;
  /** By the exact number. */
  readonly roundings: Map<T.Term, Num>;
  readonly assume: Assume;
}

function corners(a: Num, b: Num): readonly bigint[] {
  return [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
}

function least(values: readonly bigint[]): bigint {
  return values.reduce(smaller);
}

function most(values: readonly bigint[]): bigint {
  return values.reduce(larger);
}

/** The product of two terms. */
export function product(a: Num, b: Num, { products, assume }: Arithmetic): Num {
  const [first, second] = a.term.id <= b.term.id ? [a, b] : [b, a];
  const key = `${first.term.id} ${second.term.id}`;
  let found = products.get(key);
  if (found === undefined) {
    const [min, max] = [least(corners(a, b)), most(corners(a, b))];
    const term = T.variable("product", widthFor(min, max));
    assume(isBetween(term, min, max));
    found = { a: first, b: second, result: new Num(term, min, max, true) };
    products.set(key, found);
  }
  return found.result;
}

/** A number that was shifted to the left, and one that takes only the bits which that left free. */
function beside(a: Num, b: Num): T.Term | null {
  if (a.scaled === null) return null;
  const { of, bits } = a.scaled;
  if (b.min < 0n || b.max >= 1n << BigInt(bits)) return null;
  return T.concat(of.term, bitsOf(b, bits));
}

function multiply(a: Num, b: Num, arithmetic: Arithmetic): Num {
  const isConstant = T.isConstant(a.term) || T.isConstant(b.term);
  const [x, y] = [a.exact ?? a, b.exact ?? b];
  const [min, max] = [least(corners(x, y)), most(corners(x, y))];
  const width = widthFor(min, max);
  const exact = isConstant
    ? new Num(T.binary("bvmul", bitsOf(x, width), bitsOf(y, width)), min, max)
    : product(x, y, arithmetic);
  if (a.isBig) return new Num(exact.term, min, max, true);
  const result = new Num(exact.term, min, max);
  const bits = widthFor(0n, b.max) - 2;
  const isPower = T.isConstant(b.term) && bits > 0 && b.max === 1n << BigInt(bits);
  if (!isPower || a.exact !== null) return rounded(result, arithmetic);
  // Times a power of two: that is exact.
  result.scaled = { of: a, bits };
  return result;
}

function sum(operator: "bvadd" | "bvsub", a: Num, b: Num, arithmetic: Arithmetic): Num {
  const isSum = operator === "bvadd";
  if (T.isConstant(b.term) && b.min === 0n) return a;
  if (a.exact !== null || b.exact !== null) throw new Inexpressible("a sum of rounded numbers");
  const min = isSum ? a.min + b.min : a.min - b.max;
  const max = isSum ? a.max + b.max : a.max - b.min;
  const width = widthFor(min, max);
  const term =
    (isSum ? beside(a, b) : null) ?? T.binary(operator, bitsOf(a, width), bitsOf(b, width));
  const exact = new Num(term, min, max, a.isBig);
  return a.isBig ? exact : rounded(exact, arithmetic);
}

const BITWISE: Readonly<Record<string, string>> = { "&": "bvand", "|": "bvor", "^": "bvxor" };

function bitwise(operator: string, a: Num, b: Num): Num {
  const width = a.isBig ? Math.max(a.term.width, b.term.width) : 32;
  const joined = operator === "|" && a.isBig ? beside(a, b) : null;
  if (joined !== null) return new Num(joined, a.min, a.max + b.max, true);
  const term = T.binary(BITWISE[operator] as string, bitsOf(a, width), bitsOf(b, width));
  const masks = operator === "&" ? [a, b].filter(({ min }) => min >= 0n) : [];
  const [mask] = masks.sort((x, y) => (x.max < y.max ? -1 : 1));
  if (mask !== undefined && (a.isBig || mask.max <= S32_MAX)) {
    return new Num(term, 0n, mask.max, a.isBig);
  }
  return signedOf(term, a.isBig);
}

/** By how much 32-bit operators shift. */
function shiftBits(by: Num): T.Term {
  return T.binary("bvand", bitsOf(by, 32), T.constant(32, 31n));
}

function shift(operator: string, a: Num, by: Num): Num {
  if (a.isBig) return bigShift(operator, a, by);
  const word = bitsOf(a, 32);
  if (operator === "<<") return wordOf(T.binary("bvshl", word, shiftBits(by)));
  const isFixed = T.isConstant(by.term);
  const bits = isFixed ? by.min & 31n : 0n;
  if (operator === ">>>") {
    const shifted = T.binary("bvlshr", word, shiftBits(by));
    return new Num(T.zeroExtend(shifted, 33), 0n, U32_MAX >> bits);
  }
  return new Num(T.binary("bvashr", word, shiftBits(by)), S32_MIN >> bits, S32_MAX >> bits);
}

function bigShift(operator: string, a: Num, by: Num): Num {
  if (!T.isConstant(by.term) || by.min < 0n) throw new Inexpressible("a bigint shifted by a term");
  if (operator === ">>>") throw new Inexpressible(">>> of a bigint");
  if (operator === ">>") {
    const amount = T.constant(a.term.width, by.min);
    const term = T.binary("bvashr", a.term, amount);
    return new Num(term, a.min >> by.min, a.max >> by.min, true);
  }
  const [min, max] = [a.min << by.min, a.max << by.min];
  const width = widthFor(min, max);
  const term = T.binary("bvshl", bitsOf(a, width), T.constant(width, by.min));
  const result = new Num(term, min, max, true);
  result.scaled = { of: a, bits: Number(by.min) };
  return result;
}

/** A number divided by a power of two, which only Math.floor() may see. */
export class Fraction extends Opaque {
  readonly value: Num;
  readonly bits: number;
  constructor(value: Num, bits: number) {
    super();
    this.value = value;
    this.bits = bits;
  }
}

function divide(a: Num, b: Num): Fraction {
  const bits = widthFor(0n, b.max) - 2;
  if (!T.isConstant(b.term) || b.max !== 1n << BigInt(bits)) {
    throw new Inexpressible("a division by something else than a power of two");
  }
  return new Fraction(a, bits);
}

/** Math.floor(). */
export function floor(value: unknown): Num {
  if (!(value instanceof Fraction)) return numOf(value);
  const { value: a, bits } = value;
  const amount = T.constant(a.term.width, BigInt(bits));
  const term = T.binary("bvashr", a.term, amount);
  return new Num(term, a.min >> BigInt(bits), a.max >> BigInt(bits));
}

/** a < b. Both not negative: as unsigned numbers, which saves a bit. */
export function less(a: Num, b: Num): T.Term {
  if (a.max < b.min) return T.TRUE;
  if (a.min >= b.max) return T.FALSE;
  const isUnsigned = a.min >= 0n && b.min >= 0n;
  const width = Math.max(a.term.width, b.term.width);
  if (!isUnsigned) return T.signedLess(bitsOf(a, width), bitsOf(b, width));
  const narrow = width > 1 ? width - 1 : width;
  return T.unsignedLess(bitsOf(a, narrow), bitsOf(b, narrow));
}

/** a === b. */
export function equalNums(a: Num, b: Num): T.Term {
  if (a.max < b.min || b.max < a.min) return T.FALSE;
  const width = Math.max(a.term.width, b.term.width);
  return T.equal(bitsOf(a, width), bitsOf(b, width));
}

/** One of two. */
export function chooseNum(condition: T.Term, a: Num, b: Num): Num {
  if (a.exact !== null || b.exact !== null) return chooseRounded(condition, a, b);
  const width = Math.max(a.term.width, b.term.width);
  const term = T.choose(condition, bitsOf(a, width), bitsOf(b, width));
  return new Num(term, least([a.min, b.min]), most([a.max, b.max]), a.isBig);
}

function chooseRounded(condition: T.Term, a: Num, b: Num): Num {
  const plain = ({ term, min, max }: Num): Num => new Num(term, min, max);
  const value = chooseNum(condition, plain(a), plain(b));
  const exact = chooseNum(condition, a.exact ?? a, b.exact ?? b);
  return new Num(value.term, value.min, value.max, false, exact);
}

/** A binary operator of JavaScript, where one operand is a term. */
export function operate(
  operator: string,
  left: unknown,
  right: unknown,
  arithmetic: Arithmetic,
): Num | Bool | Fraction {
  const [a, b] = [numOf(left), numOf(right)];
  const isShift = operator === "<<" || operator === ">>";
  if (a.isBig !== b.isBig && !(isShift && a.isBig)) {
    throw new Inexpressible(`a number ${operator} a bigint`);
  }
  switch (operator) {
    case "+":
      return sum("bvadd", a, b, arithmetic);
    case "-":
      return sum("bvsub", a, b, arithmetic);
    case "*":
      return multiply(a, b, arithmetic);
    case "/":
      return divide(a, b);
    case "&":
    case "|":
    case "^":
      return bitwise(operator, a, b);
    case "<<":
    case ">>":
    case ">>>":
      return shift(operator, a, b);
    case "<":
      return new Bool(less(a, b));
    case ">":
      return new Bool(less(b, a));
    case "<=":
      return new Bool(T.not(less(b, a)));
    case ">=":
      return new Bool(T.not(less(a, b)));
    default:
      throw new Inexpressible(`${operator} of terms`);
  }
}

/** Math.clz32(): one case a bit. */
export function leadingZeros(value: Num): Num {
  const word = bitsOf(value, 32);
  let term = T.constant(7, 32n);
  for (let bit = 0; bit < 32; bit++) {
    const isSet = T.equal(T.extract(word, bit, bit), T.constant(1, 1n));
    term = T.choose(isSet, T.constant(7, BigInt(31 - bit)), term);
  }
  return new Num(term, 0n, 32n);
}

/** BigInt.asIntN() and BigInt.asUintN(). */
export function wrapped(bits: number, value: Num, isSigned: boolean): Num {
  const term = bitsOf(value, bits);
  return isSigned ? signedOf(term, true) : unsignedOf(term, true);
}

/** Number(): of a bigint that a number holds exactly. */
export function numberOf(value: Num): Num {
  if (value.min < -EXACT || value.max > EXACT) throw new Inexpressible("Number() that rounds");
  return new Num(value.term, value.min, value.max);
}

/** BigInt(). */
export function bigOf({ term, min, max, exact }: Num): Num {
  if (exact !== null) throw new Inexpressible("BigInt() of a rounded number");
  return new Num(term, min, max, true);
}

/** Number.isSafeInteger(). */
export function isSafe(value: Num): T.Term {
  const limit = (sign: bigint): Num => numOf(sign * (EXACT - 1n));
  return T.and(T.not(less(value, limit(-1n))), T.not(less(limit(1n), value)));
}
