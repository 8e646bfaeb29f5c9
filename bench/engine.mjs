// What a run of a program costs: on the JIT, plain and hardened, on the interpreter and, where it
// is there, on Linux's JIT, all by BPF_PROG_TEST_RUN with the repetitions inside of the kernel.

import { Collection } from "nslink";
import { loadObject } from "nslink/elf";
import { EmbeddedKernel } from "nslink/embedded";
import { CORPUS, fillMap, readObject } from "./corpus.mjs";
import { compare, cpuTime, geometricMean, printTable } from "./measure.mjs";

/** Short rounds, and many: what disturbs the machine then disturbs few of them. */
const ROUNDS = 21;
/** How long one round of one engine is to take, in ns. */
const PORTION_NS = 1e7;
/** How long a program is run before that, for the engine to compile it for good. */
const WARM_UP_NS = 3e8;
const MAX_REPEAT = 4_000_000;
const CALIBRATIONS = 5;

async function bootEngines() {
  const kernels = {
    jit: EmbeddedKernel.boot({ engine: "jit" }),
    hardened: EmbeddedKernel.boot({ engine: "jit", hardened: true }),
    counted: EmbeddedKernel.boot({ engine: "jit", instructionLimit: 2 ** 40 }),
    interpreter: EmbeddedKernel.boot({ engine: "interpreter" }),
  };
  try {
    const { openLinuxKernel } = await import("nslink/linux");
    kernels.linux = await openLinuxKernel();
  } catch (error) {
    console.log(`Linux is left out: ${error.message}`);
  }
  return kernels;
}

/**
 * Mean ns of a run. Linux's own figure leaves out the system call and the time in which it ran
 * something else; ours is CPU time, and has the call and the collector of garbage in it.
 */
function measure({ kernel, program, packet, repeat }) {
  let reported = 0;
  const spent = cpuTime(() => {
    reported = program.run(packet, { repeat }).durationNs;
  }, repeat);
  return kernel.name === "linux" ? reported : spent;
}

/** A program on one engine, run often enough that it has been compiled for good. */
function prepare(kernel, object, packet) {
  const collection = Collection.load(kernel, loadObject(readObject(object)));
  fillMap(collection);
  const program = collection.program("prog");
  const prepared = { kernel, collection, program, packet };
  for (let spent = 0; spent < WARM_UP_NS; ) {
    spent += cpuTime(() => program.run(packet, { repeat: 100 }));
  }
  // What a call costs besides its runs counts less and less.
  let repeat = 100;
  for (let step = 0; step < CALIBRATIONS; step++) {
    const ns = Math.max(measure({ ...prepared, repeat }), 1);
    repeat = Math.max(1, Math.min(MAX_REPEAT, 100 * repeat, Math.round(PORTION_NS / ns)));
  }
  return { ...prepared, repeat };
}

/** @returns {Promise<object>} ns a run, by row and engine */
export async function benchEngine() {
  const kernels = await bootEngines();
  const results = {};
  for (const [row, { object, packet, loop = "empty", strict = false }] of Object.entries(CORPUS)) {
    const prepared = Object.entries(kernels).map(([name, kernel]) => [
      name,
      prepare(kernel, object, packet),
    ]);
    const retvals = prepared.map(([, { program }]) => program.run(packet).retval);
    if (new Set(retvals).size !== 1) throw new Error(`${row}: results differ: ${retvals}`);
    const candidates = prepared.map(([name, each]) => [name, () => measure(each)]);
    const figures = await compare(Object.fromEntries(candidates), { rounds: ROUNDS, warmUp: 2 });
    results[row] = { strict, loop, ...figures };
    for (const [, { collection }] of prepared) collection[Symbol.dispose]();
  }
  for (const kernel of Object.values(kernels)) kernel[Symbol.dispose]();
  print(results, Object.keys(kernels));
  return results;
}

const digits = (ns) => (ns < 100 ? ns.toFixed(1) : ns.toFixed(0));

function print(results, names) {
  const withLinux = names.includes("linux");
  const rows = Object.entries(results).map(([row, figures]) => {
    const spreads = [figures.jit, ...(withLinux ? [figures.linux] : [])].map(
      ({ min, max }) => `${digits(min)} - ${digits(max)}`,
    );
    const times = names.map((name) => digits(figures[name].median));
    const hardened = (figures.hardened.median / figures.jit.median).toFixed(2);
    const ratios = withLinux ? ratiosOf(results, row) : [];
    return [row, ...times, ...spreads, hardened, ...ratios];
  });
  const spreads = ["spread, jit", ...(withLinux ? ["spread, linux"] : [])];
  const ratios = withLinux ? ["jit / linux", "of minima", "less the loop"] : [];
  printTable(
    "A run of a program, ns (BPF_PROG_TEST_RUN: with the loop around it, on all engines)",
    ["program", ...names, ...spreads, "hardened / jit", ...ratios],
    rows,
  );
  if (withLinux) printMeans(results);
}

/** Of medians, of the best rounds, and of medians without what the loop alone takes. */
function ratiosOf(results, row) {
  const { jit, linux, loop } = results[row];
  const bare = results[loop];
  const rest = (jit.median - bare.jit.median) / (linux.median - bare.linux.median);
  return [
    (jit.median / linux.median).toFixed(2),
    (jit.min / linux.min).toFixed(2),
    // Linux's whole nanoseconds may leave nothing to divide by.
    row.startsWith("empty") || !Number.isFinite(rest) ? "" : rest.toFixed(2),
  ];
}

function printMeans(results) {
  const rows = Object.entries(results);
  const working = rows.filter(([row]) => !row.startsWith("empty"));
  for (const [title, figure] of [
    ["medians", "median"],
    ["minima", "min"],
  ]) {
    const ratioOf = ([, { jit, linux }]) => jit[figure] / linux[figure];
    const worst = (some) => Math.max(...some.map(ratioOf)).toFixed(2);
    const mean = (some) => geometricMean(some.map(ratioOf)).toFixed(2);
    const strict = rows.filter(([, { strict }]) => strict);
    console.log(
      `  jit / linux, ${title}: geometric mean ${mean(working)}, worst ${worst(working)};`,
    );
    console.log(`    worst of the dissector and the maps ${worst(strict)};`);
    console.log(`    geometric mean with those that do nothing ${mean(rows)}`);
  }
}
