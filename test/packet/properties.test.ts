// Breaks when chunk boundaries matter, when what is written reads back differently, or when some
// bytes make a reader crash, hang or throw anything but a CaptureError.
// NSLINK_FUZZ_RUNS sets the number of inputs for each property.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CaptureReader, LINK_TYPES, networkFrame, writePcap } from "../../src/packet/index.ts";
import { MOVING_SEED, PROPERTY_RUNS } from "../settings.ts";
import { Bytes, concat, cut, hex, read, readChunks, Section, unhex } from "./support.ts";

const FUZZ = { numRuns: PROPERTY_RUNS, seed: MOVING_SEED };

const linkType = fc.constantFrom(...LINK_TYPES);
const data = fc.uint8Array({ maxLength: 80 });
const packet = fc.record({
  timestampNs: fc.bigInt({ min: 0n, max: 2n ** 32n * 1_000_000_000n - 1n }),
  data,
  originalLength: fc.nat(0xffff_ffff),
});
const options = fc.record({
  linkType,
  resolution: fc.constantFrom("us" as const, "ns" as const),
  byteOrder: fc.constantFrom("little" as const, "big" as const),
});
const pcapFile = fc
  .tuple(fc.array(packet, { maxLength: 8 }), options)
  .map(([packets, fileOptions]) => writePcap(packets, fileOptions));

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const pcapngSection = fc
  .record({
    little: fc.boolean(),
    linkType,
    blocks: fc.array(
      fc.record({
        kind: fc.constantFrom("enhanced", "obsolete", "simple", "other"),
        time: u64,
        data,
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ little, linkType, blocks }) => {
    const section = new Section(little);
    const resolution = section.option(9, Uint8Array.of(9));
    const encoded = blocks.map((block) => {
      if (block.kind === "enhanced") return section.enhanced(0, block.time, block.data);
      if (block.kind === "obsolete") return section.obsolete(0, block.time, block.data);
      if (block.kind === "simple") return section.simple(block.data.length, block.data);
      return section.block(0x8000_0bad, block.data);
    });
    return concat([section.header(), section.interface(linkType, 0, [resolution]), ...encoded]);
  });
const pcapngFile = fc.array(pcapngSection, { minLength: 1, maxLength: 3 }).map(concat);
/** Versions before 2.4, and Kuznetzov's records. */
const oldPcapFile = fc
  .record({
    little: fc.boolean(),
    modified: fc.boolean(),
    version: fc.constantFrom([2, 0], [2, 2], [2, 3], [2, 4], [543, 0]),
    packets: fc.array(data, { maxLength: 8 }),
    linkType,
  })
  .map(({ little, modified, version, packets, linkType }) => {
    const magic = modified ? 0xa1b2cd34 : 0xa1b2c3d4;
    const header = new Bytes(little)
      .u32(magic)
      .u16(...version)
      .u32(0, 0, 65_535, linkType);
    const records = packets.map((each) => {
      const record = new Bytes(little).u32(1, 2, each.length, each.length);
      return (modified ? record.u32(3).u16(0x0800, 0) : record).raw(each).done();
    });
    return concat([header.done(), ...records]);
  });
const captureFile = fc.oneof(pcapFile, oldPcapFile, pcapngFile);

const EXAMPLE = new Uint8Array(
  readFileSync(new URL("../../examples/traffic.pcap", import.meta.url)),
);
const exampleStart = fc.nat(4_000).map((length) => EXAMPLE.slice(0, length));

/** Values that lengths, types and counts are compared with. */
const interesting = fc.constantFrom(
  0,
  1,
  4,
  11,
  12,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fffc,
  0xffff_ffff,
);
const mutation = fc.record({
  place: fc.nat(),
  kind: fc.constantFrom("byte", "word", "insert", "delete"),
  value: fc.oneof(interesting, fc.nat(0xffff_ffff)),
});

function mutate(
  file: Uint8Array,
  mutations: readonly { place: number; kind: string; value: number }[],
): Uint8Array {
  let bytes = Buffer.from(file);
  for (const { place, kind, value } of mutations) {
    const at = place % (bytes.length + 1);
    if (kind === "byte" && at < bytes.length) bytes[at] = value;
    if (kind === "word" && at + 4 <= bytes.length) {
      // Fields of both formats lie on multiples of four at first.
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(at & ~3, value, value % 2 === 0);
    }
    if (kind === "insert") {
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.of(value), bytes.subarray(at)]);
    }
    if (kind === "delete") {
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + (value % 16))]);
    }
  }
  return new Uint8Array(bytes);
}

/** Reads to the end; packets must lie within the file and have a place in the network stack. */
function survive(chunks: Iterable<Uint8Array>, fileLength: number): void {
  const { packets, error } = readChunks(chunks);
  let captured = 0;
  packets.forEach((found, index) => {
    captured += found.capturedLength;
    expect(found.number).toBe(index + 1);
    expect(found.hex.length).toBe(2 * found.capturedLength);
    const frame = networkFrame({ linkType: found.linkType, data: unhex(found.hex) });
    expect((frame.data ?? []).length).toBeLessThanOrEqual(found.capturedLength);
  });
  expect(captured).toBeLessThanOrEqual(fileLength);
  if (error !== undefined) {
    expect(error.offset).toBeGreaterThanOrEqual(0);
    expect(error.offset).toBeLessThanOrEqual(fileLength);
    if (error.kind === "truncated") expect(error.offset).toBe(fileLength);
  }
}

describe("properties", () => {
  it("reads the same packets wherever chunks end", () => {
    fc.assert(
      fc.property(captureFile, fc.array(fc.nat(700), { maxLength: 30 }), (file, places) => {
        const whole = read(file);
        expect(whole.error).toBeUndefined();
        expect(readChunks(cut(file, places))).toEqual(whole);
      }),
      FUZZ,
    );
  });

  it("reads single bytes as it reads the whole, errors included", () => {
    fc.assert(
      fc.property(captureFile, fc.array(mutation, { maxLength: 2 }), (file, mutations) => {
        const mutated = mutate(file, mutations);
        const bytes = Array.from(mutated, (byte) => Uint8Array.of(byte));
        const [whole, byByte] = [read(mutated), readChunks(bytes)];
        expect(byByte.packets).toEqual(whole.packets);
        expect(byByte.error?.message).toBe(whole.error?.message);
      }),
      { ...FUZZ, numRuns: Math.ceil(PROPERTY_RUNS / 4) },
    );
  });

  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 8 }), options, (packets, fileOptions) => {
        const unit = fileOptions.resolution === "us" ? 1_000n : 1n;
        const expected = packets.map(({ timestampNs, data, originalLength }, index) => ({
          number: index + 1,
          linkType: fileOptions.linkType,
          timestampNs: timestampNs - (timestampNs % unit),
          capturedLength: data.length,
          originalLength,
          hex: hex(data),
        }));
        const file = writePcap(packets, fileOptions);
        expect(read(file)).toEqual({ packets: expected, error: undefined });
      }),
      FUZZ,
    );
  });

  it("answers damaged captures with a CaptureError or packets", () => {
    const files = fc.oneof(pcapFile, pcapngFile, exampleStart);
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(files, mutations, fc.nat(200), (file, changes, place) => {
        const mutated = mutate(file, changes);
        survive(cut(mutated, [place]), mutated.length);
      }),
      FUZZ,
    );
  });

  it("answers any bytes behind a capture's magic alike", () => {
    const magic = fc.constantFrom(
      "d4c3b2a1020004000000000000000000ffff000001000000",
      "a1b23c4d000200040000000000000000ffffffff00000065",
      "0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c000000",
      "0a0d0d0a",
      "",
    );
    fc.assert(
      fc.property(magic, fc.uint8Array({ maxLength: 300 }), (start, rest) => {
        const file = concat([Buffer.from(start, "hex"), rest]);
        survive([file], file.length);
      }),
      FUZZ,
    );
  });

  it("finds a place in the network stack, or none, for any bytes", () => {
    fc.assert(
      // Any type number may stand in a file.
      fc.property(
        fc.oneof(linkType, fc.nat(0xffff)),
        fc.uint8Array({ maxLength: 200 }),
        (linkType, data) => {
          const frame = networkFrame({ linkType, data });
          if (frame.data === null) return;
          expect(frame.networkOffset).toBeLessThanOrEqual(frame.data.length);
          expect(frame.protocol).toBeGreaterThanOrEqual(0);
          expect(frame.protocol).toBeLessThanOrEqual(0xffff);
          expect(hex(data).endsWith(hex(frame.data))).toBe(true);
        },
      ),
      FUZZ,
    );
  });

  it("allocates no more than came in, whatever length a block claims", () => {
    const section = new Section(true);
    const start = concat([section.header(), section.interface(1)]);
    const claim = section
      .bytes()
      .u32(6, 16 * 1024 * 1024)
      .done();
    const readers = Array.from({ length: 200 }, () => {
      const reader = new CaptureReader(() => {});
      reader.push(concat([start, claim, new Uint8Array(100)]));
      return reader;
    });
    // 200 readers that believed the claim would hold 3 GB.
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(200 * 1024 * 1024);
    for (const reader of readers) expect(() => reader.end()).toThrow("the file ends here");
  });
});
