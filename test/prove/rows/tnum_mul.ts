/** Lemmas of multiplying tracked numbers, whose loop is shown to be right by induction. */

import {
  describes,
  type Goals,
  hasBits,
  isProper,
  type Lemma,
  LONG,
  longOf,
  type Row,
} from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf, wordOf } from "../numbers.ts";
import type { Variables } from "../symbolic.ts";
import * as T from "../terms.ts";
import { upTo } from "./tnum.ts";

function fault(from: string, to: string): Fault {
  return { module: "tnum", from, to };
}

const operation =
  (name: string) =>
  (a: T.Term, b: T.Term): T.Term =>
    T.binary(name, a, b);

function long(value: number | bigint): T.Term {
  return T.constant(LONG, BigInt(value));
}

/** The variables of the loop in mul(), in the order in which it assigns them. */
interface Round {
  readonly sum: Loaded;
  readonly left: Loaded;
  readonly right: Loaded;
}

function roundOf([sum, left, right]: Variables): Round {
  return { sum, left, right } as Round;
}

/** Numbers of the three: the product is always `s + l * r`. */
interface Ghosts {
  readonly s: T.Term;
  readonly l: T.Term;
  readonly r: T.Term;
}

function inRound({ sum, left, right }: Round, { s, l, r }: Ghosts): T.Term {
  const members = T.and(hasBits(sum, s), hasBits(left, l), hasBits(right, r));
  return T.and(members, isProper(sum), isProper(left), isProper(right));
}

/** By how much a round shifts: to the next bit that may be one. */
function roundShift(lemma: Lemma, { left }: Round): T.Term {
  const low = T.binary("bvor", bitsOf(left.valueLow, 32), bitsOf(left.maskLow, 32));
  const rest = T.binary("bvand", low, T.constant(32, -2n));
  const zeros = lemma.run(() => lemma.get("tnum.trailingZeros")(wordOf(rest)));
  const bits = bitsOf(zeros, LONG);
  return T.choose(T.equal(bits, long(0)), long(1), bits);
}

/** The loop of mul(), by its invariant. @param x, y - what is multiplied; `xy` the product. */
function byInvariant(lemma: Lemma, x: T.Term, y: T.Term, xy: T.Term): void {
  const anew = (): readonly [Round, Ghosts] => [
    { sum: lemma.tnum("sum"), left: lemma.tnum("left"), right: lemma.tnum("right") },
    { s: lemma.long("s").term, l: lemma.long("l").term, r: lemma.long("r").term },
  ];
  let ghosts: Ghosts = { s: long(0), l: x, r: y };
  const values = ({ sum, left, right }: Round): Variables => [sum, left, right];
  lemma.machine.loops.set("tnum.mul 1", {
    havoc: (before) => {
      lemma.machine.require(inRound(roundOf(before), ghosts));
      const [round, numbers] = anew();
      ghosts = numbers;
      lemma.assume(inRound(round, ghosts));
      return values(round);
    },
    check: (before, after) => {
      const { s, l, r } = ghosts;
      const bits = roundShift(lemma, roundOf(before));
      const bit = T.binary("bvand", l, long(1));
      const rest = T.binary("bvlshr", l, bits);
      const next: Ghosts = {
        s: T.choose(T.equal(bit, long(1)), T.binary("bvadd", s, r), s),
        l: rest,
        r: T.binary("bvshl", r, bits),
      };
      const isWhole = T.equal(l, T.binary("bvor", bit, T.binary("bvshl", rest, bits)));
      return T.and(inRound(roundOf(after), next), isWhole);
    },
    leave: () => {
      const [round, { s, l, r }] = anew();
      lemma.assume(inRound(round, { s, l, r }));
      // s + l * r is the product: see the row of the equation.
      lemma.assume(T.implies(T.equal(l, long(0)), T.equal(s, xy)));
      return values(round);
    },
  });
}

const MUL: Row = {
  name: "tnum.mul",
  claim: "the product of any two of the numbers has the bits that are given; its loop by induction",
  uses: ["tnum.mul, equation", "tnum.multiples"],
  faults: [
    fault("sum = union(sum, add(sum, right));", "sum = add(sum, right);"),
    fault("right = shiftLeft(right, bits);", "right = shiftLeft(right, 1);"),
  ],
  prove(lemma): Goals {
    const [a, b] = [lemma.tnum("a"), lemma.tnum("b")];
    const [x, y] = [lemma.oneOf(a, "x").term, lemma.oneOf(b, "y").term];
    const xy = lemma.long("product").term;
    byInvariant(lemma, x, y, xy);
    lemma.machine.contracts.set("tnum.multiples", () =>
      lemma.tnumWith("multiples", [[T.TRUE, xy]]),
    );
    const result = lemma.run(() => lemma.get("tnum.mul")(a, b));
    for (const { a: first, b: second, result: known } of lemma.machine.products.values()) {
      const isThis = T.and(T.equal(bitsOf(first, LONG), x), T.equal(bitsOf(second, LONG), y));
      lemma.assume(T.implies(isThis, T.equal(bitsOf(known, LONG), xy)));
    }
    return describes(result, xy);
  },
};

const EQUATION: Row = {
  name: "tnum.mul, equation",
  claim: "s + (2^k h + b) y = (s + b y) + h (2^k y), for b = 0, 1 and k = 1 to 32",
  cases: upTo(32, 1).flatMap((bits) => [`${bits} 0`, `${bits} 1`]),
  first: "z3",
  faults: [],
  prove(lemma, of): Goals {
    const [bits = 0, bit = 0] = String(of).split(" ").map(Number);
    const [s, h, y] = ["s", "h", "y"].map((name) => lemma.long(name).term) as [
      T.Term,
      T.Term,
      T.Term,
    ];
    const add = operation("bvadd");
    const times = operation("bvmul");
    const power = long(1n << BigInt(bits));
    const left = add(s, times(add(times(power, h), long(bit)), y));
    const right = add(bit === 1 ? add(s, y) : s, times(h, times(power, y)));
    return { equal: T.equal(left, right) };
  },
};

const MULTIPLES: Row = {
  name: "tnum.multiples",
  claim:
    "any number times a known one that ends with k zeros has the bits that are given, k = 0 to 64",
  cases: upTo(64),
  first: "z3",
  faults: [
    fault(
      "return new Tnum(0, 0, -1, valueLow | -valueLow);",
      "return new Tnum(0, 0, -1, -valueLow);",
    ),
    fault(
      "return new Tnum(0, 0, valueHigh | -valueHigh, 0);",
      "return new Tnum(0, 0, valueHigh, 0);",
    ),
  ],
  prove(lemma, of): Goals {
    const zeros = Number(of);
    const x = lemma.long("x").term;
    // What ends with so many zeros, and has a one above them.
    const rest = zeros < 63 ? T.variable("rest", 63 - zeros) : null;
    const top = T.constant(1, 1n);
    const ones = zeros === 64 ? null : rest === null ? top : T.concat(rest, top);
    const end = zeros === 0 ? null : T.constant(zeros, 0n);
    const y = ones === null ? long(0) : end === null ? ones : T.concat(ones, end);
    const { Tnum } = lemma.modules.tnum;
    const { high, low } = longOf(y);
    const result = lemma.run(() => lemma.get("tnum.multiples")(new Tnum(high, low, 0, 0)));
    return describes(result, T.binary("bvmul", x, y));
  },
};

export const MUL_ROWS: readonly Row[] = [MUL, EQUATION, MULTIPLES];
