/** The operator's commands on this machine's kernel, each as a process of its own. */

import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { describeOnLinux } from "../contract/linux_available.ts";
import { SETTLE_MS } from "../limits.ts";
import { Command, ended, expectUsageError } from "./command.ts";
import { LinuxScene, tool } from "./linux_scene.ts";

const FLOW = "bpf/flow.bpf.o";
const FLOW_V2 = "bpf/flow-v2.bpf.o";
const SK_LOOKUP = "test/elf/fixtures/everything.v3.o:choose";
/** The longest that something another process does is waited for. */

type Json = Record<string, unknown>;

await describeOnLinux("the operator's commands", () => {
  let nslink: Command;
  let scene: LinuxScene;
  beforeAll(async () => {
    nslink = new Command();
    scene = await LinuxScene.open("operator");
  });
  afterAll(() => {
    scene[Symbol.dispose]();
    nslink[Symbol.dispose]();
  });

  afterEach(() => scene.clear());

  async function succeeds(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await nslink.run(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout;
  }

  async function json(...args: string[]): Promise<Json> {
    return JSON.parse(await succeeds(...args, "--json"));
  }

  async function refused(line: RegExp, ...args: string[]): Promise<void> {
    const { status, stdout, stderr } = await nslink.run(args);
    expect(stderr).toMatch(line);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  }

  /** What nslink ls says of this scene. */
  async function listed(netns: string): Promise<{ links: Json[]; direct: Json[] }> {
    const { links, direct } = (await json("ls")) as { links: Json[]; direct: Json[] };
    const isOurs = ({ namespace, pins }: Json): boolean =>
      JSON.stringify(namespace).includes(`"${netns}"`) ||
      JSON.stringify(pins ?? []).includes(scene.bpffs);
    return { links: links.filter(isOurs), direct: direct.filter(isOurs) };
  }

  describe("a pinned link", () => {
    test("lives on, is listed, updated, detached, unpinned, and then nothing is left", async () => {
      const netns = scene.netns("pinned");
      const pin = scene.pin("link");
      const made = await json("attach", FLOW, "--netns", netns, "--pin", pin);
      const { id, program_id: program, netns_inode: inode } = made;
      const mapPin = `${pin}-maps/${program}/next_program`;
      expect(made).toEqual({
        id: expect.any(Number),
        program_id: expect.any(Number),
        netns_inode: expect.any(Number),
        pin,
        maps: [mapPin],
        held: false,
      });
      const entry = {
        id,
        type: "netns",
        attach_type: "flow_dissector",
        program: { id: program, name: "dissect", tag: expect.stringMatching(/^[0-9a-f]{16}$/) },
        namespace: {
          inode,
          cookie: expect.stringMatching(/^\d+$/),
          root: false,
          names: [netns],
          pids: [],
          holders: [],
        },
        state: "attached",
        pins: [pin],
        holders: [],
      };
      expect(await listed(netns)).toEqual({ links: [entry], direct: [] });
      expect(await json("show", pin)).toEqual(entry);
      expect(await json("show", `${id}`)).toEqual(entry);
      expect(await json("explain", pin)).toMatchObject({
        link: entry,
        now: { state: "attached", packets: { by: "program", program_ids: [program] } },
        foretold: [
          { event: { kind: "unpin", path: pin }, outcome: { state: "gone" } },
          { event: { kind: "detach" }, outcome: { state: "detached", pins: [pin] } },
          { event: { kind: "netns_death" }, outcome: { state: "defunct", packets: null } },
        ],
      });

      const updated = await json("update", pin, FLOW_V2, "--expect", `${program}`);
      const { program_id: young } = updated;
      const maps = ["next_program", "proto_packets"].map((name) => `${pin}-maps/${young}/${name}`);
      expect(updated).toEqual({ id, program_id: young, replaced_program_id: program, maps });
      expect(scene.pins(), "the old maps are gone").toEqual([
        "link",
        `link-maps/${young}/next_program`,
        `link-maps/${young}/proto_packets`,
      ]);
      expect(await json("show", pin)).toMatchObject({ program: { id: young }, state: "attached" });
      expect(await json("prog", "query", "--netns", netns)).toMatchObject({
        netns_inode: inode,
        programs: [{ id: young, name: "dissect", attach_type: "flow_dissector", link_id: id }],
      });

      expect(await json("detach", pin)).toEqual({ id, program_id: young, netns_inode: inode });
      expect(await json("show", pin)).toMatchObject({ namespace: null, state: "defunct" });
      await refused(/^nslink: BPF_LINK_UPDATE: ENOLINK: link \d+ is defunct/, "update", pin, FLOW);
      expect(await json("unpin", pin)).toEqual({ path: pin, id, gone: true });
      expect(scene.pins()).toEqual([]);
      await refused(/^nslink: bpffs.unlink: ENOENT: ./, "unpin", pin);
      expect(await listed(netns)).toEqual({ links: [], direct: [] });
    });

    test("keeps its tail-called programs after nslink has ended", async () => {
      const netns = scene.netns("calls");
      const pin = scene.pin("calls");
      await succeeds("attach", FLOW, "--netns", netns, "--pin", pin);
      const dissectsIpv4 = (): boolean => {
        const fd = scene.kernel.netns.open({ name: netns });
        const data = new Uint8Array(64);
        data.set([0x08, 0x00, 0x45], 12);
        data.set([0, 20], 16);
        data.set([64, 17], 22);
        const frame = { data, networkOffset: 14, protocol: 0x0800 };
        const outcome = scene.kernel.netns.dissect(fd, frame, 0);
        scene.kernel.close(fd);
        return typeof outcome !== "number" && outcome.verdict === "ok";
      };
      expect(dissectsIpv4()).toBe(true);
      await succeeds("update", pin, FLOW_V2);
      expect(dissectsIpv4()).toBe(true);
      const { id } = await json("show", pin);
      await succeeds("update", `${id}`, FLOW);
      expect(dissectsIpv4(), "named by its id, it is updated where it is pinned").toBe(true);
      await succeeds("pin", pin, scene.pin("second"));
      await succeeds("update", pin, FLOW_V2);
      await succeeds("unpin", pin);
      expect(dissectsIpv4(), "the second pin has the maps too").toBe(true);
      await succeeds("unpin", scene.pin("second"));
      expect(scene.pins()).toEqual([]);
    });

    test("is not made where something is pinned, and nothing is left of the try", async () => {
      const [one, two] = [scene.netns("taken1"), scene.netns("taken2")];
      const pin = scene.pin("taken");
      await succeeds("attach", FLOW, "--netns", one, "--pin", pin);
      const before = scene.pins();
      await refused(/BPF_OBJ_PIN: EEXIST/, "attach", FLOW, "--netns", two, "--pin", pin);
      await refused(/BPF_LINK_CREATE: E2BIG/, "attach", FLOW, "--netns", one, "--pin", `${pin}2`);
      await refused(/EPERM: .*dot/, "attach", FLOW, "--netns", two, "--pin", scene.pin("a.b"));
      await refused(/EPERM/, "attach", FLOW, "--netns", two, "--pin", "/tmp/nslink-no-bpffs");
      const nowhere = scene.pin("none/x");
      await refused(/ENOENT/, "attach", FLOW, "--netns", two, "--pin", nowhere);
      await refused(/EPERM: /, "update", pin, FLOW_V2, "--expect", "name:parse_mpls");
      expect(scene.pins()).toEqual(before);
      expect(existsSync("/tmp/nslink-no-bpffs-maps")).toBe(false);
      expect(scene.links()).toHaveLength(1);
      await succeeds("unpin", pin);
    });

    test("is updated by many at a time, and keeps the maps of the last", async () => {
      const netns = scene.netns("many");
      const pin = scene.pin("many");
      await succeeds("attach", FLOW, "--netns", netns, "--pin", pin);
      await Promise.all(Array.from({ length: 6 }, () => succeeds("update", pin, FLOW)));
      const { program } = await json("show", pin);
      expect(scene.pins()).toContain(`many-maps/${(program as Json).id}/next_program`);
      const { program_id: last } = await json("update", pin, FLOW);
      expect(scene.pins(), "what the others left is gone").toEqual([
        "many",
        `many-maps/${last}/next_program`,
      ]);
      expect(scene.kernel.bpffs.unlink(pin), "as an unpin that is killed leaves it").toBe(0);
      expect(await json("unpin", pin)).toEqual({ path: pin, id: null, gone: false });
      expect(scene.pins()).toEqual([]);
    });

    test("takes the maps of another over", async () => {
      const netns = scene.netns("maps");
      const pin = scene.pin("maps");
      const { maps } = await json("attach", FLOW_V2, "--netns", netns, "--pin", pin);
      const counters = (maps as string[]).find((path) => path.endsWith("proto_packets")) ?? "";
      const idOf = (path: string): number =>
        JSON.parse(tool("bpftool", "-j", "map", "show", "pinned", path).stdout).id;
      const kept = idOf(counters);
      const replacement = `proto_packets=${counters}`;
      const updated = await json("update", pin, FLOW_V2, "--replace-map", replacement);
      const now = (updated.maps as string[]).find((path) => path.endsWith("proto_packets")) ?? "";
      expect(now).not.toBe(counters);
      expect(idOf(now)).toBe(kept);
      const usage = async (text: string, line: RegExp): Promise<void> =>
        expectUsageError(await nslink.run(["update", pin, FLOW_V2, "--replace-map", text]), line);
      await usage("proto_packets", /it must be NAME=PIN/);
      await usage(
        `nobody=${now}`,
        /there is no map nobody; there are: next_program, proto_packets/,
      );
      await usage(`next_program=${now}`, /next_program can't be shared: it has type/);
      await usage(`proto_packets=${pin}`, /is open on anon_inode:bpf.link, which is no map/);
      await succeeds("unpin", pin);
      expect(scene.pins()).toEqual([]);
    });
  });

  describe("a link without a pin", () => {
    /** Starts attaching, and waits until the link is held. */
    async function held(...args: string[]): Promise<{ child: ChildProcess; said: () => string }> {
      const child = nslink.start(["attach", ...args]);
      let text = "";
      child.stdout?.on("data", (part: Buffer) => {
        text += part;
      });
      const end = performance.now() + SETTLE_MS;
      while (!/press Ctrl-C|"held": true/.test(text)) {
        expect(child.exitCode).toBe(null);
        expect(performance.now(), `held; it says: ${text}`).toBeLessThan(end);
        await delay(5);
      }
      return { child, said: () => text };
    }

    test.each(["SIGINT", "SIGTERM"] as const)("lives until %s", async (signal) => {
      const netns = scene.netns(signal.toLowerCase());
      const { child, said } = await held(FLOW, "--netns", netns);
      expect(said()).toMatch(/^link \d+: program \d+ attached to \S+ \(inode \d+\)\nheld by this/);
      const { links } = await listed(netns);
      expect(links).toMatchObject([
        { state: "attached", pins: [], holders: [{ pid: child.pid, fds: [expect.any(Number)] }] },
      ]);
      expect(await succeeds("show", `${links[0]?.id}`)).toMatch(
        new RegExp(`^held by +nslink attach \\S* ?\\(${child.pid}\\)$`, "m"),
      );
      child.kill(signal);
      expect(await ended(child)).toMatchObject({ status: 0, stderr: "" });
      expect(await listed(netns)).toEqual({ links: [], direct: [] });
    });

    test("of a program that calls others is updated only where their map is held", async () => {
      const netns = scene.netns("held");
      const { child } = await held(FLOW, "--netns", netns, "--json");
      const id = `${scene.links().find(({ namespace }) => namespace?.names[0] === netns)?.id}`;
      expectUsageError(
        await nslink.run(["update", id, FLOW_V2]),
        /calls others by a prog array, .* say with --pin-maps DIRECTORY/,
      );
      const maps = scene.pin("held");
      await succeeds("update", id, FLOW_V2, "--pin-maps", maps);
      expect(scene.pins()).toEqual(["held/next_program", "held/proto_packets"]);
      // Pinned now: it lives on without whoever held it.
      await succeeds("pin", id, scene.pin("kept"));
      child.kill("SIGTERM");
      await ended(child);
      expect(await listed(netns)).toMatchObject({ links: [{ state: "attached", holders: [] }] });
      await succeeds("unpin", scene.pin("kept"));
    });
  });

  describe("a namespace", () => {
    test("is added, listed, reached by name, path and pid, and deleted", async () => {
      const name = scene.name("life");
      const { inode } = await json("netns", "add", name);
      await refused(/netns.create: EEXIST/, "netns", "add", name);
      const all = (await json("netns", "ls")) as unknown as Json[];
      expect(all.find((each) => each.inode === inode)).toMatchObject({
        names: [name],
        root: false,
        pids: [],
        link_ids: [],
        direct_program_ids: [],
      });
      expect(all.filter(({ root }) => root).length).toBeLessThanOrEqual(1);
      expect(await succeeds("netns", "ls")).toMatch(
        new RegExp(`^${name} +${inode} +0 +- +-$`, "m"),
      );
      const sleeper = nslink.start(["attach", SK_LOOKUP, "--netns", name]);
      for (const reference of [name, `/run/netns/${name}`]) {
        const { netns_inode: found } = await json("prog", "query", "--netns", reference);
        expect(found).toBe(inode);
      }
      const own = await json("prog", "query", "--netns", "self");
      expect(await json("prog", "query", "--netns", `pid:${process.pid}`)).toEqual(own);
      sleeper.kill("SIGKILL");
      await ended(sleeper);
      expect(await json("netns", "del", name)).toEqual({ name });
      await refused(/netns.remove: ENOENT/, "netns", "del", name);
      await refused(/no network namespace/, "prog", "query", "--netns", name);
    });
  });

  describe("a program", () => {
    test("is attached without a link, queried, listed and detached", async () => {
      const netns = scene.netns("direct");
      expectUsageError(
        await nslink.run(["prog", "attach", FLOW, "--netns", netns]),
        /calls others by a prog array/,
      );
      const maps = scene.pin("direct");
      const attached = await json("prog", "attach", FLOW, "--netns", netns, "--pin-maps", maps);
      const { program_id: id, netns_inode: inode } = attached;
      expect(attached.maps).toEqual([`${maps}/next_program`]);
      expect(await listed(netns)).toMatchObject({
        links: [],
        direct: [{ program: { id, name: "dissect" }, namespace: { inode }, state: "attached" }],
      });
      expect(await succeeds("ls")).toMatch(
        /^ *direct {2}flow_dissector {2}\d+ dissect .*attached/m,
      );
      await refused(/BPF_LINK_CREATE: EEXIST: .*directly/, "attach", FLOW, "--netns", netns);
      const [{ tag }] = (await json("prog", "query", "--netns", netns)).programs as [Json];
      await refused(/ENOENT/, "prog", "detach", "tag:0000000000000000", "--netns", netns);
      expect(await json("prog", "detach", `tag:${tag}`, "--netns", netns)).toEqual({
        program_id: id,
        netns_inode: inode,
      });
      await refused(/BPF_PROG_DETACH: ENOENT: nothing/, "prog", "detach", "--netns", netns);
    });
  });

  test("an sk_lookup program without a prog array is linked and updated", async () => {
    const netns = scene.netns("lookup");
    const pin = scene.pin("lookup");
    await succeeds("attach", SK_LOOKUP, "--netns", netns, "--pin", pin);
    const { links } = await listed(netns);
    expect(links).toMatchObject([{ attach_type: "sk_lookup", program: { name: "choose" } }]);
    await succeeds("update", pin, SK_LOOKUP, "--expect", "name:choose");
    await succeeds("unpin", pin);
    expect(scene.pins()).toEqual([]);
  });

  test("the doctor finds what is there, and ends with 1 where something won't work", async () => {
    const { stdout, status } = await nslink.run(["doctor", "--json"]);
    const { kernel, features, checks, bpffs } = JSON.parse(stdout);
    expect(kernel).toBe("linux");
    expect(bpffs).toContain(scene.bpffs);
    expect(features).toContainEqual({
      id: "netns-links",
      title: expect.any(String),
      since: "Linux 5.8",
      capabilities: ["CAP_BPF", "CAP_NET_ADMIN"],
      state: "present",
    });
    const hasProblem = checks.some((check: Json) => check.status === "problem");
    expect(status).toBe(hasProblem ? 1 : 0);
    const powerless = nslink.shell(`setpriv --bounding-set=-all --inh-caps=-all \
      '${process.execPath}' '${nslink.main}' doctor`);
    expect(powerless.status).toBe(1);
    expect(powerless.stdout).toMatch(/^PROBLEM {2}CAP_BPF is missing: .*\n +-> run it as root/m);
  });

  test("wrong usage is one line and exit 2", async () => {
    const usage = async (line: RegExp, ...args: string[]): Promise<void> =>
      expectUsageError(await nslink.run(args), line);
    await usage(/required option '--netns <ref>' not specified/, "attach", FLOW);
    await usage(/holds no program nobody/, "attach", `${FLOW}:nobody`, "--netns", "self");
    await usage(/blue is no link: it must be an id or the path of a pin/, "show", "blue");
    await usage(/'bsd' is invalid/, "ls", "--kernel", "bsd");
    await usage(/unknown command/, "release", "7");
    await usage(/it must be an id, the path of a pin/, "prog", "detach", "x", "--netns", "self");
    const pin = scene.pin("notlink");
    const netns = scene.netns("notlink");
    await succeeds("attach", FLOW, "--netns", netns, "--pin", pin);
    const [map = ""] = scene.pins().filter((path) => path.includes("-maps/"));
    await usage(/a map is pinned at/, "explain", scene.pin(map));
    await usage(/no link/, "detach", scene.pin(map));
    await succeeds("unpin", pin);
  });

  test("run dissects on Linux as on the embedded kernel", async () => {
    const args = ["run", FLOW, "examples/traffic.pcap", "--json"];
    const linux = await succeeds(...args, "--kernel", "linux");
    expect(linux.split("\n").length).toBeGreaterThan(400);
    expect(linux).toBe(await succeeds(...args, "--kernel", "embedded"));
  });

  test("demo tells the same story on Linux", async () => {
    const normal = (story: string): string[] =>
      story
        .replaceAll(/nslink-\d+-blue/g, "blue")
        .replaceAll(/(inode|link|program|id) [1-9]\d*/g, "$1 N")
        .split("\n")
        .filter((line) => !line.includes("kernel"));
    const linux = await succeeds("demo", "--kernel", "linux");
    expect(normal(linux)).toEqual(normal(await succeeds("demo")));
    expect(linux).toMatch(/\n10 checks, all of it so\n$/);
  });
});
