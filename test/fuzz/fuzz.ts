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
}

/** What came of it. */
export interface FuzzOutcome {
  readonly calls: number;
  /** Reports of unexplained differences. */
  readonly differences: readonly string[];
  /** How often each explanation was needed. */
  readonly explained: ReadonlyMap<string, number>;
  /** Reports of differences that did not come again when the same was done again. */
  readonly passing: readonly string[];
}

/** Calls of one episode. */
const EPISODE_CALLS = 1000;
const EPISODES_BETWEEN_GAPS = 5;
const MAX_DIFFERENCES = 5;

/** Compares two kernels. */
export async function fuzz(stages: Stages, options: FuzzOptions): Promise<FuzzOutcome> {
  const { seed, calls, maxDifferences = MAX_DIFFERENCES } = options;
  const differences: string[] = [];
  const explained = new Map<string, number>();
  const passing: string[] = [];
  let done = 0;
  for (let i = 0; done < calls && differences.length < maxDifferences; i++) {
    const episode = await play(stages, seed + i, Math.min(EPISODE_CALLS, calls - done));
    done += episode.operations.length;
    for (const reason of episode.explained) {
      explained.set(reason, (explained.get(reason) ?? 0) + 1);
    }
    if (episode.difference !== null) {
      const shortest = await shrink(stages, episode.operations);
      const found = `seed ${seed + i}: ${textOf(stages, shortest ?? lastOf(episode))}`;
      if (shortest === null) passing.push(found);
      else differences.push(found);
    }
    if (i % EPISODES_BETWEEN_GAPS === EPISODES_BETWEEN_GAPS - 1) await stages.oracle.giveWay();
  }
  return { calls: done, differences, explained, passing };
}

/** An episode without what led up to its end. */
function lastOf(episode: Episode): Episode {
  return { ...episode, operations: episode.operations.slice(-1) };
}

function textOf({ tried, oracle }: Stages, { operations, difference }: Episode): string {
  if (difference === null) throw new TypeError("the episode ended without a difference");
  return report(operations, difference, [tried.name, oracle.name]);
}
