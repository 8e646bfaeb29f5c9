/**
 * What tests of the command need on Linux: names of their own, a BPF file system of its own, and
 * the look of somebody else.
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { type LinkEntry, takeInventory } from "../../src/inventory/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { SETTLE_MS } from "../limits.ts";

/** How long Linux may take to let go of what was pinned. */

/** Namespaces with names, and a mount, all of which go with it. */
export class LinuxScene implements Disposable {
  readonly kernel: Kernel;
  /** Mounted for this scene: a BPF file system. */
  readonly bpffs: string;
  readonly #prefix: string;
  readonly #names: Set<string> = new Set();

  private constructor(kernel: Kernel, prefix: string, bpffs: string) {
    this.kernel = kernel;
    this.#prefix = prefix;
    this.bpffs = bpffs;
  }

  /** @param title - tells the scenes of a process apart. */
  static async open(title: string): Promise<LinuxScene> {
    const prefix = `nslink-cli-${process.pid}-${title}-`;
    const bpffs = mkdtempSync(join(tmpdir(), prefix));
    const { status, stderr } = tool("mount", "-t", "bpf", "bpf", bpffs);
    expect({ status, stderr }, "mount a BPF file system").toEqual({ status: 0, stderr: "" });
    return new LinuxScene(await openLinuxKernel(), prefix, bpffs);
  }

  /** A name that nobody else has; what bears it at the end is removed. */
  name(short: string): string {
    const name = this.#prefix + short;
    this.#names.add(name);
    return name;
  }

  /** A namespace with such a name. */
  netns(short: string): string {
    const name = this.name(short);
    expect(this.kernel.netns.create(name)).toBe(0);
    return name;
  }

  /** A path for a pin. */
  pin(short: string): string {
    return join(this.bpffs, short);
  }

  /** Everything in the scene's BPF file system, without its own two files. */
  pins(): readonly string[] {
    const all = this.kernel.bpffs.walk(this.bpffs);
    expect(all).toBeInstanceOf(Array);
    return (all as readonly string[])
      .map((path) => path.slice(this.bpffs.length + 1))
      .filter((path) => !path.endsWith(".debug"));
  }

  /** Links of this scene's namespaces and pins, as nslink ls has them. */
  links(): readonly LinkEntry[] {
    return takeInventory(this.kernel).links.filter(({ namespace, pins }) => {
      const named = namespace?.names.some((name) => this.#names.has(name)) === true;
      return named || pins.some((path) => path.startsWith(this.bpffs));
    });
  }

  /** Takes all pins away, and waits until what only they held has gone. */
  async clear(): Promise<void> {
    for (const name of readdirSync(this.bpffs)) {
      if (!name.endsWith(".debug")) rmSync(join(this.bpffs, name), { recursive: true });
    }
    const end = performance.now() + SETTLE_MS;
    while (this.links().length > 0) {
      expect(performance.now(), "links that only pins held are gone").toBeLessThan(end);
      await delay(5);
    }
  }

  [Symbol.dispose](): void {
    for (const name of this.#names) {
      if (existsSync(`/run/netns/${name}`)) this.kernel.netns.remove(name);
    }
    expect(tool("umount", this.bpffs)).toMatchObject({ status: 0, stderr: "" });
    rmdirSync(this.bpffs);
    this.kernel[Symbol.dispose]();
  }
}

/** How another program ended. */
export interface ToolRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs another program. */
export function tool(command: string, ...args: readonly string[]): ToolRun {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

/** Whether there is such a program; when not, that is said. */
export function hasTool(command: string, what: string): boolean {
  if (spawnSync(command, ["--version"]).error === undefined) return true;
  console.warn(`NOT RUN: ${what}: there is no ${command}`);
  return false;
}
