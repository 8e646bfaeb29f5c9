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
  /** What Linux's does. */
  readonly linuxLog: string;
}

interface Explanation {
  readonly reason: string;
  readonly covers: (disagreement: Disagreement) => boolean;
  /** It is one for what is only accepted here, too. */
  readonly mayBeAccepted?: true;
}

/**
 * A number that was filled with its sign extended, may be negative, and still has an id: in Linux's
 * log, whose numbers are decimal where they are small.
 */
const LINKED_THOUGH_EXTENDED =
  /= \*\(s(?:8|16|32) \*\).*; .*?R\d(?:_w)?=P?scalar\(id=(\d+),smin=(?:smin32=)?(-|0xf)/;
/** "12: (55) if r7 != 0xfffffffd goto pc+9": the registers are in the first group. */
const COMPARISON = /^\d+: \([0-9a-f]{2}\) if (.*) goto/;
/** A register's contents, as they are told where they change. */
const CONTENTS = /\bR(\d)(?:_[rw]+)?=P?[-\w]+(?:\((?:id=(\d+))?)?/g;

/** Such a number, or one that is linked to it, is compared later on: the others learn of it. */
function learnsFromExtended(linuxLog: string): boolean {
  const extended = new Set<string>();
  const ids = new Map<string, string | undefined>();
  for (const line of linuxLog.split("\n")) {
    if (line.startsWith("mark_precise")) continue;
    const [, compared = ""] = COMPARISON.exec(line) ?? [];
    for (const [, register = ""] of compared.matchAll(/\b[rw](\d)/g)) {
      if (extended.has(ids.get(register) ?? "")) return true;
    }
    for (const [, register = "", id] of line.matchAll(CONTENTS)) ids.set(register, id);
    const id = LINKED_THOUGH_EXTENDED.exec(line)?.[1];
    if (id !== undefined) extended.add(id);
  }
  return false;
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    reason: "Linux has helpers that the embedded kernel doesn't",
    covers: ({ here, log }) =>
      here.errno === -EINVAL && /Linux has helper .*, the embedded kernel does not/.test(log),
  },
  {
    reason: "Linux has kernel functions, and looks for them in types of its own",
    covers: ({ here, log }) =>
      here.errno === -EINVAL && log.includes("Linux has kernel functions that a program may call"),
  },
  {
    reason: "Linux lets programs use maps whose values have fields of the kernel's own",
    covers: ({ here, log }) =>
      here.errno === -EINVAL && /its values hold .*, the embedded kernel does not/.test(log),
  },
  {
    reason: "Linux 6.18 cuts paths through callbacks short too early, later versions don't",
    covers: ({ there, log }) =>
      there.errno === 0 && log.includes("a callback's path was cut short too early"),
  },
  {
    reason: "Linux 6.18 takes a number that was filled with its sign extended for what was spilled",
    covers: ({ linuxLog }) => learnsFromExtended(linuxLog),
    // What Linux takes for possible may be worse than what is.
    mayBeAccepted: true,
  },
  {
    reason: "Linux 6.18 contradicts itself (REG INVARIANTS VIOLATION) and forgets what it knew",
    covers: ({ there, linuxLog }) =>
      there.errno !== 0 && linuxLog.includes("REG INVARIANTS VIOLATION"),
    mayBeAccepted: true,
  },
  {
    reason: "Linux lets programs read struct bpf_map, by types of its own",
    covers: ({ here, log }) => here.errno === -EACCES && log.includes("mem access 'map_ptr'"),
  },
];

/** Why the verdicts may differ here, or null. What is only accepted here has hardly an excuse. */
export function explain(disagreement: Disagreement): string | null {
  const isAccepted = disagreement.here.errno === 0;
  const explanation = EXPLANATIONS.find(
    ({ covers, mayBeAccepted }) => (!isAccepted || mayBeAccepted) && covers(disagreement),
  );
  return explanation?.reason ?? null;
}
