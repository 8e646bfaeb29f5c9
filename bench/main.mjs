// All benchmarks in one run: `npm run bench`, or `npm run bench -- engine links` for some of them.
// The figures go to standard output as tables and, with --json FILE, into a file.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchCompile } from "./compile.mjs";
import { benchDissect } from "./dissect.mjs";
import { benchEngine } from "./engine.mjs";
import { benchLinks } from "./links.mjs";
import { benchLoad } from "./load.mjs";
import { benchNamespaces } from "./namespaces.mjs";
import { benchRun } from "./run.mjs";
import { benchStartup } from "./startup.mjs";
import { benchVerifier } from "./verifier.mjs";

const BENCHES = {
  compile: benchCompile,
  engine: benchEngine,
  dissect: benchDissect,
  links: benchLinks,
  load: benchLoad,
  namespaces: benchNamespaces,
  run: benchRun,
  startup: benchStartup,
  verifier: benchVerifier,
};

const { values, positionals } = parseArgs({
  options: { json: { type: "string" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}

console.log(`Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} CPUs`);
const results = {};
for (const [name, bench] of Object.entries(BENCHES)) {
  if (positionals.length === 0 || positionals.includes(name)) results[name] = await bench();
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(results, null, 2));
