/** Lemmas of the ranges of sums, differences and products. */

import { type Goals, join, type Lemma, LONG, membership, type Row } from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf, type Product } from "../numbers.ts";
import * as T from "../terms.ts";

type Faults = readonly Fault[];
type Operation = (a: T.Term, b: T.Term) => T.Term;

function fault(from: string, to: string): Fault {
  return { module: "scalar_alu", from, to };
}

const operation =
  (name: string): Operation =>
  (a, b) =>
    T.binary(name, a, b);

/** The ranges of bounds alone. */
export function ranges(b: Loaded, x: T.Term): Goals {
  const { bits: _, ...rest } = membership(b, x);
  return rest;
}

/**
 * Ranges of sums and differences. The exact result is a variable between what the ends of the
 * ranges give: see the row of sums.
 */
function ofTwo(name: string, isSum: boolean, faults: Faults): Row {
  return {
    name: `scalar_alu.${name}`,
    claim:
      "the result of any two numbers is in the 64-bit ranges, its lower half in the 32-bit ones",
    cases: ["u64", "s64", "u32", "s32"],
    uses: ["sums, ends"],
    faults,
    prove(lemma, of): Goals {
      const reading = String(of) as Reading;
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const exact = T.variable("result", SUM);
      const [min, max] = endsOf(a, reading);
      const [otherMin, otherMax] = isSum ? endsOf(b, reading) : endsOf(b, reading).toReversed();
      const apply = operation(isSum ? "bvadd" : "bvsub");
      lemma.assume(T.not(T.signedLess(exact, apply(min as T.Term, otherMin as T.Term))));
      lemma.assume(T.not(T.signedLess(apply(max as T.Term, otherMax as T.Term), exact)));
      lemma.assume(isEven(a, reading), isEven(b, reading));
      lemma.run(() => {
        lemma.get(`scalar_alu.${name}`)(a, b);
        return null;
      });
      const { [of]: range = T.FALSE, words = T.FALSE } = membership(a, T.extract(exact, 63, 0));
      return { range, words };
    },
  };
}

/** Bits for sums of what is read in 64 bits. */
const SUM = 67;

/** The ends of a range, as wide as sums. */
function endsOf(b: Loaded, reading: Reading): readonly T.Term[] {
  const word = (name: string): T.Term =>
    reading.endsWith("64")
      ? join(b[`${name}High`], b[`${name}Low`])
      : bitsOf(b[reading === "u32" ? `${name}Word` : name], 32);
  const name = reading.endsWith("64") ? reading.charAt(0) : reading;
  const extend = reading.startsWith("u") ? T.zeroExtend : T.signExtend;
  return ["min", "max"].map((end) => extend(word(`${name}${end}`), SUM));
}

/** Whether there is a number in the range. */
function isEven(b: Loaded, reading: Reading): T.Term {
  const [min, max] = endsOf(b, reading) as [T.Term, T.Term];
  return T.not(T.signedLess(max, min));
}

/** Both readings of a number, as wide as their product. */
const WIDE = 130;

function min(a: T.Term, b: T.Term): T.Term {
  return T.choose(T.signedLess(a, b), a, b);
}

function max(a: T.Term, b: T.Term): T.Term {
  return T.choose(T.signedLess(a, b), b, a);
}

/**
 * Products of the ends of two ranges are variables. What is known of them: those of any two numbers
 * in the ranges are between them, read as the ranges are. See the rows of products.
 */
function betweenCorners(lemma: Lemma, xy: T.Term): void {
  const products = [...lemma.machine.products.values()].map(({ result }: Product) =>
    bitsOf(result, WIDE),
  );
  const [first, ...others] = products;
  if (first === undefined) return;
  const [least, most] = [others.reduce(min, first), others.reduce(max, first)];
  lemma.assume(T.not(T.signedLess(xy, least)), T.not(T.signedLess(most, xy)));
}

/** As {@link betweenCorners}, of what is never negative: the ends are the first and the last. */
function betweenEnds(
  lemma: Lemma,
  xy: T.Term,
  ends: readonly T.Term[],
  otherEnds: readonly T.Term[],
): void {
  for (const { a, b, result } of lemma.machine.products.values()) {
    const product = bitsOf(result, WIDE);
    const isOf = (i: number): T.Term => {
      const [end, otherEnd] = [ends[i], otherEnds[i]] as [T.Term, T.Term];
      const are = (one: T.Term, other: T.Term): T.Term =>
        T.and(T.equal(bitsOf(a, SUM), one), T.equal(bitsOf(b, SUM), other));
      return T.or(are(end, otherEnd), are(otherEnd, end));
    };
    lemma.assume(T.implies(isOf(0), T.not(T.signedLess(xy, product))));
    lemma.assume(T.implies(isOf(1), T.not(T.signedLess(product, xy))));
  }
}

export type Reading = "s32" | "u32" | "s64" | "u64";

/**
 * Ranges of products. The product of the two numbers, read in so many bits and with a sign or
 * without, is a variable too, of which the lowest bits are those of the result.
 */
function product(name: string, readings: readonly Reading[], faults: Faults): Row {
  return {
    name: `scalar_alu.${name}`,
    claim: "the product of any two numbers is in the range; other ranges stay as they are",
    cases: readings,
    uses: ["products, corners", "products, ends", "products, rounding"],
    faults,
    prove(lemma, of): Goals {
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const before = { ...a };
      for (const [bounds, number] of [
        [a, "x"],
        [b, "y"],
      ] as const) {
        const { [of]: range = T.FALSE } = membership(bounds, lemma.long(number).term);
        lemma.assume(range);
      }
      const exact = T.variable("product", WIDE);
      const [ends, otherEnds] = [a, b].map((bounds) => endsOf(bounds, of as Reading));
      lemma.run(() => {
        lemma.get(`scalar_alu.${name}`)(a, b);
        return null;
      });
      forgetProducts(lemma, !String(of).startsWith("s"));
      if (String(of).startsWith("s")) betweenCorners(lemma, exact);
      else betweenEnds(lemma, exact, ends ?? [], otherEnds ?? []);
      const { [of]: range = T.FALSE, words = T.FALSE } = membership(
        a,
        T.extract(exact, LONG - 1, 0),
      );
      const others = Object.keys(before)
        .filter((key) => !readings.some((reading) => key.startsWith(RANGE_NAMES[reading])))
        .map((key) => (before[key] === a[key] ? T.TRUE : T.FALSE));
      return { range, words, others: T.and(...others) };
    },
  };
}

export const RANGE_NAMES: Readonly<Record<Reading, string>> = {
  s64: "sm",
  u64: "um",
  s32: "s32",
  u32: "u32",
};

/** Forgets products of the other ranges that the function is about. */
function forgetProducts(lemma: Lemma, areSigned: boolean): void {
  const { products } = lemma.machine;
  for (const [key, { a, b }] of products) {
    if ((a.min < 0n || b.min < 0n) === areSigned) products.delete(key);
  }
}

/** Declares reals that stand for integers: none of them is between 0 and 1. */
function integers(names: string): string {
  return names
    .split(" ")
    .map(
      (name) =>
        `(declare-fun ${name} () Real)
        (assert (or (= ${name} 0) (>= ${name} 1) (<= ${name} (- 1))))`,
    )
    .join("\n");
}

const FACTS: readonly Row[] = [
  {
    name: "sums, ends",
    claim: "sums and differences of numbers of two ranges are between those of the ranges' ends",
    first: "z3",
    faults: [],
    prove: () => ({}),
    reals: `${integers("a b c d x y")}
      (assert (and (<= a x) (<= x b) (<= c y) (<= y d)))
      (assert (not (and (<= (+ a c) (+ x y) (+ b d)) (<= (- a d) (- x y) (- b c)))))`,
  },
  {
    name: "products, corners",
    claim: "products of numbers of two ranges are between the products of the ranges' ends",
    first: "z3",
    faults: [],
    prove: () => ({}),
    reals: `${integers("a b c d x y")}
      (assert (and (<= a x) (<= x b) (<= c y) (<= y d)))
      (define-fun xy () Real (* x y))
      (assert (or (and (< xy (* a c)) (< xy (* a d)) (< xy (* b c)) (< xy (* b d)))
                  (and (> xy (* a c)) (> xy (* a d)) (> xy (* b c)) (> xy (* b d)))))`,
  },
  {
    name: "products, ends",
    claim:
      "of two ranges without negative numbers: between those of the first and of the last ends",
    first: "z3",
    faults: [],
    prove: () => ({}),
    reals: `${integers("a b c d x y")}
      (assert (and (<= 0 a) (<= a x) (<= x b) (<= 0 c) (<= c y) (<= y d)))
      (assert (not (and (<= (* a c) (* x y)) (<= (* x y) (* b d)))))`,
  },
  {
    name: "products, rounding",
    claim: "a rounded product of rounded numbers that is below 2^53, or should be, is exact",
    first: "z3",
    faults: [],
    prove: () => ({}),
    // Each rounding keeps what is below 2^53, and makes nothing of it that isn't.
    reals: `${integers("a b ra rb r")}
      (define-fun small ((v Real)) Bool
        (and (< (- 9007199254740992) v) (< v 9007199254740992)))
      (define-fun rounds ((v Real) (to Real)) Bool (=> (or (small v) (small to)) (= v to)))
      (assert (and (rounds a ra) (rounds b rb) (rounds (* ra rb) r)))
      (assert (or (small r) (small (* a b))))
      (assert (not (= r (* a b))))`,
  },
];

export const RANGE_ROWS: readonly Row[] = [
  ofTwo("addRanges", true, [
    fault("if (umin <= B.U32_MAX && umax > B.U32_MAX) {", "if (umin < 0) {"),
    fault(
      "if (fits32(smin) && fits32(smax)) {\n    B.setS64(b, smin, (b.sminLow + src.sminLow)",
      "if (fits32(smin)) {\n    B.setS64(b, smin, (b.sminLow + src.sminLow)",
    ),
  ]),
  ofTwo("subRanges", false, [
    fault("if (umin < 0 && umax >= 0) {", "if (umin < 0 && umax > 0) {"),
    fault("const s32min = b.s32min - src.s32max;", "const s32min = b.s32min - src.s32min;"),
  ]),
  ...FACTS,
  product(
    "mul32Ranges",
    ["u32", "s32"],
    [
      fault("if (u32max > B.U32_MAX) setU32", "if (u32max < 0) setU32"),
      fault("if (fits32(least) && fits32(most)) setS32", "if (fits32(least)) setS32"),
    ],
  ),
  product(
    "mulSignedRange",
    ["s64"],
    [
      fault("if (min < B.S64_MIN || max > B.S64_MAX) return;", "if (min < B.S64_MIN) return;"),
      fault("return { least: Math.min(a, b, c, d) + 0", "return { least: Math.min(a, b, c) + 0"),
    ],
  ),
  product(
    "mulUnsignedRange",
    ["u64"],
    [
      fault("umax === null || umax > B.U64_MAX", "umax === null"),
      fault("  b.umin *= src.umin;\n", ""),
    ],
  ),
];
