import { makeProgram } from "./program.ts";
import { Subject } from "./subject.ts";
import { link } from "./code.ts";
import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
const jit = new Subject("jit", false);
let tot = 0; const slow: [number, number, number][] = [];
for (let s = 1; s < 1200; s++) {
  let p = makeProgram(s, jit);
  const b = performance.now();
  const fd = jit.load(link(p.source));
  const t = performance.now() - b; tot += t;
  if (t > 30) slow.push([s, Math.round(t), fd]);
  if (fd >= 0) jit.close(fd);
}
slow.sort((a, b) => b[1] - a[1]);
console.log(tot, slow.length, slow.reduce((a, b) => a + b[1], 0), slow.slice(0, 12));
for (const [s] of slow.slice(0, 2)) console.log(disassemble(encodeInstructions(link(makeProgram(s, jit).source).instructions)));
