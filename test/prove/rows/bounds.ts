/** Lemmas of what is known of a number: no range and no bit loses a number that may be there. */

import {
  type Goals,
  hasBits,
  holds,
  isIn,
  join,
  type Lemma,
  longOf,
  type Row,
  truth,
} from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import { bitsOf, signedOf, unsignedOf } from "../numbers.ts";
import * as T from "../terms.ts";
import { ends, isBelow } from "./tnum.ts";

type Faults = readonly [Fault, Fault];

function fault(from: string, to: string): Fault {
  return { module: "bounds", from, to };
}

/** What `tnum.step` is proved to be. */
export function stepContract(lemma: Lemma): void {
  lemma.machine.contracts.set("tnum.step", (a: Loaded, high: unknown, low: unknown) => {
    const than = join(high, low);
    const found = longOf(lemma.long("step").term);
    for (const x of lemma.witnesses) {
      const isNext = T.and(hasBits(a, x), isBelow(than, x));
      lemma.assume(T.implies(isNext, T.not(isBelow(x, found.term))));
    }
    return lemma.get("tnum.constantWords")(found.high, found.low);
  });
}

/** A function that changes bounds: each number in them stays in them. */
function keeps(name: string, faults: Faults, uses: readonly string[] = []): Row {
  return {
    name: `bounds.${name}`,
    claim: "every number that was in the bounds stays in them",
    uses,
    faults,
    prove(lemma): Goals {
      const b = lemma.bounds("b");
      const x = lemma.memberOf(b, "x").term;
      if (uses.includes("tnum.step")) stepContract(lemma);
      if (uses.includes("tnum, ends")) lemma.assume(...Object.values(ends(b.bits, x)));
      lemma.keepsResult(x, ...uses.filter((use) => use.startsWith("bounds.")));
      lemma.run(() => lemma.get(`bounds.${name}`)(b));
      return holds(b, x);
    },
  };
}

/** A question about bounds, of which one answer says that there is no such number. */
function denies(name: string, faults: Faults): Row {
  return {
    name: `bounds.${name}`,
    claim: "is never said of bounds that a number is in",
    faults,
    prove(lemma): Goals {
      const b = lemma.bounds("b");
      lemma.memberOf(b, "x");
      const said = truth(lemma.run(() => lemma.get(`bounds.${name}`)(b)));
      return { answer: T.not(said) };
    },
  };
}

/** Whether an answer about two bounds is right of any number. */
function answer(name: string, claim: string, faults: Faults): Row {
  return {
    name: `bounds.${name}`,
    claim,
    faults,
    prove(lemma): Goals {
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const x = lemma.memberOf(b, "x").term;
      const said = truth(lemma.run(() => lemma.get(`bounds.${name}`)(a, b)));
      return { answer: T.implies(said, isIn(a, x)) };
    },
  };
}

/** Bounds of one number. */
function exact(name: string, make: (lemma: Lemma, x: T.Term) => Loaded, faults: Faults): Row {
  return {
    name: `bounds.${name}`,
    claim: "the number is in the bounds",
    faults,
    prove(lemma): Goals {
      const x = lemma.long("x").term;
      return holds(
        lemma.run(() => make(lemma, x)),
        x,
      );
    },
  };
}

/** Setters by bigint. */
const SET_BIG: Row = {
  name: "bounds.Bounds",
  claim: "ends that are read as bigint or u32, and written back, are what they were",
  faults: [
    fault("this.sminHigh = W.highWord(value);", "this.sminHigh = W.lowWord(value);"),
    fault("return this.u32maxWord >>> 0;", "return this.u32maxWord >> 0;"),
  ],
  prove(lemma): Goals {
    const b = lemma.bounds("b");
    const copy = lemma.run(() => lemma.get("bounds.copyBounds")(b));
    return lemma.goals(() => {
      const goals: Record<string, T.Term> = {};
      for (const end of ["smin", "smax", "umin", "umax"]) {
        const value = b[end];
        const isSigned = end.startsWith("s");
        const term = join(b[`${end}High`], b[`${end}Low`]);
        const meant = isSigned ? signedOf(term, true) : unsignedOf(term, true);
        goals[`${end} is`] = T.equal(bitsOf(value, 65), bitsOf(meant, 65));
        copy[end] = value;
        goals[end] = T.equal(join(copy[`${end}High`], copy[`${end}Low`]), term);
      }
      for (const end of ["u32min", "u32max"]) {
        const word = bitsOf(b[`${end}Word`], 32);
        goals[`${end} is`] = T.equal(bitsOf(b[end], 33), T.zeroExtend(word, 33));
        copy[end] = b[end];
        goals[end] = T.equal(bitsOf(copy[`${end}Word`], 32), word);
      }
      return goals;
    });
  },
};

export const BOUNDS_ROWS: readonly Row[] = [
  SET_BIG,
  exact("exactly", (lemma, x) => lemma.get("bounds.exactly")(unsignedOf(x, true)), [
    fault(
      "return exactlyWords(W.highWord(value), W.lowWord(value));",
      "return exactlyWords(0, W.lowWord(value));",
    ),
    fault("setS64(b, high, low, high, low);", "setS64(b, 0, low, high, low);"),
  ]),
  exact(
    "exactlyWords",
    (lemma, x) => {
      const { high, low } = longOf(x);
      return lemma.get("bounds.exactlyWords")(high, low);
    },
    [
      fault(
        "  b.u32minWord = low;\n  b.u32maxWord = low;\n}",
        "  b.u32minWord = low;\n  b.u32maxWord = 0;\n}",
      ),
      fault("b.bits = tnum.constantWords(high, low);", "b.bits = tnum.constantWords(low, low);"),
    ],
  ),
  exact(
    "unbound64, unbound32",
    (lemma, x) => {
      const b = lemma.bounds("b");
      lemma.assume(hasBits(b.bits, x));
      lemma.get("bounds.unbound64")(b);
      lemma.get("bounds.unbound32")(b);
      return b;
    },
    [
      fault("setS64(b, S32_MIN, 0, S32_MAX, -1);", "setS64(b, S32_MIN, 0, S32_MAX, 0);"),
      fault(
        "  b.u32minWord = 0;\n  b.u32maxWord = -1;",
        "  b.u32minWord = 1;\n  b.u32maxWord = -1;",
      ),
    ],
  ),
  keeps("learn32FromBits", [
    fault("narrowU32(b, valueLow, valueLow | maskLow);", "narrowU32(b, valueLow, valueLow);"),
    fault("valueLow | (maskLow & S32_MIN), ", "valueLow, "),
  ]),
  keeps(
    "learnFromBits",
    [
      fault(
        "raiseS64(b, valueHigh | (maskHigh & S32_MIN), valueLow);",
        "raiseS64(b, valueHigh, valueLow);",
      ),
      fault(
        "lowerU64(b, valueHigh | maskHigh, valueLow | maskLow);",
        "lowerU64(b, valueHigh | maskHigh, valueLow);",
      ),
    ],
    ["tnum, ends", "bounds.settleOnlyOne"],
  ),
  keeps(
    "settleOnlyOne",
    [
      fault(
        "if (isBelow(b, next)) setExactly(b, uminHigh, uminLow);",
        "setExactly(b, uminHigh, uminLow);",
      ),
      fault(
        "isLast || (!isBelow(b, next) && isBelow(b, tnum.step(bits, high, low)))",
        "isLast || !isBelow(b, next)",
      ),
    ],
    ["tnum.step"],
  ),
  keeps("deduce32", [
    fault(
      "if (uminLow <= umaxLow) narrowS32(b, uminLow, umaxLow);",
      "narrowS32(b, uminLow, umaxLow);",
    ),
    fault("b.u32max = Math.min(b.u32max, most);", "b.u32max = Math.min(b.u32max, most - 1);"),
  ]),
  keeps("deduce64", [
    fault("raiseU64(b, sminHigh, sminLow);\n  }\n}", "raiseU64(b, umaxHigh, umaxLow);\n  }\n}"),
    fault("if (W.compareSigned(uminHigh, uminLow, umaxHigh, umaxLow) <= 0) {", "{"),
  ]),
  keeps("deduceMixed", [
    fault("lowerS64(b, b.smaxHigh, u32maxWord);", "lowerS64(b, b.smaxHigh, s32max);"),
    fault("if (s32min < 0 || !isShort(b)) return;", "if (s32min < 0) return;"),
  ]),
  keeps("learnBits", [
    fault(
      "const low = tnum.range(0, b.u32minWord, 0, b.u32maxWord);",
      "const low = tnum.range(0, b.u32minWord, 0, b.s32max);",
    ),
    fault(
      "tnum.range(b.uminHigh, b.uminLow, b.umaxHigh, b.umaxLow)",
      "tnum.range(b.uminHigh, b.uminLow, b.umaxHigh, b.uminLow)",
    ),
  ]),
  keeps(
    "sync",
    [
      fault("if (isUnbounded(b)) return;", "if (isUnbounded(b)) { setExactly(b, 0, 0); return; }"),
      fault("    deduce(b);\n", "    deduce(b);\n    assign(b, UNBOUNDED); b.s32max = 0;\n"),
    ],
    [
      "bounds.learnFromBits",
      "bounds.deduce32",
      "bounds.deduce64",
      "bounds.deduceMixed",
      "bounds.learnBits",
    ],
  ),
  denies("isEmpty", [
    fault("b.u32min > b.u32max ||", "b.u32min >= b.u32max ||"),
    fault(
      "W.compareSigned(b.sminHigh, b.sminLow, b.smaxHigh, b.smaxLow) > 0 ||",
      "W.compareUnsigned(b.sminHigh, b.sminLow, b.smaxHigh, b.smaxLow) > 0 ||",
    ),
  ]),
  answer("includes", "where it says yes, every number of the second is in the first", [
    fault("      outer.u32max >= inner.u32max &&\n", ""),
    fault(
      "W.compareSigned(outer.sminHigh, outer.sminLow, inner.sminHigh, inner.sminLow) <= 0",
      "W.compareUnsigned(outer.sminHigh, outer.sminLow, inner.sminHigh, inner.sminLow) <= 0",
    ),
  ]),
  answer("sameBounds", "where it says yes, every number of the second is in the first", [
    fault("    a.smaxHigh === b.smaxHigh &&\n", ""),
    fault(" && tnum.same(a.bits, b.bits));", ");"),
  ]),
  {
    ...denies("widthOf", [
      { module: "words", from: "64 - Math.clz32(high)", to: "63 - Math.clz32(high)" },
      { module: "words", from: "32 - Math.clz32(low)", to: "31 - Math.clz32(low)" },
    ]),
    claim: "every number in the bounds takes so many bits at most",
    prove(lemma): Goals {
      const b = lemma.bounds("b");
      const x = lemma.memberOf(b, "x").term;
      const width = bitsOf(
        lemma.run(() => lemma.get("bounds.widthOf")(b)),
        64,
      );
      return { fits: T.equal(T.binary("bvlshr", x, width), T.constant(64, 0n)) };
    },
  },
];
