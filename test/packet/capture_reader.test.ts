// Breaks when reading from streams, in chunks, or after an error goes wrong.

import { describe, expect, it } from "vitest";
import {
  type CapturedPacket,
  CaptureError,
  CaptureReader,
  LINKTYPE_ETHERNET,
  MAX_PACKET_LENGTH,
  PcapWriter,
  readCapture,
  readCaptureBatches,
  writePcap,
} from "../../src/packet/index.ts";
import { facts, read } from "./support.ts";

const LENGTHS = [60, 0, 1, 1514, MAX_PACKET_LENGTH, 14];
const FILE = writePcap(
  LENGTHS.map((length, index) => ({
    timestampNs: BigInt(index),
    data: new Uint8Array(length).fill(index + 1),
  })),
  { linkType: LINKTYPE_ETHERNET },
);
const PACKETS = read(FILE).packets;

function* pieces(file: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
}

async function* slowly<T>(values: Iterable<T>): AsyncGenerator<T> {
  for (const value of values) yield value;
}

async function collect(packets: AsyncIterable<CapturedPacket>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const packet of packets) all.push(facts(packet));
  return all;
}

describe("readCapture", () => {
  it("read the file that these tests are about", () => {
    expect(PACKETS.map(({ capturedLength }) => capturedLength)).toEqual(LENGTHS);
    expect(PACKETS.map(({ hex }) => hex.slice(0, 2))).toEqual(["01", "", "03", "04", "05", "06"]);
  });

  it("reads arrays, async iterables and web streams alike", async () => {
    expect(await collect(readCapture([FILE]))).toEqual(PACKETS);
    expect(await collect(readCapture(slowly(pieces(FILE, 1000))))).toEqual(PACKETS);
    expect(await collect(readCapture(new Blob([FILE.slice()]).stream()))).toEqual(PACKETS);
  });

  it("reads a web stream that can't be iterated over, and cancels it when left early", async () => {
    let cancelled = false;
    const stream = (): ReadableStream<Uint8Array> => {
      const chunks = pieces(FILE, 1000);
      const whole = new ReadableStream<Uint8Array>({
        pull(controller) {
          const { done, value } = chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel() {
          cancelled = true;
        },
      });
      const onlyReader: unknown = { getReader: () => whole.getReader() };
      return onlyReader as ReadableStream<Uint8Array>;
    };
    expect(await collect(readCapture(stream()))).toEqual(PACKETS);
    expect(cancelled).toBe(false);
    for await (const packet of readCapture(stream())) {
      expect(packet.number).toBe(1);
      break;
    }
    expect(cancelled).toBe(true);
  });

  it("delivers the packets before a problem, then throws it", async () => {
    const seen: number[] = [];
    const reading = (async () => {
      for await (const packet of readCapture([FILE.subarray(0, -1)])) seen.push(packet.number);
    })();
    await expect(reading).rejects.toMatchObject({ kind: "truncated", offset: FILE.length - 1 });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  it("lets the source's own error pass", async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield FILE.subarray(0, 200);
      throw new RangeError("the disk is gone");
    }
    await expect(collect(readCapture(failing()))).rejects.toThrow("the disk is gone");
  });

  it("batches the packets of a chunk, and makes no empty batch", async () => {
    const sizes: number[] = [];
    for await (const batch of readCaptureBatches(pieces(FILE, 100))) sizes.push(batch.length);
    // The first packet ends with the first chunk; 1514 and 262144 bytes span many chunks.
    expect(sizes).toEqual([1, 2, 1, 2]);
  });

  it("bounds the batches of a file that comes in one chunk", async () => {
    const packets = Array.from({ length: 5 }, (_, index) => ({
      timestampNs: BigInt(index),
      data: new Uint8Array(MAX_PACKET_LENGTH).fill(index),
    }));
    const file = writePcap(packets, { linkType: LINKTYPE_ETHERNET });
    const batches: unknown[][] = [];
    for await (const batch of readCaptureBatches([file])) batches.push(batch.map(facts));
    expect(batches.map((batch) => batch.length)).toEqual([3, 2]);
    expect(batches.flat()).toEqual(read(file).packets);
  });
});

describe("CaptureReader", () => {
  it("fails in the same way ever after", () => {
    const reader = new CaptureReader(() => {});
    const bad = new Uint8Array(4);
    expect(() => reader.push(bad)).toThrow(CaptureError);
    expect(() => reader.push(FILE)).toThrow("starts with 00000000");
    expect(() => reader.end()).toThrow("starts with 00000000");
  });

  it("refuses what is no bytes", () => {
    const text: unknown = "text";
    expect(() => new CaptureReader(() => {}).push(text as Uint8Array)).toThrow(TypeError);
  });

  it("never writes to a packet that it gave out", () => {
    const kept: CapturedPacket[] = [];
    const reader = new CaptureReader((packet) => kept.push(packet));
    for (const piece of pieces(FILE, 7)) reader.push(piece);
    expect(kept.map(facts)).toEqual(PACKETS);
  });

  it("copies nothing of a packet that lies in one chunk", () => {
    const reader = new CaptureReader((packet) => expect(packet.data.buffer).toBe(FILE.buffer));
    expect.assertions(LENGTHS.length);
    reader.push(FILE);
  });

  it("keeps no more than a record in memory", () => {
    const writer = new PcapWriter({ linkType: LINKTYPE_ETHERNET });
    const packet = writer.record({ timestampNs: 1n, data: new Uint8Array(1000) });
    const block = new Uint8Array(packet.length * 1000);
    for (let at = 0; at < block.length; at += packet.length) block.set(packet, at);
    let count = 0;
    const reader = new CaptureReader(() => count++);
    reader.push(writer.fileHeader());
    const before = process.memoryUsage();
    for (let turn = 0; turn < 1000; turn++) {
      reader.push(block.subarray(0, 1500));
      reader.push(block.subarray(1500));
    }
    reader.end();
    const after = process.memoryUsage();
    expect(count).toBe(1_000_000);
    // A gigabyte went through: what is kept must be far less, garbage included.
    const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
    expect(grown).toBeLessThan(100 * 1024 * 1024);
  });
});

describe("PcapWriter", () => {
  const writer = new PcapWriter({ linkType: LINKTYPE_ETHERNET });
  const data = new Uint8Array(1);
  it.each([
    ["timestampNs", { data, timestampNs: -1n }],
    ["timestampNs", { data, timestampNs: 4_294_967_296_000_000_000n }],
    ["data", { data: new Uint8Array(MAX_PACKET_LENGTH + 1), timestampNs: 0n }],
    ["originalLength", { data, timestampNs: 0n, originalLength: -1 }],
    ["originalLength", { data, timestampNs: 0n, originalLength: 2 ** 32 }],
    ["originalLength", { data, timestampNs: 0n, originalLength: 1.5 }],
  ])("refuses a %s that does not fit", (field, packet) => {
    expect(() => writer.record(packet)).toThrow(RangeError);
    expect(() => writer.record(packet)).toThrow(`packet.${field}`);
  });
});
