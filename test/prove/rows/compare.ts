/** Lemmas of comparisons: which way a jump is known to go, and what is learnt on each way. */

import * as I from "../../../src/abi/insn.ts";
import { type Goals, holds, isIn, type Lemma, lowWord, type Row } from "../lemma.ts";
import type { Fault, Loaded } from "../loader.ts";
import * as T from "../terms.ts";

function fault(from: string, to: string): Fault {
  return { module: "compare", from, to };
}

/** As in compare.ts: what no instruction is. */
const NOT_SET = 0x100;

interface Condition {
  readonly name: string;
  readonly code: number;
  readonly holds: (a: T.Term, b: T.Term) => T.Term;
}

const areSet = (a: T.Term, b: T.Term): T.Term =>
  T.not(T.equal(T.binary("bvand", a, b), T.constant(a.width, 0n)));

const CONDITIONS: readonly Condition[] = [
  { name: "JEQ", code: I.BPF_JEQ, holds: T.equal },
  { name: "JNE", code: I.BPF_JNE, holds: (a, b) => T.not(T.equal(a, b)) },
  { name: "JSET", code: I.BPF_JSET, holds: areSet },
  { name: "JGT", code: I.BPF_JGT, holds: (a, b) => T.unsignedLess(b, a) },
  { name: "JGE", code: I.BPF_JGE, holds: (a, b) => T.not(T.unsignedLess(a, b)) },
  { name: "JLT", code: I.BPF_JLT, holds: T.unsignedLess },
  { name: "JLE", code: I.BPF_JLE, holds: (a, b) => T.not(T.unsignedLess(b, a)) },
  { name: "JSGT", code: I.BPF_JSGT, holds: (a, b) => T.signedLess(b, a) },
  { name: "JSGE", code: I.BPF_JSGE, holds: (a, b) => T.not(T.signedLess(a, b)) },
  { name: "JSLT", code: I.BPF_JSLT, holds: T.signedLess },
  { name: "JSLE", code: I.BPF_JSLE, holds: (a, b) => T.not(T.signedLess(b, a)) },
];

const UNSET: Condition = {
  name: "not JSET",
  code: NOT_SET,
  holds: (a, b) => T.not(areSet(a, b)),
};

function isTrue({ holds: said }: Condition, x: T.Term, y: T.Term, is32: boolean): T.Term {
  return is32 ? said(lowWord(x), lowWord(y)) : said(x, y);
}

function named(of: string | number): { readonly condition: Condition; readonly is32: boolean } {
  const [name, width] = String(of).split(", ");
  const condition = [...CONDITIONS, UNSET].find((one) => one.name === name);
  if (condition === undefined) throw new Error(`there is no condition ${name}`);
  return { condition, is32: width === "32" };
}

function casesOf(conditions: readonly Condition[]): string[] {
  return conditions.flatMap(({ name }) => [`${name}, 64`, `${name}, 32`]);
}

const OUTCOME: Row = {
  name: "compare.outcome",
  claim: "where it says always or never, that is so of any two numbers",
  cases: casesOf(CONDITIONS),
  faults: [
    fault(
      "return lowest > 0 ? true : highest <= 0 ? false : null;",
      "return lowest >= 0 ? true : highest <= 0 ? false : null;",
    ),
    fault("a.u32min > b.u32max ||", "a.u32min >= b.u32max ||"),
    fault("if (is32) return a.s32min - b.s32max;", "if (is32) return a.s32min - b.s32min;"),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
    const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
    const so = isTrue(condition, x, y, is32);
    return lemma.goals(() => {
      const said: unknown = lemma.get("compare.outcome")(a, b, condition.code, is32);
      if (said === null) return { never: T.TRUE, always: T.TRUE };
      const isAlways = lemma.machine.truth(said);
      return isAlways ? { never: T.TRUE, always: so } : { never: T.not(so), always: T.TRUE };
    });
  },
};

/** What each of the functions that refine() calls may lose. */
const REFINE: Row = {
  name: "compare.refine",
  claim: "two numbers for which the condition holds stay in their bounds",
  cases: casesOf([...CONDITIONS, UNSET]),
  faults: [
    fault(
      "a.u32max = Math.min(a.u32max, b.u32max - by);",
      "a.u32max = Math.min(a.u32max, b.u32max - 1);",
    ),
    fault("if (a.s32max === low) a.s32max = (low - 1) | 0;", "a.s32max = (low - 1) | 0;"),
    fault("if (!isSingleBit(valueHigh, valueLow)) return;", ""),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
    const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
    lemma.assume(isTrue(condition, x, y, is32));
    lemma.run(() => {
      lemma.get("compare.refine")(a, b, condition.code, is32);
      return null;
    });
    const [first, second] = [holds(a, x), holds(b, y)];
    return {
      ...prefixed("a", first),
      ...prefixed("b", second),
    };
  },
};

function prefixed(name: string, goals: Goals): Goals {
  return Object.fromEntries(Object.entries(goals).map(([part, goal]) => [`${name} ${part}`, goal]));
}

/** A number compared with itself: one object is both. */
const REFINE_ITSELF: Row = {
  name: "compare.refine, of itself",
  claim:
    "a number for which the condition holds when it is compared with itself stays in its bounds",
  cases: casesOf([...CONDITIONS, UNSET]),
  faults: [
    fault("B.lowerS64(a, b.smaxHigh, b.smaxLow);", "B.lowerS64(a, b.sminHigh, b.smaxLow);"),
    fault(
      "b.s32min = Math.max(b.s32min, a.s32min + by);",
      "b.s32min = Math.max(b.s32min, a.s32min + 1);",
    ),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const a = lemma.bounds("a");
    const x = lemma.memberOf(a, "x").term;
    lemma.assume(isTrue(condition, x, x, is32));
    lemma.run(() => {
      lemma.get("compare.refine")(a, a, condition.code, is32);
      return null;
    });
    return holds(a, x);
  },
};

/** Lets refine() be what its lemma says, of the two numbers. */
function refineContract(lemma: Lemma, x: T.Term, y: T.Term): void {
  lemma.machine.contracts.set(
    "compare.refine",
    (a: Loaded, b: Loaded, code: number, is32: boolean) => {
      const condition = [...CONDITIONS, UNSET].find((one) => one.code === code);
      if (condition === undefined) throw new Error(`there is no condition ${code}`);
      const before = T.and(isIn(a, x), isIn(b, y), isTrue(condition, x, y, is32));
      const fill = (bounds: Loaded, value: T.Term): void => {
        const fresh = lemma.bounds("refined");
        for (const [key, end] of Object.entries(fresh)) lemma.machine.set(bounds, key, end);
        lemma.assume(T.implies(before, isIn(fresh, value)));
      };
      fill(a, x);
      if (b !== a) fill(b, y);
    },
  );
}

/** What holds of both of a pair; a pair that is null says that there are no such numbers. */
function ofPair(pair: Loaded | null, x: T.Term, y: T.Term, so: T.Term): T.Term {
  return pair === null ? T.not(so) : T.implies(so, T.and(isIn(pair[0], x), isIn(pair[1], y)));
}

const LEARN: Row = {
  name: "compare.learn",
  claim:
    "on the way that they take, two numbers stay in their bounds, and that way is not left out",
  cases: casesOf(CONDITIONS),
  uses: ["compare.refine", "bounds.sync"],
  faults: [
    fault(
      "[I.BPF_JGT, I.BPF_JLE],\n  [I.BPF_JLE, I.BPF_JGT],",
      "[I.BPF_JGT, I.BPF_JLT],\n  [I.BPF_JLE, I.BPF_JGT],",
    ),
    fault(
      "return B.isEmpty(first) || B.isEmpty(second) ? null :",
      "return B.isEmpty(first) || !B.isEmpty(second) ? null :",
    ),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
    const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
    refineContract(lemma, x, y);
    lemma.keeps("bounds.sync");
    const so = isTrue(condition, x, y, is32);
    return lemma.goals(() => {
      const { taken, passed } = lemma.get("compare.learn")(a, b, condition.code, is32);
      return { taken: ofPair(taken, x, y, so), passed: ofPair(passed, x, y, T.not(so)) };
    });
  },
};

const LEARN_OF_ITSELF: Row = {
  name: "compare.learnOfItself",
  claim: "on the way that it takes, a number compared with itself stays in its bounds",
  cases: casesOf(CONDITIONS),
  uses: ["compare.refine, of itself", "bounds.sync"],
  faults: [
    fault(
      "taken: refinedTwice(a, operation, is32),",
      "taken: refinedTwice(a, OPPOSITE.get(operation) ?? operation, is32),",
    ),
    fault(
      "refine(both, both, operation, is32);",
      "refine(both, both, operation, !is32); B.setExactly(both, 0, 0);",
    ),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const a = lemma.bounds("a");
    const x = lemma.memberOf(a, "x").term;
    refineContract(lemma, x, x);
    lemma.keeps("bounds.sync");
    const so = isTrue(condition, x, x, is32);
    return lemma.goals(() => {
      const { taken, passed } = lemma.get("compare.learnOfItself")(a, condition.code, is32);
      return { taken: ofPair(taken, x, x, so), passed: ofPair(passed, x, x, T.not(so)) };
    });
  },
};

export const COMPARE_ROWS: readonly Row[] = [
  OUTCOME,
  REFINE,
  REFINE_ITSELF,
  LEARN,
  LEARN_OF_ITSELF,
];
