// The classic capture format: a file header of 24 bytes, then records of 16 bytes and a packet.
// Source: draft-ietf-opsawg-pcap.

import { type Clock, MAX_PACKET_LENGTH } from "./captured_packet.ts";
import { CaptureError } from "./errors.ts";
import { isLinkType, type LinkType, linkTypeName } from "./link_type.ts";
import type { PacketSink, RecordParser, Stretch } from "./record_parser.ts";

/** First 32 bits of a file with microseconds, in the writer's byte order. */
export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
/** First 32 bits of a file with nanoseconds, in the writer's byte order. */
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;
/** Length of the file header, in bytes. */
export const PCAP_FILE_HEADER_LENGTH = 24;
/** Length of the header in front of each packet, in bytes. */
export const PCAP_RECORD_HEADER_LENGTH = 16;
/** The only version in use since 1998. */
export const PCAP_VERSION = { major: 2, minor: 4 } as const;

/** The link type's field without the bits that tell the length of a frame check sequence. */
const LINK_TYPE_MASK = 0x03ff_ffff;

const MICROSECOND_CLOCK: Clock = {
  nanoseconds: (seconds, micros) => BigInt(seconds) * 1_000_000_000n + BigInt(micros) * 1_000n,
};
const NANOSECOND_CLOCK: Clock = {
  nanoseconds: (seconds, nanos) => BigInt(seconds) * 1_000_000_000n + BigInt(nanos),
};

/** Reads pcap files of one byte order and one resolution of time. */
export class PcapParser implements RecordParser {
  readonly #littleEndian: boolean;
  readonly #clock: Clock;
  #linkType: LinkType | undefined;
  #packets = 0;

  constructor(format: { littleEndian: boolean; nanoseconds: boolean }) {
    this.#littleEndian = format.littleEndian;
    this.#clock = format.nanoseconds ? NANOSECOND_CLOCK : MICROSECOND_CLOCK;
  }

  recordLength(from: Stretch, at: number, available: number): number {
    if (this.#linkType === undefined) return PCAP_FILE_HEADER_LENGTH;
    if (available < PCAP_RECORD_HEADER_LENGTH) return PCAP_RECORD_HEADER_LENGTH;
    const capturedLength = from.view.getUint32(at + 8, this.#littleEndian);
    if (capturedLength > MAX_PACKET_LENGTH) {
      throw new CaptureError(
        "malformed",
        from.fileOffset + at + 8,
        `packet ${this.#packets + 1} claims ${capturedLength} bytes, more than ` +
          `the ${MAX_PACKET_LENGTH} that a packet can have`,
      );
    }
    return PCAP_RECORD_HEADER_LENGTH + capturedLength;
  }

  record(from: Stretch, at: number, length: number, sink: PacketSink): void {
    if (this.#linkType === undefined) {
      this.#linkType = this.#fileHeader(from, at);
      return;
    }
    this.#packet(this.#linkType, from, at, length - PCAP_RECORD_HEADER_LENGTH, sink);
  }

  records(from: Stretch, at: number, sink: PacketSink): number {
    const linkType = this.#linkType;
    if (linkType === undefined) return at;
    const { view, bytes } = from;
    let next = at;
    while (next + PCAP_RECORD_HEADER_LENGTH <= bytes.length) {
      const capturedLength = view.getUint32(next + 8, this.#littleEndian);
      const end = next + PCAP_RECORD_HEADER_LENGTH + capturedLength;
      if (capturedLength > MAX_PACKET_LENGTH || end > bytes.length) break;
      this.#packet(linkType, from, next, capturedLength, sink);
      next = end;
    }
    return next;
  }

  #packet(
    linkType: LinkType,
    { view, bytes }: Stretch,
    at: number,
    capturedLength: number,
    sink: PacketSink,
  ): void {
    this.#packets++;
    sink.packet(
      linkType,
      capturedLength,
      view.getUint32(at + 12, this.#littleEndian),
      bytes,
      at + PCAP_RECORD_HEADER_LENGTH,
      this.#clock,
      view.getUint32(at, this.#littleEndian),
      view.getUint32(at + 4, this.#littleEndian),
    );
  }

  #fileHeader(from: Stretch, at: number): LinkType {
    const major = from.view.getUint16(at + 4, this.#littleEndian);
    const minor = from.view.getUint16(at + 6, this.#littleEndian);
    if (major !== PCAP_VERSION.major || minor !== PCAP_VERSION.minor) {
      throw new CaptureError(
        "unsupported",
        from.fileOffset + at + 4,
        `pcap version ${major}.${minor}; only 2.4 is read`,
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
    return linkType;
  }
}
