/**
 * `nslink run` on standard error: what programs printed and on which packet, tail calls that
 * missed, runs that were stopped or take long; and captures that are compressed, or of a link type
 * that isn't read. The same on one thread and on several.
 */

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { constants, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LINKTYPE_ETHERNET, writePcap } from "../../src/packet/index.ts";
import { concat, Section } from "../packet/support.ts";
import { Command, projectFile } from "./command.ts";

const NOTES = "test/cli/notes.bpf.o";
const FLOW = "bpf/flow.bpf.o";
const CAPTURE = "examples/traffic.pcap";
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const USB_LINUX = 189;

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

function frame(type: number): Uint8Array {
  const data = new Uint8Array(60);
  data.set([type >> 8, type & 0xff], 12);
  return data;
}

function capture(...types: number[]): Uint8Array {
  const packets = types.map((type) => ({ data: frame(type), timestampNs: 0n }));
  return writePcap(packets, { linkType: LINKTYPE_ETHERNET });
}

/** One thread, and several. */
const JOBS = [[], ["--jobs", "2"]] as const;

describe.each(JOBS.map((jobs) => ({ jobs })))("run $jobs", ({ jobs }) => {
  test.each(["--summary", "--json"])("tells which slots tail calls missed, %s", async (format) => {
    const args = ["run", NOTES, "-", "--program", "misses", format, ...jobs];
    const { status, stderr } = await nslink.run(args, capture(ETH_P_IP, ETH_P_IPV6, ETH_P_IP));
    expect(status).toBe(0);
    expect(stderr.split("\n").toSorted()).toEqual([
      "",
      "nslink: note: tail calls through slot 1 of map jumps missed 3 times: no program is there",
      "nslink: note: tail calls through slot 7 of map jumps missed 3 times: the map has 2 slots",
    ]);
  });

  test("tells that there were too many tail calls", async () => {
    const args = ["run", NOTES, "-", "--program", "chain", "--summary", ...jobs];
    const { status, stdout, stderr } = await nslink.run(args, capture(ETH_P_IP));
    expect(status).toBe(0);
    expect(stdout).toContain("1 ok");
    expect(stderr).toBe(
      "nslink: note: tail calls through slot 0 of map again missed 1 time: " +
        "the run had made as many tail calls as it may\n",
    );
  });

  test("prints what a program prints, with the packet's number, harmlessly", async () => {
    // Enough for several pages, and frames that no dissector is given.
    const types = Array.from({ length: 9_000 }, (_, i) => (i % 2 === 0 ? ETH_P_IP : ETH_P_IPV6));
    const packets = types.map((type, i) => ({
      data: i % 3 === 2 ? new Uint8Array(7) : frame(type),
      timestampNs: 0n,
    }));
    const file = writePcap(packets, { linkType: LINKTYPE_ETHERNET });
    const args = ["run", NOTES, "-", "--program", "loud", "--json", "--flags", "3", ...jobs];
    const { status, stderr } = await nslink.run(args, file);
    expect(status).toBe(0);
    const expected = types.flatMap((type, i) => {
      if (i % 3 === 2) return [];
      const packet = `nslink: packet ${i + 1}: `;
      return [`${packet}protocol ${type.toString(16)}\\x1b[2J`, `${packet}flags 3\\n7`];
    });
    expect(stderr.trimEnd().split("\n")).toEqual(expected);
  });

  test("ends a run at --max-instructions, and says where", async () => {
    const file = capture(ETH_P_IP, ETH_P_IP, ETH_P_IPV6, ETH_P_IP);
    const limit = ["--max-instructions", "1000000"];
    const args = ["run", NOTES, "-", "--program", "nested", "--json", ...limit, ...jobs];
    const { status, stdout, stderr } = await nslink.run(args, file);
    expect(status).toBe(1);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).packet)).toEqual([1, 2, 3]);
    expect(JSON.parse(lines[2] ?? "")).toMatchObject({ verdict: "drop", retval: null });
    expect(stderr).toMatch(
      /^nslink: packet 3 took more than 1,000,000 instructions \(--max-instructions\) and was /,
    );
    expect(stderr).toMatch(/ in program nested at \S*notes\.bpf\.c:\d+: .*, instruction \d+; /);
    expect(stderr.split("\n")).toHaveLength(2);
  });

  test("doesn't end a run that takes no more", async () => {
    const args = ["run", NOTES, "-", "--program", "nested", "--max-instructions", "1000", ...jobs];
    const { status, stdout, stderr } = await nslink.run(args, capture(ETH_P_IP, ETH_P_IP));
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("2 ok");
  });

  test("says after a while that a program takes long", async () => {
    const file = nslink.file("ipv6.pcap", capture(ETH_P_IP, ETH_P_IPV6));
    const child = nslink.start(["run", NOTES, file, "--program", "nested", ...jobs]);
    const [said] = (await once(child.stderr as NonNullable<typeof child.stderr>, "data")) as [
      Buffer,
    ];
    child.kill("SIGKILL");
    expect(`${said}`).toMatch(/^nslink: note: the packets from 1 on have taken more than 5 s /);
    expect(`${said}`).toContain("--max-instructions N");
    await once(child, "close");
  });

  test("goes on behind packets of a link type that isn't read", async () => {
    const section = new Section(true);
    const file = concat([
      section.header(),
      section.interface(LINKTYPE_ETHERNET),
      section.interface(USB_LINUX),
      section.enhanced(0, 1n, frame(ETH_P_IP)),
      section.enhanced(1, 2n, new Uint8Array(64)),
      section.enhanced(0, 3n, frame(ETH_P_IP)),
    ]);
    const args = ["run", FLOW, "-", ...jobs];
    const reason = "link type 189 (LINKTYPE_USB_LINUX) is not supported";
    const json = await nslink.run([...args, "--json"], file);
    expect([json.status, json.stderr]).toEqual([0, ""]);
    const lines = json.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatchObject({ packet: 2, by: null, verdict: "none", reason });
    const summary = await nslink.run([...args, "--summary"], file);
    expect(summary.stdout).toContain("1 none");
    expect(summary.stderr).toBe(`nslink: note: 1 packet came to no dissector: ${reason}\n`);
    const table = await nslink.run(args, file);
    expect(table.stdout).toMatch(/^ +2 +64 +- +none +- +link type 189 /m);
  });
});

describe("arguments", () => {
  test.each(["0", "-1", "1.5", "many", "1e9", ""])("--max-instructions %s", async (limit) => {
    const args = ["run", FLOW, CAPTURE, `--max-instructions=${limit}`];
    const { status, stdout, stderr } = await nslink.run(args);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("It must be a whole number from 1 up.");
  });

  test("--max-instructions on Linux, which counts none", async () => {
    const args = ["run", FLOW, CAPTURE, "--kernel", "linux", "--max-instructions", "5"];
    const { status, stderr } = await nslink.run(args);
    expect(status).toBe(2);
    expect(stderr).toContain("Linux counts no instructions");
  });

  test("--max-instructions in a script, whose kernel is there before", async () => {
    const script = `netns ls\nrun ${FLOW} ${CAPTURE} --max-instructions 5\n`;
    const { status, stderr } = await nslink.run(
      ["script", "-", "--kernel", "embedded"],
      Buffer.from(script),
    );
    expect(status).toBe(2);
    expect(stderr).toContain("--max-instructions needs a kernel of its own");
  });
});

describe("compressed captures", () => {
  const args = ["run", FLOW, "-", "--summary"];
  const plain = projectFile(CAPTURE);

  async function summaryOf(file: Uint8Array): Promise<string> {
    const { status, stdout, stderr } = await nslink.run(args, file);
    expect([status, stderr]).toEqual([0, ""]);
    return stdout;
  }

  test("gzip, in one member and in several, as a file and piped", async () => {
    const expected = await summaryOf(plain);
    expect(await summaryOf(gzipSync(plain))).toBe(expected);
    const members = [plain.subarray(0, 999), plain.subarray(999)].map((part) => gzipSync(part));
    expect(await summaryOf(concat(members))).toBe(expected);
    const path = nslink.file("traffic.pcap.gz", gzipSync(plain));
    const { stdout } = await nslink.run(["run", FLOW, path, "--summary", "--jobs", "2"]);
    expect(stdout).toBe(expected);
  });

  test("gzip that ends too early: what is there, and a warning", async () => {
    // Small blocks, so that much can be decompressed of a part.
    const packed = gzipSync(plain, { level: constants.Z_BEST_SPEED });
    const { status, stdout, stderr } = await nslink.run(
      args,
      packed.subarray(0, packed.length - 9),
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+ packets, /m);
    expect(stderr).toMatch(/^nslink: warning: standard input: at byte \d+ of the capture: /);
    expect(stderr).toContain("the gzip data ends too early");
  });

  test("gzip that ends before the first packet is refused", async () => {
    const { status, stderr } = await nslink.run(args, gzipSync(plain).subarray(0, 12));
    expect(status).toBe(2);
    expect(stderr).toContain("the gzip data ends too early");
  });

  test("gzip that is damaged", async () => {
    const damaged = gzipSync(plain);
    damaged.fill(0xff, 100, 140);
    const { status, stderr } = await nslink.run(args, damaged);
    expect(status).toBe(2);
    expect(stderr).toMatch(/the gzip data is damaged: /);
  });

  test("gzip of something else, and of nothing", async () => {
    for (const content of ["no capture", ""]) {
      const { status, stdout, stderr } = await nslink.run(args, gzipSync(content));
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/neither pcap nor pcapng|the file is empty/);
    }
  });

  test("zstd, or which Node.js can read it", async () => {
    const { status, stdout: packed } = spawnSync("zstd", ["-c"], { input: plain });
    if (status !== 0) {
      console.log("zstd isn't installed: a file of its first bytes stands for one");
    }
    const file = status === 0 ? packed : Uint8Array.from(Buffer.from("28b52ffd00000000", "hex"));
    const result = await nslink.run(args, file);
    if ("createZstdDecompress" in (await import("node:zlib")) && status === 0) {
      expect(result.stdout).toBe(await summaryOf(plain));
    } else {
      expect(result.status).toBe(2);
      expect(result.stderr).toMatch(/compressed with zstd.* from 22\.15 on; this is v\d+/);
    }
  });

  test("other compressions are named", async () => {
    for (const [bytes, name] of [
      ["fd377a585a0000", "xz"],
      ["425a683931415926", "bzip2"],
    ] as const) {
      const { status, stderr } = await nslink.run(args, Buffer.from(bytes, "hex"));
      expect(status).toBe(2);
      expect(stderr).toContain(`compressed with ${name}; decompress it first`);
    }
  });
});
