/**
 * The command `npm run fuzz`: two kernels, a seed and a number of calls.
 */

import { parseArgs } from "node:util";
import { MOVING_SEED, wholeNumber } from "../settings.ts";
import type { Stages } from "./episode.ts";
import { type FuzzOptions, fuzz } from "./fuzz.ts";
import { embeddedStage, linuxStage, type Stage } from "./worlds.ts";

const USAGE = `usage: npm run fuzz -- [--seed S] [--calls N] [--kernels TRIED,ORACLE] [--max N]

Throws random calls at two kernels and compares every answer. TRIED and ORACLE are "embedded" or
"linux" (as root); by default embedded,linux. --max is how many differences are looked for.`;

const DEFAULT_CALLS = 50_000;
const KERNELS: readonly string[] = ["embedded", "linux"];

/** What the command line asks for. */
interface Wanted extends FuzzOptions {
  /** Names of the kernel that is tried, and of the other one. */
  readonly kernels: readonly string[];
}

/**
 * Reads the command line.
 *
 * @returns null when it asks how the command is used.
 * @throws {TypeError | RangeError} when there is something wrong with it.
 */
function wanted(): Wanted | null {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      calls: { type: "string" },
      kernels: { type: "string" },
      max: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) return null;
  const kernels = (values.kernels ?? KERNELS.join()).split(",");
  const unknown = kernels.find((name) => !KERNELS.includes(name));
  if (unknown !== undefined) throw new RangeError(`--kernels: there is no kernel ${unknown}`);
  if (kernels.length !== 2 || kernels.every((name) => name === "linux")) {
    throw new RangeError("--kernels takes two kernels, of which one may be linux");
  }
  return {
    seed: wholeNumber("--seed", values.seed, MOVING_SEED),
    calls: wholeNumber("--calls", values.calls, DEFAULT_CALLS),
    ...(values.max === undefined ? {} : { maxDifferences: wholeNumber("--max", values.max, 0) }),
    kernels,
  };
}

async function openStages([tried, oracle]: readonly string[]): Promise<Stages> {
  const linux = tried === "linux" || oracle === "linux" ? await linuxStage() : null;
  const open = (name: string | undefined): Stage =>
    name === "linux" && linux !== null ? linux : embeddedStage(linux?.settings);
  return { tried: open(tried), oracle: open(oracle) };
}

async function run({ kernels, ...options }: Wanted): Promise<void> {
  const { seed, calls } = options;
  const stages = await openStages(kernels);
  console.log(`seed ${seed}, ${calls} calls on ${stages.tried.name} and ${stages.oracle.name}`);
  const start = performance.now();
  const outcome = await fuzz(stages, options);
  const seconds = (performance.now() - start) / 1000;
  for (const difference of outcome.differences) console.log(`\n${difference}`);
  for (const passing of outcome.passing) console.log(`\ndid not come again: ${passing}`);
  for (const [reason, count] of outcome.explained) console.log(`explained ${count}: ${reason}`);
  console.log(
    `\n${outcome.calls} calls, ${Math.round(outcome.calls / seconds)} a second, ` +
      `${outcome.differences.length} unexplained differences` +
      (outcome.passing.length > 0 ? `, ${outcome.passing.length} that did not come again` : ""),
  );
  await stages.tried.close();
  await stages.oracle.close();
  if (outcome.differences.length > 0) process.exitCode = 1;
}

/** The command line's mistakes are told; all others are the fuzzer's own. */
function wantedOrUsage(): Wanted | null {
  try {
    const options = wanted();
    if (options === null) console.log(USAGE);
    return options;
  } catch (error) {
    console.error(`${String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return null;
  }
}

const options = wantedOrUsage();
if (options !== null) await run(options);
