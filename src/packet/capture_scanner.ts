// The push parser: is fed a capture in chunks of any size and finds the packets that they complete.

import { CaptureError } from "./errors.ts";
import {
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_MODIFIED,
  PCAP_MAGIC_NANOSECONDS,
  type PcapFormat,
  PcapParser,
} from "./pcap.ts";
import { PCAPNG_SECTION_HEADER, PcapngParser } from "./pcapng.ts";
import { type PacketSink, type RecordParser, type Stretch, stretch } from "./record_parser.ts";

const MAGIC_LENGTH = 4;
/** First allocation for a record that is split between chunks, in bytes. */
const MIN_PENDING_CAPACITY = 4096;

/** What files begin with that people mistake for captures we can read, in hexadecimal. */
const FOREIGN_MAGICS: readonly (readonly [start: string, problem: string])[] = [
  ["1f8b", "compressed with gzip; decompress it first"],
  ["28b52ffd", "compressed with zstd; decompress it first"],
  ["fd377a58", "compressed with xz; decompress it first"],
  ["425a68", "compressed with bzip2; decompress it first"],
  ["04224d18", "compressed with lz4; decompress it first"],
  ["504b0304", "a zip archive; take the capture out of it first"],
  ["736e6f6f", "a snoop file, which is not supported; editcap can convert it"],
  [
    "474d4255",
    "a file of Microsoft's Network Monitor, which is not supported; editcap can convert it",
  ],
  ["a1b234cd", "a pcap file of Mesquita's modified format, which is not supported"],
  ["cd34b2a1", "a pcap file of Mesquita's modified format, which is not supported"],
  ["a12b3c4d", "a pcap file of Navtel's modified format, which is not supported"],
  ["4d3c2ba1", "a pcap file of Navtel's modified format, which is not supported"],
];

const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * Finds the packets of a pcap or pcapng file, told apart by its first bytes, without an object for
 * each: for those who put them elsewhere at once. {@link CaptureReader} is for all others.
 *
 * Where chunks begin and end makes no difference to what is found. Memory stays flat: nothing is
 * kept but the one record that a chunk's end cuts, and a section's interfaces.
 */
export class CaptureScanner {
  readonly #sink: PacketSink;
  #parser: RecordParser | undefined;
  /** The record that began in an earlier chunk: `#pendingLength` bytes of it are here. */
  #pending: Uint8Array = NOTHING;
  #pendingLength = 0;
  /** Where in the file the first byte stands that isn't parsed yet. */
  #offset = 0;
  #failure: unknown;

  /** @param sink - is given each packet, in order, from within {@link push}. */
  constructor(sink: PacketSink) {
    this.#sink = sink;
  }

  /**
   * Takes the next bytes of the file. Packets lie in `chunk`, but for the one that began before it.
   *
   * @throws {CaptureError} if the file can't be read further; so does every later call.
   */
  push(chunk: Uint8Array): void {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("chunk: must be a Uint8Array");
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#parse(chunk, this.#pendingLength > 0 ? this.#completePending(chunk) : 0);
    } catch (failure) {
      this.#failure = failure;
      throw failure;
    }
  }

  /**
   * Says that the file is over.
   *
   * @throws {CaptureError} of kind `truncated` if it ends in the middle of a record.
   */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#pendingLength === 0 && this.#offset > 0) return;
    const problem =
      this.#offset === 0 && this.#pendingLength === 0
        ? "the file is empty"
        : `the file ends here, within the record that starts at byte ${this.#offset}`;
    this.#failure = new CaptureError("truncated", this.#offset + this.#pendingLength, problem);
    throw this.#failure;
  }

  /** Takes the records that lie whole in `chunk` from `at` on, and keeps the start of the next. */
  #parse(chunk: Uint8Array, at: number): void {
    const from = stretch(chunk, this.#offset - at);
    // Ends: every record has a length of at least 12 bytes.
    while (at < chunk.length) {
      const next = this.#parser?.records?.(from, at, this.#sink) ?? at;
      if (next > at) {
        this.#offset += next - at;
        at = next;
        continue;
      }
      const available = chunk.length - at;
      const length = this.#recordLength(from, at, available);
      if (length > available) {
        this.#append(chunk.subarray(at), length);
        return;
      }
      this.#take(from, at, length);
      at += length;
    }
  }

  /** Fills up the record that earlier chunks began. Returns how much of `chunk` that took. */
  #completePending(chunk: Uint8Array): number {
    let taken = 0;
    // Ends: each turn takes something from the chunk, or all of it is taken.
    for (;;) {
      const from = stretch(this.#pending, this.#offset);
      const length = this.#recordLength(from, 0, this.#pendingLength);
      if (length === this.#pendingLength) {
        this.#pending = NOTHING;
        this.#pendingLength = 0;
        this.#take(from, 0, length);
        return taken;
      }
      if (taken === chunk.length) return taken;
      const missing = length - this.#pendingLength;
      const part = chunk.subarray(taken, taken + missing);
      this.#append(part, length);
      taken += part.length;
    }
  }

  /** Appends to the pending record, which will be `length` bytes long as far as is known. */
  #append(part: Uint8Array, length: number): void {
    const wanted = this.#pendingLength + part.length;
    if (wanted > this.#pending.length) {
      // Doubled, but no further than needed: a length that lies can't make us allocate more than
      // about twice what has really come in.
      const capacity = Math.max(2 * wanted, MIN_PENDING_CAPACITY);
      const grown = new Uint8Array(Math.min(capacity, length));
      grown.set(this.#pending.subarray(0, this.#pendingLength));
      this.#pending = grown;
    }
    this.#pending.set(part, this.#pendingLength);
    this.#pendingLength = wanted;
  }

  #recordLength(from: Stretch, at: number, available: number): number {
    if (this.#parser === undefined) {
      if (available < MAGIC_LENGTH) return MAGIC_LENGTH;
      this.#parser = parserFor(from.view.getUint32(at, false));
    }
    return this.#parser.recordLength(from, at, available);
  }

  #take(from: Stretch, at: number, length: number): void {
    this.#parser?.record(from, at, length, this.#sink);
    this.#offset += length;
  }
}

/** What pcap files begin with, by the magic number in the writer's byte order. */
const PCAP_MAGICS: ReadonlyMap<number, Omit<PcapFormat, "littleEndian">> = new Map([
  [PCAP_MAGIC_MICROSECONDS, { nanoseconds: false, modified: false }],
  [PCAP_MAGIC_NANOSECONDS, { nanoseconds: true, modified: false }],
  [PCAP_MAGIC_MODIFIED, { nanoseconds: false, modified: true }],
]);

/** Chooses a file's format by its first 32 bits, read big-endian. */
function parserFor(magic: number): RecordParser {
  if (magic === PCAPNG_SECTION_HEADER) return new PcapngParser();
  for (const littleEndian of [false, true]) {
    const format = PCAP_MAGICS.get(littleEndian ? swap32(magic) : magic);
    if (format !== undefined) return new PcapParser({ ...format, littleEndian });
  }
  const hex = magic.toString(16).padStart(8, "0");
  const foreign = FOREIGN_MAGICS.find(([start]) => hex.startsWith(start));
  if (foreign !== undefined) throw new CaptureError("unsupported", 0, foreign[1]);
  throw new CaptureError("malformed", 0, `neither pcap nor pcapng: it starts with ${hex}`);
}

function swap32(value: number): number {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, value, false);
  return bytes.getUint32(0, true);
}
