/**
 * How `nslink run` tells what became of the packets: lines of JSON, or tables.
 */

import { flowOf, type Outcome, protocolOf, VERDICTS, verdictOf } from "./outcome.ts";
import { outcomeAt, type Page } from "./page.ts";
import { Tally, type TallyColumns } from "./tally.ts";
import { type Column, counted, formatRow, grouped, table } from "./text.ts";

/**
 * `json`: a line a packet. `table`: a row a packet, then flows and sums. `summary`: flows and sums.
 */
export type Format = "json" | "table" | "summary";

/** A piece of a report, made elsewhere. */
export interface ReportPart {
  readonly text: string;
  readonly tally: TallyColumns;
}

/** Collects lines and sums; lines are handed out in pieces. */
export class Report {
  readonly tally: Tally;
  readonly #format: Format;
  #text: string[] = [];
  /** What stands above the packets, until it is printed. */
  #header: string = "";

  constructor(format: Format) {
    this.#format = format;
    this.tally = new Tally(format !== "json");
    const titles = PACKET_COLUMNS.map(({ title }) => title);
    if (format === "table") this.#header = `${formatRow(PACKET_COLUMNS, PACKET_WIDTHS, titles)}\n`;
  }

  /** @param number - in the capture, from 1. @param bytes - that the capture has of the packet. */
  add(number: number, bytes: number, outcome: Outcome): void {
    this.tally.add(bytes, outcome);
    this.#line(number, bytes, outcome);
  }

  /** All packets of a page. */
  addPage(page: Page): void {
    this.tally.addPage(page);
    if (this.#format === "summary") return;
    const { first, lengths, count } = page;
    for (let i = 0; i < count; i++) this.#line(first + i, lengths[i] ?? 0, outcomeAt(page, i));
  }

  /** Continues with a piece that another report gave away. */
  addPart({ text, tally }: ReportPart): void {
    this.#text.push(text);
    this.tally.merge(tally);
  }

  /** Gives all there is away. */
  takePart(): ReportPart {
    const part = { text: this.#text.join(""), tally: this.tally.columns };
    this.#text = [];
    this.tally.clear();
    return part;
  }

  /** What there is to print by now. */
  take(): string {
    const text = this.#text.join("");
    if (text === "") return "";
    const header = this.#header;
    this.#text = [];
    this.#header = "";
    return header + text;
  }

  /** What comes last. @param program - its name. */
  end(program: string): string {
    if (this.#format === "json") return this.take();
    const gap = this.#format === "table" ? "\n" : "";
    const rows = this.take() || this.#header;
    return `${rows}${gap}${flowTable(this.tally)}${sums(this.tally, program)}\n`;
  }

  #line(number: number, bytes: number, outcome: Outcome): void {
    if (this.#format === "json") {
      this.#text.push(JSON.stringify({ packet: number, ...jsonOf(outcome) }), "\n");
    } else if (this.#format === "table") {
      this.#text.push(packetRow(number, bytes, outcome), "\n");
    }
  }
}

/** Packets that no dissector can be given are Linux's to drop, as far as they are known. */
function jsonOf(outcome: Outcome): object {
  if (outcome.by === null) {
    const nothing = { retval: null, keys: null, keys_hex: null };
    const { reason, isUnread } = outcome;
    if (isUnread) return { by: null, verdict: "none", ...nothing, reason };
    return { by: "linux", verdict: "drop", ...nothing, reason };
  }
  const { by, verdict, retval, keys, keysBytes } = outcome;
  return { by, verdict, retval, keys, keys_hex: keysBytes === null ? null : hex(keysBytes) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
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

function packetRow(number: number, bytes: number, outcome: Outcome): string {
  return formatRow(PACKET_COLUMNS, PACKET_WIDTHS, [
    `${number}`,
    `${bytes}`,
    outcome.by ?? "-",
    verdictOf(outcome),
    protocolOf(outcome),
    flowOf(outcome),
  ]);
}

const FLOW_COLUMNS: readonly Column[] = [
  { title: "packets", align: "right" },
  { title: "bytes", align: "right" },
  { title: "protocol" },
  { title: "flow" },
];
/** Flows in the table at the end. */
const FLOWS_SHOWN = 20;

function flowTable({ flows }: Tally): string {
  const largest = flows?.largest(FLOWS_SHOWN) ?? [];
  if (flows === null || largest.length === 0) return "";
  const rows = largest.map(({ packets, bytes, protocol, endpoints }) => {
    return [grouped(packets), grouped(bytes), protocol, endpoints || "-"];
  });
  const more = flows.size - largest.length;
  return [
    table(FLOW_COLUMNS, rows),
    more > 0 ? `and ${counted(more, "smaller flow")}\n` : "",
    flows.overflow > 0 ? `and ${counted(flows.overflow, "packet")} of flows beyond those\n` : "",
    "\n",
  ].join("");
}

function sums(tally: Tally, program: string): string {
  const packets = counted(tally.packets, "packet");
  const bytes = counted(tally.bytes, "byte");
  const verdicts = VERDICTS.flatMap((verdict) => {
    const count = tally.count(verdict);
    return count === 0 ? [] : [`${grouped(count)} ${verdict}`];
  });
  const parts = [`${packets}, ${bytes}, through ${program}`, verdicts.join(", ")];
  return parts.filter((part) => part !== "").join(": ");
}
