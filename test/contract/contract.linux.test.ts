/**
 * The contract on Linux itself, the oracle: what fails here is a wrong rule, not a wrong kernel.
 */

import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BPF_LINK_GET_NEXT_ID } from "../../src/abi/bpf.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { CHAPTERS } from "./chapters.ts";
import { runChapters } from "./rules.ts";
import { until, type World } from "./world.ts";

/** Why the contract can't be run on this machine's kernel, or null. */
async function reasonNotTo(): Promise<string | null> {
  if (process.platform !== "linux") return `this is ${process.platform}, not Linux`;
  if (process.getuid?.() !== 0) return "this needs root";
  try {
    const kernel = await openLinuxKernel();
    const walked = kernel.bpf(BPF_LINK_GET_NEXT_ID, new Uint8Array(8));
    if (walked < 0 && walked !== -2) return `bpf(2) fails with errno ${-walked}`;
  } catch (error) {
    return String(error);
  }
  return existsSync("/proc/thread-self/ns/net") ? null : "/proc is not mounted";
}

const reason = await reasonNotTo();

if (reason !== null) {
  const message = `THE CONTRACT WAS NOT RUN ON LINUX: ${reason}`;
  console.warn(`\n${"!".repeat(message.length)}\n${message}\n${"!".repeat(message.length)}\n`);
  test.skipIf(process.env.NSLINK_REQUIRE_LINUX !== "1")(message, () => {
    expect.fail(message);
  });
} else {
  const { linuxKind, traces } = await import("./linux_world.ts");
  const before = traces();
  let world: World;
  beforeAll(async () => {
    world = await linuxKind.open();
  });
  runChapters(CHAPTERS, linuxKind, () => world);
  describe("afterwards", () => {
    test("nothing is left: no fd, mount, name or change of namespace", async () => {
      await world.end();
      await until(world, "everything is put away", () => traces().join() === before.join());
    });
  });
  afterAll(() => {
    expect(traces()).toEqual(before);
  });
}
