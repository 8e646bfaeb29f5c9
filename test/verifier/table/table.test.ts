/**
 * A program that Linux refuses is accepted, or refused for another reason than it ought to be, if
 * this breaks. Linux is asked as well where it can be, and its log explained.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeOnLinux } from "../../contract/linux_available.ts";
import { describeOnOpenLinux } from "../../contract/open_to_all.ts";
import { TABLE } from "./index.ts";
import { embeddedJudge, type Judge, linuxJudge } from "./judge.ts";
import type { Row, Verdict } from "./row.ts";

/** How many programs there have to be, and how many of them are accepted, at least. */
const MIN_ROWS = 250;
const MIN_ACCEPTED = 1 / 4;

function judged(judge: Judge, row: Row, expected: Verdict): void {
  const { log, ...verdict } = judge.judge(row);
  const { errno, cause } = expected;
  expect(verdict, `${row.text}\n${log}`).toEqual({ errno, cause });
}

/** Registers the rows that are tried, for one verifier. */
function registerAll(
  open: () => Judge | Promise<Judge>,
  expectation: (row: Row) => Verdict,
  isTried: (row: Row) => boolean = () => true,
): void {
  let judge: Judge;
  beforeAll(async () => {
    judge = await open();
  });
  afterAll(() => judge[Symbol.dispose]());
  for (const [subject, all] of TABLE) {
    const rows = all.filter(isTried);
    if (rows.length === 0) continue;
    describe(subject, () => {
      for (const row of rows) {
        const { errno, cause } = expectation(row);
        const verdict = errno === "" ? "accepted" : `${errno} ${cause}`;
        test(`${row.title}: ${verdict}`, () => judged(judge, row, { errno, cause }));
      }
    });
  }
}

describe("the embedded verifier", () => {
  registerAll(embeddedJudge, (row) => row);
});

const onLinux = (row: Row): Verdict => row.onLinux ?? row;
const isUnprivileged = ({ without }: Row): boolean => without === "all capabilities";

await describeOnLinux("Linux's verifier", () => {
  registerAll(linuxJudge, onLinux, (row) => !isUnprivileged(row));
});

await describeOnOpenLinux("Linux's verifier of unprivileged programs", () => {
  registerAll(linuxJudge, onLinux, isUnprivileged);
});

describe("the table", () => {
  const rows = [...TABLE.values()].flat();

  test("is long enough, and not only of refusals", () => {
    expect(rows.length).toBeGreaterThanOrEqual(MIN_ROWS);
    const accepted = rows.filter(({ errno }) => errno === "");
    expect(accepted.length).toBeGreaterThanOrEqual(rows.length * MIN_ACCEPTED);
  });

  test("names no two programs alike", () => {
    for (const [subject, list] of TABLE) {
      const titles = list.map(({ title }) => title);
      expect(new Set(titles).size, subject).toBe(titles.length);
    }
  });
});
