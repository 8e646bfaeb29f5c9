// Writes pcap files: captures cut down, captures made by hand.

import { MAX_PACKET_LENGTH } from "./captured_packet.ts";
import type { LinkType } from "./link_type.ts";
import {
  PCAP_FILE_HEADER_LENGTH,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
  PCAP_RECORD_HEADER_LENGTH,
  PCAP_VERSION,
} from "./pcap.ts";

const NANOSECONDS_PER_SECOND = 1_000_000_000n;
const NANOSECONDS_PER_MICROSECOND = 1_000n;
const U32_MAX = 0xffff_ffff;

/** What a pcap file says about all its packets. */
export interface PcapOptions {
  /** All packets of a file have the same. */
  readonly linkType: LinkType;
  /** Resolution of the timestamps; finer parts of them are cut off. Nanoseconds by default. */
  readonly resolution?: "us" | "ns";
  /** Little-endian by default. */
  readonly byteOrder?: "little" | "big";
}

/** A packet to write; every {@link CapturedPacket} is one. */
export interface WritablePacket {
  /** Nanoseconds since 1970-01-01 UTC; the format ends in 2106. */
  readonly timestampNs: bigint;
  /** From the link-layer header on, {@link MAX_PACKET_LENGTH} bytes at most. */
  readonly data: Uint8Array;
  /** Bytes on the wire; those of `data` by default. */
  readonly originalLength?: number;
}

/**
 * Encodes a pcap file piece by piece: first {@link fileHeader}, then a {@link record} a packet.
 *
 * ```ts
 * import { createReadStream } from "node:fs";
 * import { LINKTYPE_ETHERNET, PcapWriter, readCapture } from "nslink/packet";
 *
 * const writer = new PcapWriter({ linkType: LINKTYPE_ETHERNET });
 * const pieces = [writer.fileHeader()];
 * for await (const packet of readCapture(createReadStream("examples/traffic.pcap"))) {
 *   if (packet.capturedLength > 1000) pieces.push(writer.record(packet));
 * }
 * ```
 */
export class PcapWriter {
  readonly #linkType: LinkType;
  readonly #nanoseconds: boolean;
  readonly #littleEndian: boolean;

  constructor(options: PcapOptions) {
    this.#linkType = options.linkType;
    this.#nanoseconds = options.resolution !== "us";
    this.#littleEndian = options.byteOrder !== "big";
  }

  /** The 24 bytes that a file begins with. */
  fileHeader(): Uint8Array {
    const bytes = new Uint8Array(PCAP_FILE_HEADER_LENGTH);
    const view = new DataView(bytes.buffer);
    const magic = this.#nanoseconds ? PCAP_MAGIC_NANOSECONDS : PCAP_MAGIC_MICROSECONDS;
    view.setUint32(0, magic, this.#littleEndian);
    view.setUint16(4, PCAP_VERSION.major, this.#littleEndian);
    view.setUint16(6, PCAP_VERSION.minor, this.#littleEndian);
    view.setUint32(16, MAX_PACKET_LENGTH, this.#littleEndian);
    view.setUint32(20, this.#linkType, this.#littleEndian);
    return bytes;
  }

  /**
   * A packet with the 16 bytes in front of it, copied.
   *
   * @throws {RangeError} if a field doesn't fit into the format.
   */
  record(packet: WritablePacket): Uint8Array {
    const { data, timestampNs, originalLength = data.length } = packet;
    if (data.length > MAX_PACKET_LENGTH) {
      throw new RangeError(`packet.data: ${data.length} bytes, more than ${MAX_PACKET_LENGTH}`);
    }
    if (!Number.isInteger(originalLength) || originalLength < 0 || originalLength > U32_MAX) {
      throw new RangeError(`packet.originalLength: ${originalLength} is not a u32`);
    }
    const seconds = timestampNs / NANOSECONDS_PER_SECOND;
    if (timestampNs < 0n || seconds > U32_MAX) {
      throw new RangeError(`packet.timestampNs: ${timestampNs} is not between 1970 and 2106`);
    }
    const nanoseconds = timestampNs % NANOSECONDS_PER_SECOND;
    const fraction = this.#nanoseconds ? nanoseconds : nanoseconds / NANOSECONDS_PER_MICROSECOND;
    const bytes = new Uint8Array(PCAP_RECORD_HEADER_LENGTH + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, Number(seconds), this.#littleEndian);
    view.setUint32(4, Number(fraction), this.#littleEndian);
    view.setUint32(8, data.length, this.#littleEndian);
    view.setUint32(12, originalLength, this.#littleEndian);
    bytes.set(data, PCAP_RECORD_HEADER_LENGTH);
    return bytes;
  }
}

/**
 * Encodes packets as one pcap file in memory. For files that may not fit there, see
 * {@link PcapWriter}.
 *
 * @throws {RangeError} if a field of a packet doesn't fit into the format.
 */
export function writePcap(packets: Iterable<WritablePacket>, options: PcapOptions): Uint8Array {
  const writer = new PcapWriter(options);
  const pieces = [writer.fileHeader()];
  for (const packet of packets) pieces.push(writer.record(packet));
  const file = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    file.set(piece, at);
    at += piece.length;
  }
  return file;
}
