// Breaks when a pcapng block, option, section or byte order is read wrongly.

import { describe, expect, it } from "vitest";
import { LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL2, LINKTYPE_RAW } from "../../src/packet/index.ts";
import { concat, read, Section, unhex } from "./support.ts";

const IF_NAME = 2;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const DATA = unhex("4500 0014 00");
const TIME = 0x0001_8000_0000_0007n;

describe.each([
  ["little-endian", true],
  ["big-endian", false],
])("pcapng, %s", (_, little) => {
  const section = new Section(little);

  it("reads the three packet blocks, of several interfaces, and skips other blocks", () => {
    const file = concat([
      section.header(),
      section.block(0x0bad, unhex("01020304")),
      section.interface(LINKTYPE_RAW, 3),
      section.interface(LINKTYPE_LINUX_SLL2),
      section.enhanced(1, TIME, DATA, 99),
      section.block(5, new Uint8Array(40)),
      section.obsolete(0, TIME, DATA),
      section.simple(5, DATA.subarray(0, 3)),
    ]);
    const { packets, error } = read(file);
    expect(error).toBeUndefined();
    const base = { timestampNs: TIME * 1_000n, capturedLength: 5, hex: "4500001400" };
    expect(packets).toEqual([
      { ...base, number: 1, linkType: LINKTYPE_LINUX_SLL2, originalLength: 99 },
      { ...base, number: 2, linkType: LINKTYPE_RAW, originalLength: 5 },
      {
        number: 3,
        linkType: LINKTYPE_RAW,
        timestampNs: 0n,
        capturedLength: 3,
        originalLength: 5,
        hex: "450000",
      },
    ]);
  });

  it("takes a simple packet whole where the interface has no limit", () => {
    const file = concat([section.header(), section.interface(1), section.simple(5, DATA)]);
    expect(read(file).packets[0]).toMatchObject({ capturedLength: 5, originalLength: 5 });
  });

  it.each([
    ["10^0", 0, 3n, 0n, 3_000_000_000n],
    ["10^-3", 3, 1_500n, 0n, 1_500_000_000n],
    ["10^-9", 9, TIME, 0n, TIME],
    ["10^-12, rounded down", 12, 1_999n, 0n, 1n],
    ["2^-1", 0x81, 3n, 0n, 1_500_000_000n],
    ["2^-30", 0x80 | 30, 1n << 31n, 0n, 2_000_000_000n],
    ["10^-6 and an offset", 6, 1n, 1_700_000_000n, 1_700_000_000_000_001_000n],
    ["10^-9 and an offset back", 9, 5_000_000_000n, -2n, 3_000_000_000n],
  ])("understands timestamps of %s", (_, resolution, time, offset, expected) => {
    const options = [
      section.option(IF_NAME, unhex("7665746830")),
      section.option(IF_TSRESOL, Uint8Array.of(resolution)),
      section.option(IF_TSOFFSET, section.bytes().i64(offset).done()),
      section.option(0, new Uint8Array(0)),
      // Behind the end of options: must not be looked at.
      section.option(IF_TSRESOL, Uint8Array.of(0)),
    ];
    const file = concat([
      section.header(),
      section.interface(LINKTYPE_ETHERNET, 0, options),
      section.enhanced(0, time, DATA),
    ]);
    expect(read(file).packets[0]?.timestampNs).toBe(expected);
  });

  it("starts anew with each section, in the other byte order too", () => {
    const other = new Section(!little);
    const file = concat([
      section.header(),
      section.interface(LINKTYPE_ETHERNET),
      section.enhanced(0, 1n, DATA),
      other.header(),
      other.interface(LINKTYPE_RAW),
      other.enhanced(0, 2n, DATA),
      section.header(),
      section.enhanced(0, 3n, DATA),
    ]);
    const { packets, error } = read(file);
    expect(packets.map(({ number, linkType }) => [number, linkType])).toEqual([
      [1, LINKTYPE_ETHERNET],
      [2, LINKTYPE_RAW],
    ]);
    expect(error).toMatchObject({ kind: "malformed" });
    expect(error?.message).toContain("packet 3 is of interface 0, this section has described 0");
  });

  it("hands on packets of a link type that isn't read, and what comes behind them", () => {
    const { packets, error } = read(
      concat([
        section.header(),
        section.interface(1),
        section.interface(189),
        section.enhanced(1, 1n, DATA),
        section.obsolete(1, 1n, DATA),
        section.enhanced(0, 1n, DATA),
        section.header(),
        section.interface(0xffff),
        section.simple(DATA.length, DATA),
      ]),
    );
    expect(error).toBeUndefined();
    expect(packets.map(({ linkType }) => linkType)).toEqual([189, 189, 1, 0xffff]);
  });

  it.each([
    [1, 0, true],
    [1, 1, false],
    [1, 2, true],
    [1, 3, false],
    [0, 0, false],
    [2, 0, false],
  ])("as libpcap does, reads version %i.%i: %s", (major, minor, isRead) => {
    const file = concat([
      section.header(major, minor),
      section.interface(1),
      section.enhanced(0, 1n, DATA),
    ]);
    const { packets, error } = read(file);
    expect(packets).toHaveLength(isRead ? 1 : 0);
    if (isRead) return;
    expect(error).toMatchObject({ kind: "unsupported", offset: 12 });
    expect(error?.message).toContain(`pcapng version ${major}.${minor}`);
  });

  it("skips statistics, names, secrets, custom blocks and options of any kind", () => {
    const options = [
      section.option(2, unhex("65746830")),
      section.option(0xabc, new Uint8Array(9)),
    ];
    const comment = section.option(1, unhex("c3a4"));
    const file = concat([
      section.header(),
      section.interface(1, 0, [...options, section.option(0, new Uint8Array(0))]),
      section.block(5, section.bytes().u32(0, 1, 2).raw(comment).done()),
      section.block(4, section.bytes().u16(1, 8).raw(unhex("0a000001 61626300")).u16(0, 0).done()),
      section.block(10, section.bytes().u32(0x544c534b, 5).raw(unhex("4b45593d31"), 4).done()),
      section.block(0xbad, section.bytes().u32(32_473).raw(unhex("01020304 05"), 4).done()),
      section.block(0x4000_0bad, section.bytes().u32(32_473).done()),
      section.block(0x8000_0001, new Uint8Array(0)),
      section.enhanced(0, 1n, DATA),
    ]);
    const { packets, error } = read(file);
    expect(error).toBeUndefined();
    expect(packets).toHaveLength(1);
  });

  const start = [section.header(), section.interface(LINKTYPE_ETHERNET)];
  const block = section.enhanced(0, 1n, DATA);
  it.each([
    ["a length of no multiple of four", patched(block, 4, 41), 4],
    ["a length too short for the block", patched(block, 4, 28), 4],
    ["a length beyond the limit", patched(block, 4, 0x0100_0004), 4],
    ["another length at the end", patched(block, block.length - 4, 44), block.length - 4],
    ["a packet longer than its block", patched(block, 20, 9), 20],
    ["a packet longer than any can be", section.enhanced(0, 1n, new Uint8Array(262_145)), 20],
    ["a simple packet longer than its block", section.simple(9, DATA), 8],
    ["no byte order in a section header", patched(section.header(), 8, 0), 8],
    ["another major version", section.header(2), 12],
    ["an option out of its block", section.interface(1, 0, [unhex("ffffffff")]), 16],
    ["if_tsresol of 2 bytes", section.interface(1, 0, [section.option(9, unhex("0606"))]), 16],
    [
      "if_tsoffset of 4 bytes",
      section.interface(1, 0, [section.option(14, unhex("00000000"))]),
      16,
    ],
    ["10^-20 seconds", section.interface(1, 0, [section.option(9, Uint8Array.of(20))]), 20],
    ["2^-64 seconds", section.interface(1, 0, [section.option(9, Uint8Array.of(0xc0))]), 20],
  ])("says where it finds %s", (_, bad, offset) => {
    const good = concat([...start, block]);
    const { packets, error } = read(concat([good, bad, block]));
    expect(packets).toHaveLength(1);
    expect(error?.kind).not.toBe("truncated");
    expect(error?.offset).toBe(good.length + offset);
  });

  it("bounds the interfaces of a section", () => {
    const one = section.interface(1);
    const { error } = read(concat([section.header(), ...Array(65_537).fill(one)]));
    expect(error).toMatchObject({ kind: "malformed", offset: 28 + 65_536 * 20 });
    expect(error?.message).toContain("more than 65536 interfaces");
  });

  function patched(bytes: Uint8Array, at: number, value: number): Uint8Array {
    const copy = bytes.slice();
    new DataView(copy.buffer).setUint32(at, value, little);
    return copy;
  }
});
