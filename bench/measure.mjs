// Honest figures: rounds of the candidates in turn, medians and spread, ratios last; and memory.

import { existsSync, readFileSync } from "node:fs";

const STATUS = "/proc/self/status";

/**
 * Lets candidates run in turn, so that what slows the machine down for a while slows all of them.
 *
 * @param {Record<string, () => number | Promise<number>>} candidates - each does a round and says
 *   how many ns an operation of it took.
 * @param {{ rounds: number, warmUp?: number }} options - `warmUp` rounds come first, not counted.
 * @returns {Promise<Record<string, Summary>>}
 * @typedef {{ median: number, min: number, max: number }} Summary
 */
export async function compare(candidates, { rounds, warmUp = 1 }) {
  const samples = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (const [name, run] of Object.entries(candidates)) {
      const ns = await run();
      if (round >= 0) samples[name].push(ns);
    }
  }
  return Object.fromEntries(
    Object.entries(samples).map(([name, values]) => [name, summarize(values)]),
  );
}

/** Nanoseconds an operation, when `call` does `operations` of them. */
export function time(call, operations = 1) {
  const start = process.hrtime.bigint();
  call();
  return Number(process.hrtime.bigint() - start) / operations;
}

/**
 * The same in ns of CPU time, which other processes on the machine take less part in. It is that of
 * all threads of this process: of its garbage collector, too.
 */
export function cpuTime(call, operations = 1) {
  const before = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(before);
  return (1e3 * (user + system)) / operations;
}

/**
 * The most memory that this process has had at a time. On Linux ru_maxrss won't do: it begins with
 * what the process that started this one had.
 */
export function peakMemoryKiB() {
  if (!existsSync(STATUS)) return process.resourceUsage().maxRSS;
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(STATUS, "utf8"))[1]);
}

/** @param {number[]} values */
export function geometricMean(values) {
  return Math.exp(values.reduce((sum, each) => sum + Math.log(each), 0) / values.length);
}

/** @param {number[]} values @returns {Summary} */
export function summarize(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const [min, median, max] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
  return { median, min, max };
}

/** A duration that people can read. @param {number} ns */
export function formatNs(ns) {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(2)} µs`;
  return `${(ns / 1e6).toFixed(1)} ms`;
}

/** @param {Summary} summary */
export function formatSpread({ min, max }) {
  return `${formatNs(min)} - ${formatNs(max)}`;
}

/** @param {string[]} header @param {string[][]} rows */
export function printTable(title, header, rows) {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  console.log(`\n${title}`);
  for (const row of [header, ...rows]) {
    console.log(`  ${row.map((cell, i) => cell.padStart(widths[i])).join("   ")}`);
  }
}
