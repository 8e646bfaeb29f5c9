/** A held link is lost without a word, or nslink keeps its namespace alive, if this breaks. */

import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Command, type Ended, ended } from "./command.ts";
import { LinuxScene } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";
const FLOW_V2 = "bpf/flow-v2.bpf.o";
const WAIT_MS = 20_000;

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

await describeOnLinux("a foreground attach", () => {
  let scene: LinuxScene;
  beforeAll(async () => {
    scene = await LinuxScene.open("held");
  });
  afterAll(() => scene[Symbol.dispose]());

  /** Starts one, and waits until it holds its link. */
  async function attach(...args: string[]): Promise<{ child: ChildProcess; said: () => string }> {
    const child = nslink.start(["attach", FLOW, ...args]);
    let text = "";
    child.stdout?.on("data", (part: Buffer) => {
      text += part;
    });
    await until("it holds its link", () => /held/.test(text));
    return { child, said: () => text };
  }

  async function until(what: string, isSo: () => boolean): Promise<void> {
    const end = performance.now() + WAIT_MS;
    while (!isSo()) {
      expect(performance.now(), what).toBeLessThan(end);
      await delay(5);
    }
  }

  test("lets its namespace die, says so, and ends with exit code 1", async () => {
    const netns = scene.netns("dies");
    const { child } = await attach("--netns", netns);
    scene.kernel.netns.remove(netns);
    const { status, stderr } = await ended(child);
    expect(stderr).toMatch(
      new RegExp(
        `^nslink: link \\d+ is defunct: its network namespace ${netns} \\(inode \\d+\\) died\n$`,
      ),
    );
    expect(status).toBe(1);
  });

  test("ends when somebody else has detached the link", async () => {
    const netns = scene.netns("detached");
    const { child, said } = await attach("--netns", netns, "--json");
    const { id } = JSON.parse(said());
    expect((await nslink.run(["detach", `${id}`])).status).toBe(0);
    const { status, stderr } = await ended(child);
    expect(stderr).toMatch(
      /^nslink: link \d+ was detached from \S+ \(inode \d+\) by somebody else\n$/,
    );
    expect(status).toBe(1);
    expect(said()).toContain('"reason": "detached"');
  });

  test("tells of another program in the place of its own, and lets go of that", async () => {
    const netns = scene.netns("updated");
    const { child, said } = await attach("--netns", netns);
    const [, id = "", before = ""] = /^link (\d+): program (\d+)/.exec(said()) ?? [];
    const maps = scene.pin("updated");
    const update = await nslink.run(["update", id, FLOW_V2, "--pin-maps", maps]);
    expect(update).toMatchObject({ status: 0, stderr: "" });
    const line = new RegExp(
      `^link ${id}: program \\d+ in place of ${before}, put there by others$`,
      "m",
    );
    await until("it tells", () => line.test(said()));
    const gone = await nslink.run(["attach", `id:${before}`, "--netns", netns]);
    expect(gone.stderr).toMatch(/BPF_PROG_GET_FD_BY_ID: ENOENT/);
    child.kill("SIGTERM");
    expect(await ended(child)).toMatchObject({ status: 0, stderr: "" });
    await scene.clear();
  });
});

describe.each(["embedded", "linux"] as const)("a script on %s", (kernel) => {
  const run = (text: string): Promise<Ended> =>
    nslink.run(["script", "-", "--kernel", kernel], Buffer.from(text));

  test("tells of a held link whose namespace died, and not of one that it detached", async () => {
    if (kernel === "linux" && process.getuid?.() !== 0) {
      console.warn("NOT RUN: a script on Linux: it takes root");
      return;
    }
    const name = `nslink-cli-${process.pid}-held`;
    const { status, stdout, stderr } = await run(`
      netns add ${name}
      attach ${FLOW} --netns ${name} --as first
      update @first ${FLOW_V2}
      detach @first
      attach ${FLOW} --netns ${name} --as second
      netns del ${name}
      !ENOLINK update @second ${FLOW}
      release @second
    `);
    expect(stderr).toBe("");
    const losses = stdout.split("\n").filter((line) => / (is defunct|was detached)/.test(line));
    const died = `link \\d+ is defunct: its network namespace ${name} \\(inode \\d+\\) died`;
    expect(losses).toEqual([expect.stringMatching(new RegExp(`^${died}$`))]);
    expect(status).toBe(0);
  });
});
