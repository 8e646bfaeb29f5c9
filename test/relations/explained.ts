/**
 * Differences between the two verifiers that have a reason. Each names the programs that it is
 * about as narrowly as it can; whatever none of them is about is a fault.
 */

import type { Linked } from "./code.ts";

/** A program that the kernels don't agree on. */
export interface Difference {
  readonly program: Linked;
  /** 0 or a negative errno. */
  readonly here: number;
  readonly there: number;
  /** Linux's log, where it refuses. */
  readonly log: () => string;
}

interface Explanation {
  readonly reason: string;
  readonly applies: (difference: Difference) => boolean;
}

const EXPLANATIONS: readonly Explanation[] = [];

/** Why the kernels differ; null when nobody knows. */
export function explanationOf(difference: Difference): string | null {
  return EXPLANATIONS.find(({ applies }) => applies(difference))?.reason ?? null;
}
