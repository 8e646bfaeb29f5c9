/**
 * A run of the fuzzer: episodes that each begin on kernels with nothing on them.
 */

import { SETTLE_MS } from "../limits.ts";
import { Random } from "../random.ts";
import { compare, type Difference, type Pair } from "./compare.ts";
import { generate } from "./generate.ts";
import type { Operation } from "./operation.ts";
import { Supply } from "./supply.ts";
import type { Stage } from "./worlds.ts";

/** The kernel that is tried, and the one that is right. */
export interface Stages {
  readonly tried: Stage;
  readonly oracle: Stage;
}

/** What came of an episode. */
export interface Episode {
  readonly operations: readonly Operation[];
  /** The unexplained difference that ended it. */
  readonly difference: Difference | null;
  /** Reasons of the explained ones. */
  readonly explained: readonly string[];
}

/** Plays an episode that a seed makes up as it goes. */
export function play(stages: Stages, seed: number, calls: number): Promise<Episode> {
  const random = new Random(seed);
  return stage(stages, SETTLE_MS, (pair, index) => {
    if (index >= calls) return null;
    return generate(new Supply(random, pair.tried.objects), index + 1);
  });
}

/** Plays operations that are written down. */
export function replay(
  stages: Stages,
  operations: readonly Operation[],
  maxWaitMs: number = SETTLE_MS,
): Promise<Episode> {
  return stage(stages, maxWaitMs, (_, index) => operations[index] ?? null);
}

async function stage(
  { tried, oracle }: Stages,
  maxWaitMs: number,
  next: (pair: Pair, index: number) => Operation | null,
): Promise<Episode> {
  const pair = { tried: tried.open(), oracle: oracle.open() };
  const operations: Operation[] = [];
  const explained: string[] = [];
  try {
    for (let i = 0; ; i++) {
      const operation = next(pair, i);
      if (operation === null) break;
      operations.push(operation);
      const difference = await compare(pair, operation, maxWaitMs);
      if (difference === null) continue;
      if (difference.explained === null) return { operations, difference, explained };
      explained.push(difference.explained);
    }
    return { operations, difference: null, explained };
  } finally {
    tried.clear(pair.tried);
    oracle.clear(pair.oracle);
  }
}
