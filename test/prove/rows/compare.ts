/** Lemmas of comparisons: which way a jump is known to go, and what is learnt on each way. */

import * as I from "../../../src/abi/insn.ts";
import { type Goals, holds, isIn, type Lemma, lowWord, membership, type Row } from "../lemma.ts";
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

/**
 * Lets refine() and what follows it be what their lemmas say, where the condition holds: of each of
 * the bounds one number is known that is in them.
 */
function refineContracts(lemma: Lemma, x: T.Term, y: T.Term): void {
  const { contracts, demands } = lemma.machine;
  const numbers = new WeakMap<Loaded, T.Term>();
  const demand = (b: Loaded): void => {
    for (const part of Object.values(membership(b, numbers.get(b) ?? x))) {
      lemma.machine.require(part);
    }
  };
  const fill = (b: Loaded): void => {
    const fresh = lemma.bounds("refined");
    for (const [key, end] of Object.entries(fresh)) lemma.machine.set(b, key, end);
    lemma.assume(isIn(fresh, numbers.get(b) ?? x));
  };
  demands.set("compare.refine", (a: Loaded, b: Loaded) => {
    numbers.set(a, x);
    numbers.set(b, y);
    demand(a);
    demand(b);
  });
  contracts.set("compare.refine", (a: Loaded, b: Loaded) => {
    fill(a);
    if (b !== a) fill(b);
  });
  demands.set("bounds.sync", demand);
  contracts.set("bounds.sync", fill);
  demands.set("bounds.isEmpty", demand);
  contracts.set("bounds.isEmpty", () => false);
  // Whatever it says: forgetting the ranges loses no number.
  contracts.set("bounds.isContradictory", () => lemma.bool("contradictory"));
}

const REFINED: Row = {
  name: "compare.refined",
  claim: "two numbers for which the condition holds stay in their bounds, and their way is walked",
  cases: casesOf([...CONDITIONS, UNSET]),
  uses: ["compare.refine", "bounds.sync", "bounds.isEmpty"],
  faults: [
    fault(
      "return B.isEmpty(first) || B.isEmpty(second) ? null :",
      "return B.isEmpty(first) || !B.isEmpty(second) ? null :",
    ),
    fault("  refine(first, second, operation, is32);\n", "  B.setExactly(second, 0, 0);\n"),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
    const [x, y] = [lemma.memberOf(a, "x").term, lemma.memberOf(b, "y").term];
    lemma.assume(isTrue(condition, x, y, is32));
    refineContracts(lemma, x, y);
    return lemma.goals(() => {
      const pair: Loaded | null = lemma.get("compare.refined")(a, b, condition.code, is32);
      if (pair === null) return { walked: T.FALSE };
      return { ...prefixed("first", holds(pair[0], x)), ...prefixed("second", holds(pair[1], y)) };
    });
  },
};

const REFINED_TWICE: Row = {
  name: "compare.refinedTwice",
  claim: "a number for which the condition holds, compared with itself, stays in its bounds",
  cases: casesOf([...CONDITIONS, UNSET]),
  uses: ["compare.refine, of itself", "bounds.sync"],
  faults: [
    fault("refine(both, both, operation, is32);", "B.setExactly(both, 0, 0);"),
    fault("return [left, left];", "B.setExactly(left, 0, 0);\n  return [left, left];"),
  ],
  prove(lemma, of): Goals {
    const { condition, is32 } = named(of);
    const a = lemma.bounds("a");
    const x = lemma.memberOf(a, "x").term;
    lemma.assume(isTrue(condition, x, x, is32));
    refineContracts(lemma, x, x);
    return lemma.goals(() => {
      const pair = lemma.get("compare.refinedTwice")(a, condition.code, is32);
      return { ...prefixed("first", holds(pair[0], x)), ...prefixed("second", holds(pair[1], x)) };
    });
  },
};

function conditionOf(code: unknown): Condition {
  const condition = [...CONDITIONS, UNSET].find((one) => one.code === code);
  if (condition === undefined) throw new Error(`there is no condition ${code}`);
  return condition;
}

/** Both ways of a jump, from what is proved of one. */
function bothWays(name: "learn" | "learnOfItself", uses: string, faults: readonly Fault[]): Row {
  const isItself = name === "learnOfItself";
  return {
    name: `compare.${name}`,
    claim: "whichever way the numbers take, they stay in the bounds that are learnt for it",
    cases: casesOf(CONDITIONS),
    uses: [uses],
    faults,
    prove(lemma, of): Goals {
      const { condition, is32 } = named(of);
      const [a, b] = [lemma.bounds("a"), lemma.bounds("b")];
      const x = lemma.long("x").term;
      const y = isItself ? x : lemma.long("y").term;
      lemma.machine.contracts.set(uses, (...args: readonly unknown[]) => {
        const [code, narrow] = args.slice(-2);
        const [first, second] = [lemma.bounds("first"), lemma.bounds("second")];
        const so = isTrue(conditionOf(code), x, y, narrow === true);
        lemma.assume(T.implies(so, T.and(isIn(first, x), isIn(second, y))));
        return [first, second];
      });
      const so = isTrue(condition, x, y, is32);
      return lemma.goals(() => {
        const operands = isItself ? [a] : [a, b];
        const learnt = lemma.get(`compare.${name}`)(...operands, condition.code, is32);
        const ofPair = (pair: Loaded): T.Term => T.and(isIn(pair[0], x), isIn(pair[1], y));
        return {
          taken: T.implies(so, ofPair(learnt.taken)),
          passed: T.implies(T.not(so), ofPair(learnt.passed)),
        };
      });
    },
  };
}

const LEARN = bothWays("learn", "compare.refined", [
  fault(
    "[I.BPF_JGT, I.BPF_JLE],\n  [I.BPF_JLE, I.BPF_JGT],",
    "[I.BPF_JGT, I.BPF_JLT],\n  [I.BPF_JLE, I.BPF_JGT],",
  ),
  fault(
    "    taken: refined(a, b, operation, is32),",
    "    taken: refined(a, b, operation, !is32),",
  ),
]);

const LEARN_OF_ITSELF = bothWays("learnOfItself", "compare.refinedTwice", [
  fault(
    "taken: refinedTwice(a, operation, is32),",
    "taken: refinedTwice(a, OPPOSITE.get(operation) ?? operation, is32),",
  ),
  fault(
    "passed: refinedTwice(a, OPPOSITE.get(operation) ?? operation, is32),",
    "passed: refinedTwice(a, operation, is32),",
  ),
]);

export const COMPARE_ROWS: readonly Row[] = [
  OUTCOME,
  REFINE,
  REFINE_ITSELF,
  REFINED,
  REFINED_TWICE,
  LEARN,
  LEARN_OF_ITSELF,
];
