// `nslink run --summary` over long captures, made from the example one: packets a second and peak
// memory, and beside it other readers of the same file, in turn.

import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compare, printTable } from "./measure.mjs";

const PACKETS = 1_000_000;
/** The longer capture, for what memory takes. */
const MANY_PACKETS = 10_000_000;
const ROUNDS = 7;
/** tshark looks deeper than the others, and takes as much longer. */
const TSHARK_PACKETS = 50_000;

const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const OBJECT = path("bpf/flow.bpf.o");
const TELL_MEMORY = new URL("tell_memory.mjs", import.meta.url).href;

/** Writes the packets of the example capture, over and over. */
function writeCapture(file, packets) {
  const example = readFileSync(path("examples/traffic.pcap"));
  const ends = [];
  for (let at = FILE_HEADER_BYTES; at < example.length; ) {
    at += RECORD_HEADER_BYTES + example.readUInt32LE(at + 8);
    ends.push(at);
  }
  const fd = openSync(file, "w");
  writeSync(fd, example.subarray(0, FILE_HEADER_BYTES));
  for (let left = packets; left > 0; left -= ends.length) {
    const end = ends[Math.min(left, ends.length) - 1];
    writeSync(fd, example.subarray(FILE_HEADER_BYTES, end));
  }
  closeSync(fd);
}

/** Runs a command to its end. @returns {{ ns: number, stdout: string, stderr: string }} */
function run(command, args) {
  const start = process.hrtime.bigint();
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  const ns = Number(process.hrtime.bigint() - start);
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return { ns, stdout, stderr };
}

/** Runs a capture, as users do, or with options of Node's. @returns what {@link run} does. */
function nslink(file, packets, { options = [], nodeOptions = [] } = {}) {
  const args = [...nodeOptions, path("dist/bin/nslink.js"), "run", OBJECT, file, "--summary"];
  const ended = run(process.execPath, [...args, ...options]);
  const counted = `${packets.toLocaleString("en")} packet`;
  if (!ended.stdout.includes(counted)) throw new Error(`${counted}s expected: ${ended.stdout}`);
  return ended;
}

/** What memory a capture takes at most, in KiB, by a run that takes longer for telling it. */
function memoryOf(file, packets) {
  const { stderr } = nslink(file, packets, { nodeOptions: ["--import", TELL_MEMORY] });
  return Number(stderr.trim().split("\n").at(-1));
}

function isThere(command) {
  const found = spawnSync(command, ["--version"]).status === 0;
  if (!found) console.log(`${command} is left out: there is none`);
  return found;
}

/** Readers of captures, each with how many packets it is given. */
function readers(file) {
  const all = { "nslink run": [PACKETS, () => nslink(file, PACKETS).ns] };
  const jobs = availableParallelism();
  if (jobs > 1) {
    const options = ["--jobs", `${jobs}`];
    all[`nslink run --jobs ${jobs}`] = [PACKETS, () => nslink(file, PACKETS, { options }).ns];
  }
  if (isThere("tcpdump")) {
    all["tcpdump -w"] = [PACKETS, () => run("tcpdump", ["-r", file, "-w", "/dev/null"]).ns];
    all["tcpdump --count"] = [PACKETS, () => run("tcpdump", ["-r", file, "--count"]).ns];
  }
  if (isThere("tshark")) {
    const args = ["-n", "-r", file, "-c", `${TSHARK_PACKETS}`, "-q", "-z", "conv,ip"];
    all["tshark -z conv"] = [TSHARK_PACKETS, () => run("tshark", args).ns];
  }
  return all;
}

/** @returns {Promise<object>} ns a packet by reader, and memory by packets */
export async function benchRun() {
  const folder = mkdtempSync(join(tmpdir(), "nslink-bench-"));
  try {
    const [file, long, single] = ["1m", "10m", "1"].map((name) => join(folder, `${name}.pcap`));
    writeCapture(file, PACKETS);
    writeCapture(single, 1);
    const all = readers(file);
    const candidates = Object.entries(all).map(([name, [packets, read]]) => [
      name,
      () => read() / packets,
    ]);
    const start = () => nslink(single, 1).ns;
    const figures = await compare(Object.fromEntries([["start", start], ...candidates]), {
      rounds: ROUNDS,
    });
    const { start: startNs, ...perPacket } = figures;
    // Not before: while the system writes it to disk, it has less time for the others.
    writeCapture(long, MANY_PACKETS);
    const memory = [file, long].map((each, i) => {
      const packets = [PACKETS, MANY_PACKETS][i];
      return { packets, rssKiB: memoryOf(each, packets) };
    });
    const results = { startNs, perPacket, memory };
    print(results);
    return results;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const millions = (nsAPacket) => (1e3 / nsAPacket).toFixed(2);

function print({ startNs, perPacket, memory }) {
  const ours = perPacket["nslink run"];
  const rows = Object.entries(perPacket).map(([name, { median, min, max }]) => [
    name,
    millions(median),
    `${millions(max)} - ${millions(min)}`,
    (median / ours.median).toFixed(2),
  ]);
  // What a run takes apart from starting, loading, verifying and compiling.
  const started = ours.median - startNs.median / PACKETS;
  rows.splice(1, 0, ["… once started", millions(started), "", ""]);
  printTable(
    `A capture of ${PACKETS.toLocaleString("en")} packets, millions of them a second`,
    ["reader", "packets", "spread", "time / nslink run"],
    rows,
  );
  const [few, many] = memory;
  printTable(
    "Memory of nslink run --summary at most",
    ["packets", "MiB", "ratio"],
    [few, many].map(({ packets, rssKiB }) => [
      packets.toLocaleString("en"),
      (rssKiB / 1024).toFixed(0),
      (rssKiB / few.rssKiB).toFixed(2),
    ]),
  );
}
