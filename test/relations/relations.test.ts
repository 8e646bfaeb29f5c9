/**
 * Breaks when a program around relations between numbers is accepted and does what it must not, or
 * when Linux says or computes something else of it. NSLINK_RELATIONS_PROGRAMS says how many are
 * made, NSLINK_RELATIONS_SEED where to begin (elsewhere in each run, by default).
 */

import { expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { numberSetting, seedSetting } from "../settings.ts";
import { RELATIONS } from "./body.ts";
import { Campaign, type Counts, summary } from "./campaign.ts";
import { LinuxSubject } from "./linux.ts";
import { USES } from "./uses.ts";

const PROGRAMS = numberSetting("NSLINK_RELATIONS_PROGRAMS", 5000);
/** Of those, on Linux too: runs there take longest. */
const ON_LINUX: number = Math.ceil(PROGRAMS / 5);
const SEED = seedSetting("NSLINK_RELATIONS_SEED");
/** One in so many is run on the hardened JIT as well. */
const HARDENED_EVERY = 2;
const MAX_FAULTS = 3;

function campaign(seed: number, count: number, linux: LinuxSubject | null): Counts {
  const options = { seed, count, linux, hardenedEvery: HARDENED_EVERY, maxFaults: MAX_FAULTS };
  const counts = new Campaign(options).run();
  console.info(`relations: seed ${seed}: ${summary(counts)}`);
  expect(counts.reports.join("\n\n")).toBe("");
  return counts;
}

test(`${PROGRAMS} programs of related numbers do no harm where they are accepted`, () => {
  const counts = campaign(SEED, PROGRAMS, null);
  expect(counts.accepted).toBeGreaterThan(0.4 * counts.programs);
  expect([...counts.uses.keys()].sort()).toEqual([...USES].sort());
  // Each relation has to be what some accepted programs depend on.
  const idle = RELATIONS.filter((relation) => (counts.decided.get(relation) ?? 0) === 0);
  expect(PROGRAMS < 5000 ? [] : idle).toEqual([]);
});

await describeOnLinux("programs of related numbers", () => {
  test(`${ON_LINUX} of them mean the same on Linux`, async () => {
    using linux = await LinuxSubject.open();
    const counts = campaign(SEED + PROGRAMS, ON_LINUX, linux);
    expect(counts.onLinux).toBe(counts.programs);
  });
});
