/** The command as it is shipped, in a few files: a module left out or run too early breaks it. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Command, PROJECT } from "./command.ts";

const OBJECT = "bpf/flow.bpf.o";
const CAPTURE = "examples/traffic.pcap";

let nslink: Command;
let shipped: string;

beforeAll(() => {
  nslink = new Command();
  const { bin } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
  shipped = join(nslink.folder, bin.nslink);
  const rolldown = join(PROJECT, "node_modules/.bin/rolldown");
  const flags = ["--config", "--dir", join(shipped, "..")];
  const { stderr } = spawnSync(rolldown, flags, { cwd: PROJECT, encoding: "utf8" });
  expect(existsSync(shipped), stderr).toBe(true);
  writeCache(join(nslink.folder, "dist"));
});
afterAll(() => nslink[Symbol.dispose]());

/** As `npm run build` does it. */
function writeCache(folder: string): void {
  const script = join(PROJECT, "scripts/write_code_cache.mjs");
  const { stderr } = spawnSync(process.execPath, [script, folder], { encoding: "utf8" });
  expect(stderr).toBe("");
}

test.each([
  ["--help"],
  ["--version"],
  ["inspect", OBJECT],
  ["demo"],
  ["disasm", OBJECT, "--wasm"],
  ["run", OBJECT, CAPTURE],
  ["run", OBJECT, CAPTURE, "--json", "--jobs", "2"],
  ["run", OBJECT, "no-such-file"],
  ["lisst"],
])("nslink %s %s %s %s %s says what its modules say", async (...args) => {
  const expected = await nslink.run(args);
  const { status, stdout, stderr } = spawnSync(process.execPath, [shipped, ...args], {
    cwd: PROJECT,
    encoding: "utf8",
  });
  expect({ status, stdout, stderr }).toEqual(expected);
});

/** Runs a capture in modules as they are shipped, and says which of them V8 had to compile. */
function compiled(...flags: readonly string[]): readonly string[] {
  const built = pathToFileURL(join(nslink.folder, "dist/cli/code_cache.js")).href;
  const code = `
    const { CachedModules } = await import("${built}");
    const modules = new CachedModules(${JSON.stringify(dirname(shipped))});
    process.on("exit", () => console.error(JSON.stringify(modules.compiled)));
    modules.load("main.js");`;
  const args = [...flags, "--input-type=module", "--eval", code, "--"];
  const words = ["nslink", "run", OBJECT, CAPTURE, "--summary"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args, ...words], {
    cwd: PROJECT,
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^478 packets, /m);
  return JSON.parse(stderr);
}

test("what V8 made of the command is not made again, unless V8 is another one", () => {
  expect(compiled()).toEqual([]);
  expect(compiled("--no-lazy-feedback-allocation")).toContain("kernel.js");
  writeFileSync(join(dirname(shipped), "kernel.js.cache"), "made by something else");
  expect(compiled()).toEqual(["kernel.js"]);
});
