/**
 * Sums over the packets of a capture: verdicts, bytes, flows.
 */

import { BPF_FLOW_DISSECTOR_CONTINUE, BPF_OK } from "../abi/bpf.ts";
import { RECORD, VERDICT } from "../kernel/index.ts";
import { type FlowColumns, FlowTable } from "./flow_table.ts";
import { type Outcome, VERDICTS, verdictOf } from "./outcome.ts";
import { type Page, reasonAt, recordAt } from "./page.ts";

/** Sums as one tally hands them to another. */
export interface TallyColumns {
  readonly packets: number;
  readonly bytes: number;
  readonly verdicts: Float64Array;
  readonly reasons: ReadonlyMap<string, number>;
  readonly flows: FlowColumns | null;
}

const [OK, CONTINUE, DROP, STOPPED, NONE] = VERDICTS.map((_, i) => i) as [
  ...[number, number, number, number, number],
];

/** Counts packets. */
export class Tally {
  packets: number = 0;
  bytes: number = 0;
  /** Packets dissected with `ok`, by flow; null when nobody asks for them. */
  readonly flows: FlowTable | null;
  /** How many packets no dissector could be given, by the reason. */
  readonly reasons: Map<string, number> = new Map();
  /** By place in {@link VERDICTS}. */
  readonly #verdicts: Float64Array = new Float64Array(VERDICTS.length);

  constructor(withFlows: boolean) {
    this.flows = withFlows ? new FlowTable() : null;
  }

  /** Counts a packet of so many bytes. */
  add(bytes: number, outcome: Outcome): void {
    this.#count(VERDICTS.indexOf(verdictOf(outcome)), bytes);
    if (outcome.by === null) this.#because(outcome.reason, 1);
    if (outcome.by === null || outcome.verdict !== "ok" || outcome.keysBytes === null) return;
    this.flows?.addKeys(outcome.keysBytes, bytes);
  }

  /** Counts the packets of a page that was dissected. */
  addPage({ words, lengths, places, records, count }: Page): void {
    const flows = this.flows;
    const verdicts = this.#verdicts;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const bytes = lengths[i] as number;
      const place = places[i] as number;
      const at = recordAt(records, place) / 4;
      const verdict = at === 0 ? NONE : verdictAt(words, at);
      if (verdict === NONE) this.#because(reasonAt(place), 1);
      (verdicts[verdict] as number)++;
      sum += bytes;
      if (verdict === OK) flows?.add(words, at, bytes);
    }
    this.packets += count;
    this.bytes += sum;
  }

  /** How many packets came to a verdict. */
  count(verdict: (typeof VERDICTS)[number]): number {
    return this.#verdicts[VERDICTS.indexOf(verdict)] ?? 0;
  }

  get columns(): TallyColumns {
    const { packets, bytes, flows } = this;
    const verdicts = this.#verdicts.slice();
    const reasons = new Map(this.reasons);
    return { packets, bytes, verdicts, reasons, flows: flows === null ? null : flows.columns };
  }

  /** Counts all packets of another tally, as if they had come now. */
  merge({ packets, bytes, verdicts, reasons, flows }: TallyColumns): void {
    this.packets += packets;
    this.bytes += bytes;
    verdicts.forEach((count, i) => {
      (this.#verdicts[i] as number) += count;
    });
    for (const [reason, count] of reasons) this.#because(reason, count);
    if (flows !== null) this.flows?.merge(flows);
  }

  clear(): void {
    this.packets = 0;
    this.bytes = 0;
    this.#verdicts.fill(0);
    this.reasons.clear();
    this.flows?.clear();
  }

  #because(reason: string, packets: number): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + packets);
  }

  #count(verdict: number, bytes: number): void {
    this.packets++;
    this.bytes += bytes;
    (this.#verdicts[verdict] as number)++;
  }
}

/** A packet's place in {@link VERDICTS}, from its record. @param at - in words. */
function verdictAt(words: Int32Array, at: number): number {
  const verdict = words[at + RECORD.verdict / 4];
  if (verdict === VERDICT.none) return CONTINUE;
  if (verdict === VERDICT.fault || verdict === VERDICT.limit) return STOPPED;
  const retval = words[at + RECORD.retval / 4];
  if (retval === BPF_OK) return OK;
  return retval === BPF_FLOW_DISSECTOR_CONTINUE ? CONTINUE : DROP;
}
