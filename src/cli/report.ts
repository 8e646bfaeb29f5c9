/**
 * How `nslink run` tells what became of the packets: lines of JSON, or tables.
 */

import type { CapturedPacket } from "../packet/index.ts";
import { FlowTable } from "./flows.ts";
import { flowOf, type Outcome, protocolOf, VERDICTS, verdictOf } from "./outcome.ts";
import { type Column, counted, formatRow, grouped, table } from "./text.ts";

/** Collects lines and hands them out in pieces. */
export interface Report {
  add(packet: CapturedPacket, outcome: Outcome): void;
  /** What there is to print by now. */
  take(): string;
  /** What comes last. */
  end(): string;
}

/** A line a packet; packets that no dissector can be given are Linux's to drop. */
export class JsonReport implements Report {
  #lines: string[] = [];

  add(packet: CapturedPacket, outcome: Outcome): void {
    this.#lines.push(JSON.stringify({ packet: packet.number, ...jsonOf(outcome) }));
  }

  take(): string {
    const text = joined(this.#lines);
    this.#lines = [];
    return text;
  }

  end(): string {
    return this.take();
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

function joined(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

const PACKET_COLUMNS: readonly Column[] = [
  { title: "packet", align: "right" },
  { title: "bytes", align: "right" },
  { title: "by" },
  { title: "verdict" },
  { title: "protocol" },
  { title: "flow" },
];
/** Rows are printed as packets come, before the widest is known: wide enough for most. */
const PACKET_WIDTHS: readonly number[] = [6, 5, 5, 8, 8, 0];

const FLOW_COLUMNS: readonly Column[] = [
  { title: "packets", align: "right" },
  { title: "bytes", align: "right" },
  { title: "protocol" },
  { title: "flow" },
];
/** Flows in the table at the end. */
const FLOWS_SHOWN = 20;

/** A table of packets, then one of flows, then the sums. */
export class TableReport implements Report {
  readonly #program: string;
  readonly #withPackets: boolean;
  readonly #flows: FlowTable = new FlowTable();
  readonly #verdicts: Map<string, number> = new Map();
  #lines: string[] = [];
  #packets: number = 0;
  #bytes: number = 0;

  /**
   * @param program - its name, for the sums.
   * @param withPackets - false: no line a packet.
   */
  constructor(program: string, withPackets: boolean) {
    this.#program = program;
    this.#withPackets = withPackets;
    const titles = PACKET_COLUMNS.map(({ title }) => title);
    if (withPackets) this.#lines.push(formatRow(PACKET_COLUMNS, PACKET_WIDTHS, titles));
  }

  add(packet: CapturedPacket, outcome: Outcome): void {
    this.#packets++;
    this.#bytes += packet.capturedLength;
    const verdict = verdictOf(outcome);
    this.#verdicts.set(verdict, (this.#verdicts.get(verdict) ?? 0) + 1);
    if (outcome.by !== null && outcome.verdict === "ok" && outcome.keys !== null) {
      this.#flows.add(outcome.keys, packet.capturedLength);
    }
    if (this.#withPackets) this.#lines.push(packetRow(packet, outcome));
  }

  take(): string {
    const text = joined(this.#lines);
    this.#lines = [];
    return text;
  }

  end(): string {
    const packets = counted(this.#packets, "packet");
    const bytes = counted(this.#bytes, "byte");
    const verdicts = VERDICTS.flatMap((verdict) => {
      const count = this.#verdicts.get(verdict);
      return count === undefined ? [] : [`${grouped(count)} ${verdict}`];
    });
    const sums = [`${packets}, ${bytes}, through ${this.#program}`, verdicts.join(", ")];
    const line = sums.filter((part) => part !== "").join(": ");
    const gap = this.#withPackets ? "\n" : "";
    return `${this.take()}${gap}${this.#flowTable()}${line}\n`;
  }

  #flowTable(): string {
    const flows = this.#flows.largest(FLOWS_SHOWN);
    if (flows.length === 0) return "";
    const rows = flows.map(({ packets, bytes, protocol, endpoints }) => {
      return [grouped(packets), grouped(bytes), protocol, endpoints || "-"];
    });
    const more = this.#flows.size - flows.length;
    const overflow = this.#flows.overflow;
    return [
      table(FLOW_COLUMNS, rows),
      more > 0 ? `and ${counted(more, "smaller flow")}\n` : "",
      overflow > 0 ? `and ${counted(overflow, "packet")} of flows beyond those\n` : "",
      "\n",
    ].join("");
  }
}

function packetRow(packet: CapturedPacket, outcome: Outcome): string {
  return formatRow(PACKET_COLUMNS, PACKET_WIDTHS, [
    `${packet.number}`,
    `${packet.capturedLength}`,
    outcome.by ?? "-",
    verdictOf(outcome),
    protocolOf(outcome),
    flowOf(outcome),
  ]);
}
