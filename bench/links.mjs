// Links: create + close, update, info, as bare calls of the seam and through the nouns.

import { Link, NetNs, Program } from "nslink";
import { assemble } from "nslink/asm";
import { bootKernels } from "./kernels.mjs";
import { compare, formatNs, printTable } from "./measure.mjs";

const OPERATIONS = 5_000;
const LINK_CREATE = 28;
const LINK_UPDATE = 29;
const OBJ_GET_INFO_BY_FD = 15;
const FLOW_DISSECTOR = 22;
const ATTACH_FLOW_DISSECTOR = 17;

/** What one kernel is asked to do, by name of the row. */
function operationsOn(kernel, netns) {
  const load = () =>
    Program.load(kernel, { type: FLOW_DISSECTOR, instructions: assemble("r0 = 0\nexit") });
  const [one, two] = [load(), load()];
  const times = (call) => () => {
    for (let i = 0; i < OPERATIONS; i++) call(i);
  };
  const create = attr(one.fd, netns.fd, ATTACH_FLOW_DISSECTOR, 0);
  let link;
  const linked = (call) => () => {
    link = Link.attach(one, netns);
    times(call)();
    link[Symbol.dispose]();
  };
  const info = new Uint8Array(64);
  return {
    "create + close, bare": times(() => kernel.close(kernel.bpf(LINK_CREATE, create))),
    "create + close": times(() => Link.attach(one, netns)[Symbol.dispose]()),
    "update, bare": linked((i) => {
      kernel.bpf(LINK_UPDATE, attr(link.fd, i % 2 === 0 ? two.fd : one.fd, 0, 0));
    }),
    update: linked((i) => link.update(i % 2 === 0 ? two : one)),
    "info, bare": linked(() => {
      const call = new DataView(new ArrayBuffer(16));
      call.setUint32(0, link.fd, true);
      call.setUint32(4, info.length, true);
      call.setBigUint64(8, kernel.addressOf(info), true);
      kernel.bpf(OBJ_GET_INFO_BY_FD, new Uint8Array(call.buffer));
    }),
    info: linked(() => link.info),
  };
}

function attr(...words) {
  return new Uint8Array(Uint32Array.from(words).buffer);
}

/** @returns {Promise<object>} ns an operation, by row and kernel */
export async function benchLinks() {
  const kernels = await bootKernels();
  const name = `bench-${process.pid}`;
  const spaces = Object.values(kernels).map((kernel) => NetNs.create(kernel, name));
  try {
    const work = Object.values(kernels).map((kernel, i) => operationsOn(kernel, spaces[i]));
    const results = {};
    for (const row of Object.keys(work[0])) {
      const candidates = Object.keys(kernels).map((kernel, i) => [kernel, work[i][row]]);
      results[row] = compare(Object.fromEntries(candidates), OPERATIONS);
    }
    print(results, Object.keys(kernels));
    return results;
  } finally {
    for (const [i, kernel] of Object.values(kernels).entries()) {
      spaces[i][Symbol.dispose]();
      NetNs.remove(kernel, name);
      kernel[Symbol.dispose]();
    }
  }
}

function print(results, kernels) {
  const header = ["operation", ...kernels, "a second, embedded", "spread, embedded"];
  const both = kernels.includes("linux");
  const rows = Object.entries(results).map(([row, byKernel]) => {
    const { medianNs, minNs, maxNs } = byKernel.embedded;
    const rate = Math.round(1e9 / medianNs).toLocaleString("en-US");
    const spread = `${formatNs(minNs)} - ${formatNs(maxNs)}`;
    const ratio = both ? [(medianNs / byKernel.linux.medianNs).toFixed(2)] : [];
    const times = kernels.map((kernel) => formatNs(byKernel[kernel].medianNs));
    return [row, ...times, rate, spread, ...ratio];
  });
  printTable("Links", both ? [...header, "embedded / Linux"] : header, rows);
}
