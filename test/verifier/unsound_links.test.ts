/**
 * Breaks when {@link checkSoundness} would not notice that numbers are linked which aren't: here a
 * sum of 32 bits is taken for one with a number that may have more, as it once was.
 */

import { expect, test, vi } from "vitest";
import { checkSoundness, observer } from "./soundness_run.ts";

vi.mock(import("../../src/kernel/verifier/links.ts"), async (original) => {
  const real = await original();
  return { ...real, isLinkable: (number) => real.isLinkable(number, true) };
});
vi.mock(import("../../src/kernel/verifier/verify.ts"), async (original) => {
  const real = await original();
  return { ...real, verify: (subject, log) => real.verify({ ...subject, observer }, log) };
});

/** Enough for one of them to show it. */
const PROGRAMS = 2000;

test("a sum of 32 bits that is linked to a number of 64 is found out", () => {
  const { violations } = checkSoundness(1, PROGRAMS);
  expect(violations.join()).toMatch(/not what id \d+ is elsewhere|not in u64/);
});
