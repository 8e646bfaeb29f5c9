/** Lemmas of tracked numbers: what tnum.ts says of the bits of a result is true. */

import {
  describes,
  type Goals,
  hasBits,
  join,
  type Lemma,
  LONG,
  lowHalf,
  lowWord,
  type Row,
  truth,
} from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf, unsignedOf } from "../numbers.ts";
import * as T from "../terms.ts";

function fault(from: string, to: string): Fault {
  return { module: "tnum", from, to };
}

type Operation = (a: T.Term, b: T.Term) => T.Term;
type Faults = readonly [Fault, Fault];

const operation =
  (name: string): Operation =>
  (a, b) =>
    T.binary(name, a, b);

export function upTo(last: number, first = 0): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function long(value: number | bigint): T.Term {
  return T.constant(LONG, BigInt(value));
}

/** Of two tnums, what of any two of their numbers. */
function ofTwo(name: string, apply: Operation, faults: Faults, more: Partial<Row> = {}): Row {
  return {
    name: `tnum.${name}`,
    claim: "the result of any two of the numbers has the bits that are given",
    faults,
    prove(lemma): Goals {
      const [a, b] = [lemma.tnum("a"), lemma.tnum("b")];
      const [x, y] = [lemma.oneOf(a, "x"), lemma.oneOf(b, "y")];
      const result = lemma.run(() => lemma.get(`tnum.${name}`)(a, b));
      return describes(result, apply(x.term, y.term));
    },
    ...more,
  };
}

/** Shifts by a number that is known. */
function shift(
  name: string,
  last: number,
  apply: (x: T.Term, bits: number) => T.Term,
  faults: Faults,
  width?: 32 | 64,
): Row {
  return {
    name: `tnum.${name}${width === undefined ? "" : `, ${width} bits`}`,
    claim: `by 0 to ${last}: the shifted number has the bits that are given`,
    cases: upTo(last),
    faults,
    prove(lemma, bits): Goals {
      const a = lemma.tnum("a");
      if (width === 32) {
        for (const high of [a.valueHigh, a.maskHigh]) {
          lemma.assume(T.equal(bitsOf(high, 32), T.constant(32, 0n)));
        }
      }
      const x = lemma.oneOf(a, "x");
      const result = lemma.run(() => lemma.get(`tnum.${name}`)(a, bits, width));
      return describes(result, apply(x.term, Number(bits)));
    },
  };
}

/** Whether an answer about two tnums is right of any numbers of theirs. */
function answer(
  name: string,
  claim: string,
  right: (said: T.Term, inA: T.Term, inB: T.Term) => T.Term,
  faults: Faults,
): Row {
  return {
    name: `tnum.${name}`,
    claim,
    faults,
    prove(lemma): Goals {
      const [a, b] = [lemma.tnum("a"), lemma.tnum("b")];
      const x = lemma.long("x").term;
      const said = truth(lemma.run(() => lemma.get(`tnum.${name}`)(a, b)));
      return { answer: right(said, hasBits(a, x), hasBits(b, x)) };
    },
  };
}

export function isBelow(a: T.Term, b: T.Term): T.Term {
  return T.unsignedLess(a, b);
}

/** Between which ends all numbers of a tnum are. */
export function ends(a: Loaded, x: T.Term): Goals {
  const value = join(a.valueHigh, a.valueLow);
  const mask = join(a.maskHigh, a.maskLow);
  const sign = T.constant(LONG, 1n << 63n);
  const most = T.binary("bvor", value, mask);
  const lowest = T.binary("bvor", value, T.binary("bvand", mask, sign));
  const highest = T.binary("bvor", value, T.binary("bvand", mask, T.complement(sign)));
  return {
    unsigned: T.and(T.not(isBelow(x, value)), T.not(isBelow(most, x))),
    signed: T.and(T.not(T.signedLess(x, lowest)), T.not(T.signedLess(highest, x))),
  };
}

/** The bytes of a number, the last one first. */
function swapped(x: T.Term, bytes: number): T.Term {
  const parts = upTo(bytes - 1).map((i) => T.extract(x, 8 * i + 7, 8 * i));
  return T.zeroExtend(parts.reduce(T.concat), LONG);
}

const STEP: Row = {
  name: "tnum.step",
  claim: "is one of the numbers, above the given one where any is, and none is between them",
  faults: [
    fault(
      "(leastLow & -bit) | bit | (valueLow & (bit - 1))",
      "(leastLow & -bit) | bit | (valueLow & bit)",
    ),
    fault(
      "const restLow = wrongHigh === 0 ? onesBelow(wrongLow) : -1;",
      "const restLow = onesBelow(wrongLow);",
    ),
  ],
  prove(lemma): Goals {
    const a = lemma.tnum("a");
    const than = lemma.long("than");
    const other = lemma.oneOf(a, "other").term;
    const result = lemma.run(() => lemma.get("tnum.step")(a, than.high, than.low));
    const found = join(result.valueHigh, result.valueLow);
    const last = join(a.valueHigh, a.valueLow);
    const most = T.binary("bvor", last, join(a.maskHigh, a.maskLow));
    return {
      known: T.equal(join(result.maskHigh, result.maskLow), long(0)),
      member: hasBits(a, found),
      above: T.implies(isBelow(than.term, most), isBelow(than.term, found)),
      next: T.implies(isBelow(than.term, other), T.not(isBelow(other, found))),
      last: T.implies(T.not(isBelow(than.term, most)), T.equal(found, most)),
    };
  },
};

/** Of one tnum. */
function ofOne(
  name: string,
  claim: string,
  prove: (lemma: Lemma, a: Loaded, x: T.Term, of: string | number) => Goals,
  faults: Faults,
  cases: readonly number[] = [0],
): Row {
  return {
    name: `tnum.${name}`,
    claim,
    cases,
    faults,
    prove(lemma, of): Goals {
      const a = lemma.tnum("a");
      return prove(lemma, a, lemma.oneOf(a, "x").term, of);
    },
  };
}

export const TNUM_ROWS: readonly Row[] = [
  {
    name: "tnum.constant",
    claim: "the number has the bits that are given",
    faults: [
      fault(
        "return constantWords(W.highWord(value), W.lowWord(value));",
        "return constantWords(0, W.lowWord(value));",
      ),
      {
        module: "words",
        from: "return Number(BigInt.asIntN(32, value >> 32n));",
        to: "return Number(BigInt.asIntN(32, value >> 31n));",
      },
    ],
    prove(lemma): Goals {
      const x = lemma.long("x").term;
      return describes(
        lemma.run(() => lemma.get("tnum.constant")(unsignedOf(x, true))),
        x,
      );
    },
  },
  {
    name: "tnum.range",
    claim: "any number of the range has the bits that are given",
    faults: [
      fault(
        "maskHigh === 0 ? onesBelow(minLow ^ maxLow) : -1",
        "maskHigh === 0 ? onesBelow(minLow ^ maxLow) : 0",
      ),
      fault("(-1 >>> Math.clz32(word)) | 0", "(-1 >>> Math.clz32(word)) >>> 1"),
    ],
    prove(lemma): Goals {
      const [min, max, x] = [lemma.long("min"), lemma.long("max"), lemma.long("x").term];
      lemma.assume(T.not(isBelow(x, min.term)), T.not(isBelow(max.term, x)));
      const result = lemma.run(() => lemma.get("tnum.range")(min.high, min.low, max.high, max.low));
      return describes(result, x);
    },
  },
  ofTwo("add", operation("bvadd"), [
    fault("(sumLow ^ valuesLow) | a.maskLow | b.maskLow", "(sumLow ^ valuesLow) | a.maskLow"),
    fault("+ W.carry(masksLow, valuesLow)) | 0", ") | 0"),
  ]),
  ofTwo("sub", operation("bvsub"), [
    fault("(mostLow ^ leastLow) | a.maskLow | b.maskLow", "(mostLow ^ leastLow) | a.maskLow"),
    fault(" - W.borrow(valuesLow, b.maskLow)) | 0", ") | 0"),
  ]),
  ofOne(
    "neg",
    "the negative of any of the numbers has the bits that are given",
    (lemma, a, x) =>
      describes(
        lemma.run(() => lemma.get("tnum.neg")(a)),
        T.binary("bvsub", long(0), x),
      ),
    [
      fault("return sub(ZERO, a);", "return sub(a, ZERO);"),
      fault("const leastLow = (valuesLow - b.maskLow) | 0;", "const leastLow = valuesLow;"),
    ],
  ),
  ofTwo("and", operation("bvand"), [
    fault("(b.valueLow | b.maskLow) & ~low", "b.valueLow & ~low"),
    fault(
      "const high = a.valueHigh & b.valueHigh;\n  const low",
      "const high = a.valueHigh;\n  const low",
    ),
  ]),
  ofTwo("or", operation("bvor"), [
    fault("(a.maskLow | b.maskLow) & ~low", "a.maskLow & ~low"),
    fault("const high = a.valueHigh | b.valueHigh;", "const high = a.valueHigh;"),
  ]),
  ofTwo("xor", operation("bvxor"), [
    fault("(a.valueHigh ^ b.valueHigh) & ~maskHigh;", "(a.valueHigh | b.valueHigh) & ~maskHigh;"),
    fault("(a.valueLow ^ b.valueLow) & ~maskLow, maskHigh", "a.valueLow & ~maskLow, maskHigh"),
  ]),
  {
    name: "tnum, ends",
    claim: "every number is between the smallest and the largest such number, unsigned and signed",
    faults: [],
    prove(lemma): Goals {
      const a = lemma.tnum("a");
      return ends(a, lemma.oneOf(a, "x").term);
    },
  },
  shift("shiftLeft", 63, (x, bits) => T.binary("bvshl", x, long(bits)), [
    { module: "words", from: "low << (bits - 32);", to: "low << (bits - 31);" },
    { module: "words", from: "if (bits === 0) return high;", to: "" },
  ]),
  shift("shiftRight", 63, (x, bits) => T.binary("bvlshr", x, long(bits)), [
    { module: "words", from: "(high >>> (bits - 32)) | 0;", to: "(high >> (bits - 32)) | 0;" },
    { module: "words", from: "(low >>> bits) | (high << (32 - bits))", to: "(low >>> bits)" },
  ]),
  shift(
    "shiftRightSigned",
    63,
    (x, bits) => T.binary("bvashr", x, long(bits)),
    [
      { module: "words", from: "return high >> Math.min(bits, 31);", to: "return high >> bits;" },
      fault("W.shiftSignedHigh(a.maskHigh, bits),", "W.shiftRightHigh(a.maskHigh, bits),"),
    ],
    64,
  ),
  shift(
    "shiftRightSigned",
    31,
    (x, bits) => T.zeroExtend(T.binary("bvashr", lowWord(x), T.constant(32, BigInt(bits))), LONG),
    [
      fault(
        "new Tnum(0, a.valueLow >> bits, 0, a.maskLow >> bits)",
        "new Tnum(0, a.valueLow >> bits, 0, a.maskLow >>> bits)",
      ),
      fault(
        "new Tnum(0, a.valueLow >> bits, 0, a.maskLow >> bits)",
        "new Tnum(0, a.valueLow >>> bits, 0, a.maskLow >> bits)",
      ),
    ],
    32,
  ),
  {
    ...answer("union", "", () => T.TRUE, [
      fault("(a.valueLow ^ b.valueLow) | a.maskLow | b.maskLow;", "a.maskLow | b.maskLow;"),
      fault(
        "(a.valueHigh ^ b.valueHigh) | a.maskHigh | b.maskHigh;",
        "(a.valueHigh ^ b.valueHigh) | a.maskHigh;",
      ),
    ]),
    claim: "any number of either has the bits that are given",
    prove(lemma): Goals {
      const [a, b] = [lemma.tnum("a"), lemma.tnum("b")];
      const x = lemma.long("x").term;
      lemma.assume(T.or(hasBits(a, x), hasBits(b, x)));
      return describes(
        lemma.run(() => lemma.get("tnum.union")(a, b)),
        x,
      );
    },
  },
  {
    ...answer("intersect", "", () => T.TRUE, [
      fault("const maskLow = a.maskLow & b.maskLow;", "const maskLow = a.maskLow & b.valueLow;"),
      fault("(a.valueLow | b.valueLow) & ~maskLow, maskHigh", "a.valueLow & ~maskLow, maskHigh"),
    ]),
    claim: "any number of both has the bits that are given",
    prove(lemma): Goals {
      const [a, b] = [lemma.tnum("a"), lemma.tnum("b")];
      const x = lemma.long("x").term;
      lemma.assume(hasBits(a, x), hasBits(b, x));
      return describes(
        lemma.run(() => lemma.get("tnum.intersect")(a, b)),
        x,
      );
    },
  },
  answer(
    "overlap",
    "where it says no, no number is one of both",
    (said, inA, inB) => T.implies(T.and(inA, inB), said),
    [
      fault("& ~(a.maskHigh | b.maskHigh)", "& ~a.maskHigh"),
      fault("& ~(a.maskLow | b.maskLow)", "& ~b.maskLow"),
    ],
  ),
  answer(
    "contains",
    "where it says yes, every number of the second is one of the first",
    (said, inA, inB) => T.implies(T.and(said, inB), inA),
    [
      fault("(b.maskHigh & ~a.maskHigh) | (b.maskLow & ~a.maskLow)", "b.maskHigh & ~a.maskHigh"),
      fault("| (a.valueLow ^ (b.valueLow & ~a.maskLow));", ";"),
    ],
  ),
  answer(
    "same",
    "where it says yes, both have the same numbers",
    (said, inA, inB) => T.implies(said, T.equal(inA, inB)),
    [
      fault("    a.valueHigh === b.valueHigh &&\n", ""),
      fault("    a.maskLow === b.maskLow &&\n", ""),
    ],
  ),
  {
    ...answer("isRange", "", () => T.TRUE, [
      fault("(maskHigh | (maskLow & (maskLow + 1))) === 0", "(maskLow & (maskLow + 1)) === 0"),
      fault("(maskHigh & (maskHigh + 1)) === 0", "true"),
    ]),
    claim:
      "where it says yes, all from the smallest of the numbers to the largest are numbers of it",
    prove(lemma): Goals {
      const a = lemma.tnum("a");
      const x = lemma.long("x").term;
      const value = join(a.valueHigh, a.valueLow);
      const most = T.binary("bvor", value, join(a.maskHigh, a.maskLow));
      lemma.assume(T.not(isBelow(x, value)), T.not(isBelow(most, x)));
      const said = truth(lemma.run(() => lemma.get("tnum.isRange")(a)));
      return { answer: T.implies(said, hasBits(a, x)) };
    },
  },
  STEP,
  ofOne(
    "isAligned",
    "where it says yes, all of the numbers are multiples of 1, 2, 4, … 4096",
    (lemma, a, x, of) => {
      const said = truth(lemma.run(() => lemma.get("tnum.isAligned")(a, of)));
      const rest = T.binary("bvand", x, long(Number(of) - 1));
      return { answer: T.implies(said, T.equal(rest, long(0))) };
    },
    [
      fault("(a.valueLow | a.maskLow) & (size - 1)", "a.valueLow & (size - 1)"),
      fault("(a.valueLow | a.maskLow) & (size - 1)", "(a.valueLow | a.maskLow) & (size >> 1)"),
    ],
    upTo(12).map((power) => 2 ** power),
  ),
  ofOne(
    "swap",
    "any of the numbers, its lowest 2, 4 or 8 bytes reversed, has the bits that are given",
    (lemma, a, x, of) =>
      describes(
        lemma.run(() => lemma.get("tnum.swap")(a, of)),
        swapped(x, Number(of)),
      ),
    [
      fault(
        "result = (result << 8n) | ((value >> BigInt(8 * i)) & 0xffn)",
        "result = (result << 8n) | ((value >> BigInt(8 * i)) & 0x7fn)",
      ),
      fault(
        "W.highWord(value), W.lowWord(value), W.highWord(mask), W.lowWord(mask)",
        "W.highWord(value), W.lowWord(value), 0, W.lowWord(mask)",
      ),
    ],
    [2, 4, 8],
  ),
  ofOne(
    "lowHalf",
    "the lower half of any of the numbers has the bits that are given",
    (lemma, a, x) =>
      describes(
        lemma.run(() => lemma.get("tnum.lowHalf")(a)),
        lowHalf(x),
      ),
    [
      fault(
        "return new Tnum(0, a.valueLow, 0, a.maskLow);",
        "return new Tnum(0, a.valueLow, 0, 0);",
      ),
      fault(
        "return new Tnum(0, a.valueLow, 0, a.maskLow);",
        "return new Tnum(a.valueHigh, a.valueLow, 0, a.maskLow);",
      ),
    ],
  ),
  ofTwo("withLowHalf", (a, b) => T.concat(T.extract(a, 63, 32), lowWord(b)), [
    fault(
      "new Tnum(a.valueHigh, low.valueLow, a.maskHigh, low.maskLow)",
      "new Tnum(a.valueHigh, low.valueLow, a.maskHigh, a.maskLow & low.maskLow)",
    ),
    fault(
      "new Tnum(a.valueHigh, low.valueLow, a.maskHigh, low.maskLow)",
      "new Tnum(a.valueHigh, low.valueLow, 0, low.maskLow)",
    ),
  ]),
];
