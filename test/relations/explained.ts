/**
 * Differences between the two verifiers that have a reason. Each is told by as little as it can be;
 * whatever none of them is about is a fault.
 */

import { EFAULT } from "../../src/abi/errno.ts";

/** A program that the kernels don't agree on. */
export interface Difference {
  /** 0 or a negative errno. */
  readonly here: number;
  readonly there: number;
  /** The embedded verifier's log, and Linux's. */
  readonly log: () => string;
  readonly linuxLog: () => string;
}

interface Explanation {
  readonly reason: string;
  readonly applies: (difference: Difference) => boolean;
}

/** In Linux's log: part of a spilled number, filled with its sign, that is linked to others. */
const LINKED_SIGNED_FILL = /= \*\(s(8|16|32) \*\)\(r10 [-+]\d+\) +; .*R\d=scalar\(id=/;

/** In Linux's log: it needs a number exactly that an atomic operation took out of a stack slot. */
const PRECISE_FETCH =
  /regs=\S*\br(\d)\S* stack=\S* before \d+: \((c3|db)\) r\1 = atomic\w*\(\(u\d+ \*\)\(r10/;

const EXPLANATIONS: readonly Explanation[] = [
  {
    // Where a spilled number fits the bytes that are filled, Linux takes the fill for a copy, also
    // when it is one with a sign: for a number with the highest of its bits set this isn't so.
    reason: "Linux 6.18 links a fill with a sign to the number that was spilled",
    applies: ({ linuxLog }) => LINKED_SIGNED_FILL.test(linuxLog()),
  },
  {
    // The address of a function that is only named, and so removed, is that of the next one.
    reason: "Linux takes the function behind a removed one for it, where one begins there",
    applies: ({ here, there, log }) =>
      here === -EFAULT && there === 0 && log().includes("No program to jit: the function at insn"),
  },
  {
    // It takes paths with other numbers in the slot for the same then, and makes jumps that
    // depend on them unconditional: such programs compute something else there.
    reason: "Linux 6.18 forgets that what an atomic operation fetches is what the slot held",
    applies: ({ there, linuxLog }) => there === 0 && PRECISE_FETCH.test(linuxLog()),
  },
  {
    // It may also refuse what isn't reached, since the numbers there contradict each other.
    reason: "Linux 6.18 contradicts itself (REG INVARIANTS VIOLATION) and forgets what it knew",
    applies: ({ there, linuxLog }) => there < 0 && linuxLog().includes("REG INVARIANTS VIOLATION"),
  },
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
