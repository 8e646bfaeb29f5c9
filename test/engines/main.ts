/**
 * The command `npm run fuzz:engines`: programs by seed, on all engines.
 */

import { parseArgs } from "node:util";
import { MOVING_SEED, wholeNumber } from "../settings.ts";
import { type Counts, Engines } from "./differential.ts";

const USAGE = `usage: npm run fuzz:engines -- [--seed S] [--programs N] [--max N] [--embedded]

Runs N programs that the verifier accepts on the interpreter, the JIT, the hardened JIT and Linux
(as root; with --embedded not there), and compares all that they leave behind. --max is after how
many differences to stop.`;

const DEFAULT_PROGRAMS = 20_000;
const DEFAULT_MAX = 10;

function summary(counts: Counts): string {
  const { tried, programs, tooLong, onLinux, refusedByLinux, differences } = counts;
  return (
    `${programs} programs of ${tried} tried, ${tooLong} took too long, ${onLinux} on Linux ` +
    `(which refused ${refusedByLinux}): ${differences.length} differences`
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      programs: { type: "string" },
      max: { type: "string" },
      embedded: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const seed = wholeNumber("--seed", values.seed, MOVING_SEED);
  const programs = wholeNumber("--programs", values.programs, DEFAULT_PROGRAMS);
  using engines = await Engines.open(values.embedded !== true);
  console.log(`seed ${seed}, ${programs} programs on ${engines.names.join(", ")}`);
  const start = performance.now();
  let shown = 0;
  const counts = engines.compare({
    seed,
    programs,
    maxDifferences: wholeNumber("--max", values.max, DEFAULT_MAX),
    progress: (so) => {
      for (; shown < so.differences.length; shown++) console.log(`\n${so.differences[shown]}`);
      console.log(summary(so));
    },
  });
  const seconds = (performance.now() - start) / 1000;
  for (const [origin, count] of counts.origins) console.log(`  ${origin}: ${count}`);
  console.log(`${summary(counts)}; ${Math.round(counts.programs / seconds)} programs a second`);
  if (counts.differences.length > 0) process.exitCode = 1;
}

await main();
