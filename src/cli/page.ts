/**
 * Some packets of a capture, and what came of them, side by side in a kernel's memory: no object is
 * made for a packet on its way from the file to the sums.
 */

import { BPF_FLOW_DISSECTOR_CONTINUE, BPF_OK } from "../abi/bpf.ts";
import { BPF_FLOW_KEYS_SIZE, decodeFlowKeys } from "../abi/flow_keys.ts";
import { type EmbeddedKernel, type PacketBatch, RECORD, VERDICT } from "../kernel/index.ts";
import {
  ETH_HLEN,
  findNetworkHeader,
  headerOffset,
  headerProtocol,
  LINK_TYPE_NOT_READ,
  LINKTYPE_ETHERNET,
  linkTypeName,
  MAX_PACKET_LENGTH,
  type NoNetworkFrame,
  type PacketSink,
  SHORT_PACKET,
} from "../packet/index.ts";
import type { Outcome } from "./outcome.ts";
import { PrintedLines } from "./run_notes.ts";

/** Bytes of a capture that a page takes at once. */
export const CHUNK_BYTES: number = 1 << 18;
/** The fewest bytes that a record of a capture has. */
const MIN_RECORD_BYTES = 16;
/** All packets of a chunk, and the one that began before it. */
const PAGE_PACKETS: number = CHUNK_BYTES / MIN_RECORD_BYTES + 1;
const PAGE_BYTES: number = CHUNK_BYTES + MAX_PACKET_LENGTH;
const RECORD_BYTES: number = BPF_FLOW_KEYS_SIZE + 8;

/** In the places of packets of a link type that isn't read: the type is counted down from here. */
const FIRST_LINK_TYPE = -0x100;

/** A page that was dissected, for those who only read it. */
export interface Page {
  /** All of the kernel's memory. */
  readonly words: Int32Array;
  /** Address of the first record: see {@link RECORD}. */
  readonly records: number;
  /**
   * By packet: its length in the capture, and the place of its record or, less than 0, what
   * {@link withoutRecord} makes of a packet that no dissector can be given.
   */
  readonly lengths: Int32Array;
  readonly places: Int32Array;
  /** How many packets, and the number of the first in the capture. */
  readonly count: number;
  readonly first: number;
}

/**
 * A packet's record, as an address; 0 for a packet that was not dissected.
 *
 * @param records - address of the page's first. @param place - see {@link Page.places}.
 */
export function recordAt(records: number, place: number): number {
  return place < 0 ? 0 : records + place * RECORD_BYTES;
}

/** What a packet came to. Its keys are a view. */
export function outcomeAt(page: Page, index: number): Outcome {
  const { words, places } = page;
  const record = recordAt(page.records, places[index] as number);
  if (record === 0) {
    const place = places[index] as number;
    return { by: null, reason: reasonAt(place), isUnread: place <= FIRST_LINK_TYPE };
  }
  const verdict = words[(record + RECORD.verdict) / 4];
  if (verdict === VERDICT.none) return handedOn(null);
  if (verdict === VERDICT.fault || verdict === VERDICT.limit) {
    const isOverLimit = verdict === VERDICT.limit;
    return { by: "bpf", verdict: "drop", retval: null, keys: null, keysBytes: null, isOverLimit };
  }
  const retval = (words[(record + RECORD.retval) / 4] as number) >>> 0;
  if (retval === BPF_FLOW_DISSECTOR_CONTINUE) return handedOn(retval);
  const keysBytes = new Uint8Array(words.buffer, record, BPF_FLOW_KEYS_SIZE);
  const keys = decodeFlowKeys(keysBytes);
  return { by: "bpf", verdict: retval === BPF_OK ? "ok" : "drop", retval, keys, keysBytes };
}

function handedOn(retval: number | null): Outcome {
  return { by: "linux", verdict: "continue", retval, keys: null, keysBytes: null };
}

/** Why no dissector can be given a packet, for people. */
export function reasonFor(reason: NoNetworkFrame["reason"], linkType: number): string {
  switch (reason) {
    case "short":
      return "shorter than its link-layer header";
    case "no-protocol":
      return "its link-layer header names no network protocol";
    default:
      return `link type ${linkTypeName(linkType)} is not supported`;
  }
}

/**
 * In the place of a record's: why a packet has none.
 *
 * @param found - less than 0, as {@link findNetworkHeader} says it.
 */
function withoutRecord(found: number, linkType: number): number {
  return found === LINK_TYPE_NOT_READ ? FIRST_LINK_TYPE - linkType : found;
}

/** Why no dissector can be given a packet. @param place - less than 0: see {@link Page.places}. */
export function reasonAt(place: number): string {
  if (place <= FIRST_LINK_TYPE) return reasonFor("link-type", FIRST_LINK_TYPE - place);
  return reasonFor(place === SHORT_PACKET ? "short" : "no-protocol", 0);
}

/** A page to put packets in, chunk after chunk. */
export class PageWriter implements PacketSink {
  readonly batch: PacketBatch;
  readonly lengths: Int32Array;
  readonly places: Int32Array;
  /** What programs printed on the packets of the page. */
  readonly printed: PrintedLines = new PrintedLines();
  /** By place: which packet of the page it is. */
  readonly #packets: Int32Array = new Int32Array(PAGE_PACKETS);
  readonly #flags: number;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkAddress: number = 0;
  #count: number = 0;
  #first: number = 1;
  #room: number = 0;

  /** @param flags - input flags of the dissector. */
  constructor(kernel: EmbeddedKernel, flags: number) {
    this.batch = kernel.packetBatch(PAGE_PACKETS, PAGE_BYTES);
    this.lengths = column();
    this.places = column();
    this.#flags = flags;
    this.batch.stopsAtLimit = true;
  }

  /**
   * Begins anew with a chunk of a capture.
   *
   * @param chunk - {@link CHUNK_BYTES} at most. @param first - the number of its first packet.
   * @param limit - packets beyond so many are left out.
   */
  begin(chunk: Uint8Array, first: number, limit: number): void {
    this.batch.clear();
    this.#chunk = chunk;
    this.#chunkAddress = this.batch.place(chunk);
    this.#count = 0;
    this.#first = first;
    this.#room = Math.min(limit, PAGE_PACKETS);
  }

  packet(
    linkType: number,
    capturedLength: number,
    _originalLength: number,
    bytes: Uint8Array,
    start: number,
  ): void {
    const index = this.#count;
    if (index >= this.#room) return;
    this.#count = index + 1;
    this.lengths[index] = capturedLength;
    const found = findNetworkHeader(linkType, bytes, start, capturedLength);
    if (found < 0) {
      this.places[index] = withoutRecord(found, linkType);
      return;
    }
    const protocol = headerProtocol(found);
    this.places[index] = this.batch.count;
    this.#packets[this.batch.count] = index;
    const address =
      bytes === this.#chunk
        ? this.#chunkAddress + start
        : this.batch.place(bytes.subarray(start, start + capturedLength));
    if (linkType === LINKTYPE_ETHERNET) {
      this.batch.addPlaced(address, capturedLength, ETH_HLEN, protocol, this.#flags);
    } else {
      const skipped = headerOffset(found);
      this.batch.addPlaced(address + skipped, capturedLength - skipped, 0, protocol, this.#flags);
    }
  }

  get count(): number {
    return this.#count;
  }

  /** A program prints a line, on the packet of the batch whose turn it is. */
  print(line: string): void {
    this.printed.add(this.#numberOf(this.batch.current), line);
  }

  /**
   * Leaves packets out that were not dissected, since one before them reached the limit.
   *
   * @param dissected - how many packets of the batch were.
   * @returns the number of that packet.
   */
  cut(dissected: number): number {
    const last = this.#packets[dissected - 1] as number;
    this.#count = last + 1;
    return this.#first + last;
  }

  #numberOf(place: number): number {
    return this.#first + (this.#packets[place] as number);
  }

  /** As it is now. */
  get page(): Page {
    const { lengths, places, batch } = this;
    const { words, records } = batch;
    return { words, records, lengths, places, count: this.#count, first: this.#first };
  }
}

function column(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * PAGE_PACKETS));
}
