// Honest timing: rounds of the candidates in turn, medians and spread, ratios last.

/** Rounds of each candidate; the first is not counted. */
const ROUNDS = 7;

/**
 * Times functions side by side.
 *
 * @param {Record<string, () => void>} candidates - each does `operations` operations a call.
 * @param {number} operations
 * @returns {Record<string, { medianNs: number, minNs: number, maxNs: number }>} ns an operation
 */
export function compare(candidates, operations) {
  const samples = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, call] of Object.entries(candidates)) {
      const start = process.hrtime.bigint();
      call();
      const ns = Number(process.hrtime.bigint() - start) / operations;
      if (round > 0) samples[name].push(ns);
    }
  }
  return Object.fromEntries(
    Object.entries(samples).map(([name, values]) => [name, summary(values)]),
  );
}

/** @param {number[]} values */
export function summary(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const [minNs, medianNs, maxNs] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
  return { medianNs, minNs, maxNs };
}

/** A duration that people can read. @param {number} ns */
export function formatNs(ns) {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(2)} µs`;
  return `${(ns / 1e6).toFixed(1)} ms`;
}

/** @param {string[]} header @param {string[][]} rows */
export function printTable(title, header, rows) {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  console.log(`\n${title}`);
  for (const row of [header, ...rows]) {
    console.log(`  ${row.map((cell, i) => cell.padStart(widths[i])).join("   ")}`);
  }
}
