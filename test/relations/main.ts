/**
 * The command `npm run fuzz:relations`: programs by seed, run here and compared with Linux.
 */

import { parseArgs } from "node:util";
import { MOVING_SEED, wholeNumber } from "../settings.ts";
import { Campaign, summary, table } from "./campaign.ts";
import { LinuxSubject } from "./linux.ts";

const USAGE = `usage: npm run fuzz:relations -- [--seed S] [--count N] [--max N] [--hardened N]
                                 [--embedded]

Makes N programs around relations between numbers, runs those that are accepted on all engines, and
compares verdicts and results with Linux's (as root; with --embedded not). --max is after how many
faults to stop; one in --hardened programs is run on the hardened JIT too.`;

const DEFAULT_COUNT = 20_000;
const DEFAULT_MAX = 10;
const DEFAULT_HARDENED = 8;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      count: { type: "string" },
      max: { type: "string" },
      hardened: { type: "string" },
      embedded: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const seed = wholeNumber("--seed", values.seed, MOVING_SEED);
  const count = wholeNumber("--count", values.count, DEFAULT_COUNT);
  using linux = values.embedded === true ? null : await LinuxSubject.open();
  console.log(`seed ${seed}, ${count} programs${linux === null ? ", not on Linux" : ""}`);
  const start = performance.now();
  let shown = 0;
  const campaign = new Campaign({
    seed,
    count,
    linux,
    hardenedEvery: wholeNumber("--hardened", values.hardened, DEFAULT_HARDENED),
    maxFaults: wholeNumber("--max", values.max, DEFAULT_MAX),
    progress: (counts) => {
      for (; shown < counts.reports.length; shown++) console.log(`\n${counts.reports[shown]}`);
      console.log(summary(counts));
    },
  });
  const counts = campaign.run();
  for (; shown < counts.reports.length; shown++) console.log(`\n${counts.reports[shown]}`);
  const seconds = (performance.now() - start) / 1000;
  console.log(table(counts));
  console.log(`${summary(counts)}; ${Math.round(counts.programs / seconds)} programs a second`);
  if (counts.unsafe + counts.unexplained > 0) process.exitCode = 1;
}

await main();
