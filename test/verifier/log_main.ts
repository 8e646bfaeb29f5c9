/**
 * The command `npm run fuzz:logs`: whole logs of both verifiers, compared.
 */

import { parseArgs } from "node:util";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { wholeNumber } from "../settings.ts";
import { generatedLogs, objectFiles, objectLogs, tableLogs } from "./log_sources.ts";
import { addPair, describeLogs, type LogPair, noLogs } from "./logs.ts";
import { embeddedJudge, linuxJudge } from "./table/judge.ts";
import { embeddedWorld, linuxWorld } from "./world.ts";

const USAGE = `usage: npm run fuzz:logs -- [--seed S] [--programs N] [--max N] [OBJECT...]

Compares the logs of the embedded kernel and of Linux (as root) at levels 1 and 2: those of the
table, of compiled objects, and of N generated programs. --max is how many kinds of differences are
shown. With OBJECTs only theirs.`;

const DEFAULT_PROGRAMS = 1000;
const DEFAULT_SHOWN = 10;

function report(title: string, pairs: Iterable<LogPair>, shown: number): void {
  const counts = noLogs();
  for (const pair of pairs) addPair(counts, pair);
  console.log(describeLogs(title, counts, shown));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: "string" },
      programs: { type: "string" },
      max: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const seed = wholeNumber("--seed", values.seed, 1);
  const programs = wholeNumber("--programs", values.programs, DEFAULT_PROGRAMS);
  const shown = wholeNumber("--max", values.max, DEFAULT_SHOWN);
  using linux = await openLinuxKernel();
  using embedded = EmbeddedKernel.boot({ possibleCpus: linux.possibleCpus });
  const files = positionals.length > 0 ? positionals : objectFiles();
  for (const level of [1, 2]) {
    report(`objects, level ${level}`, objectLogs(embedded, linux, files, level), shown);
    if (positionals.length > 0) continue;
    using here = embeddedJudge();
    using there = await linuxJudge();
    report(`table, level ${level}`, tableLogs(here, there, level), shown);
    using ours = embeddedWorld(linux.possibleCpus);
    using theirs = await linuxWorld();
    const options = { seed, programs, level };
    report(`generated, level ${level}`, generatedLogs(ours, theirs, options), shown);
  }
}

await main();
