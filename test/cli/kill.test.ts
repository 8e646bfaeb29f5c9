/**
 * A command that is killed half-way leaves the old state or the new one, never something between,
 * and the next one tidies up after it.
 *
 * Each command is killed right before its first system call about BPF or pins, before its second,
 * and so on (in strides, after many) until it gets through; the other tries are killed from
 * outside, at any time.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LinkEntry } from "../../src/inventory/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command } from "./command.ts";
import { LinuxScene } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";
const FLOW_V2 = "bpf/flow-v2.bpf.o";
/** Tries of all commands together. */
const TRIES = 200;
/** A command that makes more calls than this is not one of ours. */
const MAX_CALLS = 5000;
/** So many calls of a command are met one by one, and of those after them each so manieth. */
const EVERY_CALL_UP_TO = 60;
const STRIDE = 11;
/** Each so manieth look is one of nslink ls, which must see the same as we do. */
const LS_EVERY = 20;

/** A module that ends the process by SIGKILL before its chosen call; loaded before the command. */
function killer(main: string): string {
  const linux = (name: string): string =>
    JSON.stringify(pathToFileURL(join(main, "../../linux", name)).href);
  return `
    import { linuxBpffs } from ${linux("bpffs.js")};
    import { LinuxKernel } from ${linux("kernel.js")};
    let left = Number(process.env.NSLINK_TEST_KILL_AT);
    for (const [object, name] of [
      [LinuxKernel.prototype, "bpf"],
      ...["mkdir", "rmdir", "unlink"].map((name) => [linuxBpffs, name]),
    ]) {
      const call = object[name];
      object[name] = function (...args) {
        if (--left === 0) process.kill(process.pid, "SIGKILL");
        return call.apply(this, args);
      };
    }
  `;
}

/** When a command is killed. */
type Kill = { readonly beforeCall: number } | { readonly afterMs: number };

await describeOnLinux("kill -9", () => {
  let nslink: Command;
  let scene: LinuxScene;
  let preload: string;
  let tries = 0;
  let looks = 0;
  const seen = new Set<string>();

  beforeAll(async () => {
    nslink = new Command();
    scene = await LinuxScene.open("kill");
    preload = nslink.file("killer.mjs", killer(nslink.main));
  });
  afterAll(async () => {
    await scene.clear();
    scene[Symbol.dispose]();
    nslink[Symbol.dispose]();
  });

  /** Runs a command that is killed. @returns false when it had ended before. */
  async function killed(args: readonly string[], kill: Kill): Promise<boolean> {
    tries++;
    const counted = "beforeCall" in kill;
    const child = spawn(
      process.execPath,
      [...(counted ? ["--import", pathToFileURL(preload).href] : []), nslink.main, ...args],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, NSLINK_TEST_KILL_AT: counted ? `${kill.beforeCall}` : "" },
      },
    );
    let complaint = "";
    child.stderr.on("data", (part: Buffer) => {
      complaint += part;
    });
    const timer = counted ? undefined : setTimeout(() => child.kill("SIGKILL"), kill.afterMs);
    const [status, signal] = await once(child, "close");
    clearTimeout(timer);
    expect(complaint).toBe("");
    expect(signal === "SIGKILL" || status === 0, `${args}: ${status} ${signal}`).toBe(true);
    return signal === "SIGKILL";
  }

  /** The link of a namespace or a pin, if there is one; at most one there can be. */
  async function linkOf(netns: string, pin: string): Promise<LinkEntry | null> {
    const mine = scene
      .links()
      .filter(({ namespace, pins }) => namespace?.names[0] === netns || pins.includes(pin));
    expect(mine.length).toBeLessThanOrEqual(1);
    const [link = null] = mine;
    if (++looks % LS_EVERY === 0) {
      const { stdout } = await nslink.run(["ls", "--json"]);
      const ids = JSON.parse(stdout).links.map(({ id }: { id: number }) => id);
      if (link !== null) expect(ids).toContain(link.id);
    }
    return link;
  }

  /** What is pinned beside a link: the maps of the program that it has, whatever else may be. */
  function expectMaps(pin: string, programId: number, ...maps: readonly string[]): void {
    const beside = `${pin.slice(scene.bpffs.length + 1)}-maps/${programId}`;
    expect(scene.pins()).toEqual(expect.arrayContaining(maps.map((map) => `${beside}/${map}`)));
  }

  /** What a command that gets through leaves, and nothing else. */
  function expectTidy(pin: string, programId: number, ...maps: readonly string[]): void {
    const name = pin.slice(scene.bpffs.length + 1);
    const mine = scene.pins().filter((path) => path === name || path.startsWith(`${name}-maps/`));
    expect(mine).toEqual([name, ...maps.map((map) => `${name}-maps/${programId}/${map}`)]);
  }

  /** Kills before every call there is, then from outside until there have been enough tries. */
  async function everyMoment(
    share: number,
    attempt: (kill: Kill) => Promise<boolean>,
  ): Promise<number> {
    let calls = 1;
    let start = performance.now();
    while (await attempt({ beforeCall: calls })) {
      start = performance.now();
      // Looking through a machine full of objects takes calls alike: of those, some will do.
      calls += calls < EVERY_CALL_UP_TO ? 1 : STRIDE;
      expect(calls).toBeLessThan(MAX_CALLS);
    }
    // As long as the command has just taken: later, there is nothing left to kill.
    const tookMs = performance.now() - start;
    for (let i = 0; i < share || (share > 0 && tries < TRIES); i++) {
      // A stride that doesn't divide the whole meets all parts of it.
      await attempt({ afterMs: (((i * 37) % 400) / 400) * tookMs });
    }
    return calls - 1;
  }

  async function attaching(): Promise<void> {
    const netns = scene.netns("attach");
    const pin = scene.pin("attach");
    const command = ["attach", FLOW, "--netns", netns, "--pin", pin];
    const calls = await everyMoment(10, async (kill) => {
      const wasKilled = await killed(command, kill);
      const link = await linkOf(netns, pin);
      seen.add(`attach ${link === null ? "old" : "new"}`);
      if (!wasKilled) expect(link).not.toBeNull();
      if (link === null) return wasKilled;
      expect(link).toMatchObject({ state: "attached", pins: [pin], holders: [] });
      expectMaps(pin, link.program.id, "next_program");
      if (!wasKilled) expectTidy(pin, link.program.id, "next_program");
      await nslink.run(["unpin", pin]);
      expect(await linkOf(netns, pin)).toBeNull();
      return wasKilled;
    });
    expect(calls, "attach makes its calls").toBeGreaterThan(20);
  }

  async function updating(): Promise<void> {
    const netns = scene.netns("update");
    const pin = scene.pin("update");
    expect(await nslink.run(["attach", FLOW_V2, "--netns", netns, "--pin", pin])).toMatchObject({
      status: 0,
    });
    const maps = ["next_program", "proto_packets"];
    const calls = await everyMoment(10, async (kill) => {
      const before = await linkOf(netns, pin);
      const wasKilled = await killed(["update", pin, FLOW_V2], kill);
      const after = await linkOf(netns, pin);
      expect(after).toMatchObject({ id: before?.id, state: "attached", pins: [pin], holders: [] });
      if (before === null || after === null) return wasKilled;
      const isOld = before.program.id === after.program.id;
      seen.add(`update ${isOld ? "old" : "new"}`);
      expectMaps(pin, after.program.id, ...maps);
      if (!wasKilled) {
        expect(isOld).toBe(false);
        expectTidy(pin, after.program.id, ...maps);
      }
      return wasKilled;
    });
    expect(calls, "update makes its calls").toBeGreaterThan(20);
  }

  async function detaching(): Promise<void> {
    const netns = scene.netns("detach");
    const pin = scene.pin("detach");
    const attach = ["attach", "test/elf/fixtures/minimal.o", "--netns", netns, "--pin", pin];
    const calls = await everyMoment(0, async (kill) => {
      if ((await linkOf(netns, pin)) === null) {
        expect(await nslink.run(attach)).toMatchObject({ status: 0 });
      }
      const wasKilled = await killed(["detach", pin], kill);
      const link = await linkOf(netns, pin);
      expect(link).toMatchObject({ pins: [pin], holders: [] });
      const isOld = link?.state === "attached";
      if (!isOld) expect(link).toMatchObject({ state: "defunct", namespace: null });
      seen.add(`detach ${isOld ? "old" : "new"}`);
      if (!wasKilled) expect(isOld).toBe(false);
      if (!isOld) await nslink.run(["unpin", pin]);
      return wasKilled;
    });
    expect(calls, "detach makes its calls").toBeGreaterThan(2);
  }

  test(`of attach --pin, update and detach, ${TRIES} times`, async () => {
    // One after the other: a command that walks the links holds for a moment those of others.
    for (const each of [attaching, updating, detaching]) await each();
    expect(tries).toBeGreaterThanOrEqual(TRIES);
    const commands = ["attach", "update", "detach"];
    expect([...seen].sort()).toEqual(
      commands.flatMap((command) => [`${command} new`, `${command} old`]).sort(),
    );
  });
});
