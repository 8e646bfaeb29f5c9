/**
 * The differences between the embedded verifier and Linux's that have a reason. All of them:
 * whatever is not in this table is a bug.
 */

import { EACCES, EINVAL } from "../../src/abi/errno.ts";
import type { TestProgram } from "./program.ts";
import type { Verdict } from "./world.ts";

/** A program that the kernels judge differently. */
export interface Disagreement {
  readonly program: TestProgram;
  readonly here: Verdict;
  readonly there: Verdict;
  /** What the embedded verifier says about it. */
  readonly log: string;
}

interface Explanation {
  readonly reason: string;
  readonly covers: (disagreement: Disagreement) => boolean;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    reason: "Linux has helpers that the embedded kernel doesn't",
    covers: ({ here, log }) =>
      here.errno === -EINVAL && /Linux has helper .*, the embedded kernel does not/.test(log),
  },
  {
    reason: "Linux 6.18 cuts paths through callbacks short too early, later versions don't",
    covers: ({ there, log }) =>
      there.errno === 0 && log.includes("a callback's path was cut short too early"),
  },
  {
    reason: "Linux lets programs read struct bpf_map, by types of its own",
    covers: ({ here, log }) => here.errno === -EACCES && log.includes("mem access 'map_ptr'"),
  },
];

/** Why the verdicts may differ here, or null. What is only accepted here has no excuse. */
export function explain(disagreement: Disagreement): string | null {
  if (disagreement.here.errno === 0) return null;
  return EXPLANATIONS.find(({ covers }) => covers(disagreement))?.reason ?? null;
}
