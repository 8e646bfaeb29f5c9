/**
 * Long runs, by name: `npm run soak -- memory --seed 7 --count 1000000`. Each is a function of a
 * seed and a count, and a short share of it is a test.
 */

import { parseArgs } from "node:util";
import { Campaign, summary, table } from "../relations/campaign.ts";
import { wholeNumber } from "../settings.ts";
import { soakBlocks, soakMaps } from "./memory.ts";

/** A long run: prints what it found, and throws when something is wrong. */
type Soak = (seed: number, count: number) => void;

const SOAKS: Readonly<Record<string, Soak>> = {
  relations(seed, count) {
    const counts = new Campaign({
      seed,
      count,
      linux: null,
      hardenedEvery: 8,
      maxFaults: 3,
      progress: (soFar) => console.log(summary(soFar)),
    }).run();
    console.log(`${table(counts)}\n${summary(counts)}`);
    if (counts.reports.length > 0) throw new RangeError(counts.reports.join("\n\n"));
  },
  memory(seed, count) {
    for (const shared of [false, true]) {
      const { peakAliveBytes, peakUsedBytes, leftBytes } = soakBlocks(seed, count, shared);
      const ratio = (peakUsedBytes / peakAliveBytes).toFixed(3);
      console.log(
        `${count} steps on ${shared ? "shared" : "unshared"} memory: at most ${peakAliveBytes} ` +
          `bytes alive, ${peakUsedBytes} used (${ratio} times), ${leftBytes} left at the end`,
      );
      if (leftBytes !== 0) throw new RangeError(`seed ${seed}: ${leftBytes} bytes are left`);
    }
    soakMaps(seed, count);
    console.log(`${count} steps with maps: all memory is one piece again`);
  },
};

const { values, positionals } = parseArgs({
  options: { seed: { type: "string" }, count: { type: "string" } },
  allowPositionals: true,
});
const [name = ""] = positionals;
const soak = positionals.length === 1 ? SOAKS[name] : undefined;
if (soak === undefined) {
  console.error(`usage: npm run soak -- NAME [--seed N] [--count N]; NAME is one of
  ${Object.keys(SOAKS).join("\n  ")}`);
  process.exit(2);
}
const seed = wholeNumber("--seed", values.seed, Math.floor(Math.random() * 2 ** 31));
const count = wholeNumber("--count", values.count, 1_000_000);
console.log(`soak ${name} --seed ${seed} --count ${count}`);
soak(seed, count);
