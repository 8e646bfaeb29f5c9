/**
 * `nslink run`: a capture through a flow dissector that is attached by a link.
 */

import { Collection } from "../collection.ts";
import { EmbeddedKernel } from "../kernel/index.ts";
import { Link } from "../link.ts";
import { type DissectedPacket, NetNs } from "../netns.ts";
import {
  type CapturedPacket,
  CaptureError,
  networkFrame,
  readCaptureBatches,
} from "../packet/index.ts";
import { UsageError } from "./failure.ts";
import { chooseDissector, openCapture, readObject } from "./files.ts";
import { endpoints, FlowTable, protocolName, traits } from "./flows.ts";
import { Progress } from "./progress.ts";
import { type Column, counted, formatRow, grouped, table } from "./text.ts";

export interface RunOptions {
  readonly program?: string;
  readonly json?: boolean;
  readonly summary?: boolean;
  readonly flags?: number;
  readonly limit?: number;
}

/** Flows in the table at the end. */
const FLOWS_SHOWN = 20;

const COLUMNS: readonly Column[] = [
  { title: "packet", align: "right" },
  { title: "bytes", align: "right" },
  { title: "by" },
  { title: "verdict" },
  { title: "protocol" },
  { title: "flow" },
];
const WIDTHS: readonly number[] = [6, 5, 5, 8, 8, 0];

/** What a packet came to, or why no dissector was asked. */
type Outcome = DissectedPacket | { readonly by: null; readonly reason: string };

/** Attaches, dissects, reports. */
export async function run(
  objectPath: string,
  capturePath: string,
  options: RunOptions,
): Promise<void> {
  const object = await readObject(objectPath);
  const spec = chooseDissector(object, options.program);
  const capture = await openCapture(capturePath);

  using kernel = EmbeddedKernel.boot();
  using netns = NetNs.create(kernel, "run");
  using collection = Collection.load(kernel, object);
  using _link = Link.attach(collection.program(spec.name), netns);

  const report = options.json === true ? new JsonReport() : new TableReport(options, spec.name);
  const progress = new Progress(capture.sizeBytes);
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  let bytesRead = 0;
  let packets = 0;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of capture.chunks) {
      bytesRead += chunk.length;
      yield chunk;
    }
  }

  let warning = "";
  try {
    for await (const batch of readCaptureBatches(chunks())) {
      const wanted = batch.slice(0, limit - packets);
      for (const packet of wanted) report.add(packet, dissect(netns, packet, options.flags ?? 0));
      packets += wanted.length;
      progress.clear();
      await write(report.take());
      progress.update(bytesRead, counted(packets, "packet"));
      if (packets >= limit) break;
    }
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    warning = `${capturePath}: ${error.message}`;
    // The packets before the place where a file was cut off are as good as any.
    if (error.kind !== "truncated" || packets === 0) throw new UsageError(warning);
  } finally {
    progress.clear();
  }
  await write(report.end());
  if (warning !== "") process.stderr.write(`nslink: warning: ${warning}\n`);
}

function dissect(netns: NetNs, packet: CapturedPacket, flags: number): Outcome {
  const frame = networkFrame(packet);
  if (frame.data !== null) return netns.dissect(frame, flags);
  const reasons = {
    short: "shorter than its link-layer header",
    "no-protocol": "its link-layer header names no network protocol",
  };
  return { by: null, reason: reasons[frame.reason] };
}

/** Waits while the reader is slow, so that output never piles up in memory. */
async function write(text: string): Promise<void> {
  if (text === "" || process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}

/** Collects lines and hands them out in pieces. */
interface Report {
  add(packet: CapturedPacket, outcome: Outcome): void;
  /** What there is to print by now. */
  take(): string;
  /** What comes last. */
  end(): string;
}

/** A line a packet; packets that no dissector can be given are Linux's to drop. */
class JsonReport implements Report {
  #lines: string[] = [];

  add(packet: CapturedPacket, outcome: Outcome): void {
    this.#lines.push(JSON.stringify({ packet: packet.number, ...jsonOf(outcome) }));
  }

  take(): string {
    const lines = this.#lines;
    this.#lines = [];
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }

  end(): string {
    return "";
  }
}

function jsonOf(outcome: Outcome): object {
  if (outcome.by === null) {
    const nothing = { retval: null, keys: null, keys_hex: null };
    return { by: "linux", verdict: "drop", ...nothing, reason: outcome.reason };
  }
  const { by, verdict, retval, keys, keysBytes } = outcome;
  return { by, verdict, retval, keys, keys_hex: keysBytes === null ? null : hex(keysBytes) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** A table of packets, then one of flows, then the sums. */
class TableReport implements Report {
  readonly #withPackets: boolean;
  readonly #program: string;
  readonly #flows: FlowTable = new FlowTable();
  readonly #verdicts: Map<string, number> = new Map();
  #lines: string[] = [];
  #packets: number = 0;
  #bytes: number = 0;

  constructor(options: RunOptions, program: string) {
    this.#program = program;
    this.#withPackets = options.summary !== true;
    const titles = COLUMNS.map(({ title }) => title);
    if (this.#withPackets) this.#lines.push(formatRow(COLUMNS, WIDTHS, titles));
  }

  add(packet: CapturedPacket, outcome: Outcome): void {
    this.#packets++;
    this.#bytes += packet.capturedLength;
    const verdict = outcome.by === null ? "not dissected" : outcome.verdict;
    this.#verdicts.set(verdict, (this.#verdicts.get(verdict) ?? 0) + 1);
    if (outcome.by !== null && outcome.verdict === "ok" && outcome.keys !== null) {
      this.#flows.add(outcome.keys, packet.capturedLength);
    }
    if (this.#withPackets) this.#lines.push(packetRow(packet, outcome));
  }

  take(): string {
    const lines = this.#lines;
    this.#lines = [];
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }

  end(): string {
    const verdicts = [...this.#verdicts].map(([verdict, count]) => `${verdict} ${grouped(count)}`);
    const sums = [
      `${counted(this.#packets, "packet")} of ${counted(this.#bytes, "byte")}`,
      `through ${this.#program}`,
      verdicts.join(", "),
    ];
    return `${this.take()}${this.#flowTable()}${sums.filter((part) => part !== "").join("; ")}\n`;
  }

  #flowTable(): string {
    const flows = this.#flows.largest(FLOWS_SHOWN);
    if (flows.length === 0) return "";
    const rows = flows.map(({ protocol, endpoints: ends, packets, bytes }) => [
      grouped(packets),
      grouped(bytes),
      protocol,
      ends,
    ]);
    const columns: readonly Column[] = [
      { title: "packets", align: "right" },
      { title: "bytes", align: "right" },
      { title: "protocol" },
      { title: "flow" },
    ];
    const more = this.#flows.size - flows.length;
    const overflow = this.#flows.overflow;
    return [
      this.#withPackets ? "\n" : "",
      table(columns, rows),
      more > 0 ? `and ${counted(more, "smaller flow")}\n` : "",
      overflow > 0 ? `and ${counted(overflow, "packet")} of flows beyond those\n` : "",
      "\n",
    ].join("");
  }
}

function packetRow(packet: CapturedPacket, outcome: Outcome): string {
  const start = [`${packet.number}`, `${packet.capturedLength}`];
  if (outcome.by === null) {
    return formatRow(COLUMNS, WIDTHS, [...start, "-", "-", "", outcome.reason]);
  }
  const { by, verdict, keys } = outcome;
  const flow = keys === null ? [] : [endpoints(keys), traits(keys)];
  const protocol = keys === null ? "" : protocolName(keys);
  const text = flow.filter((part) => part !== "").join("  ");
  return formatRow(COLUMNS, WIDTHS, [...start, by, verdict, protocol, text]);
}
