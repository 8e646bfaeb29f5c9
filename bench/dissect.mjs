// What a packet costs whoever dissects it from TypeScript, beside the run of the program alone.

import { Collection, Link, NetNs } from "nslink";
import { loadObject } from "nslink/elf";
import { EmbeddedKernel } from "nslink/embedded";
import { CORPUS, readObject } from "./corpus.mjs";
import { compare, cpuTime, formatSpread, printTable } from "./measure.mjs";

const ROUNDS = 41;
/** Packets of a round, a multiple of those of a batch. */
const PACKETS = 64_000;
const BATCH = 64;
/** Where the last byte of the source address is in the packet of "fd tcp4". */
const SOURCE = 29;
const WARM_UP_NS = 5e8;
/** "Under 60 ns on a machine where the bare run takes 15." */
const GOAL = 60 / 15;
const ONE_BY_ONE = "one by one, keys as objects";

/** Packets that differ in their source address. */
function variants(packet) {
  return Array.from({ length: BATCH }, (_, i) => {
    const other = packet.slice();
    other[SOURCE] = i;
    return other;
  });
}

/** Reads every field, so that none of them is left undone. */
function readKeys(keys) {
  return (
    keys.nhoff +
    keys.thoff +
    keys.addr_proto +
    (keys.is_frag ? 1 : 0) +
    (keys.is_first_frag ? 1 : 0) +
    (keys.is_encap ? 1 : 0) +
    keys.ip_proto +
    keys.n_proto +
    keys.sport +
    keys.dport +
    keys.ipv4_src.length +
    keys.ipv4_dst.length +
    keys.flags +
    keys.flow_label
  );
}

/** @returns {Promise<object>} ns a packet, by way */
export async function benchDissect() {
  const kernel = EmbeddedKernel.boot({ engine: "jit" });
  const netns = NetNs.create(kernel, "bench");
  const collection = Collection.load(kernel, loadObject(readObject("fd")));
  const program = collection.program("prog");
  Link.attach(program, netns);
  const packets = variants(CORPUS["fd tcp4"].packet);
  const frames = packets.map((data) => ({ data, networkOffset: 14, protocol: 0x0800 }));
  const batch = kernel.packetBatch(BATCH, BATCH * 128);
  /** Each way adds up by itself: numbers that two functions share are slow to change. */
  let read = 0;
  const fill = () => {
    batch.clear();
    for (const frame of frames) batch.add(frame, 0);
  };
  fill();
  const ways = {
    "the run alone (TEST_RUN)": () => program.run(packets[0], { repeat: PACKETS }),
    "in batches, already in memory": () => {
      for (let i = 0; i < PACKETS; i += BATCH) kernel.dissectBatch(netns.fd, batch);
    },
    "in batches, copied in, keys as objects": () => {
      let sum = 0;
      for (let i = 0; i < PACKETS; i += BATCH) {
        fill();
        kernel.dissectBatch(netns.fd, batch);
        for (let j = 0; j < BATCH; j++) sum += readKeys(batch.flowKeys(j));
      }
      read += sum;
    },
    [ONE_BY_ONE]: () => {
      let sum = 0;
      for (let i = 0; i < PACKETS; i++) sum += readKeys(netns.dissect(packets[i % BATCH]).keys);
      read += sum;
    },
    "one by one, addresses never seen before": () => {
      const packet = packets[0].slice();
      const view = new DataView(packet.buffer);
      let sum = 0;
      for (let i = 0; i < PACKETS; i++) {
        view.setUint32(SOURCE - 3, view.getUint32(SOURCE - 3) + 4099);
        sum += readKeys(netns.dissect(packet).keys);
      }
      read += sum;
    },
  };
  for (let spent = 0; spent < WARM_UP_NS; ) {
    for (const run of Object.values(ways)) spent += cpuTime(run);
  }
  const candidates = Object.entries(ways).map(([name, run]) => [name, () => cpuTime(run, PACKETS)]);
  const results = await compare(Object.fromEntries(candidates), { rounds: ROUNDS, warmUp: 3 });
  kernel[Symbol.dispose]();
  if (!(read > 0)) throw new Error("no keys were read");
  const bare = Object.values(results)[0];
  const rows = Object.entries(results).map(([name, result]) => [
    name,
    result.median.toFixed(1),
    formatSpread(result),
    (result.median / bare.median).toFixed(1),
    (result.min / bare.min).toFixed(1),
    name === ONE_BY_ONE ? GOAL.toFixed(1) : "",
  ]);
  const title = "A packet through the dissector from TypeScript, ns (74 bytes, TCP over IPv4)";
  const header = ["packets", "median", "spread", "/ the run alone", "of minima", "goal"];
  printTable(title, header, rows);
  return results;
}
