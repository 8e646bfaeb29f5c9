/** The command as it is shipped, in a few files: a module left out or run too early breaks it. */

import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Command, ended, PROJECT } from "./command.ts";

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
});
afterAll(() => nslink[Symbol.dispose]());

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

test("what is loaded only where it is needed can be loaded", async () => {
  const path = nslink.file("traffic.pcap.gz", gzipSync(readFileSync(join(PROJECT, CAPTURE))));
  // A program that could run long is watched by a thread.
  for (const words of [
    ["run", OBJECT, path, "--summary"],
    ["run", "test/cli/notes.bpf.o", CAPTURE, "--program", "nested", "--max-instructions", "1000"],
  ]) {
    const expected = await nslink.run(words);
    const { status, stdout, stderr } = spawnSync(process.execPath, [shipped, ...words], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    expect({ status, stdout, stderr }).toEqual(expected);
    expect(stderr).not.toContain("a fault in nslink itself");
  }
});

/** Runs a capture in modules as they are shipped, and says which of them V8 had to compile. */
function compiled(...flags: readonly string[]): readonly string[] {
  const built = pathToFileURL(join(nslink.folder, "dist/cli/code_cache.js")).href;
  const code = `
    const { CachedModules } = await import("${built}");
    const modules = new CachedModules(${JSON.stringify(dirname(shipped))});
    process.on("exit", () => {
      console.error(JSON.stringify(modules.compiled));
      modules.keep();
    });
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

/** The files of compiled code that lie beside the command. */
function kept(): readonly string[] {
  return readdirSync(dirname(shipped)).filter((name) => name.includes(".cache"));
}

function forget(): void {
  for (const name of kept()) rmSync(join(dirname(shipped), name));
}

test("what V8 made of the command is not made again, unless V8 is another one", () => {
  forget();
  expect(compiled()).toContain("kernel.js");
  expect(kept()).toContain("kernel.js.cache");
  expect(compiled()).toEqual([]);
  expect(compiled("--no-lazy-feedback-allocation")).toContain("kernel.js");
  expect(compiled(), "kept by the other V8").toContain("kernel.js");
  expect(compiled()).toEqual([]);
});

test("what is kept is not taken when it is no compiled code, half of it, or older", () => {
  compiled();
  const cache = join(dirname(shipped), "kernel.js.cache");
  const whole = readFileSync(cache);
  for (const spoilt of [Buffer.from("made by something else"), whole.subarray(0, -1000), ""]) {
    writeFileSync(cache, spoilt);
    expect(compiled()).toEqual(["kernel.js"]);
    expect(compiled(), "written anew").toEqual([]);
  }
  // The same bytes, written again: V8 itself looks at nothing but their number.
  writeFileSync(join(dirname(shipped), "kernel.js"), readFileSync(cache.slice(0, -6)));
  expect(compiled()).toEqual(["kernel.js"]);
});

test("starts at the same time all run, and leave nothing half-written", async () => {
  forget();
  const words = [shipped, "inspect", OBJECT];
  const starts = Array.from({ length: 4 }, () => spawn(process.execPath, words, { cwd: PROJECT }));
  const ends = await Promise.all(starts.map(ended));
  const [first] = ends;
  expect(first).toMatchObject({ status: 0, stderr: "" });
  for (const end of ends) expect(end).toEqual(first);
  expect(kept().filter((name) => !name.endsWith(".cache"))).toEqual([]);
  expect(compiled()).toEqual([]);
});

test("compiled code can be read by whoever can read the command", () => {
  forget();
  expect(
    spawnSync("sh", ["-c", `umask 077; '${process.execPath}' '${shipped}' --version`]),
  ).toMatchObject({ status: 0 });
  const modeOf = (name: string): number => statSync(join(dirname(shipped), name)).mode & 0o777;
  expect(modeOf("words.js.cache")).toBe(modeOf("words.js"));
});

test("a command in a folder that can't be written runs, and keeps nothing", () => {
  forget();
  const folder = mkdtempSync(join(tmpdir(), "nslink-read-only-"));
  const bin = join(folder, "dist/bin");
  try {
    cpSync(dirname(shipped), bin, { recursive: true });
    cpSync(join(PROJECT, "package.json"), join(folder, "package.json"));
    const files = readdirSync(bin);
    chmodSync(folder, 0o755);
    chmodSync(bin, 0o555);
    // Modes don't keep root out.
    const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const options = { encoding: "utf8", cwd: folder, ...asNobody } as const;
    const words = [join(bin, "nslink.js"), "--version"];
    const { status, stderr } = spawnSync(process.execPath, words, options);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(readdirSync(bin)).toEqual(files);
  } finally {
    chmodSync(bin, 0o755);
    rmSync(folder, { recursive: true });
  }
});
