// What the command costs before it does anything, beside what node alone costs.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compare, formatNs, formatSpread, printTable, time } from "./measure.mjs";

const ROUNDS = 7;
const CLI = fileURLToPath(new URL("../dist/bin/nslink.js", import.meta.url));
const OBJECT = fileURLToPath(new URL("../bpf/flow.bpf.o", import.meta.url));
const CAPTURE = fileURLToPath(new URL("../examples/traffic.pcap", import.meta.url));

const COMMANDS = {
  "node -e 0": ["-e", "0"],
  "nslink --help": [CLI, "--help"],
  "nslink inspect": [CLI, "inspect", OBJECT],
  "nslink run --summary": [CLI, "run", OBJECT, CAPTURE, "--summary"],
};

/** @returns {Promise<object>} ns a start, by command */
export async function benchStartup() {
  const candidates = Object.entries(COMMANDS).map(([name, words]) => [
    name,
    () =>
      time(() => {
        const { status, stderr } = spawnSync(process.execPath, words);
        if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
      }),
  ]);
  const results = await compare(Object.fromEntries(candidates), { rounds: ROUNDS });
  const bare = results["node -e 0"].median;
  const rows = Object.entries(results).map(([name, result]) => [
    name,
    formatNs(result.median),
    formatSpread(result),
    (result.median / bare).toFixed(2),
  ]);
  printTable("Start-up", ["command", "median", "spread", "/ node -e 0"], rows);
  return results;
}
