/**
 * Breaks when a program that the verifier accepted does, on the interpreter that checks every
 * access, what it must not, or when a register or stack slot holds what the verifier did not
 * believe to be possible there. Needs no Linux.
 *
 * States are compared here by all their numbers, not only by those that matter: then every state
 * that a run can be in is one of those that were walked.
 */

import { expect, test, vi } from "vitest";
import type { Strictness } from "../../src/kernel/verifier/equality.ts";
import { numberSetting, seedSetting } from "../settings.ts";
import { checkSoundness, observer } from "./soundness_run.ts";

vi.mock(import("../../src/kernel/verifier/equality.ts"), async (original) => {
  const real = await original();
  const all = (strictness: Strictness): Strictness =>
    strictness === "finished" ? "ranges" : strictness;
  return {
    ...real,
    covers: (old, now, strictness, comparison) =>
      real.covers(old, now, all(strictness), comparison),
  };
});
// Stack slots that nobody reads any more are compared, too.
vi.mock(import("../../src/kernel/verifier/cleaning.ts"), async (original) => {
  return { ...(await original()), clean: (checkpoint) => ({ checkpoint, slots: [] }) };
});
vi.mock(import("../../src/kernel/verifier/verify.ts"), async (original) => {
  const real = await original();
  return { ...real, verify: (subject, log) => real.verify({ ...subject, observer }, log) };
});
vi.mock(import("../../src/kernel/verifier/log.ts"), async (original) => {
  const real = await original();
  // What takes longer is refused: comparing everything, some loops never come to an end.
  return { ...real, COMPLEXITY_LIMIT: 20_000 as typeof real.COMPLEXITY_LIMIT };
});

const PROGRAMS = numberSetting("NSLINK_SOUNDNESS_PROGRAMS", 1000);
const SEED = seedSetting("NSLINK_SOUNDNESS_SEED");

test(`runs find nothing that was not believed (${PROGRAMS} programs from seed ${SEED} on)`, () => {
  const { accepted, runs, looks, violations, settled, unsettled } = checkSoundness(SEED, PROGRAMS);
  console.info(`${accepted} programs were accepted, ${runs} runs, ${looks} instructions looked at`);
  expect(violations).toEqual([]);
  expect(unsettled).toEqual([]);
  expect(settled).toBeGreaterThan(looks);
  expect(accepted).toBeGreaterThan(PROGRAMS / 2);
  expect(looks).toBeGreaterThan(runs);
});

const UNPRIVILEGED = Math.ceil(PROGRAMS / 2);

test(`nor in programs of those without capabilities (${UNPRIVILEGED} programs)`, () => {
  const { accepted, runs, violations } = checkSoundness(SEED, UNPRIVILEGED, "unprivileged");
  console.info(`${accepted} unprivileged programs were accepted, ${runs} runs`);
  expect(violations).toEqual([]);
  expect(accepted).toBeGreaterThan(UNPRIVILEGED / 4);
});
