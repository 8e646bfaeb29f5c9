/**
 * The embedded verifier's log tells something else than Linux's if this breaks: whole logs are
 * compared, at both levels. What differs on purpose is listed in docs/verifier.md; `npm run
 * fuzz:logs` compares more, and shows what differs. NSLINK_LOGS_PROGRAMS and NSLINK_LOGS_SEED say
 * how many programs are generated, and with which to begin.
 */

import { expect, test } from "vitest";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { numberSetting, seedSetting } from "../settings.ts";
import { generatedLogs, objectFiles, objectLogs, tableLogs } from "./log_sources.ts";
import { addPair, describeLogs, type LogCounts, type LogPair, noLogs } from "./logs.ts";
import { embeddedJudge, linuxJudge } from "./table/judge.ts";
import { embeddedWorld, linuxWorld } from "./world.ts";

const PROGRAMS = numberSetting("NSLINK_LOGS_PROGRAMS", 150);
const SEED = seedSetting("NSLINK_LOGS_SEED");
const SHOWN = 5;
/** Of a hundred logs so many are the same to the last byte; of a hundred last lines, so many. */
const IDENTICAL_PERCENT = 94;
const SAME_LAST_PERCENT = 96;
const TIMEOUT_MS = 600_000;

function compareAll(title: string, pairs: Iterable<LogPair>): LogCounts {
  const counts = noLogs();
  for (const pair of pairs) addPair(counts, pair);
  console.info(describeLogs(title, counts, SHOWN));
  expect(counts.compared).toBeGreaterThan(0);
  return counts;
}

function expectAgreement({ compared, identical, sameLast }: LogCounts): void {
  expect((100 * identical) / compared).toBeGreaterThanOrEqual(IDENTICAL_PERCENT);
  expect((100 * sameLast) / compared).toBeGreaterThanOrEqual(SAME_LAST_PERCENT);
}

await describeOnLinux("logs", () => {
  for (const level of [1, 2]) {
    test(
      `of compiled objects are Linux's at level ${level}`,
      async () => {
        using linux = await openLinuxKernel();
        using embedded = EmbeddedKernel.boot({ possibleCpus: linux.possibleCpus });
        const pairs = objectLogs(embedded, linux, objectFiles(), level);
        const { compared, identical } = compareAll(`objects, level ${level}`, pairs);
        expect(identical).toBe(compared);
      },
      TIMEOUT_MS,
    );

    test(
      `of the table are Linux's at level ${level}`,
      async () => {
        using here = embeddedJudge();
        using there = await linuxJudge();
        expectAgreement(compareAll(`table, level ${level}`, tableLogs(here, there, level)));
      },
      TIMEOUT_MS,
    );

    test(
      `of ${PROGRAMS} generated programs are Linux's at level ${level} (seed ${SEED})`,
      async () => {
        using there = await linuxWorld();
        using here = embeddedWorld(there.possibleCpus);
        const options = { seed: SEED, programs: PROGRAMS, level };
        const pairs = generatedLogs(here, there, options);
        expectAgreement(compareAll(`generated, level ${level}`, pairs));
      },
      TIMEOUT_MS,
    );
  }
});
