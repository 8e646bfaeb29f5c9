/**
 * Breaks when the rewritten code calculates something else than the code itself: then nothing would
 * be proved of the latter. On constants, which are terms at first; what can't be expressed has to
 * be an error.
 */

import { describe, expect, test } from "vitest";
import * as I from "../../src/abi/insn.ts";
import * as B from "../../src/kernel/verifier/bounds.ts";
import { learn, outcome } from "../../src/kernel/verifier/compare.ts";
import { signExtend64, truncate } from "../../src/kernel/verifier/extension.ts";
import { arithmetic } from "../../src/kernel/verifier/scalar_alu.ts";
import { Tnum } from "../../src/kernel/verifier/tnum.ts";
import { Random } from "../random.ts";
import { Lemma } from "./lemma.ts";
import { Num, wordOf } from "./numbers.ts";
import { rewrite } from "./rewrite.ts";
import { Machine, SYMBOLIC } from "./symbolic.ts";
import * as T from "./terms.ts";

const ROUNDS = 150;
const OPERATIONS = [
  ...[I.BPF_ADD, I.BPF_SUB, I.BPF_MUL, I.BPF_AND, I.BPF_OR, I.BPF_XOR],
  ...[I.BPF_LSH, I.BPF_RSH, I.BPF_ARSH, I.BPF_NEG],
];
const COMPARISONS = [
  ...[I.BPF_JEQ, I.BPF_JNE, I.BPF_JSET, I.BPF_JGT, I.BPF_JGE, I.BPF_JLT, I.BPF_JLE],
  ...[I.BPF_JSGT, I.BPF_JSGE, I.BPF_JSLT, I.BPF_JSLE],
];

/** Words around the ends of ranges, and others. */
function randomWord(random: Random): number {
  const near = random.pick([0, 0, -1, 1 << random.below(32), random.u32() | 0]);
  return (near + random.below(3) - 1) | 0;
}

/** Bounds with or without numbers in them; shifts want small ones. */
function randomBounds(random: Random): B.Bounds {
  if (random.below(4) === 0) return B.exactly(BigInt(random.below(70)));
  const b = B.unbounded();
  const mask = [randomWord(random), randomWord(random)] as const;
  const value = [randomWord(random) & ~mask[0], randomWord(random) & ~mask[1]] as const;
  b.bits = new Tnum(value[0], value[1], mask[0], mask[1]);
  if (random.below(2) === 0) return b;
  for (const key of Object.keys(b) as (keyof B.Bounds)[]) {
    if (key !== "bits" && random.below(2) === 0) Object.assign(b, { [key]: randomWord(random) });
  }
  return b;
}

/** The same bounds in the rewritten modules, their words being terms. */
function asTerms(lemma: Lemma, b: Readonly<B.Bounds>): unknown {
  const term = (value: number): Num => wordOf(T.constant(32, BigInt(value)));
  const { valueHigh, valueLow, maskHigh, maskLow } = b.bits;
  const made = new lemma.modules.bounds.Bounds();
  for (const [key, value] of Object.entries(b)) {
    if (key !== "bits") made[key] = term(Number(value));
  }
  const words = [valueHigh, valueLow, maskHigh, maskLow].map(term);
  made.bits = new lemma.modules.tnum.Tnum(...words);
  return made;
}

/** Terms as the numbers that they are, so that both can be compared. */
function plain(value: unknown): unknown {
  if (value instanceof Num) return Number(T.signedValue(value.term));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

describe("rewritten code gives the same on constants", () => {
  const lemma = new Lemma();

  test("in arithmetic", () => {
    const random = new Random(1);
    for (let i = 0; i < ROUNDS; i++) {
      const [a, b] = [randomBounds(random), randomBounds(random)];
      const [operation, is64] = [random.pick(OPERATIONS), random.below(2) === 0];
      const real = arithmetic(operation, a, b, is64);
      const [x, y] = [asTerms(lemma, a), asTerms(lemma, b)];
      const made = lemma.run(() => lemma.get("scalar_alu.arithmetic")(operation, x, y, is64));
      expect(plain(made), `${operation} ${JSON.stringify([a, b])}`).toEqual(plain(real));
    }
  });

  test("in comparisons", () => {
    const random = new Random(2);
    for (let i = 0; i < ROUNDS; i++) {
      const [a, b] = [randomBounds(random), randomBounds(random)];
      const [operation, is32] = [random.pick(COMPARISONS), random.below(2) === 0];
      const [x, y] = [asTerms(lemma, a), asTerms(lemma, b)];
      for (const name of ["outcome", "learn"] as const) {
        const real = (name === "learn" ? learn : outcome)(a, b, operation, is32);
        const made = lemma.run(() => lemma.get(`compare.${name}`)(x, y, operation, is32));
        expect(plain(made), `${name} ${operation} ${JSON.stringify([a, b])}`).toEqual(plain(real));
      }
    }
  });

  test("in extensions", () => {
    const random = new Random(3);
    for (let i = 0; i < ROUNDS; i++) {
      const a = randomBounds(random);
      const [name, size] = [
        random.pick(["truncate", "signExtend64"] as const),
        random.pick([1, 2, 4]),
      ];
      const x = asTerms(lemma, a);
      const made = lemma.run(() => lemma.get(`extension.${name}`)(x, size));
      expect(plain(made)).toEqual(plain((name === "truncate" ? truncate : signExtend64)(a, size)));
    }
  });
});

describe("what can't be expressed", () => {
  const made = (text: string): Record<string, (...args: unknown[]) => unknown> => {
    const machine = new Machine();
    const { code } = rewrite("some", text, SYMBOLIC);
    return new Function("$", "Math", "Number", "BigInt", code)(machine, machine.Math);
  };
  const x = wordOf(T.variable("x", 32));

  test.each([
    ["an operator", "function f(x) { return x % 3; }"],
    ["a function", "function f(x) { return Math.sqrt(x); }"],
    ["a switch", "function f(x) { switch (x) { case 1: return 1; } }"],
    ["a place in an array", "function f(x) { return [1, 2][x]; }"],
    ["syntax", "function f(x) { return typeof x; }"],
    ["a callback's answer", "function f(x) { return [1].some((y) => y < x); }"],
    ["a number that would be rounded", "function f(x) { return x * x * x + x; }"],
    ["a text", "function f(x) { return `$" + "{x}`; }"],
  ])("is an error: %s", (_, text) => {
    expect(() => made(text).f?.(x)).toThrow();
  });
});
