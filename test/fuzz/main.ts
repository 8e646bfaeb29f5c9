/**
 * The command `npm run fuzz`: two kernels, a seed and a number of calls.
 */

import { parseArgs } from "node:util";
import type { Stages } from "./episode.ts";
import { fuzz } from "./fuzz.ts";
import { embeddedStage, linuxStage } from "./worlds.ts";

const USAGE = `usage: npm run fuzz -- [--seed S] [--calls N] [--kernels TRIED,ORACLE] [--max N]

Throws random calls at two kernels and compares every answer. TRIED and ORACLE are "embedded" or
"linux" (as root); by default embedded,linux. --max is how many differences are looked for.`;

const DEFAULT_CALLS = 50_000;

class UsageError extends Error {
  override readonly name = "usage";
}

async function openStages(kernels: string): Promise<Stages> {
  const names = kernels.split(",");
  const linux = names.includes("linux") ? await linuxStage() : null;
  const [tried, oracle] = names.map((name) => {
    if (name === "linux" && linux !== null) return linux;
    if (name === "embedded") return embeddedStage(linux?.settings);
    throw new UsageError(`there is no kernel ${name}`);
  });
  if (tried === undefined || oracle === undefined || names.length > 2 || tried === oracle) {
    throw new UsageError("--kernels takes two kernels, of which one may be linux");
  }
  return { tried, oracle };
}

/** A whole number from the command line. */
function numberOf(text: string, option: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new UsageError(`${option} takes a number, not ${text}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      calls: { type: "string" },
      kernels: { type: "string" },
      max: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const seed = numberOf(values.seed ?? `${Date.now() % 2 ** 31}`, "--seed");
  const calls = numberOf(values.calls ?? `${DEFAULT_CALLS}`, "--calls");
  const stages = await openStages(values.kernels ?? "embedded,linux");
  console.log(`seed ${seed}, ${calls} calls on ${stages.tried.name} and ${stages.oracle.name}`);
  const start = performance.now();
  const outcome = await fuzz(stages, {
    seed,
    calls,
    ...(values.max === undefined ? {} : { maxDifferences: numberOf(values.max, "--max") }),
  });
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

try {
  await main();
} catch (error) {
  // What the command line got wrong; anything else is the fuzzer's own fault.
  const isUsage =
    error instanceof UsageError ||
    `${(error as { code?: unknown }).code}`.startsWith("ERR_PARSE_ARGS");
  if (!isUsage) throw error;
  console.error(`${String(error)}\n\n${USAGE}`);
  process.exitCode = 2;
}
