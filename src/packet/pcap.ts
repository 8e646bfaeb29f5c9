// The classic capture format: a file header of 24 bytes, then records of 16 bytes and a packet.
// Source: draft-ietf-opsawg-pcap; what older files and others differ in: libpcap's pcap-savefile.

import { type Clock, MAX_PACKET_LENGTH } from "./captured_packet.ts";
import { CaptureError } from "./errors.ts";
import { linkTypeName } from "./link_type_names.ts";
import { isLinkType } from "./network_header.ts";
import type { PacketSink, RecordParser, Stretch } from "./record_parser.ts";

/** First 32 bits of a file with microseconds, in the writer's byte order. */
export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
/** First 32 bits of a file with nanoseconds, in the writer's byte order. */
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;
/** First 32 bits of a file of Kuznetzov's modified format, in the writer's byte order. */
export const PCAP_MAGIC_MODIFIED = 0xa1b2cd34;
/** Length of the file header, in bytes. */
export const PCAP_FILE_HEADER_LENGTH = 24;
/** Length of the header in front of each packet, in bytes. */
export const PCAP_RECORD_HEADER_LENGTH = 16;
/** The same in the modified format: an interface, a protocol and a packet type follow. */
const MODIFIED_RECORD_HEADER_LENGTH = 24;
/** The only version in use since 1998. */
export const PCAP_VERSION = { major: 2, minor: 4 } as const;
/** A version that DG/UX wrote: 2.0 in another guise. */
const DG_UX_VERSION = { major: 543, minor: 0 } as const;

/**
 * In which order a record has its two lengths: that of the packet on the wire came first until 2.2;
 * files of 2.3 have both orders, and what was captured is never more.
 */
type LengthOrder = "captured-first" | "either" | "captured-last";

/** The link type's field without the bits that tell the length of a frame check sequence. */
const LINK_TYPE_MASK = 0x03ff_ffff;

const MICROSECOND_CLOCK: Clock = {
  nanoseconds: (seconds, micros) => BigInt(seconds) * 1_000_000_000n + BigInt(micros) * 1_000n,
};
const NANOSECOND_CLOCK: Clock = {
  nanoseconds: (seconds, nanos) => BigInt(seconds) * 1_000_000_000n + BigInt(nanos),
};

/** What a file's first 32 bits tell. */
export interface PcapFormat {
  readonly littleEndian: boolean;
  readonly nanoseconds: boolean;
  /** Records are those of Kuznetzov's modified format. */
  readonly modified: boolean;
}

/** Reads pcap files of one byte order and one resolution of time. */
export class PcapParser implements RecordParser {
  readonly #littleEndian: boolean;
  readonly #clock: Clock;
  readonly #headerLength: number;
  #linkType: number = -1;
  #lengthOrder: LengthOrder = "captured-first";
  #packets = 0;

  constructor({ littleEndian, nanoseconds, modified }: PcapFormat) {
    this.#littleEndian = littleEndian;
    this.#clock = nanoseconds ? NANOSECOND_CLOCK : MICROSECOND_CLOCK;
    this.#headerLength = modified ? MODIFIED_RECORD_HEADER_LENGTH : PCAP_RECORD_HEADER_LENGTH;
  }

  recordLength(from: Stretch, at: number, available: number): number {
    if (this.#linkType < 0) return PCAP_FILE_HEADER_LENGTH;
    const headerLength = this.#headerLength;
    if (available < headerLength) return headerLength;
    const capturedLength = this.#capturedLength(from.view, at);
    if (capturedLength > MAX_PACKET_LENGTH) {
      throw new CaptureError(
        "malformed",
        from.fileOffset + at + 8,
        `packet ${this.#packets + 1} claims ${capturedLength} bytes, more than ` +
          `the ${MAX_PACKET_LENGTH} that a packet can have`,
      );
    }
    return headerLength + capturedLength;
  }

  record(from: Stretch, at: number, length: number, sink: PacketSink): void {
    if (this.#linkType < 0) this.#fileHeader(from, at);
    else this.#packet(from, at, length - this.#headerLength, sink);
  }

  records(from: Stretch, at: number, sink: PacketSink): number {
    if (this.#linkType < 0) return at;
    const { view, bytes } = from;
    const headerLength = this.#headerLength;
    let next = at;
    while (next + headerLength <= bytes.length) {
      const capturedLength = this.#capturedLength(view, next);
      const end = next + headerLength + capturedLength;
      if (capturedLength > MAX_PACKET_LENGTH || end > bytes.length) break;
      this.#packet(from, next, capturedLength, sink);
      next = end;
    }
    return next;
  }

  /** Bytes that the file has of a packet. */
  #capturedLength(view: DataView, at: number): number {
    const first = view.getUint32(at + 8, this.#littleEndian);
    if (this.#lengthOrder === "captured-first") return first;
    const last = view.getUint32(at + 12, this.#littleEndian);
    return this.#lengthOrder === "captured-last" ? last : Math.min(first, last);
  }

  /** Bytes that a packet had on the wire. */
  #originalLength(view: DataView, at: number): number {
    const last = view.getUint32(at + 12, this.#littleEndian);
    if (this.#lengthOrder === "captured-first") return last;
    const first = view.getUint32(at + 8, this.#littleEndian);
    return this.#lengthOrder === "captured-last" ? first : Math.max(first, last);
  }

  #packet({ view, bytes }: Stretch, at: number, capturedLength: number, sink: PacketSink): void {
    this.#packets++;
    sink.packet(
      this.#linkType,
      capturedLength,
      this.#originalLength(view, at),
      bytes,
      at + this.#headerLength,
      this.#clock,
      view.getUint32(at, this.#littleEndian),
      view.getUint32(at + 4, this.#littleEndian),
    );
  }

  #fileHeader(from: Stretch, at: number): void {
    const major = from.view.getUint16(at + 4, this.#littleEndian);
    const minor = from.view.getUint16(at + 6, this.#littleEndian);
    const lengthOrder = lengthOrderOf(major, minor);
    if (lengthOrder === null) {
      throw new CaptureError(
        "unsupported",
        from.fileOffset + at + 4,
        `pcap version ${major}.${minor}; only 2.0 to 2.4 are read`,
      );
    }
    const linkType = from.view.getUint32(at + 20, this.#littleEndian) & LINK_TYPE_MASK;
    if (!isLinkType(linkType)) {
      throw new CaptureError(
        "unsupported",
        from.fileOffset + at + 20,
        `link type ${linkTypeName(linkType)} is not supported`,
      );
    }
    this.#lengthOrder = lengthOrder;
    this.#linkType = linkType;
  }
}

/** Null for a version that isn't read. */
function lengthOrderOf(major: number, minor: number): LengthOrder | null {
  if (major === DG_UX_VERSION.major && minor === DG_UX_VERSION.minor) return "captured-last";
  if (major !== PCAP_VERSION.major || minor > PCAP_VERSION.minor) return null;
  if (minor === PCAP_VERSION.minor) return "captured-first";
  return minor === PCAP_VERSION.minor - 1 ? "either" : "captured-last";
}
