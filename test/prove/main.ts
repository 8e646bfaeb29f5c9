import { prove, findCounterexample } from "./prover.ts";
import { ROWS } from "./rows.ts";
const only = process.argv[2];
for (const row of ROWS) {
  if (only && !row.name.includes(only)) continue;
  const { failures, seconds, questions, by } = await prove(row, process.argv[3]?console.log:()=>{});
  console.log(row.name, failures.map(f=>f.slice(0,400)), seconds.toFixed(1), questions, [...by].join());
  for (const fault of row.faults) { const t=performance.now(); const c = await findCounterexample(row, fault); console.log("  ", c === null ? "NOT NOTICED "+fault.to : "ok", ((performance.now()-t)/1000).toFixed(1)); }
}
