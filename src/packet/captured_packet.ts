// What a capture reader hands out: one packet as a view over the file's bytes.

/** Largest packet that is read or written, in bytes: libpcap's own limit (MAXIMUM_SNAPLEN). */
export const MAX_PACKET_LENGTH = 262_144;

/** What the two 32-bit halves of a file's timestamps mean. */
export interface Clock {
  /** Nanoseconds since 1970-01-01 UTC. */
  nanoseconds(high: number, low: number): bigint;
}

/**
 * One packet of a capture.
 *
 * It refers to the memory that was fed to the reader and copies nothing; the reader never writes
 * to that memory. So it stays valid for as long as the source leaves its chunks alone (Node's file
 * streams and web streams do), and keeps its whole chunk alive: to hold on to a few packets of
 * many, keep `packet.data.slice()`.
 */
export class CapturedPacket {
  /** Place in the capture, counted from 1. */
  readonly number: number;
  /** A {@link LinkType}; in a pcapng file maybe one that {@link networkFrame} doesn't read. */
  readonly linkType: number;
  /** Bytes in the file; less than {@link originalLength} where the capture cut the packet. */
  readonly capturedLength: number;
  /** Bytes that the packet had on the wire. */
  readonly originalLength: number;
  /** The memory that holds the packet, at {@link start}. */
  readonly bytes: Uint8Array;
  /** Index in {@link bytes} of the packet's first byte. */
  readonly start: number;
  readonly #clock: Clock;
  readonly #timestampHigh: number;
  readonly #timestampLow: number;

  constructor(
    number: number,
    linkType: number,
    capturedLength: number,
    originalLength: number,
    bytes: Uint8Array,
    start: number,
    clock: Clock,
    timestampHigh: number,
    timestampLow: number,
  ) {
    this.number = number;
    this.linkType = linkType;
    this.capturedLength = capturedLength;
    this.originalLength = originalLength;
    this.bytes = bytes;
    this.start = start;
    this.#clock = clock;
    this.#timestampHigh = timestampHigh;
    this.#timestampLow = timestampLow;
  }

  /** The packet's bytes from its link-layer header on: a view, made anew at each call. */
  get data(): Uint8Array {
    const { buffer, byteOffset } = this.bytes;
    return new Uint8Array(buffer, byteOffset + this.start, this.capturedLength);
  }

  /** Nanoseconds since 1970-01-01 UTC; 0 where the file has no time for the packet. */
  get timestampNs(): bigint {
    return this.#clock.nanoseconds(this.#timestampHigh, this.#timestampLow);
  }
}
