/**
 * What `nslink run` tells on standard error of the programs that ran: what they printed, where they
 * were stopped, and which of their tail calls missed.
 */

import type { Collection } from "../collection.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import type { EmbeddedKernel, TailCallMisses } from "../kernel/index.ts";
import { counted } from "./text.ts";

/**
 * Lines of bpf_printk that are kept until the packets of a piece of the capture are done: a loop
 * can print more than there is memory for.
 */
export const MAX_PRINTED_LINES = 100_000;

/** What programs printed on some packets. */
export interface Printed {
  /** In the order of the capture, with the packet's number. */
  readonly lines: readonly string[];
  /** Lines beyond {@link MAX_PRINTED_LINES}. */
  readonly omitted: number;
}

/** Collects what programs print. */
export class PrintedLines {
  #lines: string[] = [];
  #omitted: number = 0;

  /** @param packet - its number in the capture. */
  add(packet: number, line: string): void {
    if (this.#lines.length === MAX_PRINTED_LINES) this.#omitted++;
    else this.#lines.push(`packet ${packet}: ${line.replaceAll("\n", "\\n")}`);
  }

  /** Gives all away. */
  take(): Printed {
    const taken = { lines: this.#lines, omitted: this.#omitted };
    if (taken.lines.length > 0) this.#lines = [];
    this.#omitted = 0;
    return taken;
  }
}

/** Where a run was stopped by its limit, for people: program, source line, instruction. */
export function stopPlace(
  kernel: EmbeddedKernel,
  collection: Collection,
  object: ObjectSpec,
): string {
  const fault = kernel.lastFault;
  if (fault === null) return "at an unknown place";
  const { programId, slot } = fault;
  const found = [...collection.programs].find(([, { info }]) => info.id === programId);
  if (found === undefined) return `in program ${programId} at instruction ${slot}`;
  const [name] = found;
  const where = sourceOf(object.programs.get(name), slot);
  return `in program ${name}${where === "" ? "" : ` at ${where}`}, instruction ${slot}`;
}

/** "file.c:12: the line's text", or "" where the object has no source lines. */
function sourceOf(spec: ProgramSpec | undefined, slot: number): string {
  const line = spec?.lines.findLast((each) => each.slot <= slot);
  if (line === undefined) return "";
  const text = line.text.trim();
  return `${line.file}:${line.line}${text === "" ? "" : `: ${text}`}`;
}

/** Slots that are told of; the others are summed up. */
const MISSES_SHOWN = 20;

/** Notes about tail calls that missed since the kernel was last asked. */
export function missNotes(kernel: EmbeddedKernel): string[] {
  const { slots, others } = kernel.takeTailCallMisses();
  const largest = slots.toSorted((one, other) => other.count - one.count);
  const notes = largest.slice(0, MISSES_SHOWN).map(missNote);
  const rest = largest.slice(MISSES_SHOWN).reduce((sum, { count }) => sum + count, others);
  if (rest > 0) notes.push(`tail calls through further slots missed ${counted(rest, "time")}`);
  return notes;
}

function missNote({ mapName, mapEntries, index, reason, count }: TailCallMisses): string {
  const why = {
    empty: "no program is there",
    range: `the map has ${counted(mapEntries, "slot")}`,
    limit: "the run had made as many tail calls as it may",
  }[reason];
  const slot = `slot ${index} of map ${mapName}`;
  return `tail calls through ${slot} missed ${counted(count, "time")}: ${why}`;
}
