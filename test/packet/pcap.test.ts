// Breaks when a pcap file of some byte order, resolution or state of damage is read wrongly.

import { describe, expect, it } from "vitest";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, MAX_PACKET_LENGTH } from "../../src/packet/index.ts";
import { Bytes, concat, type PacketFacts, read, unhex } from "./support.ts";

const FRAME = unhex("ffffffffffff 020000000001 0806 0001");

function header(littleEndian: boolean, magic: number, linkType = 1): Uint8Array {
  const bytes = new Bytes(littleEndian).u32(magic).u16(2, 4);
  return bytes.u32(0, 0, 65535, linkType).done();
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
    const { error } = read(header(little, 0xa1b2c3d4, 127));
    expect(error).toMatchObject({ kind: "unsupported", offset: 20 });
    expect(error?.message).toContain("127 (IEEE 802.11 with radiotap)");
    expect(read(header(little, 0xa1b2c3d4, 54321)).error?.message).toContain("link type 54321 is");
  });

  it("names a version that it does not support", () => {
    const file = new Bytes(little).u32(0xa1b2c3d4).u16(2, 3).u32(0, 0, 65535, 1).done();
    expect(read(file).error?.message).toContain("pcap version 2.3");
  });
});

describe("files that are no capture we read", () => {
  it.each([
    ["", "truncated", "the file is empty"],
    ["a1b2", "truncated", "the file ends here"],
    ["a1b2cd34 00020004", "unsupported", "Kuznetzov"],
    ["34cdb2a1 02000400", "unsupported", "Kuznetzov"],
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
