// Captures built byte by byte, and readers that tell what became of them.

import { type CapturedPacket, CaptureError, CaptureReader } from "../../src/packet/index.ts";

/** Everything about a packet, comparable with toEqual. */
export interface PacketFacts {
  number: number;
  linkType: number;
  timestampNs: bigint;
  capturedLength: number;
  originalLength: number;
  hex: string;
}

export function facts(packet: CapturedPacket): PacketFacts {
  const { number, linkType, timestampNs, capturedLength, originalLength } = packet;
  return { number, linkType, timestampNs, capturedLength, originalLength, hex: hex(packet.data) };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

export interface Outcome {
  packets: PacketFacts[];
  /** The CaptureError that ended the reading; any other error is thrown on. */
  error: CaptureError | undefined;
}

/** Feeds chunks to a reader and collects what comes out of it. */
export function readChunks(chunks: Iterable<Uint8Array>): Outcome {
  const packets: PacketFacts[] = [];
  const reader = new CaptureReader((packet) => packets.push(facts(packet)));
  try {
    for (const chunk of chunks) reader.push(chunk);
    reader.end();
  } catch (error) {
    if (error instanceof CaptureError) return { packets, error };
    throw error;
  }
  return { packets, error: undefined };
}

export function read(file: Uint8Array): Outcome {
  return readChunks([file]);
}

/** Cuts a file at the given places, in any order and beyond its end. */
export function* cut(file: Uint8Array, places: readonly number[]): Generator<Uint8Array> {
  let from = 0;
  for (const place of [...places, file.length].sort((a, b) => a - b)) {
    if (place > file.length) continue;
    yield file.subarray(from, place);
    from = place;
  }
}

/** Integers and bytes in one of the two byte orders. */
export class Bytes {
  readonly #parts: Uint8Array[] = [];
  readonly #littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian;
  }

  u16(...values: number[]): this {
    return this.#each(values, 2, (view, value) => view.setUint16(0, value, this.#littleEndian));
  }

  u32(...values: number[]): this {
    return this.#each(values, 4, (view, value) => view.setUint32(0, value, this.#littleEndian));
  }

  i64(...values: bigint[]): this {
    return this.#each(values, 8, (view, value) => view.setBigInt64(0, value, this.#littleEndian));
  }

  /** Raw bytes, filled up with zeros to a multiple of `alignment`. */
  raw(bytes: Uint8Array, alignment = 1): this {
    const padded = new Uint8Array(Math.ceil(bytes.length / alignment) * alignment);
    padded.set(bytes);
    this.#parts.push(padded);
    return this;
  }

  done(): Uint8Array {
    return concat(this.#parts);
  }

  #each<T>(values: T[], size: number, write: (view: DataView, value: T) => void): this {
    for (const value of values) {
      const bytes = new Uint8Array(size);
      write(new DataView(bytes.buffer), value);
      this.#parts.push(bytes);
    }
    return this;
  }
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** Blocks of a pcapng section, in one of the two byte orders. */
export class Section {
  readonly littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  bytes(): Bytes {
    return new Bytes(this.littleEndian);
  }

  block(type: number, body: Uint8Array): Uint8Array {
    const length = 12 + Math.ceil(body.length / 4) * 4;
    return this.bytes().u32(type, length).raw(body, 4).u32(length).done();
  }

  header(major = 1, minor = 0): Uint8Array {
    const body = this.bytes().u32(0x1a2b3c4d).u16(major, minor).i64(-1n);
    return this.block(0x0a0d0d0a, body.done());
  }

  option(code: number, value: Uint8Array): Uint8Array {
    return this.bytes().u16(code, value.length).raw(value, 4).done();
  }

  interface(linkType: number, snapLength = 0, options: Uint8Array[] = []): Uint8Array {
    const body = this.bytes().u16(linkType, 0).u32(snapLength).raw(concat(options));
    return this.block(1, body.done());
  }

  enhanced(
    id: number,
    time: bigint,
    data: Uint8Array,
    originalLength: number = data.length,
  ): Uint8Array {
    const [high, low] = [Number(time >> 32n), Number(time & 0xffff_ffffn)];
    return this.block(
      6,
      this.bytes().u32(id, high, low, data.length, originalLength).raw(data, 4).done(),
    );
  }

  obsolete(id: number, time: bigint, data: Uint8Array): Uint8Array {
    const [high, low] = [Number(time >> 32n), Number(time & 0xffff_ffffn)];
    const drops = 0xffff;
    const body = this.bytes().u16(id, drops).u32(high, low, data.length, data.length);
    return this.block(2, body.raw(data, 4).done());
  }

  simple(originalLength: number, data: Uint8Array): Uint8Array {
    return this.block(3, this.bytes().u32(originalLength).raw(data, 4).done());
  }
}
