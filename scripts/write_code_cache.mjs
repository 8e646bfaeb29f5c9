// Writes what V8 makes of the shipped command beside it: by running the command once, with all
// functions that a run calls. `npm run build` ends with this.
//
//     node scripts/write_code_cache.mjs [folder, of which bin/ and cli/ are]

import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const folder = process.argv[2] ?? path("dist");

const { CachedModules } = await import(pathToFileURL(join(folder, "cli/code_cache.js")).href);
const modules = new CachedModules(join(folder, "bin"));
process.on("exit", () => modules.write());
// What the command says is of no use here.
process.stdout.write = () => true;
const [object, capture] = [path("bpf/flow.bpf.o"), path("examples/traffic.pcap")];
process.argv.splice(2, Number.POSITIVE_INFINITY, "run", object, capture, "--summary");
modules.load("main.js");
