/**
 * The package as its users get it: built and packed in a folder whose name has spaces in it, by
 * somebody who keeps files for himself, and installed and run by somebody without rights.
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HANG_MS } from "../limits.ts";
import { PROJECT } from "./command.ts";

const NOBODY = 65534;
const IS_ROOT: boolean = process.getuid?.() === 0;
/** What a build and a package need. */
const NEEDED = ["bpf", "docs", "examples", "scripts", "src", "LICENSE", "package.json"]
  .concat("README.md", "ARCHITECTURE.md", "rolldown.config.ts", "tsconfig.json")
  .concat("tsconfig.build.json");
/** Of what compiles: the package has to do without. */
const SOURCES = /\.map$|\.cache$|(?<!\.d)\.ts$/;

let folder: string;
let project: string;
let user: string;

/** Runs a command of a shell to its end, which must be a good one. */
function sh(cwd: string, command: string, asNobody: boolean): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], {
    cwd,
    encoding: "utf8",
    timeout: HANG_MS,
    env: { PATH: process.env.PATH, HOME: asNobody ? user : folder },
    ...(asNobody && IS_ROOT && { uid: NOBODY, gid: NOBODY }),
  });
  expect(status, `${command}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nslink package "));
  project = join(folder, "the project");
  user = join(folder, "a user");
  for (const path of [project, user]) mkdirSync(path);
  for (const name of NEEDED) cpSync(join(PROJECT, name), join(project, name), { recursive: true });
  // npm ci would take minutes: all but what the build puts there is as it made it.
  mkdirSync(join(project, "node_modules"));
  for (const name of readdirSync(join(PROJECT, "node_modules"))) {
    if (name.startsWith(".")) continue;
    symlinkSync(join(PROJECT, "node_modules", name), join(project, "node_modules", name));
  }
  cpSync(join(PROJECT, "node_modules/.bin"), join(project, "node_modules/.bin"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  sh(project, "umask 077; npm pack --pack-destination .. --silent", false);
  for (const path of [folder, user]) chmodSync(path, 0o755);
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".tgz")) chmodSync(join(folder, name), 0o644);
  }
  writeFileSync(join(user, "package.json"), "{}");
  if (IS_ROOT)
    for (const path of [user, join(user, "package.json")]) chownSync(path, NOBODY, NOBODY);
  sh(user, "npm install --offline --no-audit --no-fund --omit=optional ../nslink-*.tgz", true);
});
afterAll(() => rmSync(folder, { recursive: true }));

test("a built command can be run, and by nobody but those who may read it", () => {
  const { mode } = statSync(join(project, "dist/bin/nslink.js"));
  expect(mode & 0o777).toBe(0o700);
  expect(sh(project, "node_modules/.bin/nslink --version", false)).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("files that begin with #! can be run, and no others of the command", () => {
  const built = readdirSync(join(project, "dist/bin")).map((name) =>
    join(project, "dist/bin", name),
  );
  for (const path of built) {
    const isProgram = readFileSync(path).subarray(0, 2).toString() === "#!";
    expect(`${path} ${(statSync(path).mode & 0o100) !== 0}`).toBe(`${path} ${isProgram}`);
  }
});

test("the package has what is used, and no more", () => {
  const installed = join(user, "node_modules/nslink");
  const names = readdirSync(installed, { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => SOURCES.test(name) && !name.startsWith("examples"))).toEqual([]);
  for (const name of names.filter((each) => /\.js$/.test(each))) {
    expect(readFileSync(join(installed, name), "utf8")).not.toMatch(/^\/\/# sourceMappingURL/m);
  }
});

test("the installed command runs, and keeps its compiled code from the first start on", () => {
  const run = "npx --offline nslink run node_modules/nslink/bpf/flow.bpf.o";
  const command = `${run} node_modules/nslink/examples/traffic.pcap --summary`;
  expect(sh(user, command, true)).toMatch(/^478 packets, /m);
  expect(readdirSync(join(user, "node_modules/nslink/dist/bin"))).toContain("kernel.js.cache");
  expect(sh(user, command, true)).toMatch(/^478 packets, /m);
});

test("every entry can be imported, and Linux's says what it lacks", () => {
  const { exports } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
  const entries = Object.keys(exports)
    .filter((name) => name !== "./package.json")
    .map((name) => `nslink${name.slice(1)}`);
  writeFileSync(
    join(user, "entries.mjs"),
    `${entries.map((entry, i) => `import * as e${i} from "${entry}";`).join("\n")}
    import { openLinuxKernel } from "nslink/linux";
    import { EmbeddedKernel } from "nslink/embedded";
    EmbeddedKernel.boot()[Symbol.dispose]();
    await openLinuxKernel().then(
      () => { throw new RangeError("opened without koffi"); },
      (reason) => console.log(reason.message),
    );`,
  );
  expect(sh(user, "node entries.mjs", true)).toMatch(/koffi/);
});
