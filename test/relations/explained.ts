/**
 * Differences between the two verifiers that have a reason. Each is told by as little as it can be;
 * whatever none of them is about is a fault.
 */

/** A program that the kernels don't agree on. */
export interface Difference {
  /** 0 or a negative errno. */
  readonly here: number;
  readonly there: number;
  /** The embedded verifier's log. */
  readonly log: () => string;
}

interface Explanation {
  readonly reason: string;
  readonly applies: (difference: Difference) => boolean;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    reason: "Linux 6.18 cuts paths through callbacks short too early, later versions don't",
    applies: ({ here, there, log }) =>
      here < 0 && there === 0 && log().includes("a callback's path was cut short too early"),
  },
];

/** Why the kernels differ; null when nobody knows. */
export function explanationOf(difference: Difference): string | null {
  return EXPLANATIONS.find(({ applies }) => applies(difference))?.reason ?? null;
}
