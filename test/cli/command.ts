/**
 * The nslink command as its users have it: built from the sources as they are now, and run as a
 * process of its own.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { HANG_MS } from "../limits.ts";

/** The folder of the project. */
export const PROJECT: string = fileURLToPath(new URL("../..", import.meta.url));
/** What the built command looks for beside itself. */
const BESIDE = ["bpf", "examples", "node_modules", "package.json"] as const;

/** How a command ended. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A build in a folder of its own, so that whatever lies in dist/ makes no difference. */
export class Command implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "nslink-cli-"));
  readonly main: string = join(this.folder, "dist/cli/main.js");

  constructor() {
    for (const name of BESIDE) symlinkSync(join(PROJECT, name), join(this.folder, name));
    const tsc = join(PROJECT, "node_modules/typescript/bin/tsc");
    const flags = ["-p", "tsconfig.build.json", "--outDir", join(this.folder, "dist")];
    const { stdout } = spawnSync(process.execPath, [tsc, ...flags], { cwd: PROJECT });
    if (existsSync(this.main)) return;
    this[Symbol.dispose]();
    expect.fail(`not built; tsc says: ${stdout}`);
  }

  /** Starts the command in the project's folder. */
  start(args: readonly string[], stdio: "pipe" | ["pipe", number, "pipe"] = "pipe"): ChildProcess {
    return spawn(process.execPath, [this.main, ...args], {
      cwd: PROJECT,
      stdio,
      timeout: HANG_MS,
    });
  }

  /** Runs the command to its end. */
  async run(args: readonly string[], input: Uint8Array = new Uint8Array(0)): Promise<Ended> {
    const child = this.start(args);
    // A command that has read enough closes its end.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    return ended(child);
  }

  /** Runs the command in a shell, where `nslink` is its name. */
  shell(script: string): Ended {
    const nslink = `nslink() { '${process.execPath}' '${this.main}' "$@"; }`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", `${nslink}\n${script}`], {
      cwd: PROJECT,
      encoding: "utf8",
      timeout: HANG_MS,
    });
    return { status, stdout, stderr };
  }

  /** Puts a file into the build's folder and returns its path. */
  file(name: string, content: Uint8Array | string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** Changes a built module, to see what the command makes of it. */
  patch(module: string, change: (code: string) => string): void {
    const path = join(this.folder, "dist", module);
    const code = readFileSync(path, "utf8");
    const changed = change(code);
    expect(changed, `${module} is changed`).not.toBe(code);
    writeFileSync(path, changed);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** Waits for a process that {@link Command.start} gave. */
export async function ended(child: ChildProcess): Promise<Ended> {
  const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  child.stdout?.on("data", (part: Buffer) => parts.stdout.push(part));
  child.stderr?.on("data", (part: Buffer) => parts.stderr.push(part));
  const [status] = (await once(child, "close")) as [number | null];
  return {
    status,
    stdout: Buffer.concat(parts.stdout).toString(),
    stderr: Buffer.concat(parts.stderr).toString(),
  };
}

/** Asserts that a command failed as wrong usage does: one clear line, nothing else, exit 2. */
export function expectUsageError({ status, stdout, stderr }: Ended, line: RegExp): void {
  expect(stderr).toMatch(line);
  expect(stderr.split("\n"), "one line").toHaveLength(2);
  expect(stderr).toMatch(/^nslink: /);
  expect(stdout).toBe("");
  expect(status).toBe(2);
}

/** A file of the project. */
export function projectFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(PROJECT, name)));
}
