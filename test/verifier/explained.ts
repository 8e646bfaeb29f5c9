/**
 * The differences between the embedded verifier and Linux's that have a reason. All of them:
 * whatever is not in this table is a bug.
 */

import type { TestProgram } from "./program.ts";
import type { Verdict } from "./world.ts";

/** A program that the kernels judge differently. */
export interface Disagreement {
  readonly program: TestProgram;
  readonly here: Verdict;
  readonly there: Verdict;
}

interface Explanation {
  readonly reason: string;
  readonly covers: (disagreement: Disagreement) => boolean;
}

const EXPLANATIONS: readonly Explanation[] = [];

/** Why the verdicts may differ here, or null. */
export function explain(disagreement: Disagreement): string | null {
  return EXPLANATIONS.find(({ covers }) => covers(disagreement))?.reason ?? null;
}
