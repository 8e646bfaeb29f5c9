/** Debian's bpftool and ip, and nslink, see the same, and open what the other has pinned. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { Command } from "../cli/command.ts";
import { hasTool, LinuxScene, tool } from "../cli/linux_scene.ts";
import { describeOnLinux } from "../contract/linux_available.ts";

const FLOW = "bpf/flow.bpf.o";
const FLOW_V2 = "bpf/flow-v2.bpf.o";

type Json = Record<string, unknown>;

const hasBpftool = hasTool("bpftool", "the same through bpftool");
const hasIp = tool("ip", "-V").status === 0;
if (!hasIp) console.warn("NOT RUN: the same through ip netns: there is no ip");

await describeOnLinux("nslink and the tools of others", () => {
  let nslink: Command;
  let scene: LinuxScene;
  beforeAll(async () => {
    nslink = new Command();
    scene = await LinuxScene.open("tools");
  });
  afterAll(async () => {
    await scene.clear();
    scene[Symbol.dispose]();
    nslink[Symbol.dispose]();
  });

  async function json(...args: string[]): Promise<Json> {
    const { status, stdout, stderr } = await nslink.run([...args, "--json"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return JSON.parse(stdout);
  }

  function bpftool(...args: string[]): Json {
    const { status, stdout, stderr } = tool("bpftool", "-j", ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return JSON.parse(stdout);
  }

  test.skipIf(!hasBpftool)("links, programs and maps are the same", async () => {
    const netns = scene.netns("same");
    const pin = scene.pin("same");
    const { id, program_id: programId } = await json(
      ...["attach", FLOW, "--netns", netns, "--pin", pin],
    );
    const link = await json("show", pin);
    expect(bpftool("link", "show", "id", `${id}`)).toMatchObject({
      id,
      type: "netns",
      prog_id: programId,
      netns_ino: (link.namespace as Json).inode,
      attach_type: link.attach_type,
    });
    const { name, tag } = link.program as Json;
    expect(bpftool("prog", "show", "id", `${programId}`)).toMatchObject({
      id: programId,
      type: "flow_dissector",
      name,
      tag,
    });

    // Theirs sees our maps, and what we put into them.
    const { maps } = await json("update", pin, FLOW_V2);
    const [calls = "", counters = ""] = maps as string[];
    expect(bpftool("map", "show", "pinned", counters)).toMatchObject({ name: "proto_packets" });
    const called = bpftool("map", "dump", "pinned", calls) as unknown as Json[];
    expect(called).toHaveLength(6);
    const programIds = called.map(({ value }) => Number(value ?? Number.NaN) || wordOf(value));
    for (const each of programIds) {
      expect(bpftool("prog", "show", "id", `${each}`)).toMatchObject({ type: "flow_dissector" });
    }
  });

  /** bpftool's ["0x01","0x02","0x00","0x00"] */
  function wordOf(value: unknown): number {
    expect(value).toBeInstanceOf(Array);
    return (value as string[]).reduceRight((word, byte) => word * 256 + Number(byte), 0);
  }

  test.skipIf(!hasBpftool)("each opens what the other pinned", async () => {
    const netns = scene.netns("pins");
    const pin = scene.pin("ours");
    const theirs = scene.pin("theirs");
    const { id } = await json("attach", FLOW, "--netns", netns, "--pin", pin);
    expect(bpftool("link", "show", "pinned", pin)).toMatchObject({ id });
    expect(tool("bpftool", "link", "pin", "id", `${id}`, theirs).status).toBe(0);
    expect(await json("show", theirs)).toMatchObject({ id, pins: [pin, theirs] });
    const program = scene.pin("program");
    const { id: programId } = (await json("show", pin)).program as { id: number };
    expect(tool("bpftool", "prog", "pin", "id", `${programId}`, program).status).toBe(0);
    expect(await json("update", theirs, `pin:${program}`, "--expect", program)).toMatchObject({
      program_id: programId,
    });
    expect(await json("unpin", theirs)).toMatchObject({ id, gone: false });
    expect(tool("bpftool", "link", "detach", "pinned", pin).status).toBe(0);
    expect(await json("show", pin)).toMatchObject({ state: "defunct", namespace: null });
  });

  test.skipIf(!hasBpftool)("a program of bpftool's is updated into our link", async () => {
    const netns = scene.netns("loaded");
    const pin = scene.pin("loaded");
    const program = scene.pin("accept");
    const object = "test/elf/fixtures/minimal.o";
    await json("attach", object, "--netns", netns, "--pin", pin);
    const { program: mine } = await json("show", pin);
    const load = tool("bpftool", "prog", "loadall", object, program);
    expect(load.status, load.stderr).toBe(0);
    const theirs = `${program}/accept_all`;
    const { program_id: id } = await json("update", pin, `pin:${theirs}`);
    expect(await json("show", pin)).toMatchObject({
      program: { id, name: "accept_all", tag: (mine as Json).tag },
    });
    expect(bpftool("prog", "show", "pinned", theirs)).toMatchObject({ id });
  });

  test.skipIf(!hasIp)("namespaces are ip's, and ip's are ours", async () => {
    const [ours, theirs] = [scene.name("ours"), scene.name("theirs")];
    const named = (): string[] =>
      JSON.parse(tool("ip", "-j", "netns").stdout || "[]").map(({ name }: Json) => name);
    await json("netns", "add", ours);
    expect(named()).toContain(ours);
    expect(tool("ip", "netns", "exec", ours, "true").status).toBe(0);
    expect(tool("ip", "netns", "add", theirs).status).toBe(0);
    const listed = (await json("netns", "ls")) as unknown as { names: string[] }[];
    expect(listed.flatMap(({ names }) => names)).toEqual(expect.arrayContaining([ours, theirs]));
    await json("netns", "del", theirs);
    expect(named()).not.toContain(theirs);
    expect(tool("ip", "netns", "del", ours).status).toBe(0);
    expect((await nslink.run(["netns", "del", ours])).stderr).toMatch(/ENOENT/);
  });
});
