// Namespaces with a link each: time and memory a link must not grow with their number.

import { Link, NetNs, Program } from "nslink";
import { assemble } from "nslink/asm";
import { EmbeddedKernel } from "nslink/embedded";
import { formatNs, formatSpread, printTable, summarize, time } from "./measure.mjs";

const COUNTS = [1_000, 10_000, 100_000];
/** Of all counts in turn; the first is the engine's to warm up with and isn't counted. */
const ROUNDS = 5;
/** In a round, each count is done so often that it comes to about so many namespaces. */
const NAMESPACES = 20_000;
const FLOW_DISSECTOR = 22;
const STEPS = ["create", "query", "remove"];

/** @returns {object[]} a row a count: ns a namespace by step, and bytes */
export function benchNamespaces() {
  const instructions = assemble("r0 = 0\nexit");
  const samples = COUNTS.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [i, count] of COUNTS.entries()) {
      for (let done = 0; done < Math.max(NAMESPACES, count); done += count) {
        const sample = measure(count, instructions);
        if (round > 0) samples[i].push(sample);
      }
    }
  }
  const rows = COUNTS.map((count, i) => {
    const each = STEPS.map((step) => [step, summarize(samples[i].map((sample) => sample[step]))]);
    return { count, ...Object.fromEntries(each), bytes: bytesOf(count, instructions) };
  });
  print(rows);
  return rows;
}

/** One kernel with so many namespaces: the time that each takes. */
function measure(count, instructions) {
  const kernel = EmbeddedKernel.boot();
  const program = Program.load(kernel, { type: FLOW_DISSECTOR, instructions });
  let held = [];
  const create = time(() => {
    held = fill(kernel, program, count);
  }, count);
  const query = time(() => {
    for (const [netns] of held) netns.query();
  }, count);
  const remove = time(() => {
    for (const [i, [netns, link]] of held.entries()) {
      netns[Symbol.dispose]();
      NetNs.remove(kernel, `n${i}`);
      link[Symbol.dispose]();
    }
  }, count);
  kernel[Symbol.dispose]();
  return { create, query, remove };
}

/** The memory that each takes; apart from the time, since collecting garbage throws code away. */
function bytesOf(count, instructions) {
  const kernel = EmbeddedKernel.boot();
  const program = Program.load(kernel, { type: FLOW_DISSECTOR, instructions });
  const before = usedBytes();
  const held = fill(kernel, program, count);
  const bytes = (usedBytes() - before) / held.length;
  kernel[Symbol.dispose]();
  return bytes;
}

function fill(kernel, program, count) {
  return Array.from({ length: count }, (_, i) => {
    const netns = NetNs.create(kernel, `n${i}`);
    return [netns, Link.attach(program, netns)];
  });
}

function print(rows) {
  printTable(
    "Namespaces with a link each: medians a namespace",
    ["namespaces", "create + link", "spread", "query", "remove", "bytes"],
    rows.map(({ count, create, query, remove, bytes }) => [
      count.toLocaleString("en-US"),
      formatNs(create.median),
      formatSpread(create),
      formatNs(query.median),
      formatNs(remove.median),
      bytes.toFixed(0),
    ]),
  );
  // A thousand die young, before the collector has ever looked at them; from ten thousand on each
  // is moved to where the old ones are, so that is where growth is to be read off.
  const large = rows.at(-1);
  for (const small of rows.slice(0, -1)) {
    const growth = STEPS.map(
      (step) => `${step} ${(large[step].median / small[step].median).toFixed(2)}`,
    );
    console.log(`  each at ${large.count} / each at ${small.count}: ${growth.join(", ")}`);
  }
}

function usedBytes() {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
