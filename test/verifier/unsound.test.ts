/**
 * Breaks when {@link checkSoundness} would not notice that the verifier is wrong: here the result
 * of an AND is believed to be one less at most than it may be.
 */

import { expect, test, vi } from "vitest";
import { BPF_AND } from "../../src/abi/insn.ts";
import { checkSoundness, observer } from "./soundness_run.ts";

vi.mock(import("../../src/kernel/verifier/scalar_alu.ts"), async (original) => {
  const real = await original();
  return {
    ...real,
    arithmetic: (operation, dst, src, is64) => {
      const bounds = real.arithmetic(operation, dst, src, is64);
      if (operation === BPF_AND && bounds.umin < bounds.umax) bounds.umax -= 1n;
      return bounds;
    },
  };
});
vi.mock(import("../../src/kernel/verifier/verify.ts"), async (original) => {
  const real = await original();
  return { ...real, verify: (subject, log) => real.verify({ ...subject, observer }, log) };
});

/** Enough for one of them to show it. */
const PROGRAMS = 2000;

test("a verifier that is wrong by one is found out", () => {
  const { violations } = checkSoundness(1, PROGRAMS);
  expect(violations.join()).toMatch(/: not in u64|not that far/);
});
