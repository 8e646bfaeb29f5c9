/**
 * The fuzzer: as many calls as asked for, and each difference shrunk and reported.
 */

import { type Episode, play, type Stages } from "./episode.ts";
import { report } from "./report.ts";
import { shrink } from "./shrink.ts";

/** What to do. */
export interface FuzzOptions {
  readonly seed: number;
  readonly calls: number;
  /** Stops after so many differences. */
  readonly maxDifferences?: number;
  /** Told after each episode. */
  readonly progress?: (calls: number) => void;
}

/** What came of it. */
export interface FuzzOutcome {
  readonly calls: number;
  /** Reports of unexplained differences. */
  readonly differences: readonly string[];
  /** How often each explanation was needed. */
  readonly explained: ReadonlyMap<string, number>;
  /** Differences that did not come again when the same was done again. */
  readonly passing: number;
}

/** Calls of one episode. */
const EPISODE_CALLS = 1000;
const MAX_DIFFERENCES = 5;

/** Compares two kernels. */
export async function fuzz(stages: Stages, options: FuzzOptions): Promise<FuzzOutcome> {
  const { seed, calls, maxDifferences = MAX_DIFFERENCES } = options;
  const differences: string[] = [];
  const explained = new Map<string, number>();
  let passing = 0;
  let done = 0;
  for (let i = 0; done < calls && differences.length < maxDifferences; i++) {
    const episode = await play(stages, seed + i, Math.min(EPISODE_CALLS, calls - done));
    done += episode.operations.length;
    for (const reason of episode.explained) {
      explained.set(reason, (explained.get(reason) ?? 0) + 1);
    }
    if (episode.difference !== null) {
      const shortest = await shrink(stages, episode.operations);
      if (shortest === null) passing++;
      else differences.push(`seed ${seed + i}: ${textOf(stages, shortest)}`);
    }
    options.progress?.(done);
  }
  return { calls: done, differences, explained, passing };
}

function textOf({ tried, oracle }: Stages, { operations, difference }: Episode): string {
  if (difference === null) throw new TypeError("the episode ended without a difference");
  return report(operations, difference, [tried.name, oracle.name]);
}
