/**
 * Breaks when the embedded verifier and Linux's give a program different verdicts, and nothing in
 * explained.ts says why. NSLINK_VERIFIER_PROGRAMS says how many are tried, and half
 * as many by loaders with CAP_BPF and CAP_NET_ADMIN alone, and without capabilities where those are
 * let in (`.ci/run` lets them in for a while); NSLINK_VERIFIER_SEED with which to begin (others in
 * each run, by default). `npm run fuzz:verifier` tries more of them.
 */

import { expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { describeOnOpenLinux } from "../contract/open_to_all.ts";
import { numberSetting, seedSetting } from "../settings.ts";
import { compare, difference, unexplained } from "./differential.ts";
import { FaultWatch } from "./hunt.ts";
import { compiledTests } from "./mutations.ts";
import type { Rights } from "./program.ts";
import { embeddedWorld, linuxWorld } from "./world.ts";

const PROGRAMS = numberSetting("NSLINK_VERIFIER_PROGRAMS", 2500);
const SEED = seedSetting("NSLINK_VERIFIER_SEED");
/** Differences that are shrunk and shown. */
const MAX_SHOWN = 3;
/** Instructions processed here for each one that Linux processes: the most, but for a few. */
const MAX_RATIO = 1.5;
const MAX_OVER_RATIO = 0.001;
const SETTINGS = { seed: SEED, maxShown: MAX_SHOWN } as const;

await describeOnLinux("verdicts", () => {
  test("on the compiled programs are Linux's", async () => {
    using there = await linuxWorld();
    using here = embeddedWorld(there.possibleCpus);
    for (const program of compiledTests()) {
      const kind = difference(here.judge(program), there.judge(program));
      expect(kind, program.origin).toBeNull();
    }
  });

  test(`on ${PROGRAMS} generated programs are Linux's (seed ${SEED})`, async () => {
    using there = await linuxWorld();
    using here = embeddedWorld(there.possibleCpus);
    using watch = new FaultWatch(there, false);
    const counts = compare(here, there, { ...SETTINGS, watch, programs: PROGRAMS });
    const { accepted, refused, shown, explained, faults, ratios } = counts;
    console.info(
      `seed ${SEED}: ${accepted} accepted, ${refused} refused, ${unexplained(counts)} unexplained`,
      ...[...explained].map(([reason, count]) => `\nexplained ${count}: ${reason}`),
      ...shown.map((text) => `\n${text}`),
      ...faults.map((text) => `\nLinux finds a fault of its own: ${text}`),
      watch.blindness === null ? "" : `\n${watch.blindness}`,
    );
    expect(unexplained(counts)).toBe(0);
    expect(accepted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
    const over = ratios.filter((ratio) => ratio > MAX_RATIO).length;
    expect(over).toBeLessThanOrEqual(ratios.length * MAX_OVER_RATIO);
  });
});

const RESTRICTED = Math.ceil(PROGRAMS / 2);

/** Programs of loaders that may not do everything. */
async function compareRestricted(rights: Rights): Promise<void> {
  using there = await linuxWorld();
  using here = embeddedWorld(there.possibleCpus);
  const counts = compare(here, there, { ...SETTINGS, programs: RESTRICTED, rights });
  const { accepted, refused, explained, shown } = counts;
  console.info(
    `seed ${SEED}, ${rights}: ${accepted} accepted, ${refused} refused`,
    ...[...explained].map(([reason, count]) => `\nexplained ${count}: ${reason}`),
    ...shown.map((text) => `\n${text}`),
  );
  expect(unexplained(counts)).toBe(0);
  expect(accepted).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
}

await describeOnLinux("verdicts with CAP_BPF and CAP_NET_ADMIN alone", () => {
  test(`on ${RESTRICTED} generated programs are Linux's (seed ${SEED})`, () =>
    compareRestricted("no perfmon"));
});

await describeOnOpenLinux("verdicts without capabilities", () => {
  test(`on ${RESTRICTED} generated programs are Linux's (seed ${SEED})`, () =>
    compareRestricted("unprivileged"));
});
