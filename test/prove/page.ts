/** The part of docs/verifier.md that says what is proved, made from the table that is proved. */

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

const ARGUMENT = `
A verifier is safe when what it knows of a number is true of every number that the register can
hold while a program runs. For tracked bits, the four ranges and their synchronisation,
arithmetic, comparisons, extensions and links, \`npm run prove\` proves this for all numbers of 64
bits. It uses Debian's z3 and cvc5, or npm's z3-solver where both are missing (\`npm install
--no-save z3-solver\`). It proves the code that runs, not a copy: \`test/prove\` reads the
verifier's modules, writes a call in place of each operator, and runs them on terms in place of
numbers. What it can't express is an error, and so is a timeout.

- **Meaning.** Bounds describe the numbers that are in all four ranges and have the known bits.
  Nothing else is assumed of bounds: ranges may contradict each other, and need not be
  synchronised. What a link means stands in \`links.ts\`.
- **Paths.** A branch on a term is walked both ways. The ways come together where the \`if\` or
  the function ends: what was written is chosen by the conditions. So a row is about all paths.
- **Composition.** In the proof of a function, the functions that have rows of their own are
  replaced by what these rows say: new bounds, of which nothing but the claim is known. The column
  "from" names the rows. \`sync\` keeps every number since each of its steps does, in whatever
  order and however often they run. \`arithmetic\` is right since its parts are, and since zero
  extension and \`sync\`, which follow, keep the result. No row uses itself, by way of others
  neither; a test checks that.
- **Runs.** At first nothing is known of any number. What an instruction leaves is described by
  what its row says of its operands. On the way that a jump takes, its operands stay in their
  bounds, and linked numbers stay what their links say. By induction over the instructions of a
  run, all that is known of numbers on the run's path is true. That no path is left out is another
  matter: it is tested.
- **Multiplication.** The loop over bits goes by induction: the product is *s + l r* in each
  round, for one number of each of the three tracked numbers. The ranges need two facts: products
  of numbers lie between products of the ranges' ends, and a rounded product below 2^53 is exact.
  Rounding to the nearest (IEEE 754) keeps the order of numbers, and all integers up to 2^53.
- **Shifts** by a known number are a case a number; \`arithmetic\` shifts by any of these.

Broken copies show that the proofs notice: two or more faults are put into the code of each row,
one at a time, and each has to give a counterexample. One of them is the fault that this verifier
once had, in the row \`alu.binary, links\`. \`npm test\` proves the rows that take a minute
together, with their faults.
`;

function rowText({ name, claim, cases, uses = [] }: Row): string {
  const count = cases === undefined || cases.length === 1 ? "" : ` (${cases.length} cases)`;
  const from = uses.map((use) => `\`${use}\``).join(", ");
  return `| \`${name}\` | proved | ${claim}${count} | ${from} |`;
}

/** Markdown. */
export function proofSection(): string {
  const tested = TESTED.map(([what, by]) => `| ${what} | tested | | ${by} |`);
  return `## What is proved of the embedded verifier
${ARGUMENT}
| operation | how | what is shown | from |
| --------- | --- | ------------- | ---- |
${[...ROWS.map(rowText), ...tested].join("\n")}
`;
}
