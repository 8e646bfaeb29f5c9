/** What lemmas are made of: unknown numbers, what may be known of them, and what that means. */

import { type Fault, type Loaded, load, type Modules } from "./loader.ts";
import type { ModuleName } from "./modules.ts";
import { Bool, bitsOf, boolOf, type Num, numOf, wordOf } from "./numbers.ts";
import { Machine, SYMBOLIC } from "./symbolic.ts";
import * as T from "./terms.ts";

/** Formulas to be shown, by the part of the result that they speak of. */
export type Goals = Readonly<Record<string, T.Term>>;

/** How a row is decided: the solver that is tried first. */
export type SolverName = "cvc5" | "z3" | "z3-sat";

/** One line of the table, and how it is proved. */
export interface Row {
  /** `module.function`, and what else tells it apart. */
  readonly name: string;
  /** What is shown. */
  readonly claim: string;
  /** The lemma is proved for each of them. */
  readonly cases?: readonly (string | number)[];
  readonly first?: SolverName;
  /** Seconds that a solver may take. */
  readonly limit?: number;
  /** Lemmas that stand for functions in it. */
  readonly uses?: readonly string[];
  /** What a proof has to notice: at least two. */
  readonly faults: readonly Fault[];
  readonly prove: (lemma: Lemma, of: string | number) => Goals;
  /** In place of `prove`: formulas that can't all be true, about reals. */
  readonly reals?: string;
}

export const WORD = 32;
export const LONG = 64;

/** A 64-bit number, and its words. */
export interface Long {
  readonly term: T.Term;
  readonly high: Num;
  readonly low: Num;
}

export function longOf(term: T.Term): Long {
  return { term, high: wordOf(T.extract(term, 63, 32)), low: wordOf(T.extract(term, 31, 0)) };
}

/** The words of a JavaScript value each, as one number. */
export function join(high: unknown, low: unknown): T.Term {
  return T.concat(bitsOf(high, WORD), bitsOf(low, WORD));
}

export function lowWord(term: T.Term): T.Term {
  return T.extract(term, WORD - 1, 0);
}

/** The lower half, the upper being 0. */
export function lowHalf(term: T.Term): T.Term {
  return T.zeroExtend(lowWord(term), LONG);
}

const RANGES_64 = ["smin", "smax", "umin", "umax"] as const;
const RANGES_32 = ["s32min", "s32max", "u32minWord", "u32maxWord"] as const;

function within(
  less: (a: T.Term, b: T.Term) => T.Term,
  value: T.Term,
  min: T.Term,
  max: T.Term,
): T.Term {
  return T.and(T.not(less(value, min)), T.not(less(max, value)));
}

/** Whether a number has the bits of a tnum. */
export function hasBits(tnum: Loaded, value: T.Term): T.Term {
  const mask = join(tnum.maskHigh, tnum.maskLow);
  const known = T.binary("bvand", value, T.complement(mask));
  return T.equal(known, join(tnum.valueHigh, tnum.valueLow));
}

/** Whether no bit of a tnum is both unknown and one. */
export function isProper(tnum: Loaded): T.Term {
  const both = (value: unknown, mask: unknown): T.Term =>
    T.equal(T.binary("bvand", bitsOf(value, WORD), bitsOf(mask, WORD)), T.constant(WORD, 0n));
  return T.and(both(tnum.valueHigh, tnum.maskHigh), both(tnum.valueLow, tnum.maskLow));
}

/** By each way to know: whether a number is one of those that the bounds describe. */
export function membership(b: Loaded, value: T.Term): Goals {
  const end = (name: string): T.Term => join(b[`${name}High`], b[`${name}Low`]);
  const low = lowWord(value);
  return {
    u64: within(T.unsignedLess, value, end("umin"), end("umax")),
    s64: within(T.signedLess, value, end("smin"), end("smax")),
    u32: within(T.unsignedLess, low, bitsOf(b.u32minWord, WORD), bitsOf(b.u32maxWord, WORD)),
    s32: within(T.signedLess, low, bitsOf(b.s32min, WORD), bitsOf(b.s32max, WORD)),
    bits: hasBits(b.bits, value),
    // A word that is out of range would be read as another number.
    words: T.and(isWord(b.s32min), isWord(b.s32max), isWord(b.u32minWord), isWord(b.u32maxWord)),
  };
}

function isWord(value: unknown): T.Term {
  const { term } = numOf(value);
  return T.equal(
    T.signExtend(bitsOf(value, WORD), Math.max(WORD, term.width)),
    bitsOf(value, Math.max(WORD, term.width)),
  );
}

export function all(goals: Goals): T.Term {
  return T.and(...Object.values(goals));
}

/** Whether a number is one of those that the bounds describe. */
export function isIn(b: Loaded, value: T.Term): T.Term {
  return all(membership(b, value));
}

/** The truth of a JavaScript value. */
export function truth(value: unknown): T.Term {
  return boolOf(value).term;
}

export class Lemma {
  readonly machine: Machine = new Machine();
  readonly modules: Modules;
  /** Numbers of which contracts are told. */
  readonly witnesses: T.Term[] = [];
  #product: T.Term | null = null;

  constructor(faults: readonly Fault[] = []) {
    this.modules = load(SYMBOLIC, this.machine, faults);
  }

  /** Any number, which stands for the product of the two that the lemma is about. */
  get product(): T.Term {
    this.#product ??= this.long("product").term;
    return this.#product;
  }

  /** A function of a module, as the lemma calls it. */
  get(name: string): (...args: readonly unknown[]) => Loaded {
    const [module, key] = name.split(".") as [ModuleName, string];
    const found = this.modules[module]?.[key];
    if (found === undefined) throw new Error(`there is no ${name}`);
    return found;
  }

  assume(...facts: readonly T.Term[]): void {
    this.machine.facts.push(...facts);
  }

  word(name: string): Num {
    return wordOf(T.variable(name, WORD));
  }

  bool(name: string): Bool {
    return new Bool(T.variable(name, 0));
  }

  /** Any 64-bit number. */
  long(name: string): Long {
    return longOf(T.variable(name, LONG));
  }

  /** Any tnum. */
  tnum(name: string): Loaded {
    const [value, mask] = [this.long(`${name}.value`), this.long(`${name}.mask`)];
    const { Tnum } = this.modules.tnum;
    const tnum = new Tnum(value.high, value.low, mask.high, mask.low);
    this.assume(isProper(tnum));
    return tnum;
  }

  /** Any bounds: what they say need not agree. */
  bounds(name: string): Loaded {
    const b = new this.modules.bounds.Bounds();
    this.#fill(b, name);
    return b;
  }

  #fill(b: Loaded, name: string): void {
    const put = (key: string, value: unknown): void => {
      this.machine.set(b, key, value);
    };
    for (const end of RANGES_64) {
      const { high, low } = this.long(`${name}.${end}`);
      put(`${end}High`, high);
      put(`${end}Low`, low);
    }
    for (const end of RANGES_32) put(end, this.word(`${name}.${end}`));
    put("bits", this.tnum(`${name}.bits`));
  }

  /** Any number of the bounds; contracts are told of it. */
  memberOf(b: Loaded, name: string): Long {
    const value = this.long(name);
    this.assume(isIn(b, value.term));
    this.witnesses.push(value.term);
    return value;
  }

  /** Any number with the bits of a tnum. */
  oneOf(tnum: Loaded, name: string): Long {
    const value = this.long(name);
    this.assume(hasBits(tnum, value.term));
    return value;
  }

  /**
   * Lets functions of bounds be what their lemmas say: they change them, but no number that is a
   * witness gets lost.
   */
  keeps(...names: readonly string[]): void {
    for (const name of names) {
      this.machine.contracts.set(name, (b: Loaded) => {
        const before = this.witnesses.map((value) => isIn(b, value));
        this.#fill(b, name);
        this.witnesses.forEach((value, i) => {
          this.assume(T.implies(before[i] as T.Term, isIn(b, value)));
        });
      });
    }
  }

  /**
   * As {@link Lemma.keeps}, of one number that has to be in the bounds wherever they are called:
   * that is shown part by part, and then the number is in what they make of them.
   */
  keepsResult(value: T.Term, ...names: readonly string[]): void {
    for (const name of names) {
      this.machine.demands.set(name, (b: Loaded) => {
        for (const part of Object.values(membership(b, value))) this.machine.require(part);
      });
      this.machine.contracts.set(name, (b: Loaded) => {
        this.#fill(b, name);
        this.assume(isIn(b, value));
      });
    }
  }

  /** Any tnum, said to hold the numbers for which the conditions are true. */
  tnumWith(name: string, holds: readonly (readonly [T.Term, T.Term])[]): Loaded {
    const tnum = this.tnum(name);
    for (const [condition, value] of holds) {
      this.assume(T.implies(condition, hasBits(tnum, value)));
    }
    return tnum;
  }

  /** Runs code of the modules; ways come together in what it returns. */
  run<Result>(run: () => Result): Result {
    return this.machine.run(run);
  }

  /** As {@link Lemma.run}, of what is to be shown on each of the ways. */
  goals(run: () => Goals): Goals {
    const found = this.run(() => {
      const goals = Object.entries(run()).map(([part, goal]) => [part, new Bool(goal)]);
      return Object.fromEntries(goals) as Record<string, Bool>;
    });
    return Object.fromEntries(
      Object.entries(found).map(([part, goal]) => [part, boolOf(goal).term]),
    );
  }
}

/** That a tnum is proper, and a number one of its own. */
export function describes(tnum: Loaded, value: T.Term): Goals {
  return { bits: hasBits(tnum, value), proper: isProper(tnum) };
}

/** As {@link describes}, of bounds. */
export function holds(b: Loaded, value: T.Term): Goals {
  return { ...membership(b, value), proper: isProper(b.bits) };
}
