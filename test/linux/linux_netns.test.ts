/**
 * Namespaces of Linux as others see them: `ip netns`, other threads, and a thread that is barred
 * from coming home.
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readlinkSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { runInChild, script } from "./child.ts";

const name = `nslink-linux-${process.pid}`;
const path = `/run/netns/${name}`;

/** `ip netns`, with what it printed; null where there is no ip. */
function ip(...words: readonly string[]): string | null {
  const { status, stdout, stderr, error } = spawnSync("ip", ["netns", ...words], {
    encoding: "utf8",
  });
  if (error) return null;
  expect(status, stderr).toBe(0);
  return stdout;
}

/** Runs a test and takes its name away after it. */
async function withKernel(run: (kernel: Kernel) => void | Promise<void>): Promise<void> {
  using kernel = await openLinuxKernel();
  const home = readlinkSync("/proc/thread-self/ns/net");
  try {
    await run(kernel);
  } finally {
    kernel.netns.remove(name);
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
    expect(existsSync(path)).toBe(false);
  }
}

await describeOnLinux("network namespaces of Linux", () => {
  test("ip netns and we see each other's names", async (context) => {
    if (ip() === null) context.skip("there is no ip(8) here");
    await withKernel(({ netns, close }) => {
      expect(netns.create(name)).toBe(0);
      expect(ip()).toContain(name);
      const inode = spawnSync("ip", ["netns", "exec", name, "readlink", "/proc/self/ns/net"], {
        encoding: "utf8",
      }).stdout;
      const fd = netns.open({ name });
      expect(inode).toBe(`net:[${netns.inode(fd)}]\n`);
      close(fd);
      ip("del", name);
      expect(netns.open({ name })).toBe(-2);

      ip("add", name);
      expect(netns.list().flatMap(({ names }) => names)).toContain(name);
      expect(netns.create(name)).toBe(-17);
      expect(netns.remove(name)).toBe(0);
      expect(ip()).not.toContain(name);
    });
  });

  test("a name that somebody left without a namespace can be taken away", () =>
    withKernel(({ netns }) => {
      writeFileSync(path, "");
      expect(netns.open({ name })).toBe(-22);
      expect(netns.list().flatMap(({ names }) => names)).not.toContain(name);
      expect(netns.create(name)).toBe(-17);
      expect(netns.remove(name)).toBe(0);
    }));

  test("a process that a thread starts inside is in the namespace, and listed there", () =>
    withKernel(async ({ netns, close }) => {
      netns.create(name);
      const fd = netns.open({ name });
      const inode = netns.inode(fd);
      const entered = netns.enter(fd, () => spawn("cat", { stdio: ["pipe", "ignore", "ignore"] }));
      close(fd);
      if ("errno" in entered) throw new RangeError(`enter: ${entered.errno}`);
      const child = entered.value;
      const gone = once(child, "exit");
      const listed = netns.list().find((entry) => entry.names.includes(name));
      child.stdin.end();
      await gone;
      expect(listed).toMatchObject({ inode, names: [name], pids: [child.pid], fds: [] });
    }));

  test("another thread has a namespace of its own to be in", () =>
    withKernel(async ({ netns }) => {
      netns.create(name);
      const code = script(`
        const { parentPort } = await import("node:worker_threads");
        const { readlinkSync } = await import("node:fs");
        const fd = kernel.netns.open({ name: ${JSON.stringify(name)} });
        const { value } = kernel.netns.enter(fd, () => [
          readlinkSync("/proc/thread-self/ns/net"),
          readlinkSync("/proc/self/ns/net"),
          "net:[" + kernel.netns.inode(fd) + "]",
        ]);
        parentPort.postMessage([...value, readlinkSync("/proc/thread-self/ns/net")]);
        kernel.close(fd);
      `);
      const worker = new Worker(code, { eval: true, execArgv: [] });
      const [[inside, mainThread, wanted, after]] = await once(worker, "message");
      await worker.terminate();
      const home = readlinkSync("/proc/self/ns/net");
      expect([inside, mainThread, after]).toEqual([wanted, home, home]);
      expect(inside).not.toBe(home);
    }));

  test("on a machine that had no named namespace yet, their directory is made and shared", () => {
    const freshMachine = ["sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'];
    const ended = runInChild(
      `
      const { readFileSync } = await import("node:fs");
      const mounts = () => readFileSync("/proc/self/mountinfo", "utf8").split("\\n")
        .map((line) => line.split(" "))
        .filter(([, , , , path]) => path?.startsWith("/run/netns"))
        .map(([, , , , path, , propagation]) => [path, propagation.split(":")[0]]);
      // Those that the new /run lies over.
      const before = mounts().length;
      const results = [kernel.netns.create("first")];
      const first = mounts().slice(before);
      results.push(kernel.netns.create("second"));
      const made = mounts().slice(before);
      results.push(kernel.netns.remove("first"), kernel.netns.remove("second"));
      console.log(JSON.stringify({ results, first, made, left: mounts().slice(before) }));
      `,
      ["unshare", "--mount", ...freshMachine],
    );
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(ended.stdout)).toEqual({
      results: [0, 0, 0, 0],
      first: [
        ["/run/netns", "shared"],
        ["/run/netns/first", "shared"],
      ],
      made: [
        ["/run/netns", "shared"],
        ["/run/netns/first", "shared"],
        ["/run/netns/second", "shared"],
      ],
      left: [["/run/netns", "shared"]],
    });
  });

  test("a thread that can't come back ends its process instead of going on", () => {
    const ended = runInChild(`
      const capset = koffi.load(null).func("capset", "int", ["void *", "void *"]);
      const name = "nslink-abort-" + process.pid;
      kernel.netns.create(name);
      const fd = kernel.netns.open({ name });
      kernel.netns.remove(name);
      kernel.netns.enter(fd, () => {
        // Without CAP_SYS_ADMIN there is no way back.
        capset(Uint32Array.of(0x20080522, 0), new Uint32Array(6));
        console.log("inside");
      });
      console.log("went on");
    `);
    expect(ended.stdout).toBe("inside\n");
    expect(ended.signal).toBe("SIGABRT");
  });
});
