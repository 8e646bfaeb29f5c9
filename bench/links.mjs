// Links: create + close, update, info. Bare bpf(2) calls from C; the seam alone, with an attr made
// beforehand, which shows what the way into a kernel costs; the seam with the encoding that every
// call of nslink goes through; and the nouns. On Linux and on the embedded kernel.

import { spawnSync } from "node:child_process";
import { Link, NetNs, Program } from "nslink";
import { assemble } from "nslink/asm";
import * as ATTR from "../dist/abi/attr.js";
import * as BPF from "../dist/abi/bpf.js";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "../dist/abi/info.js";
import { callBpf } from "../dist/diagnosis/refusal.js";
import { readInfo } from "../dist/handle.js";
import { startCLoop } from "./c_loop.mjs";
import { bootKernels } from "./kernels.mjs";
import { compare, formatNs, formatSpread, printTable, time } from "./measure.mjs";

/** Short rounds, and many: what disturbs the machine then disturbs few of them. */
const OPERATIONS = 2_000;
const ROUNDS = 31;
const WARM_UP = 5;
/** What is passed of an attr that is made beforehand. */
const ATTR_BYTES = 16;
/** At most so much of the time of the other. */
const GOALS = { "Linux / C": 1.15, "embedded / Linux": 0.2 };

/** What one kernel is asked to do: rounds by operation and by way of asking. */
function roundsOn(kernel, netns) {
  const load = () =>
    Program.load(kernel, {
      type: BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
      instructions: assemble("r0 = 0\nexit"),
    });
  const programs = [load(), load()];
  const [first] = programs;
  const round = (call) => () =>
    time(() => {
      for (let i = 0; i < OPERATIONS; i++) call(i);
    }, OPERATIONS);
  let link;
  const linked = (call) => () => {
    link = Link.attach(first, netns);
    const ns = round(call)();
    link[Symbol.dispose]();
    return ns;
  };
  const create = attr(first.fd, netns.fd, BPF.BPF_FLOW_DISSECTOR, 0);
  const swap = attr(0, 0, 0, 0);
  return {
    create: {
      bare: round(() => kernel.close(kernel.bpf(BPF.BPF_LINK_CREATE, create, ATTR_BYTES))),
      seam: round(() => {
        const fd = callBpf(kernel, BPF.BPF_LINK_CREATE, ATTR.LINK_CREATE, {
          prog_fd: first.fd,
          target_fd: netns.fd,
          attach_type: BPF.BPF_FLOW_DISSECTOR,
        });
        kernel.close(fd);
      }),
      nouns: round(() => Link.attach(first, netns)[Symbol.dispose]()),
    },
    update: {
      bare: linked((i) => {
        swap[0] = link.fd;
        swap[4] = programs[(i + 1) % 2].fd;
        kernel.bpf(BPF.BPF_LINK_UPDATE, swap, ATTR_BYTES);
      }),
      seam: linked((i) => {
        callBpf(kernel, BPF.BPF_LINK_UPDATE, ATTR.LINK_UPDATE, {
          link_fd: link.fd,
          new_prog_fd: programs[(i + 1) % 2].fd,
        });
      }),
      nouns: linked((i) => link.update(programs[(i + 1) % 2])),
    },
    info: {
      seam: linked(() => readInfo(kernel, link.fd, LINK_INFO, BPF_LINK_INFO_SIZE)),
      nouns: linked(() => link.info),
    },
  };
}

/** Room for the whole union, as nslink's own calls have it; fds here are below 256. */
function attr(...words) {
  const all = new Uint32Array(ATTR.BPF_ATTR_SIZE / 4);
  all.set(words);
  return new Uint8Array(all.buffer);
}

/** @returns {Promise<object>} ns an operation, by operation and by who does it */
export async function benchLinks() {
  pinToOneCpu();
  const kernels = await bootKernels();
  const name = `nslink-bench-${process.pid}`;
  const spaces = Object.values(kernels).map((kernel) => NetNs.create(kernel, name));
  let c = null;
  try {
    if (kernels.linux !== undefined) c = await startCLoop(`/run/netns/${name}`, OPERATIONS);
    const work = Object.values(kernels).map((kernel, i) => roundsOn(kernel, spaces[i]));
    const results = {};
    for (const operation of Object.keys(work[0])) {
      const candidates = c === null ? {} : { C: () => c.round(operation) };
      for (const [i, kernel] of Object.keys(kernels).entries()) {
        for (const [way, run] of Object.entries(work[i][operation])) {
          candidates[`${kernel}, ${way}`] = run;
        }
      }
      results[operation] = await compare(candidates, { rounds: ROUNDS, warmUp: WARM_UP });
    }
    print(results);
    return results;
  } finally {
    await c?.end();
    for (const [i, kernel] of Object.values(kernels).entries()) {
      spaces[i][Symbol.dispose]();
      NetNs.remove(kernel, name);
      kernel[Symbol.dispose]();
    }
  }
}

/** This thread, and with it the C program: else the scheduler's choices are part of the figures. */
function pinToOneCpu() {
  const cpu = String(Math.max(0, Number(process.env.NSLINK_BENCH_CPU ?? 0)));
  const { status } = spawnSync("taskset", ["-pc", cpu, String(process.pid)]);
  if (status !== 0) console.log("taskset is missing: candidates may run on different CPUs");
}

function print(results) {
  const rows = Object.entries(results).flatMap(([operation, summaries]) =>
    Object.entries(summaries).map(([who, summary]) => [
      operation === "create" ? "create + close" : operation,
      who,
      formatNs(summary.median),
      formatSpread(summary),
      Math.round(1e9 / summary.median).toLocaleString("en-US"),
    ]),
  );
  printTable("Links", ["operation", "by", "median", "spread", "a second"], rows);
  const ratios = Object.entries(results).flatMap(([operation, summaries]) =>
    ["bare", "seam", "nouns"].flatMap((way) => {
      const [linux, embedded] = [summaries[`linux, ${way}`], summaries[`embedded, ${way}`]];
      return [
        ratio("Linux / C", operation, way, linux, summaries.C),
        ratio("embedded / Linux", operation, way, embedded, linux),
      ].filter((row) => row !== null);
    }),
  );
  if (ratios.length === 0) return;
  printTable("Ratios of the medians", ["of", "operation", "way", "ratio", "goal"], ratios);
}

function ratio(of, operation, way, one, other) {
  if (one === undefined || other === undefined) return null;
  const value = one.median / other.median;
  return [of, operation, way, value.toFixed(2), `<= ${GOALS[of]}`];
}
