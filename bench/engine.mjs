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
/** How long a program is run before that, for the engine to compile it for good. */
const WARM_UP_MS = 150;
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
  const end = performance.now() + WARM_UP_MS;
  while (performance.now() < end) program.run(packet, { repeat: 20 });
  const ns = time({ kernel, program, packet, repeat: 200 });
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
    const { min, max, median } = figures.jit;
    const spread = `${digits(min)} - ${digits(max)}`;
    const times = names.map((name) => digits(figures[name].median));
    const ratio = withLinux ? [(median / figures.linux.median).toFixed(2)] : [];
    const hardened = (figures.hardened.median / median).toFixed(2);
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

/** Of medians, and of the best rounds, which are those that nothing disturbed. */
function printRatios(results) {
  for (const figure of ["median", "min"]) {
    const ratioOf = ({ jit, linux }) => jit[figure] / linux[figure];
    const ratios = Object.values(results).map(ratioOf);
    const strict = Object.values(results).filter((row) => row.strict);
    const mean = Math.exp(ratios.reduce((sum, each) => sum + Math.log(each), 0) / ratios.length);
    const worst = Math.max(...ratios).toFixed(2);
    const worstStrict = Math.max(...strict.map(ratioOf)).toFixed(2);
    console.log(`  jit / Linux, ${figure}: geometric mean ${mean.toFixed(2)}, worst ${worst},`);
    console.log(`    worst of the dissector and the maps ${worstStrict}`);
  }
}
