/**
 * Packets on their way from a capture to the report: through an embedded kernel page by page, or
 * through any kernel one by one.
 */

import { BPF_FLOW_KEYS_SIZE } from "../abi/flow_keys.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { BpfError } from "../errors.ts";
import { type EmbeddedKernel, VERDICT } from "../kernel/index.ts";
import type { NetNs } from "../netns.ts";
import { CapturedPacket, networkFrame, type PacketSink } from "../packet/index.ts";
import type { Outcome } from "./outcome.ts";
import { PageWriter, reasonFor } from "./page.ts";
import type { Report } from "./report.ts";
import type { Printed } from "./run_notes.ts";

/** Takes the packets of a capture, chunk by chunk. */
export interface Dissection extends Disposable {
  /** Takes the packets of the chunk that came last. */
  readonly sink: PacketSink;
  /** A chunk of CHUNK_BYTES at most comes. @param limit - packets beyond so many are left out. */
  begin(chunk: Uint8Array, limit: number): void;
  /**
   * All packets of the chunk were given. They are in the report now, or will be in time.
   *
   * @returns how many they were.
   */
  end(): Promise<number>;
  /** The capture is over: everything is in the report. */
  finish(): Promise<void>;
  /** Packets that are in the report. */
  readonly reported: number;
  /** A program prints a line. */
  print(line: string): void;
  /** What programs printed on packets that are in the report; given away. */
  printed(): Printed;
  /**
   * The packet, by its number, whose program reached the limit of instructions; null if there was
   * none. It is the last in the report.
   */
  readonly overLimit: number | null;
}

/** What packets meet, and where it is told. */
export interface DissectionOptions {
  readonly netns: NetNs;
  readonly report: Report;
  /** Input flags of the dissector. */
  readonly flags: number;
}

/** Page by page. */
export class PagedDissection implements Dissection {
  readonly sink: PageWriter;
  readonly #kernel: EmbeddedKernel;
  readonly #options: DissectionOptions;
  overLimit: number | null = null;
  #packets: number = 0;

  constructor(kernel: EmbeddedKernel, options: DissectionOptions) {
    this.#kernel = kernel;
    this.#options = options;
    this.sink = new PageWriter(kernel, options.flags);
  }

  begin(chunk: Uint8Array, limit: number): void {
    this.sink.begin(chunk, this.#packets + 1, limit);
  }

  async end(): Promise<number> {
    const { netns, report } = this.#options;
    const { batch } = this.sink;
    const given = batch.count;
    const errno = this.#kernel.dissectBatch(netns.fd, batch);
    if (errno < 0) throw refusal(this.#kernel, "netns.dissect", errno);
    const isOver = batch.count > 0 && batch.verdict(batch.count - 1) === VERDICT.limit;
    if (isOver || batch.count < given) this.overLimit = this.sink.cut(batch.count);
    const { count } = this.sink;
    this.#packets += count;
    report.addPage(this.sink.page);
    return count;
  }

  async finish(): Promise<void> {}

  get reported(): number {
    return this.#packets;
  }

  print(line: string): void {
    this.sink.print(line);
  }

  printed(): Printed {
    return this.sink.printed.take();
  }

  [Symbol.dispose](): void {
    this.sink.batch[Symbol.dispose]();
  }
}

/** Packet by packet. */
export class SingleDissection implements Dissection {
  readonly sink: PacketSink;
  readonly #options: DissectionOptions;
  #packets: number = 0;
  #before: number = 0;
  #limit: number = 0;

  constructor(options: DissectionOptions) {
    this.#options = options;
    this.sink = {
      packet: (...facts) => {
        if (this.#packets - this.#before < this.#limit) {
          this.#packet(new CapturedPacket(++this.#packets, ...facts));
        }
      },
    };
  }

  begin(_chunk: Uint8Array, limit: number): void {
    this.#before = this.#packets;
    this.#limit = limit;
  }

  async end(): Promise<number> {
    return this.#packets - this.#before;
  }

  async finish(): Promise<void> {}

  get reported(): number {
    return this.#packets;
  }

  /** Linux prints into its own trace buffer, and counts no instructions. */
  print(): void {}

  printed(): Printed {
    return { lines: [], omitted: 0 };
  }

  readonly overLimit: null = null;

  [Symbol.dispose](): void {}

  #packet(packet: CapturedPacket): void {
    const { netns, flags, report } = this.#options;
    report.add(packet.number, packet.capturedLength, dissect(netns, packet, flags));
  }
}

function dissect(netns: NetNs, packet: CapturedPacket, flags: number): Outcome {
  const frame = networkFrame(packet);
  if (frame.data === null) {
    const reason = reasonFor(frame.reason, packet.linkType);
    return { by: null, reason, isUnread: frame.reason === "link-type" };
  }
  try {
    const keysBytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
    const { by, verdict, retval, keys } = netns.dissect(frame, flags, keysBytes);
    return { by, verdict, retval, keys, keysBytes: keys === null ? null : keysBytes };
  } catch (error) {
    // Linux runs a program by hand on packets of certain sizes only.
    if (!(error instanceof BpfError) || error.code !== "EINVAL") throw error;
    return { by: null, reason: error.hint, isUnread: false };
  }
}
