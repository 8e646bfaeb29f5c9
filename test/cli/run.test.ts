/** `nslink run`: tables for people, JSON for programs, one clear line for whatever is wrong. */

import { openSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { decodeFlowKeys } from "../../src/index.ts";
import {
  CaptureReader,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  type LinkType,
  writePcap,
} from "../../src/packet/index.ts";
import { Command, ended, expectUsageError, projectFile } from "./command.ts";

const OBJECT = "bpf/flow.bpf.o";
const CAPTURE = "examples/traffic.pcap";
const EVERYTHING = "test/elf/fixtures/everything.v3.o";
/** Bytes of a pcap file's header, and of a record's. */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;

/** A line of --json. */
interface Line {
  readonly packet: number;
  readonly by: "bpf" | "linux";
  readonly verdict: "ok" | "drop" | "continue";
  readonly retval: number | null;
  readonly keys: Record<string, unknown> | null;
  readonly keys_hex: string | null;
  readonly reason?: string;
}

let nslink: Command;
beforeAll(() => {
  nslink = new Command();
});
afterAll(() => nslink[Symbol.dispose]());

const packetsInCapture = countPackets(projectFile(CAPTURE));

function countPackets(capture: Uint8Array): number {
  let count = 0;
  const reader = new CaptureReader(() => count++);
  reader.push(capture);
  reader.end();
  return count;
}

async function json(...args: string[]): Promise<Line[]> {
  const { status, stdout, stderr } = await nslink.run(["run", ...args, "--json"]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

/** A capture of these packets. */
function capture(linkType: LinkType, ...packets: Uint8Array[]): Uint8Array {
  return writePcap(
    packets.map((data) => ({ data, timestampNs: 0n })),
    { linkType },
  );
}

/** An IPv4 and UDP packet without a link-layer header, padded to a size. */
function udp(size: number): Uint8Array {
  const packet = new Uint8Array(size);
  const headers = Buffer.from("4500001c000040004011b6cfc0000201c0000202123400350008", "hex");
  packet.set(headers.subarray(0, size));
  return packet;
}

function ethernet(type: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.from([...new Uint8Array(12), type >> 8, type & 0xff, ...payload]);
}

describe("--json", () => {
  test("has a line for every packet, each with the same fields, and nothing else", async () => {
    const lines = await json(OBJECT, CAPTURE);
    expect(lines).toHaveLength(packetsInCapture);
    for (const [i, line] of lines.entries()) {
      const fields = ["packet", "by", "verdict", "retval", "keys", "keys_hex"];
      expect(Object.keys(line)).toEqual(fields);
      expect(line.packet).toBe(i + 1);
      expect(line.by).toBe("bpf");
      expect(line.verdict).toBe(line.retval === 0 ? "ok" : "drop");
    }
    expect(lines.some(({ verdict }) => verdict === "ok")).toBe(true);
    expect(lines.some(({ verdict }) => verdict === "drop")).toBe(true);
  });

  test("says the same in keys as in keys_hex", async () => {
    for (const { keys, keys_hex } of await json(OBJECT, CAPTURE)) {
      expect(keys_hex).toMatch(/^[0-9a-f]{112}$/);
      expect(keys).toEqual(decodeFlowKeys(Buffer.from(keys_hex ?? "", "hex")));
    }
  });

  test("has no keys for a packet that is left to Linux's dissector", async () => {
    const packet = udp(28);
    // The example programs leave what comes from 127.0.0.127 to Linux.
    packet.set([127, 0, 0, 127], 12);
    const path = nslink.file("left.pcap", capture(LINKTYPE_ETHERNET, ethernet(0x0800, packet)));
    expect(await json(OBJECT, path)).toEqual([
      { packet: 1, by: "linux", verdict: "continue", retval: 129, keys: null, keys_hex: null },
    ]);
    const { stdout } = await nslink.run(["run", OBJECT, path]);
    expect(stdout).toMatch(/^ +1 +42 +linux +continue +- +left to Linux's own dissector$/m);
    expect(stdout).toMatch(/through dissect: 1 continue$/m);
  });

  test("gives the reason for a packet that no dissector can be given", async () => {
    const path = nslink.file("odd.pcap", capture(LINKTYPE_ETHERNET, new Uint8Array(13)));
    const nothing = { retval: null, keys: null, keys_hex: null };
    const reason = "shorter than its link-layer header";
    expect(await json(OBJECT, path)).toEqual([
      { packet: 1, by: "linux", verdict: "drop", ...nothing, reason },
    ]);
    const raw = nslink.file("raw-odd.pcap", capture(LINKTYPE_RAW, Uint8Array.of(0x75)));
    expect((await json(OBJECT, raw))[0]?.reason).toBe(
      "its link-layer header names no network protocol",
    );
    const { stdout } = await nslink.run(["run", OBJECT, path]);
    expect(stdout).toMatch(/^ +1 +13 +- +none +- +shorter than its link-layer header$/m);
  });

  test("counts offsets from the network header where there is no Ethernet header", async () => {
    const path = nslink.file("raw.pcap", capture(LINKTYPE_RAW, udp(28)));
    const [line] = await json(OBJECT, path);
    expect(line).toMatchObject({ verdict: "ok", keys: { nhoff: 0, thoff: 20, sport: 4660 } });
  });

  test("takes packets of every size that a capture can hold", async () => {
    const sizes = [1, 20, 4083, 65_536, 262_144];
    const path = nslink.file("sizes.pcap", capture(LINKTYPE_RAW, ...sizes.map(udp)));
    const lines = await json(OBJECT, path);
    expect(lines.map(({ verdict }) => verdict)).toEqual(["drop", "drop", "ok", "ok", "ok"]);
  });
});

describe("the tables", () => {
  test("list packets, then flows, then the sums", async () => {
    const { status, stdout, stderr } = await nslink.run(["run", OBJECT, CAPTURE]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [packets = "", flows = "", sums = "", ...rest] = stdout.split("\n\n");
    expect(rest).toEqual([]);
    const rows = packets.split("\n");
    expect(rows[0]).toBe("packet  bytes  by     verdict   protocol  flow");
    expect(rows).toHaveLength(packetsInCapture + 1);
    expect(rows[28]).toBe("    28     74  bpf    ok        ICMP      192.0.2.1 -> 192.0.2.2");
    const flow = rows[0]?.indexOf("flow") ?? 0;
    for (const row of rows.slice(1)) expect(row.slice(0, flow)).toMatch(/( |^.{0,39})$/);
    expect(flows).toMatch(/^packets +bytes +protocol +flow\n/);
    expect(flows).toMatch(/ +TCP +\[2001:db8::1\]:\d+ -> \[2001:db8::2\]:80\n/);
    expect(flows).toMatch(/\nand [\d,]+ smaller flows$/);
    expect(sums).toMatch(/^478 packets, 73,791 bytes, through dissect: 395 ok, 83 drop\n$/);
  });

  test("agree with --json about every verdict", async () => {
    const lines = await json(OBJECT, CAPTURE);
    const ok = lines.filter(({ verdict }) => verdict === "ok").length;
    const { stdout } = await nslink.run(["run", OBJECT, CAPTURE, "--summary"]);
    expect(stdout).toContain(`: ${ok} ok, ${lines.length - ok} drop\n`);
  });

  test("--summary leaves the packets out", async () => {
    const { stdout } = await nslink.run(["run", OBJECT, CAPTURE, "--summary"]);
    expect(stdout).toMatch(/^packets +bytes +protocol +flow\n/);
    expect(stdout.split("\n").length).toBeLessThan(30);
  });

  test("of a capture without packets say so", async () => {
    const path = nslink.file("none.pcap", capture(LINKTYPE_ETHERNET));
    const { status, stdout } = await nslink.run(["run", OBJECT, path, "--summary"]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: "0 packets, 0 bytes, through dissect\n",
    });
    expect((await nslink.run(["run", OBJECT, path, "--json"])).stdout).toBe("");
  });

  test("tell when a program had to be stopped", async () => {
    using trusting = new Command();
    trusting.patch("kernel/verifier/verify.js", (code) => code.replace("walkAll(env, false);", ""));
    // What lies in the kernel's memory is otherwise there for a program that was let in.
    trusting.patch("cli/session.js", (code) => code.replace("boot({", "boot({ hardened: true,"));
    const object = projectFile(OBJECT).slice();
    breakProgram(object);
    const path = nslink.file("broken.o", object);
    const { status, stdout, stderr } = await trusting.run(["run", path, CAPTURE, "--limit", "2"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ +1 +86 +bpf +stopped +- +the program did what Linux's verifier/m);
    expect(stderr).toBe(
      "nslink: warning: program dissect was stopped on 2 packets: " +
        "it did what Linux's verifier would have refused\n",
    );
  });
});

/** Makes the entry of the example object begin by reading from the address 0. */
function breakProgram(object: Uint8Array): void {
  const bytes = Buffer.from(object.buffer);
  const entry = bytes.indexOf(
    // The first load of every dissector: flow_keys of the context.
    Buffer.from(assemble("r2 = *(u64 *)(r1 + 144)")).subarray(2),
  );
  expect(entry).toBeGreaterThan(0);
  bytes.set(assemble("r0 = *(u64 *)(r1 - 144)").subarray(2, 8), entry);
}

describe("options", () => {
  test("--flags reach the program", async () => {
    const first = await json(OBJECT, CAPTURE, "--flags", "0");
    const encap = await json(OBJECT, CAPTURE, "--flags", "0x4");
    expect(encap[0]?.keys?.flags).toBe(4);
    const inner = (lines: Line[]): number[] =>
      lines.filter(({ keys }) => keys?.is_encap === true).map(({ keys }) => Number(keys?.thoff));
    expect(inner(first).length).toBeGreaterThan(0);
    expect(inner(encap).reduce((a, b) => a + b, 0)).toBeLessThan(
      inner(first).reduce((a, b) => a + b, 0),
    );
  });

  test("--limit stops after so many packets, wherever a chunk ends", async () => {
    for (const limit of [1, 2, packetsInCapture, packetsInCapture + 1]) {
      const lines = await json(OBJECT, CAPTURE, "--limit", `${limit}`);
      expect(lines).toHaveLength(Math.min(limit, packetsInCapture));
    }
  });

  test("--limit ends the command though its input goes on", async () => {
    const child = nslink.start(["run", OBJECT, "-", "--limit", "3", "--summary"]);
    child.stdin?.on("error", () => {});
    child.stdin?.write(projectFile(CAPTURE));
    const { status, stdout } = await ended(child);
    expect(status).toBe(0);
    expect(stdout).toContain("3 packets, ");
  });

  test("--program runs another entry", async () => {
    const args = [OBJECT, CAPTURE, "--limit", "1", "--program", "parse_ipv4"];
    const [byDefault] = await json(...args.slice(0, 4));
    expect(byDefault?.keys?.ip_proto, "an IPv6 packet").toBe(58);
    const [byName] = await json(...args);
    expect(byName?.keys?.ip_proto, "read as IPv4").not.toBe(58);
    const { stdout } = await nslink.run(["run", ...args, "--summary"]);
    expect(stdout).toContain("through parse_ipv4: ");
  });

  test("programs of other types in the object are left alone, and so are their maps", async () => {
    const { status, stdout } = await nslink.run(["run", EVERYTHING, CAPTURE, "--summary"]);
    expect(status).toBe(0);
    expect(stdout).toContain("through dissect_ipv4: 478 ok\n");
  });
});

describe("input", () => {
  test("comes from standard input as well, with the same result", async () => {
    const fromFile = await nslink.run(["run", OBJECT, CAPTURE]);
    const fromPipe = await nslink.run(["run", OBJECT, "-"], projectFile(CAPTURE));
    expect(fromPipe).toEqual(fromFile);
  });

  test("may be pcapng", async () => {
    const lines = await json(OBJECT, nslink.file("one.pcapng", pcapng(ethernet(0x0800, udp(28)))));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ verdict: "ok", keys: { sport: 4660, dport: 53 } });
  });

  test("that is cut off is read as far as it goes, with a warning", async () => {
    const cut = projectFile(CAPTURE).subarray(0, 1000);
    const path = nslink.file("cut.pcap", cut);
    const { status, stdout, stderr } = await nslink.run(["run", OBJECT, path, "--summary"]);
    expect(status).toBe(0);
    expect(stdout).toContain("9 packets, 718 bytes, through dissect: 9 drop\n");
    expect(stderr).toBe(
      `nslink: warning: ${path}: at byte 1000 of the capture: the file ends here, within the ` +
        "record that starts at byte 886\n",
    );
  });

  test("that breaks off in the first packet is no capture", async () => {
    const cut = projectFile(CAPTURE).subarray(0, FILE_HEADER + RECORD_HEADER + 5);
    expectUsageError(await nslink.run(["run", OBJECT, "-"], cut), /standard input: at byte 45 of/);
  });

  test("that turns to garbage is told after the packets before it", async () => {
    const bytes = projectFile(CAPTURE).slice(0, 1000);
    const record = FILE_HEADER + RECORD_HEADER + 86;
    bytes.fill(0xff, record, record + RECORD_HEADER);
    const { status, stdout, stderr } = await nslink.run(["run", OBJECT, "-", "--json"], bytes);
    expect(status).toBe(2);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/^nslink: standard input: at byte 134 of the capture: .+\n$/);
  });
});

describe("one clear line and exit 2", () => {
  const text = (): string => nslink.file("text", "this is no such file\n");
  const cases: readonly [what: string, args: () => string[], line: RegExp][] = [
    ["no capture", () => [OBJECT, "nowhere"], /capture nowhere: there is no such file/],
    ["no object", () => ["nowhere", CAPTURE], /object nowhere: there is no such file/],
    ["a path through a file", () => [OBJECT, `${CAPTURE}/x`], /there is no such file/],
    ["a directory", () => [OBJECT, "examples"], /cannot read capture examples: it is a directory/],
    ["an object directory", () => ["bpf", CAPTURE], /cannot read object bpf: it is a directory/],
    ["text for a capture", () => [OBJECT, text()], /at byte 0 .* neither pcap nor pcapng/],
    ["text for an object", () => [text(), CAPTURE], /text: .*not an ELF file/],
    ["an empty capture", () => [OBJECT, "/dev/null"], /at byte 0 .*: the file is empty/],
    ["an empty object", () => ["/dev/null", CAPTURE], /not an ELF file/],
    ["a capture for an object", () => [CAPTURE, CAPTURE], /not an ELF file/],
    ["an object for a capture", () => [OBJECT, OBJECT], /neither pcap nor pcapng/],
    [
      "an unknown program",
      () => [OBJECT, CAPTURE, "--program", "nobody"],
      /flow.bpf.o holds no program nobody; it holds dissect, parse_vlan, /,
    ],
    [
      "a program of another type",
      () => [EVERYTHING, CAPTURE, "--program", "choose"],
      /program choose is a BPF_PROG_TYPE_SK_LOOKUP; captures are dissected by flow dissectors/,
    ],
    [
      "no dissector",
      () => ["test/elf/fixtures/minimal.o", CAPTURE],
      /minimal.o holds no flow dissector program/,
    ],
    ["a limit of 0", () => [OBJECT, CAPTURE, "--limit", "0"], /--limit.*whole number from 1 up/],
    ["half a limit", () => [OBJECT, CAPTURE, "--limit", "1.5"], /--limit.*whole number/],
    ["a negative limit", () => [OBJECT, CAPTURE, "--limit=-1"], /--limit.*whole number/],
    ["flags too large", () => [OBJECT, CAPTURE, "--flags", "4294967296"], /0 to 4294967295/],
    ["flags by name", () => [OBJECT, CAPTURE, "--flags", "encap"], /--flags.*whole number/],
    ["no capture given", () => [OBJECT], /missing required argument 'capture'/],
    ["one argument more", () => [OBJECT, CAPTURE, CAPTURE], /too many arguments/],
    ["an unknown option", () => [OBJECT, CAPTURE, "--jsn"], /'--jsn' \(Did you mean --json\?\)/],
  ];
  for (const [what, args, line] of cases) {
    test(what, async () => expectUsageError(await nslink.run(["run", ...args()]), line));
  }
});

describe("output", () => {
  test("that is closed early, as by head, is no mistake", () => {
    const script = `nslink run ${OBJECT} ${CAPTURE} --json | head -n 1; echo "\${PIPESTATUS[@]}"`;
    const { stdout, stderr } = nslink.shell(script);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^\{"packet":1,.*\}\n0 0\n$/);
  });

  test("that can't be written is said", async () => {
    const full = openSync("/dev/full", "w");
    const child = nslink.start(["run", OBJECT, CAPTURE], ["pipe", full, "pipe"]);
    child.stdin?.end();
    expectUsageError(await ended(child), /cannot write standard output: ENOSPC/);
  });
});

/** The smallest pcapng file with an Ethernet packet: section, interface, enhanced packet. */
function pcapng(packet: Uint8Array): Uint8Array {
  const block = (type: number, ...words: number[]): number[] => {
    const length = 4 * words.length + 12;
    return [type, length, ...words, length];
  };
  const padded = new Uint8Array(Math.ceil(packet.length / 4) * 4);
  padded.set(packet);
  const data = [...new Uint32Array(padded.buffer)];
  const section = block(0x0a0d0d0a, 0x1a2b3c4d, 1, 0xffff_ffff, 0xffff_ffff);
  const device = block(1, 1, 0);
  const record = block(6, 0, 0, 0, packet.length, packet.length, ...data);
  return new Uint8Array(Uint32Array.from([...section, ...device, ...record]).buffer);
}
