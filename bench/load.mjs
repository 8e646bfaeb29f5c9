// From the bytes of the example dissector's object to its first packet, on the JIT, and what Linux
// takes for BPF_PROG_LOAD of the same programs, its own JIT included.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Collection } from "nslink";
import { loadObject } from "nslink/elf";
import { CORPUS } from "./corpus.mjs";
import { bootKernels } from "./kernels.mjs";
import { compare, cpuTime, formatNs, formatSpread, printTable } from "./measure.mjs";
import { watchLoads } from "./prog_load.mjs";

const OBJECT = fileURLToPath(new URL("../bpf/flow.bpf.o", import.meta.url));
const PROGRAM = "dissect";
const ROUNDS = 41;
/** The verifier and the JIT are compiled by the engine as they go, the last of it after seconds. */
const WARM_UP = 1000;
/** At most so much of Linux's BPF_PROG_LOAD. */
const GOAL = 2;

/** The steps of one load, in order, with what each took in ns. */
function load({ kernel, take }, bytes, packet) {
  let object;
  let collection;
  const read = cpuTime(() => {
    object = loadObject(bytes);
  });
  const loaded = cpuTime(() => {
    collection = Collection.load(kernel, object);
  });
  const verified = take();
  const ran = cpuTime(() => collection.program(PROGRAM).run(packet));
  collection[Symbol.dispose]();
  return {
    "ELF and BTF read": read,
    "maps, BTF, tables": loaded - verified,
    BPF_PROG_LOAD: verified,
    "first packet": ran,
    "all of it": read + loaded + ran,
  };
}

/** @returns {Promise<object>} ns by kernel and step */
export async function benchLoad() {
  const kernels = await bootKernels();
  const bytes = readFileSync(OBJECT);
  const { packet } = CORPUS["fd tcp4"];
  const results = {};
  const watched = Object.entries(kernels).map(([name, kernel]) => [name, watchLoads(kernel)]);
  const latest = {};
  const steps = Object.keys(load(watched[0][1], bytes, packet));
  const candidates = watched.flatMap(([name, watch]) =>
    steps.map((step, i) => [
      `${name}, ${step}`,
      () => {
        if (i === 0) latest[name] = load(watch, bytes, packet);
        return latest[name][step];
      },
    ]),
  );
  const figures = await compare(Object.fromEntries(candidates), {
    rounds: ROUNDS,
    warmUp: WARM_UP,
  });
  for (const kernel of Object.values(kernels)) kernel[Symbol.dispose]();
  for (const name of Object.keys(kernels)) {
    results[name] = Object.fromEntries(steps.map((step) => [step, figures[`${name}, ${step}`]]));
  }
  print(results);
  return results;
}

function print(results) {
  const rows = Object.entries(results).flatMap(([kernel, steps]) =>
    Object.entries(steps).map(([step, summary]) => [
      kernel,
      step,
      formatNs(summary.median),
      formatSpread(summary),
    ]),
  );
  printTable(
    "Load of the example dissector, CPU time",
    ["kernel", "step", "median", "spread"],
    rows,
  );
  if (results.linux === undefined) return;
  for (const figure of ["median", "min"]) {
    const ratio = results.embedded["all of it"][figure] / results.linux.BPF_PROG_LOAD[figure];
    console.log(`  all of it, embedded / BPF_PROG_LOAD, Linux, ${figure}: ${ratio.toFixed(2)}`);
  }
  console.log(`  goal: <= ${GOAL}`);
}
