/**
 * The command `npm run fuzz:verifier`: programs by seed, judged here and by Linux.
 */

import { parseArgs } from "node:util";
import { MOVING_SEED, wholeNumber } from "../settings.ts";
import { type Counts, compare, unexplained } from "./differential.ts";
import { FaultWatch, hunt } from "./hunt.ts";
import { RIGHTS } from "./program.ts";
import { embeddedWorld, linuxWorld } from "./world.ts";

const USAGE = `usage: npm run fuzz:verifier -- [--seed S] [--programs N] [--max N] [--only ORIGIN]
                                [--rights RIGHTS] [--hunt]

Judges N programs on the embedded kernel and on Linux (as root). --max is how many differences are
shrunk and shown; --only takes the programs of one kind, such as "mutated" or "spills". --rights
says who loads them: "all", "no perfmon" or "unprivileged", for which Linux's sysctl
kernel.unprivileged_bpf_disabled has to be 0; by default everybody loads some, but for the last.

What Linux says about faults of its own meanwhile, in the kernel's log, is shown with the program
that caused it, made short. --hunt looks for nothing else: the embedded kernel is not asked.`;

const DEFAULT_PROGRAMS = 20_000;
const MAX_SHOWN = 10;

/** How many instructions are walked here for each one there. */
function describeRatios(ratios: readonly number[]): string {
  const sorted = [...ratios].sort((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(3);
  const same = ratios.filter((ratio) => ratio === 1).length;
  const high = ratios.filter((ratio) => ratio > 1.5).length;
  return (
    `instructions processed, here to there: ${same} of ${ratios.length} the same; ` +
    `1% ${at(0.01)}, median ${at(0.5)}, 99% ${at(0.99)}, 99.9% ${at(0.999)}, most ${at(1)}; ` +
    `${high} over 1.5`
  );
}

function print(counts: Counts, seconds: number): void {
  const { programs, accepted, refused, unsafe, refusedHere, errno, explained } = counts;
  const different = unsafe + refusedHere + errno;
  const agreement = ((100 * (programs - different)) / Math.max(1, programs)).toFixed(3);
  console.log(
    `${programs} programs, ${Math.round(programs / seconds)} a second: ${agreement} % the same ` +
      `(${accepted} accepted, ${refused} refused)\n` +
      `accepted here, refused there: ${unsafe}\nrefused here, accepted there: ${refusedHere}\n` +
      `errno differs: ${errno}\n${describeRatios(counts.ratios)}`,
  );
  for (const [origin, { programs: count, accepted: good, different: bad }] of counts.origins) {
    console.log(`  ${origin}: ${count} programs, ${good} accepted, ${bad} differ`);
  }
  for (const [reason, count] of explained) console.log(`explained ${count}: ${reason}`);
  console.log(`unexplained: ${unexplained(counts)}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      programs: { type: "string" },
      max: { type: "string" },
      only: { type: "string" },
      rights: { type: "string" },
      hunt: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const seed = wholeNumber("--seed", values.seed, MOVING_SEED);
  const programs = wholeNumber("--programs", values.programs, DEFAULT_PROGRAMS);
  const rights = RIGHTS.find((name) => name === values.rights);
  if (values.rights !== undefined && rights === undefined) {
    throw new RangeError(`--rights is none of ${RIGHTS.join(", ")}`);
  }
  using there = await linuxWorld();
  using watch = new FaultWatch(there, true);
  if (watch.blindness !== null) console.log(watch.blindness);
  console.log(`seed ${seed}, ${programs} programs`);
  const start = performance.now();
  const options = {
    seed,
    programs,
    ...(values.only !== undefined && { only: values.only }),
    ...(rights !== undefined && { rights }),
  };
  if (values.hunt === true) {
    const found = (report: string): void => console.log(`\n${report}`);
    const progress = (done: number): void => console.log(`${done} programs`);
    const kinds = hunt(watch, { ...options, found, progress });
    const seconds = Math.round((performance.now() - start) / 1000);
    console.log(`${programs} programs in ${seconds} s: ${kinds} kinds of faults`);
    return;
  }
  using here = embeddedWorld(there.possibleCpus);
  const counts = compare(here, there, {
    ...options,
    watch,
    maxShown: wholeNumber("--max", values.max, MAX_SHOWN),
    progress: ({ programs: done, unsafe, refusedHere, errno }) =>
      console.log(`${done}: ${unsafe} unsafe, ${refusedHere} refused here, ${errno} errnos`),
  });
  for (const difference of counts.shown) console.log(`\n${difference}`);
  for (const fault of counts.faults) console.log(`\nLinux finds a fault of its own: ${fault}`);
  print(counts, (performance.now() - start) / 1000);
  if (unexplained(counts) > 0) process.exitCode = 1;
}

await main();
