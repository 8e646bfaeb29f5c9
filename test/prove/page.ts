/** The part of docs/verifier.md that says what is proved, made from the table that is proved. */

import { ROWS } from "./rows.ts";

/** What no row is about, and what looks at it. */
const TESTED: readonly (readonly [string, string])[] = [
  ["speculation, for tasks without CAP_PERFMON", "`test/verifier/table`, comparison with Linux"],
  ["packet ranges and comparisons of packet pointers", "the table, comparison, soundness test"],
  ["pointer arithmetic and access sizes", "the table, comparison, soundness test"],
  ["atomics, helpers' results, loads from maps", "the table, comparison, soundness test"],
  [
    "calls, callbacks, `bpf_for_each_map_elem`, tail calls, global functions, may_goto",
    "the table, comparison, soundness test",
  ],
  [
    "pruning: which state covers which, precision, widening",
    "comparison, soundness test, by inclusion",
  ],
];

/** Markdown. */
export function proofSection(): string {
  const proved = ROWS.map(
    ({ name, claim, cases, uses }) =>
      `| \`${name}\` | proved | ${claim}${cases === undefined ? "" : ` (${cases.length} cases)`} | ` +
      `${uses === undefined ? "" : uses.map((use) => `\`${use}\``).join(", ")} |`,
  );
  const tested = TESTED.map(([what, by]) => `| ${what} | tested | | ${by} |`);
  return `## What is proved of it

A verifier is safe when what it knows of a number is true of every number that the register can hold
while a program runs. That part of it, tracked bits, four ranges, their synchronisation, arithmetic,
comparisons, extensions and links, is proved for all numbers of 64 bits by \`npm run prove\`, with
Debian's z3 and cvc5, or npm's z3-solver where both are missing. No copy of the code is proved but the
code itself: \`test/prove\` reads the verifier's modules, writes a call in place of each operator, and
runs them on terms in place of numbers. What it can't express is an error. A timeout is a failure.

- **Meaning.** Bounds *b* describe the numbers *x* that are in all four ranges and have the known bits.
  Nothing is assumed of *b*: its ranges may contradict each other, and need not be synchronised. A link
  means what \`links.ts\` says of (id, off, width).
- **Branches.** Both ways of a branch on a term are walked, and come together where the \`if\` or the
  function ends: what was written is chosen by the conditions. So a row is one formula for all paths.
- **Composition.** In the proof of a function, functions that have rows of their own may be replaced
  by what their rows say: new bounds, of which only the row's claim is known. The column *from* names
  these rows. \`sync\` is sound since each of its steps keeps every number, in whatever order and
  however often they run; \`arithmetic\` since its parts are, and since what follows them, zero extension and
  \`sync\`, keeps the result. No row uses itself, so the claims don't go in circles: a test checks it.
- **Walks.** A walk begins with registers of which nothing is known. Each instruction's result is
  described by what the rows give for its operands, and a conditional jump leaves a number in its
  bounds on the way that the number takes. So by induction over the instructions of a run, what the
  verifier knows on the path of the run is true. That paths are not cut short wrongly is not part of this: see the lines
  that are tested.
- **Multiplication** of bits goes by induction: in each round of the loop the product is
  *s + l r* for numbers *s*, *l*, *r* of the three tracked numbers. For ranges, products of ends are
  unknown numbers, of which two facts about reals are used: products are between those of the ends, and a
  rounded product below 2^53 is exact. IEEE 754 rounds to the nearest: it keeps the order of numbers,
  and keeps integers up to 2^53 as they are.
- **Shifts** by a known number are one case a number; \`arithmetic\` shifts by any of them.

A proof of something false would be worth nothing: for each row at least two faults are put into the
functions that it is about, one at a time, and each must give a counterexample. CI proves all rows
that take it no more than a minute together, and tries their faults.

| operation | how | what is shown | from |
| --------- | --- | ------------- | ---- |
${[...proved, ...tested].join("\n")}
`;
}
