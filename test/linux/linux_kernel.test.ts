/**
 * What only the Linux kernel behind the seam has to do: addresses that stay true under a
 * collector that moves things, fds that children don't inherit, a word when there is no Linux.
 */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test, vi } from "vitest";
import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { encode } from "../../src/abi/layout.ts";
import { openLinuxKernel, UnsupportedError } from "../../src/linux/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";

const platform = Object.getOwnPropertyDescriptor(process, "platform") ?? {};

describe("without Linux", () => {
  afterEach(() => Object.defineProperty(process, "platform", platform));

  test("opening says what is missing and what would bring it", async () => {
    Object.defineProperty(process, "platform", { ...platform, value: "darwin" });
    const error = await openLinuxKernel().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error).toMatchObject({ feature: "bpf(2) on darwin", since: "Linux" });
    expect(String(error)).toContain("bpf(2) on darwin is not available here; it needs Linux");
  });

  test("opening without koffi says which package to install", async () => {
    Object.defineProperty(process, "platform", { ...platform, value: "linux" });
    vi.doMock("koffi", () => {
      throw new Error("Cannot find package 'koffi'");
    });
    vi.resetModules();
    const { openLinuxKernel: open } = await import("../../src/linux/index.ts");
    const error = await open().catch((reason: unknown) => reason);
    vi.doUnmock("koffi");
    vi.resetModules();
    expect(error).toMatchObject({
      name: "UnsupportedError",
      since: "the optional package koffi (npm install koffi)",
      cause: expect.anything(),
    });
  });
});

await describeOnLinux("the Linux kernel behind the seam", () => {
  test("an address outlives collections, and holds its buffer until the next call", async () => {
    using kernel = await openLinuxKernel();
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as (options?: { type: "minor" }) => void;
    // V8 keeps arrays of up to 64 bytes on its moving heap, larger ones elsewhere.
    for (const size of [8, 64, 512]) {
      const map_fd = mapOf(kernel, size);
      const key = new Uint8Array(4);
      for (let round = 1; round <= 50; round++) {
        // Nobody but the kernel object knows the buffer from here on.
        const value = kernel.addressOf(new Uint8Array(size).fill(round));
        const update = encode(attr.MAP_ELEM, { map_fd, key: kernel.addressOf(key), value });
        collect(round % 2 === 0 ? { type: "minor" } : undefined);
        const rubble = Array.from({ length: 64 }, () => new Uint8Array(size).fill(0xee).buffer);
        expect(kernel.bpf(bpf.BPF_MAP_UPDATE_ELEM, update)).toBe(0);
        expect(rubble).toHaveLength(64);

        const found = new Uint8Array(size);
        const pointers = { key: kernel.addressOf(key), value: kernel.addressOf(found) };
        const lookup = encode(attr.MAP_ELEM, { map_fd, ...pointers });
        collect({ type: "minor" });
        expect(kernel.bpf(bpf.BPF_MAP_LOOKUP_ELEM, lookup)).toBe(0);
        expect(found).toEqual(new Uint8Array(size).fill(round));
      }
      kernel.close(map_fd);
    }
  });

  test("a view's address is its own, not its buffer's", async () => {
    using kernel = await openLinuxKernel();
    const whole = new Uint8Array(16);
    expect(kernel.addressOf(whole.subarray(5))).toBe(kernel.addressOf(whole) + 5n);
    expect(kernel.addressOf(new Uint8Array(0))).not.toBe(0n);
  });

  test("children don't inherit what was opened or duplicated", async () => {
    using kernel = await openLinuxKernel();
    const map = mapOf(kernel, 8);
    const fds = [map, kernel.dup(map), kernel.open("/dev/null"), kernel.netns.open("self")];
    const inherited = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" }).stdout;
    for (const fd of fds) kernel.close(fd);
    expect(inherited).toContain("-> ");
    expect(inherited).not.toMatch(/bpf-map|net:\[/);
  });

  test("possible CPUs are those that per-CPU values are laid out for", async () => {
    using kernel = await openLinuxKernel();
    const present = readFileSync("/proc/cpuinfo", "latin1").match(/^processor\s*:/gm) ?? [];
    expect(kernel.possibleCpus).toBeGreaterThanOrEqual(present.length);
    const map_fd = mapOf(kernel, 8, bpf.BPF_MAP_TYPE_PERCPU_ARRAY);
    const values = new Uint8Array(8 * kernel.possibleCpus + 8).fill(0xee);
    const fields = { map_fd, key: kernel.addressOf(new Uint8Array(4)) };
    const lookup = encode(attr.MAP_ELEM, { ...fields, value: kernel.addressOf(values) });
    expect(kernel.bpf(bpf.BPF_MAP_LOOKUP_ELEM, lookup)).toBe(0);
    expect(values.lastIndexOf(0)).toBe(8 * kernel.possibleCpus - 1);
    kernel.close(map_fd);
  });
});

function mapOf(
  kernel: { bpf(cmd: number, attr: Uint8Array): number },
  value_size: number,
  map_type: number = bpf.BPF_MAP_TYPE_ARRAY,
): number {
  const fields = { map_type, key_size: 4, value_size, max_entries: 1 };
  const fd = kernel.bpf(bpf.BPF_MAP_CREATE, encode(attr.MAP_CREATE, fields));
  expect(fd).toBeGreaterThanOrEqual(0);
  return fd;
}
