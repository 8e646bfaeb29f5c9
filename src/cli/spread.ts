/**
 * A capture spread over threads: this one reads, finds the packets and calls helpers; the others
 * dissect a page each and tell what came of it, and their parts are put together in order.
 */

import { Worker } from "node:worker_threads";
import type { EmbeddedKernel, Spread } from "../kernel/index.ts";
import type { PacketSink } from "../packet/index.ts";
import type { Dissection, DissectionOptions } from "./dissection.ts";
import { PageWriter } from "./page.ts";
import type { Format, Report } from "./report.ts";
import type { Printed } from "./run_notes.ts";
import {
  ANSWER,
  type PageJob,
  type PageResult,
  type ThreadMessage,
  type ThreadStart,
} from "./spread_messages.ts";

/** Each thread has one page to work on, and one that is being filled or waits. */
const PAGES_PER_THREAD = 2;

/** A page on its way: dissected by a thread, in time. */
interface Sent {
  readonly cpu: number;
  readonly page: number;
  readonly result: Promise<PageResult>;
}

/** Page by page, each on the thread whose turn it is. */
export class SpreadDissection implements Dissection {
  readonly sink: PacketSink;
  readonly #report: Report;
  readonly #spread: Spread;
  readonly #pages: readonly PageWriter[];
  readonly #threads: readonly Thread[];
  /** Pages that threads have, the oldest first. */
  readonly #sent: Sent[] = [];
  /** The page that is being filled. */
  #page: number = 0;
  #packets: number = 0;
  overLimit: number | null = null;
  /** Packets that are in the report. */
  reported: number = 0;
  /** The page whose program calls a helper. */
  #called: PageWriter | null = null;
  /** What was printed on packets that are in the report, page after page. */
  #lines: string[] = [];
  #omitted: number = 0;

  constructor(
    kernel: EmbeddedKernel,
    { report, flags }: DissectionOptions,
    { spread, threads, format }: { spread: Spread; threads: number; format: Format },
  ) {
    this.#report = report;
    this.#spread = spread;
    const pages = Array.from({ length: threads * PAGES_PER_THREAD }, () => {
      return new PageWriter(kernel, flags);
    });
    this.#pages = pages;
    this.#threads = Array.from({ length: threads }, (_, cpu) => {
      return new Thread(spread, cpu, format, pages, (page) => {
        this.#called = page;
      });
    });
    this.sink = {
      packet: (linkType, capturedLength, originalLength, bytes, start) => {
        this.#writer.packet(linkType, capturedLength, originalLength, bytes, start);
      },
    };
  }

  get #writer(): PageWriter {
    return this.#pages[this.#page] as PageWriter;
  }

  begin(chunk: Uint8Array, limit: number): void {
    this.#writer.begin(chunk, this.#packets + 1, limit);
  }

  async end(): Promise<number> {
    const { count, batch } = this.#writer;
    const page = this.#page;
    const cpu = page % this.#threads.length;
    const thread = this.#threads[cpu] as Thread;
    const { context, descriptors, records } = batch;
    const { stopsAtLimit } = batch;
    const place = { context, descriptors, records, count: batch.count, stopsAtLimit };
    const result = thread.dissect({ ...place, page, packets: count, first: this.#packets + 1 });
    this.#sent.push({ cpu, page, result });
    this.#packets += count;
    if (this.#sent.length === this.#pages.length) await this.#takeOldest();
    this.#page = (page + 1) % this.#pages.length;
    return count;
  }

  async finish(): Promise<void> {
    while (this.#sent.length > 0) await this.#takeOldest();
  }

  [Symbol.dispose](): void {
    for (const thread of this.#threads) thread[Symbol.dispose]();
  }

  async #takeOldest(): Promise<void> {
    const sent = this.#sent.shift();
    if (sent === undefined) return;
    const { part, overLimit, dissected } = await sent.result;
    this.#report.addPart(part);
    this.reported += part.tally.packets;
    this.#spread.note(sent.cpu, dissected);
    const writer = this.#pages[sent.page] as PageWriter;
    const { lines, omitted } = writer.printed.take();
    this.#lines = this.#lines.length === 0 ? [...lines] : this.#lines.concat(lines);
    this.#omitted += omitted;
    if (overLimit === null) return;
    // Nothing that comes later counts.
    this.overLimit = overLimit;
    this.#sent.length = 0;
  }

  print(line: string): void {
    this.#called?.print(line);
  }

  printed(): Printed {
    const printed = { lines: this.#lines, omitted: this.#omitted };
    this.#lines = [];
    this.#omitted = 0;
    return printed;
  }
}

/** A thread that dissects pages in the order in which it is given them. */
class Thread implements Disposable {
  readonly #spread: Spread;
  readonly #pages: readonly PageWriter[];
  /** Is told for which page a helper is called. */
  readonly #serves: (page: PageWriter) => void;
  readonly #worker: Worker;
  readonly #answer: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  /** Those who wait for what comes of their pages, in order. */
  readonly #waiting: { resolve: (of: PageResult) => void; reject: (error: Error) => void }[] = [];
  #failure: Error | null = null;

  constructor(
    spread: Spread,
    cpu: number,
    format: Format,
    pages: readonly PageWriter[],
    serves: (page: PageWriter) => void,
  ) {
    this.#spread = spread;
    this.#pages = pages;
    this.#serves = serves;
    const { image } = spread;
    const columns = pages.map(({ lengths, places }) => ({ lengths, places }));
    const workerData: ThreadStart = { image, cpu, format, answer: this.#answer, pages: columns };
    this.#worker = new Worker(new URL("./spread_worker.js", import.meta.url), { workerData });
    this.#worker.on("message", (message: ThreadMessage) => this.#receive(message));
    this.#worker.on("error", (error: Error) => this.#fail(error));
  }

  dissect(job: PageJob): Promise<PageResult> {
    const result = new Promise<PageResult>((resolve, reject) => {
      if (this.#failure === null) this.#waiting.push({ resolve, reject });
      else reject(this.#failure);
    });
    // It is looked at when its turn comes.
    result.catch(() => {});
    this.#worker.postMessage(job);
    return result;
  }

  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }

  #receive(message: ThreadMessage): void {
    if (message.kind === "page") {
      this.#waiting.shift()?.resolve(message.result);
      return;
    }
    const page = this.#pages[message.page] as PageWriter;
    const { batch } = page;
    this.#serves(page);
    let state: number = ANSWER.stopped;
    try {
      if (this.#spread.call(batch, message.call)) state = ANSWER.goesOn;
    } catch (error) {
      this.#fail(error instanceof Error ? error : new TypeError(`thrown: ${error}`));
    }
    Atomics.store(this.#answer, 0, state);
    Atomics.notify(this.#answer, 0);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
