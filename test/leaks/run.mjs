// Runs a command, and fails when it leaves anything behind:
//
//     node test/leaks/run.mjs npm test

import { spawnSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import {
  describe,
  lostByLinux,
  MARK,
  markedProcesses,
  othersThings,
  takeCensus,
} from "./census.mjs";

/** So long may what goes by itself take to go: namespaces, and what waits for a grace period. */
const MAX_WAIT_MS = 30_000;
const STEP_MS = 200;
/** More than this isn't printed. */
const MAX_LINES = 50;

const [command, ...words] = process.argv.slice(2);
if (command === undefined) {
  console.error("usage: node test/leaks/run.mjs COMMAND...");
  process.exit(2);
}

const kernel = await openKernel();
const before = takeCensus(kernel);
const mark = String(process.pid);
const { status, error } = spawnSync(command, words, {
  stdio: "inherit",
  env: { ...process.env, [MARK]: mark },
});
if (error !== undefined) throw error;

const left = await leftBehind();
for (const thing of left.slice(0, MAX_LINES)) console.error(`left behind: ${thing}`);
if (left.length > MAX_LINES) console.error(`... and ${left.length - MAX_LINES} more`);
if (left.length === 0) console.log(`left behind: nothing (of ${before.size} things before)`);
process.exitCode = status === 0 && left.length === 0 ? 0 : status || 1;

async function openKernel() {
  try {
    const { openLinuxKernel } = await import("../../dist/linux/index.js");
    return await openLinuxKernel();
  } catch (reason) {
    console.warn(`what is left in the kernel is not looked for: ${reason.message}`);
    return null;
  }
}

/** What is there now that wasn't, and stays. */
async function leftBehind() {
  const end = performance.now() + MAX_WAIT_MS;
  for (;;) {
    const fresh = [...takeCensus(kernel)].filter((thing) => !before.has(thing));
    const running = markedProcesses(mark);
    if (fresh.length === 0 && running.length === 0) return [];
    if (performance.now() > end) return [...running, ...blamed(fresh)];
    await delay(STEP_MS);
  }
}

/** Asked only once all that goes has gone: it means opening objects by their ids. */
function blamed(fresh) {
  const others = othersThings(kernel, fresh, mark);
  const ours = fresh.filter((thing) => !others.has(thing));
  const lost = lostByLinux(kernel, ours);
  if (lost.size > 0)
    console.log(`${lost.size} empty prog arrays are lost in Linux: a bug of its own`);
  return ours.filter((thing) => !lost.has(thing)).map((thing) => describe(kernel, thing));
}
