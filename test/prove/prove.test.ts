/**
 * Breaks when what the verifier believes of a number isn't true of all numbers, as far as a minute
 * proves it; `npm run prove` does all of it. And when the proofs would not notice.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HANG_MS } from "../limits.ts";
import { numberSetting } from "../settings.ts";
import { Lemma } from "./lemma.ts";
import { ROOT } from "./modules.ts";
import { proofTable } from "./page.ts";
import { findCounterexample, type Outcome, prove } from "./prover.ts";
import { isQuick, ROWS } from "./rows.ts";
import { hasSolver } from "./solver.ts";

const QUICK = ROWS.filter(isQuick);
const isRequired = numberSetting("NSLINK_REQUIRE_SOLVERS", 0) === 1;
const canProve = hasSolver();
if (!canProve) console.warn("NOT PROVED: this needs z3 or cvc5, or npm's z3-solver");

describe("the table", () => {
  test("names each row once, and uses only rows that are there, none by way of itself", () => {
    const names = ROWS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const uses = new Map(ROWS.map((row) => [row.name, row.uses ?? []]));
    const missing = [...uses.values()].flat().filter((name) => !uses.has(name));
    expect(missing).toEqual([]);
    const reaches = (name: string, path: readonly string[]): string[] =>
      path.includes(name)
        ? [[...path, name].join(" -> ")]
        : (uses.get(name) ?? []).flatMap((next) => reaches(next, [...path, name]));
    expect(names.flatMap((name) => reaches(name, []))).toEqual([]);
  });

  test("has two faults for each row that is about code", () => {
    const few = ROWS.filter((row) => row.reals === undefined && row.faults.length < 2);
    // Facts about numbers: no code could be broken.
    expect(few.map(({ name }) => name)).toEqual(["tnum, ends", "tnum.mul, equation"]);
  });

  test("has faults that fit the code, each in one place", () => {
    for (const { faults } of ROWS) for (const fault of faults) new Lemma([fault]);
  });

  test("is in docs/verifier.md as it is: npm run docs", () => {
    expect(readFileSync(join(ROOT, "docs/verifier.md"), "utf8")).toContain(proofTable().join("\n"));
  });
});

test("there is a solver where one is required", () => {
  expect(canProve || !isRequired).toBe(true);
});

describe.runIf(canProve)("proofs", () => {
  test(
    `of ${QUICK.length} rows succeed`,
    async () => {
      const outcomes: Outcome[] = [];
      for (const row of QUICK) outcomes.push(await prove(row));
      const failures = outcomes.flatMap(({ row, failures: all }) =>
        all.map((failure) => `${row.name} ${failure}`),
      );
      expect(failures).toEqual([]);
    },
    HANG_MS,
  );

  test(
    "find the fault that links once had: a 32-bit sum of a number that has more",
    async () => {
      const row = ROWS.find(({ name }) => name === "alu.binary, links");
      const fault = row?.faults.find(({ module }) => module === "links");
      expect(row && fault && (await findCounterexample(row, fault))).toMatch(/^ADD 32, of 0: /);
    },
    HANG_MS,
  );

  test(
    "notice each fault that is put into the code",
    async () => {
      const unnoticed: string[] = [];
      for (const row of QUICK) {
        for (const fault of row.faults) {
          if ((await findCounterexample(row, fault)) === null) {
            unnoticed.push(`${row.name}: ${fault.from} -> ${fault.to}`);
          }
        }
      }
      expect(unnoticed).toEqual([]);
    },
    HANG_MS,
  );
});
