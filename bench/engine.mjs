// What a run of a program costs: on the JIT, plain and hardened, on the interpreter and, where it
// is there, on Linux's JIT, all by BPF_PROG_TEST_RUN with the repetitions inside of the kernel.

import { Collection } from "nslink";
import { loadObject } from "nslink/elf";
import { EmbeddedKernel } from "nslink/embedded";
import { CORPUS, fillMap, readObject } from "./corpus.mjs";
import { compare, printTable } from "./measure.mjs";

/** Short rounds, and many: what disturbs the machine then disturbs few of them. */
const ROUNDS = 21;
/** How long one round of one engine is to take, in ns. */
const PORTION_NS = 5e6;
const MAX_REPEAT = 2_000_000;

async function bootEngines() {
  const kernels = {
    jit: EmbeddedKernel.boot({ engine: "jit" }),
    hardened: EmbeddedKernel.boot({ engine: "jit", hardened: true }),
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

/** Mean ns of a run. Linux's own figure leaves out the system call, ours has finer steps. */
function time({ kernel, program, packet, repeat }) {
  const start = process.hrtime.bigint();
  const { durationNs } = program.run(packet, { repeat });
  const elapsed = Number(process.hrtime.bigint() - start) / repeat;
  return kernel.name === "linux" ? durationNs : elapsed;
}

/** A program on one engine, run often enough that it has been compiled for good. */
function prepare(kernel, object, packet) {
  const collection = Collection.load(kernel, loadObject(readObject(object)));
  fillMap(collection);
  const program = collection.program("prog");
  for (let i = 0; i < 20; i++) program.run(packet, { repeat: 50 });
  const ns = time({ kernel, program, packet, repeat: 50 });
  const repeat = Math.max(1, Math.min(MAX_REPEAT, Math.round(PORTION_NS / Math.max(ns, 1))));
  return { kernel, collection, program, packet, repeat };
}

/** @returns {Promise<object>} ns a run, by row and engine */
export async function benchEngine() {
  const kernels = await bootEngines();
  const results = {};
  for (const [row, { object, packet, strict = false }] of Object.entries(CORPUS)) {
    const prepared = Object.entries(kernels).map(([name, kernel]) => [
      name,
      prepare(kernel, object, packet),
    ]);
    const retvals = prepared.map(([, { program }]) => program.run(packet).retval);
    if (new Set(retvals).size !== 1) throw new Error(`${row}: results differ: ${retvals}`);
    const candidates = prepared.map(([name, each]) => [name, () => time(each)]);
    const figures = await compare(Object.fromEntries(candidates), { rounds: ROUNDS, warmUp: 2 });
    results[row] = { strict, ...figures };
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
    const { minNs, maxNs, medianNs } = figures.jit;
    const spread = `${digits(minNs)} - ${digits(maxNs)}`;
    const times = names.map((name) => digits(figures[name].medianNs));
    const ratio = withLinux ? [(medianNs / figures.linux.medianNs).toFixed(2)] : [];
    const hardened = (figures.hardened.medianNs / medianNs).toFixed(2);
    return [row, ...times, spread, hardened, ...ratio];
  });
  const header = ["program", ...names, "spread, jit", "hardened / jit"];
  printTable(
    "A run of a program, ns (BPF_PROG_TEST_RUN)",
    withLinux ? [...header, "jit / Linux"] : header,
    rows,
  );
  if (withLinux) printRatios(results);
}

function printRatios(results) {
  const ratios = Object.values(results).map(({ jit, linux }) => jit.medianNs / linux.medianNs);
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  const strict = Object.values(results).filter((row) => row.strict);
  const worst = Math.max(...strict.map(({ jit, linux }) => jit.medianNs / linux.medianNs));
  const all = Math.max(...ratios).toFixed(2);
  console.log(`  jit / Linux: geometric mean ${mean.toFixed(2)}, worst ${all}`);
  console.log(`  jit / Linux, dissector and maps: worst ${worst.toFixed(2)}`);
}
