/** The table in docs/verifier.md of what is proved, made from what is proved. */

import type { Row } from "./lemma.ts";
import { ROWS } from "./rows.ts";

/** What no row is about, and what looks at it. */
const TESTED: readonly (readonly [string, string])[] = [
  ["speculation, for tasks without CAP_PERFMON", "table, comparison with Linux"],
  ["packet ranges, comparisons of packet pointers", "table, comparison, soundness test"],
  ["pointer arithmetic, sizes of accesses", "table, comparison, soundness test"],
  ["atomics, results of helpers", "table, comparison, soundness test"],
  ["calls, `bpf_for_each_map_elem`, tail calls, may_goto", "table, comparison, soundness test"],
  ["global functions", "table, comparison, soundness test"],
  ["pruning: which state covers which, precision, widening", "comparison, soundness test"],
];

function rowText({ name, claim, cases, uses = [] }: Row): string {
  const count = cases === undefined || cases.length === 1 ? "" : ` (${cases.length} cases)`;
  const from = uses.map((use) => `\`${use}\``).join(", ");
  return `| \`${name}\` | proved | ${claim}${count} | ${from} |`;
}

/** Lines of Markdown. */
export function proofTable(): readonly string[] {
  return [
    "| operation | how | what is shown | from |",
    "| --------- | --- | ------------- | ---- |",
    ...ROWS.map(rowText),
    ...TESTED.map(([what, by]) => `| ${what} | tested | | ${by} |`),
  ];
}
