/**
 * Proves what the verifier believes of numbers, from the code that runs: `npm run prove`.
 *
 *   --only NAME     rows whose name contains it
 *   --quick         rows that take CI no longer than a minute
 *   --no-faults     leaves out that broken copies of the code give counterexamples
 *   --verbose       each question, by which solver it was answered, and in what time
 *   --list          the rows, and nothing else
 */

import { parseArgs } from "node:util";
import type { Row } from "./lemma.ts";
import { findCounterexample, prove } from "./prover.ts";
import { isQuick, ROWS } from "./rows.ts";
import { solverNames } from "./solver.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    "no-faults": { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

const rows = ROWS.filter(
  (row) =>
    (values.only === undefined || row.name.includes(values.only)) &&
    (!values.quick || isQuick(row)),
);
if (rows.length === 0) {
  console.error(`no row has "${values.only}" in its name: --list names them all`);
  process.exitCode = 2;
} else if (values.list) {
  for (const { name, claim } of rows) console.log(`${name}: ${claim}`);
} else {
  await proveAll(rows);
}

async function proveAll(all: readonly Row[]): Promise<void> {
  const begin = performance.now();
  console.log(`${all.length} rows, by ${solverNames()}`);
  let failed = 0;
  for (const [i, row] of all.entries()) {
    if (!(await proveRow(row, `${i + 1}/${all.length}`))) failed++;
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  console.log(`${all.length - failed} of ${all.length} rows proved in ${seconds} s`);
  if (failed > 0) process.exitCode = 1;
}

async function proveRow(row: Row, count: string): Promise<boolean> {
  const progress = values.verbose ? (text: string) => console.log(`  ${text}`) : undefined;
  const { failures, questions, seconds, by } = await prove(row, progress);
  const result = failures.length === 0 ? "proved" : "NOT PROVED";
  const solvers = [...by].sort().join(", ");
  console.log(
    `${count} ${row.name}: ${result}, ${questions} questions, ${seconds.toFixed(1)} s (${solvers})`,
  );
  for (const failure of failures) console.log(`  ${failure}`);
  const unnoticed = values["no-faults"] ? [] : await unnoticedFaults(row);
  for (const fault of unnoticed) console.log(`  NOT NOTICED: ${fault}`);
  return failures.length === 0 && unnoticed.length === 0;
}

async function unnoticedFaults(row: Row): Promise<string[]> {
  const unnoticed: string[] = [];
  for (const fault of row.faults) {
    if ((await findCounterexample(row, fault)) === null) {
      unnoticed.push(`${fault.module}: ${fault.from} -> ${fault.to}`);
    }
  }
  return unnoticed;
}
