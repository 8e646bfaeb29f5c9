// Breaks when a pcap file of some byte order, resolution or state of damage is read wrongly.

import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  MAX_PACKET_LENGTH,
  writePcap,
} from "../../src/packet/index.ts";
import { Bytes, concat, hex, type PacketFacts, read, unhex } from "./support.ts";

const FRAME = unhex("ffffffffffff 020000000001 0806 0001");

function header(littleEndian: boolean, magic: number, linkType = 1): Uint8Array {
  const bytes = new Bytes(littleEndian).u32(magic).u16(2, 4);
  return bytes.u32(0, 0, 65535, linkType).done();
}

const hasTcpdump = spawnSync("tcpdump", ["--version"]).status === 0;
if (!hasTcpdump) console.log("tcpdump isn't installed: not comparing with it");

/** What tcpdump makes of a file; nothing where it isn't installed. */
function seenByTcpdump(file: Uint8Array): string {
  if (!hasTcpdump) return "";
  const { status, stdout, stderr } = spawnSync("tcpdump", ["-nn", "-e", "-tt", "-r", "-"], {
    input: file,
  });
  expect(status, stderr.toString()).toBe(0);
  return stdout.toString();
}

/** The same packets in a file of today. */
function modern(packets: readonly PacketFacts[]): Uint8Array {
  const all = packets.map(({ hex, ...rest }) => ({ ...rest, data: unhex(hex) }));
  return writePcap(all, { linkType: LINKTYPE_ETHERNET, resolution: "us" });
}

function record(
  littleEndian: boolean,
  time: [number, number],
  data: Uint8Array,
  originalLength = data.length,
): Uint8Array {
  return new Bytes(littleEndian)
    .u32(...time, data.length, originalLength)
    .raw(data)
    .done();
}

describe.each([
  ["little-endian", true],
  ["big-endian", false],
])("pcap, %s", (_, little) => {
  it.each([
    ["microseconds", 0xa1b2c3d4, 1_700_000_000_000_123_000n],
    ["nanoseconds", 0xa1b23c4d, 1_700_000_000_000_000_123n],
  ])("reads %s", (_, magic, timestampNs) => {
    const file = concat([header(little, magic), record(little, [1_700_000_000, 123], FRAME)]);
    const packet: PacketFacts = {
      number: 1,
      linkType: LINKTYPE_ETHERNET,
      timestampNs,
      capturedLength: 16,
      originalLength: 16,
      hex: "ffffffffffff02000000000108060001",
    };
    expect(read(file)).toEqual({ packets: [packet], error: undefined });
  });

  it("keeps a packet that the capture cut as it is", () => {
    const file = concat([header(little, 0xa1b2c3d4), record(little, [1, 2], FRAME, 1500)]);
    const [packet] = read(file).packets;
    expect(packet).toMatchObject({ capturedLength: 16, originalLength: 1500 });
  });

  it("delivers what is whole of a file that ends in a record, then says where it ends", () => {
    const whole = concat([header(little, 0xa1b2c3d4), record(little, [1, 2], FRAME)]);
    for (const kept of [1, 15, 16, 31]) {
      const { packets, error } = read(
        concat([whole, record(little, [1, 2], FRAME).subarray(0, kept)]),
      );
      expect(packets).toHaveLength(1);
      expect(error).toMatchObject({ kind: "truncated", offset: whole.length + kept });
      expect(error?.message).toContain(`starts at byte ${whole.length}`);
    }
  });

  it("refuses a packet longer than any can be, without waiting for its bytes", () => {
    const length = MAX_PACKET_LENGTH + 1;
    const bad = new Bytes(little).u32(1, 2, length, length).done();
    const { packets, error } = read(
      concat([header(little, 0xa1b2c3d4), record(little, [1, 2], FRAME), bad]),
    );
    expect(packets).toHaveLength(1);
    expect(error).toMatchObject({ kind: "malformed", offset: 24 + 32 + 8 });
    expect(error?.message).toContain("packet 2 claims 262145 bytes");
  });

  it("ignores the bits beside the link type that tell of a frame check sequence", () => {
    const file = concat([
      header(little, 0xa1b2c3d4, 0x2400_0000 | LINKTYPE_RAW),
      record(little, [1, 2], FRAME),
    ]);
    expect(read(file).packets[0]?.linkType).toBe(LINKTYPE_RAW);
  });

  it("names a link type that it does not support", () => {
    const { error } = read(header(little, 0xa1b2c3d4, 189));
    expect(error).toMatchObject({ kind: "unsupported", offset: 20 });
    expect(error?.message).toContain("189 (LINKTYPE_USB_LINUX)");
    expect(read(header(little, 0xa1b2c3d4, 54321)).error?.message).toContain("link type 54321 is");
  });

  it.each([
    [2, 5],
    [1, 4],
    [3, 0],
    [543, 1],
  ])("names a version that it does not support: %i.%i", (major, minor) => {
    const file = new Bytes(little).u32(0xa1b2c3d4).u16(major, minor).u32(0, 0, 65535, 1).done();
    const { error } = read(file);
    expect(error).toMatchObject({ kind: "unsupported", offset: 4 });
    expect(error?.message).toContain(`pcap version ${major}.${minor}`);
  });

  // As libpcap reads them: what was captured comes last until 2.2, and in 2.3 it is the smaller.
  it.each([
    [2, 0, 60, 16],
    [2, 1, 60, 16],
    [2, 2, 60, 16],
    [2, 3, 60, 16],
    [2, 3, 16, 60],
    [2, 4, 16, 60],
    [543, 0, 60, 16],
  ])("reads version %i.%i with lengths %i and %i", (major, minor, first, second) => {
    const file = concat([
      new Bytes(little).u32(0xa1b2c3d4).u16(major, minor).u32(0, 0, 65535, 1).done(),
      new Bytes(little).u32(1, 2, first, second).raw(FRAME).done(),
      new Bytes(little).u32(1, 3, first, second).raw(FRAME).done(),
    ]);
    const { packets, error } = read(file);
    expect(error).toBeUndefined();
    expect(packets).toHaveLength(2);
    expect(packets[1]).toMatchObject({ capturedLength: 16, originalLength: 60, hex: hex(FRAME) });
    expect(packets[1]?.timestampNs).toBe(1_000_003_000n);
    expect(seenByTcpdump(file)).toEqual(seenByTcpdump(modern(packets)));
  });

  it("reads Kuznetzov's records, which have more in front of the packet", () => {
    const one = new Bytes(little).u32(1, 2, 16, 60).u32(7).u16(0x0806, 0x0400).raw(FRAME).done();
    const file = concat([header(little, 0xa1b2cd34), one, one.slice()]);
    const { packets, error } = read(file);
    expect(error).toBeUndefined();
    expect(packets).toHaveLength(2);
    expect(packets[1]).toMatchObject({ capturedLength: 16, originalLength: 60, hex: hex(FRAME) });
    expect(seenByTcpdump(file)).toEqual(seenByTcpdump(modern(packets)));
  });
});

describe("files that are no capture we read", () => {
  it.each([
    ["", "truncated", "the file is empty"],
    ["a1b2", "truncated", "the file ends here"],
    ["a1b234cd 00020004", "unsupported", "Mesquita"],
    ["cd34b2a1 02000400", "unsupported", "Mesquita"],
    ["fd377a58 5a000000", "unsupported", "xz"],
    ["425a6839 31415926", "unsupported", "bzip2"],
    ["504b0304 14000000", "unsupported", "zip archive"],
    ["1f8b0800 00000000", "unsupported", "gzip"],
    ["28b52ffd 00000000", "unsupported", "zstd"],
    ["736e6f6f 70000000", "unsupported", "snoop"],
    ["7f454c46 02010100", "malformed", "starts with 7f454c46"],
    ["00000001 00000000", "malformed", "starts with 00000001"],
  ])("%s: %s, %s", (bytes, kind, words) => {
    const { packets, error } = read(unhex(bytes));
    expect(packets).toEqual([]);
    expect(error?.kind).toBe(kind);
    expect(error?.message).toContain(words);
  });
});
