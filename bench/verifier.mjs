// Verification: the time of BPF_PROG_LOAD and the instructions that were walked, here and on Linux,
// and how much memory a program takes that is too much for both.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Collection } from "nslink";
import { loadObject } from "nslink/elf";
import { bootKernels } from "./kernels.mjs";
import { compare, formatNs, formatSpread, printTable } from "./measure.mjs";
import { watchLoads } from "./prog_load.mjs";

const EXAMPLES = ["flow", "flow-v2"];
const CORPUS = ["empty", "fd", "fnv", "xxh", "csum", "muldiv", "maparr", "maphash"];
/** By rounds; 256 are more than the limit of instructions allows. */
const STATE_MACHINES = { fsm16: "fsm16", fsm32: "fsm32", fsm64: "fsm" };
const TOO_COMPLEX = "fsm256";
const OBJECTS = {
  ...Object.fromEntries(EXAMPLES.map((name) => [name, `../bpf/${name}.bpf.o`])),
  ...Object.fromEntries(CORPUS.map((name) => [name, `corpus/${name}.bpf.o`])),
  ...Object.fromEntries(
    Object.entries(STATE_MACHINES).map(([name, file]) => [name, `corpus/${file}.bpf.o`]),
  ),
};

const ROUNDS = 11;
/** The engine compiles what verifies over some hundred thousand instructions. */
const WARM_UP = 4;
/** A round loads an object so often that about as many instructions are walked. */
const WALKED_A_ROUND = 20_000;
const MIN_WALKED = 200;
/** At most so much of what Linux takes. */
const GOALS = { time: 3, instructions: 1.5 };

const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Loads an object and lets go of it. @returns instructions walked for all of its programs. */
function walked(kernel, object) {
  const collection = Collection.load(kernel, object);
  const programs = [...collection.programs.values()];
  collection[Symbol.dispose]();
  return programs.reduce((sum, { info }) => sum + info.verifiedInstructions, 0);
}

/** @returns {Promise<object>} ns of PROG_LOAD and instructions walked, by object and kernel */
export async function benchVerifier() {
  const kernels = await bootKernels();
  const programs = {};
  for (const [name, file] of Object.entries(OBJECTS)) {
    const object = loadObject(readFileSync(pathOf(file)));
    const instructions = {};
    const repeat = Math.ceil(
      WALKED_A_ROUND / Math.max(walked(kernels.embedded, object), MIN_WALKED),
    );
    const candidates = Object.entries(kernels).map(([who, kernel]) => {
      const watch = watchLoads(kernel);
      return [
        who,
        () => {
          for (let i = 0; i < repeat; i++) instructions[who] = walked(watch.kernel, object);
          return watch.take() / repeat;
        },
      ];
    });
    const times = await compare(Object.fromEntries(candidates), {
      rounds: ROUNDS,
      warmUp: WARM_UP,
    });
    programs[name] = { times, instructions };
  }
  for (const kernel of Object.values(kernels)) kernel[Symbol.dispose]();
  print(programs, Object.keys(kernels));
  const limit = heapAtLimit();
  printTable(
    `Heap while verifying, MB: ${TOO_COMPLEX} ends at the limit, after ${limit.instructions}`,
    ["program", "peak after a collection", "largest resident set"],
    Object.entries(limit.heap).map(([name, { liveMb, residentMb }]) => [
      name,
      liveMb.toFixed(0),
      residentMb.toFixed(0),
    ]),
  );
  return { programs, limit };
}

function print(programs, names) {
  const withLinux = names.includes("linux");
  const rows = Object.entries(programs).map(([name, { times, instructions }]) => {
    const each = names.map((who) => formatNs(times[who].median));
    const spreads = names.map((who) => formatSpread(times[who]));
    const counts = names.map((who) => String(instructions[who]));
    const ratios = withLinux
      ? [
          (instructions.embedded / instructions.linux).toFixed(2),
          (times.embedded.median / times.linux.median).toFixed(2),
          (times.embedded.min / times.linux.min).toFixed(2),
        ]
      : [];
    return [name, ...counts, ...each, ...spreads, ...ratios];
  });
  const header = [
    "program",
    ...names.map((who) => `walked, ${who}`),
    ...names,
    ...names.map((who) => `spread, ${who}`),
    ...(withLinux
      ? [
          `walked / Linux (<= ${GOALS.instructions})`,
          `time / Linux (<= ${GOALS.time})`,
          "best / best",
        ]
      : []),
  ];
  printTable("Verification: CPU time of the whole of BPF_PROG_LOAD", header, rows);
}

/** What the engine says of its heap after each full collection: "… MB" before -> after. */
const AFTER_COLLECTION = /Mark-Compact.*? -> ([\d.]+) \(/g;

/** Loads one program in a process of its own, whose collector tells what it finds. */
function heapOf(object) {
  const { stdout } = spawnSync(
    process.execPath,
    [
      "--trace-gc",
      "--expose-gc",
      pathOf("verify_once.mjs"),
      ...(object === null ? [] : [pathOf(object)]),
    ],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  );
  const live = [...stdout.matchAll(AFTER_COLLECTION)].map((match) => Number(match[1]));
  const { residentMb, log } = JSON.parse(stdout.slice(stdout.lastIndexOf('{"residentMb"')));
  return { liveMb: Math.max(0, ...live), residentMb, log };
}

function heapAtLimit() {
  const heap = {
    "no program": heapOf(null),
    fsm64: heapOf(OBJECTS.fsm64),
    [TOO_COMPLEX]: heapOf(`corpus/${TOO_COMPLEX}.bpf.o`),
  };
  const instructions = /processed \d+ insns/.exec(heap[TOO_COMPLEX].log)?.[0];
  return { instructions, heap };
}
