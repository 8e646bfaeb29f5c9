// Breaks when tcpdump and this reader see different packets in a file.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type LinkType, writePcap } from "../../src/packet/index.ts";
import { concat, read, Section } from "./support.ts";

const hasTcpdump = spawnSync("tcpdump", ["--version"]).status === 0;
if (!hasTcpdump) console.log("tcpdump isn't installed: not comparing with it");

/** The file as tcpdump reads it and writes it anew. */
function throughTcpdump(file: Uint8Array): Uint8Array {
  const precision = "--time-stamp-precision=nano";
  const { status, stdout, stderr } = spawnSync("tcpdump", [precision, "-r", "-", "-w", "-"], {
    input: file,
  });
  expect(status, stderr.toString()).toBe(0);
  return stdout;
}

const packets = [
  { timestampNs: 0n, data: Uint8Array.of(0x45, 0, 0, 20) },
  { timestampNs: 1_700_000_000_123_456_000n, data: new Uint8Array(1514).fill(0x60) },
  { timestampNs: 4_294_967_295_999_999_000n, data: new Uint8Array(80), originalLength: 9000 },
];

describe.skipIf(!hasTcpdump)("compared with tcpdump", () => {
  const linkTypes: LinkType[] = [0, 1, 101, 108, 113, 228, 229, 276];
  for (const linkType of linkTypes) {
    for (const resolution of ["us", "ns"] as const) {
      for (const byteOrder of ["little", "big"] as const) {
        it(`link type ${linkType}, ${resolution}, ${byteOrder}-endian`, () => {
          const file = writePcap(packets, { linkType, resolution, byteOrder });
          const { packets: found, error } = read(throughTcpdump(file));
          expect(error).toBeUndefined();
          expect(found).toHaveLength(packets.length);
          expect(read(file).packets).toEqual(found);
        });
      }
    }
  }

  it.each([
    ["little-endian", true],
    ["big-endian", false],
  ])("pcapng, %s", (_, little) => {
    const section = new Section(little);
    const options = (seconds: bigint): Uint8Array[] => [
      section.option(9, Uint8Array.of(0x80 | 20)),
      section.option(14, section.bytes().i64(seconds).done()),
    ];
    const data = Uint8Array.of(0x45, 1, 2, 3, 4);
    // libpcap wants one link type (101 counts as two), snap length and byte order in a file.
    const file = concat([
      section.header(),
      section.interface(1, 4, [section.option(9, Uint8Array.of(9))]),
      section.interface(1, 4, options(1_000_000n)),
      section.enhanced(0, 1_700_000_000_123_456_789n, data.subarray(0, 4), 60),
      section.block(0xbad, data),
      section.enhanced(1, 123_456_789n, data.subarray(1, 4)),
      section.obsolete(1, 1n << 32n, data.subarray(0, 1)),
      section.simple(5, data.subarray(0, 4)),
      section.header(),
      section.interface(1, 4),
      section.enhanced(0, 1_700_000_000_123_456n, data.subarray(0, 3)),
    ]);
    const { packets: found, error } = read(throughTcpdump(file));
    expect(error).toBeUndefined();
    expect(found).toHaveLength(5);
    expect(read(file).packets).toEqual(found);
  });

  it("the example capture", () => {
    const file = readFileSync(new URL("../../examples/traffic.pcap", import.meta.url));
    const { packets: found } = read(throughTcpdump(file));
    expect(found.length).toBeGreaterThan(200);
    expect(read(file).packets).toEqual(found);
  });
});
