import { makeProgram } from "./program.ts";
import { Subject } from "./subject.ts";
import { link } from "./code.ts";
import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
const jit = new Subject("jit", false);
const n = Number(process.argv[2] ?? 1000);
const seed = Number(process.argv[3] ?? 1);
let acc = 0, rep = 0; const t0 = performance.now(); let tm = 0, tl = 0, tr = 0; let harm = 0;
const errs: Record<string, number> = {}; const per: Record<string, number[]> = {};
for (let s = seed; s < seed + n; s++) {
  const a = performance.now();
  let p = makeProgram(s, jit);
  let linked = link(p.source);
  const b = performance.now();
  let fd = jit.load(linked); if (fd < 0 && p.repaired) { rep++; p = p.repaired(); linked = link(p.source); fd = jit.load(linked); }
  const c = performance.now();
  tm += b - a; tl += c - b;
  const k = `${p.use}${p.isWrong ? " wrong" : ""}`;
  (per[k] ??= [0, 0])[0]!++;
  if (fd < 0) {
    const m = jit.log(linked).trim().split("\n").slice(-2)[0]!.replaceAll(/-?\d+/g, "N").slice(0, 60); errs[m] = (errs[m] ?? 0) + 1; continue; }
  acc++; per[k]![1]!++;
  const j = jit.run(fd, p.inputs, p.keepsStack, false);
  const i = jit.run(fd, p.inputs, p.keepsStack, true);
  jit.close(fd);
  tr += performance.now() - c;
  if (j.harm || i.harm || i.results !== j.results) { harm++; console.log(s, p.use, p.isWrong, j.harm, i.harm, i.results === j.results); if (harm < 4) console.log(disassemble(encodeInstructions(linked.instructions))); }
}
console.log(n, "accepted", acc, "repaired", rep, "harm", harm, "ms", Math.round(performance.now() - t0), "make", Math.round(tm), "load", Math.round(tl), "run", Math.round(tr));
console.log(per); console.log(Object.entries(errs).sort((a, b) => b[1] - a[1]).slice(0, 25));
