// Namespaces with a link each: time and memory a link must not grow with their number.

import { Link, NetNs, Program } from "nslink";
import { assemble } from "nslink/asm";
import { EmbeddedKernel } from "nslink/embedded";
import { formatNs, printTable } from "./measure.mjs";

const COUNTS = [1_000, 10_000, 100_000];
const FLOW_DISSECTOR = 22;

/** @returns {object[]} a row a count */
export function benchNamespaces() {
  const instructions = assemble("r0 = 0\nexit");
  // A first run is not counted: it is the engine's to warm up with.
  const rows = [COUNTS[0], ...COUNTS].map((count) => {
    globalThis.gc?.();
    const kernel = EmbeddedKernel.boot();
    const program = Program.load(kernel, { type: FLOW_DISSECTOR, instructions });
    const before = usedBytes();
    const start = process.hrtime.bigint();
    const held = Array.from({ length: count }, (_, i) => {
      const netns = NetNs.create(kernel, `n${i}`);
      return [netns, Link.attach(program, netns)];
    });
    const created = process.hrtime.bigint();
    const bytes = usedBytes() - before;
    const asked = process.hrtime.bigint();
    for (const [netns] of held) netns.query();
    const queried = process.hrtime.bigint();
    for (const [i, [netns, link]] of held.entries()) {
      netns[Symbol.dispose]();
      NetNs.remove(kernel, `n${i}`);
      link[Symbol.dispose]();
    }
    const removed = process.hrtime.bigint();
    kernel[Symbol.dispose]();
    return {
      count,
      createNs: Number(created - start) / count,
      queryNs: Number(queried - asked) / count,
      removeNs: Number(removed - queried) / count,
      bytes: bytes / count,
    };
  });
  const counted = rows.slice(1);
  printTable(
    "Namespaces with a link each (per namespace)",
    ["namespaces", "create + link", "query", "remove", "bytes"],
    counted.map(({ count, createNs, queryNs, removeNs, bytes }) => [
      count.toLocaleString("en-US"),
      ...[createNs, queryNs, removeNs].map(formatNs),
      bytes.toFixed(0),
    ]),
  );
  const [small, large] = [counted[0], counted.at(-1)];
  const growth = (large.createNs / small.createNs).toFixed(2);
  console.log(`  a link at ${large.count} costs ${growth} times one at ${small.count}`);
  return counted;
}

function usedBytes() {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
