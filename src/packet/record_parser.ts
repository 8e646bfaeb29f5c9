// The seam between the capture reader, which deals with chunks, and the file formats, which see
// one whole record at a time.

import type { Clock } from "./captured_packet.ts";

/** A stretch of a capture file in memory. */
export interface Stretch {
  readonly bytes: Uint8Array;
  /** The same bytes. */
  readonly view: DataView;
  /** Where in the file `bytes[0]` is. */
  readonly fileOffset: number;
}

/** Views `bytes`, which begin at `fileOffset` of the file. */
export function stretch(bytes: Uint8Array, fileOffset: number): Stretch {
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    fileOffset,
  };
}

/**
 * Takes packets in the order of the capture. `bytes` holds the packet at `start`; the halves of its
 * timestamp mean what the clock says. The link type may be any: maybe one that isn't read.
 */
export interface PacketSink {
  packet(
    linkType: number,
    capturedLength: number,
    originalLength: number,
    bytes: Uint8Array,
    start: number,
    clock: Clock,
    timestampHigh: number,
    timestampLow: number,
  ): void;
}

/** A file format: how long a record is, and what packet it carries. */
export interface RecordParser {
  /**
   * The length in bytes of the record at `at`; or, while too little of it is there to tell, a
   * number larger than `available` that says how much would do. Bounded by the format's limits.
   *
   * @throws {CaptureError} if no record can begin like this.
   */
  recordLength(from: Stretch, at: number, available: number): number;

  /**
   * Takes the record of `length` bytes at `at`, all of which are there, and hands on the packet in
   * it, if it is a packet's record.
   *
   * @throws {CaptureError} if the record contradicts itself, or is of a kind that isn't read here.
   */
  record(from: Stretch, at: number, length: number, sink: PacketSink): void;

  /**
   * Takes records as {@link record} does, one after another from `at` on: those that lie whole in
   * the stretch and with which nothing is wrong. For formats where most of the time goes otherwise
   * into being asked for one record at a time.
   *
   * @returns where it stopped.
   */
  records?(from: Stretch, at: number, sink: PacketSink): number;
}
