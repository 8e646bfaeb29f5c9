/** The command as it is shipped, in a few files: a module left out or run too early breaks it. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
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
