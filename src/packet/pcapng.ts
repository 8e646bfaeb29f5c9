// The block format that Wireshark writes: sections, each with a byte order and interfaces of its
// own. Source: draft-ietf-opsawg-pcapng.

import { type Clock, MAX_PACKET_LENGTH } from "./captured_packet.ts";
import { CaptureError } from "./errors.ts";
import { interfaceClock } from "./pcapng_options.ts";
import type { PacketSink, RecordParser, Stretch } from "./record_parser.ts";

/** Block type of a section header, the same in both byte orders: the file's first 32 bits. */
export const PCAPNG_SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
/** The packet block that older programs wrote before the enhanced one replaced it. */
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** What libpcap reads: the version, and 1.2, which some program wrote for the same. */
const SUPPORTED_VERSIONS: ReadonlySet<string> = new Set(["1.0", "1.2"]);

/** Block type and length in front, the length once more behind. */
const BLOCK_HEADER_LENGTH = 8;
const BLOCK_TRAILER_LENGTH = 4;
/** Largest block that is read, in bytes: libpcap's own limit. */
const MAX_BLOCK_LENGTH = 16 * 1024 * 1024;
/** Interfaces in a section; the obsolete packet block could name no more. */
const MAX_INTERFACES = 65_536;

/** Lengths with header and trailer of blocks without packet bytes and options. */
const MIN_LENGTH: ReadonlyMap<number, number> = new Map([
  [PCAPNG_SECTION_HEADER, 28],
  [INTERFACE_DESCRIPTION, 20],
  [OBSOLETE_PACKET, 32],
  [SIMPLE_PACKET, 16],
  [ENHANCED_PACKET, 32],
]);

interface CaptureInterface {
  /** Any number. */
  readonly linkType: number;
  /** Longest packet kept, in bytes; 0 for no limit. */
  readonly snapLength: number;
  readonly clock: Clock;
}

const NO_TIME: Clock = { nanoseconds: () => 0n };

/** Reads pcapng files. */
export class PcapngParser implements RecordParser {
  #littleEndian = true;
  #interfaces: CaptureInterface[] = [];
  #packets = 0;

  recordLength(from: Stretch, at: number, available: number): number {
    // A section header's length can't be read before its byte order, which follows it.
    if (available < BLOCK_HEADER_LENGTH + 4) return BLOCK_HEADER_LENGTH + 4;
    const type = from.view.getUint32(at, this.#littleEndian);
    if (type === PCAPNG_SECTION_HEADER) this.#littleEndian = sectionIsLittleEndian(from, at);
    const length = from.view.getUint32(at + 4, this.#littleEndian);
    const min = MIN_LENGTH.get(type) ?? BLOCK_HEADER_LENGTH + BLOCK_TRAILER_LENGTH;
    if (length < min || length > MAX_BLOCK_LENGTH || length % 4 !== 0) {
      throw malformed(
        from,
        at + 4,
        `block of type ${type} claims ${length} bytes; ` +
          `it can have ${min} to ${MAX_BLOCK_LENGTH}, in fours`,
      );
    }
    return length;
  }

  record(from: Stretch, at: number, length: number, sink: PacketSink): void {
    const trailer = at + length - BLOCK_TRAILER_LENGTH;
    const repeated = from.view.getUint32(trailer, this.#littleEndian);
    if (repeated !== length) {
      throw malformed(from, trailer, `block of ${length} bytes says ${repeated} at its end`);
    }
    switch (from.view.getUint32(at, this.#littleEndian)) {
      case PCAPNG_SECTION_HEADER:
        this.#startSection(from, at);
        break;
      case INTERFACE_DESCRIPTION:
        this.#addInterface(from, at, trailer);
        break;
      case ENHANCED_PACKET:
        this.#packet(from, at, trailer, from.view.getUint32(at + 8, this.#littleEndian), sink);
        break;
      case OBSOLETE_PACKET:
        this.#packet(from, at, trailer, from.view.getUint16(at + 8, this.#littleEndian), sink);
        break;
      case SIMPLE_PACKET:
        this.#simplePacket(from, at, trailer, sink);
        break;
    }
  }

  #startSection(from: Stretch, at: number): void {
    const major = from.view.getUint16(at + 12, this.#littleEndian);
    const minor = from.view.getUint16(at + 14, this.#littleEndian);
    const version = `${major}.${minor}`;
    if (!SUPPORTED_VERSIONS.has(version)) {
      throw new CaptureError(
        "unsupported",
        from.fileOffset + at + 12,
        `pcapng version ${version}; only 1.0 and 1.2 are read`,
      );
    }
    this.#interfaces = [];
  }

  #addInterface(from: Stretch, at: number, trailer: number): void {
    if (this.#interfaces.length === MAX_INTERFACES) {
      throw malformed(from, at, `more than ${MAX_INTERFACES} interfaces in a section`);
    }
    this.#interfaces.push({
      linkType: from.view.getUint16(at + 8, this.#littleEndian),
      snapLength: from.view.getUint32(at + 12, this.#littleEndian),
      clock: interfaceClock(from, at + 16, trailer, this.#littleEndian),
    });
  }

  /** An enhanced and an obsolete packet block differ only in how wide the interface's number is. */
  #packet(from: Stretch, at: number, trailer: number, interfaceId: number, sink: PacketSink): void {
    const { view } = from;
    const capturedLength = view.getUint32(at + 20, this.#littleEndian);
    const start = at + 28;
    this.#checkLength(from, at + 20, capturedLength, trailer - start);
    const source = this.#interface(from, at + 8, interfaceId);
    this.#packets++;
    sink.packet(
      source.linkType,
      capturedLength,
      view.getUint32(at + 24, this.#littleEndian),
      from.bytes,
      start,
      source.clock,
      view.getUint32(at + 12, this.#littleEndian),
      view.getUint32(at + 16, this.#littleEndian),
    );
  }

  /** A simple packet block has no time and no length of its own, and means the first interface. */
  #simplePacket(from: Stretch, at: number, trailer: number, sink: PacketSink): void {
    const originalLength = from.view.getUint32(at + 8, this.#littleEndian);
    const start = at + 12;
    const source = this.#interface(from, at, 0);
    const capturedLength =
      source.snapLength === 0 ? originalLength : Math.min(originalLength, source.snapLength);
    this.#checkLength(from, at + 8, capturedLength, trailer - start);
    this.#packets++;
    sink.packet(source.linkType, capturedLength, originalLength, from.bytes, start, NO_TIME, 0, 0);
  }

  #checkLength(from: Stretch, at: number, capturedLength: number, room: number): void {
    const limit = Math.min(room, MAX_PACKET_LENGTH);
    if (capturedLength <= limit) return;
    throw malformed(
      from,
      at,
      `packet ${this.#packets + 1} claims ${capturedLength} bytes, there can be ${limit}`,
    );
  }

  #interface(from: Stretch, at: number, id: number): CaptureInterface {
    const source = this.#interfaces[id];
    if (source !== undefined) return source;
    throw malformed(
      from,
      at,
      `packet ${this.#packets + 1} is of interface ${id}, ` +
        `this section has described ${this.#interfaces.length} so far`,
    );
  }
}

function sectionIsLittleEndian(from: Stretch, at: number): boolean {
  const magic = at + BLOCK_HEADER_LENGTH;
  if (from.view.getUint32(magic, true) === BYTE_ORDER_MAGIC) return true;
  if (from.view.getUint32(magic, false) === BYTE_ORDER_MAGIC) return false;
  throw malformed(from, magic, "section header without a byte order");
}

function malformed(from: Stretch, at: number, problem: string): CaptureError {
  return new CaptureError("malformed", from.fileOffset + at, problem);
}
