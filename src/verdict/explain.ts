/**
 * A verifier's log in the terms of the program's own source.
 */

import { decodeInstructions, listing } from "../asm/index.ts";
import { CALL_CAUSES } from "./call_causes.ts";
import type { CauseRule } from "./cause.ts";
import { type LogReading, readLog } from "./log.ts";
import { MEMORY_CAUSES } from "./memory_causes.ts";
import { STRUCTURE_CAUSES } from "./structure_causes.ts";

/** In this order: the first whose words are in a log is the one. */
const VERDICT_CAUSES: readonly CauseRule[] = [
  ...MEMORY_CAUSES,
  ...CALL_CAUSES,
  ...STRUCTURE_CAUSES,
];

/** All causes by their ids, with what mends a program when no numbers are known. */
export function listVerdictCauses(): VerdictCause[] {
  const empty: LogReading = {
    message: "",
    slot: null,
    instruction: "",
    line: null,
    known: new Map(),
  };
  const byId = new Map<string, VerdictCause>();
  for (const rule of VERDICT_CAUSES) {
    if (!byId.has(rule.id)) byId.set(rule.id, causeOf(rule, empty));
  }
  return [...byId.values()];
}

/** Why a verifier refused a program. */
export interface VerdictCause {
  /** Stable: "unchecked-packet-access". */
  readonly id: string;
  /** What is wrong, as a sentence without its full stop. */
  readonly sentence: string;
  /** What usually mends it, likewise. */
  readonly mend: string;
}

/** An instruction of a refused program. */
export interface RefusedInstruction {
  /** Where it stands, in slots of 8 bytes. */
  readonly slot: number;
  /** As `nslink disasm` writes it. */
  readonly text: string;
}

/** A line of the source of a refused program. */
export interface RefusedLine {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Empty when it isn't known. */
  readonly text: string;
}

/** Where the instructions from `slot` on come from. */
export interface ProgramLine extends RefusedLine {
  readonly slot: number;
}

/** What a log comes to. */
export interface VerdictExplanation {
  /** The verifier's own words, perhaps several lines; "" when it has nothing against a program. */
  readonly message: string;
  /** Null for words that no cause is known for. */
  readonly cause: VerdictCause | null;
  /** Null when it is about none. */
  readonly instruction: RefusedInstruction | null;
  /** Null when it isn't known, as for objects that were compiled without `-g`. */
  readonly line: RefusedLine | null;
  /**
   * What was known of the registers that the instruction or the message names, in the verifier's
   * words: `{ R2: "pkt(r=0)" }`.
   */
  readonly registers: Readonly<Record<string, string>>;
}

/** What the caller knows of the program. */
export interface ExplainedProgram {
  /** 8 bytes a slot, as they were loaded; without them the log's own words are used. */
  readonly instructions?: Uint8Array;
  /** Ordered by slot, as `ProgramSpec.lines`; without them the log's own. */
  readonly lines?: readonly ProgramLine[];
}

/** What stands for a register into which nothing was put. */
const UNSET = "uninitialized";

/** Finds out why a program was refused, from the log of Linux's or the embedded verifier. */
export function explainVerdict(log: string, program: ExplainedProgram = {}): VerdictExplanation {
  const reading = readLog(log);
  const rule = VERDICT_CAUSES.find((each) => applies(each, reading));
  const isGeneral = rule?.isGeneral === true;
  const instruction = isGeneral ? null : instructionOf(reading, program);
  return {
    message: reading.message,
    cause: rule === undefined ? null : causeOf(rule, reading),
    instruction,
    line: isGeneral ? null : lineOf(reading, program),
    registers: instruction === null ? {} : registersOf(reading, instruction.text),
  };
}

function applies({ words, when }: CauseRule, reading: LogReading): boolean {
  return words.some((each) => each.test(reading.message)) && (when?.(reading) ?? true);
}

function causeOf({ id, sentence, mend }: CauseRule, reading: LogReading): VerdictCause {
  return { id, sentence, mend: typeof mend === "string" ? mend : mend(reading) };
}

function instructionOf(
  { slot, instruction }: LogReading,
  { instructions }: ExplainedProgram,
): RefusedInstruction | null {
  if (slot === null) return null;
  if (instructions === undefined) return instruction === "" ? null : { slot, text: instruction };
  const found = listing(decodeInstructions(instructions)).find((line) => line.slot === slot);
  return found === undefined ? null : { slot, text: found.text };
}

function lineOf(
  { slot, line: logged }: LogReading,
  { lines }: ExplainedProgram,
): RefusedLine | null {
  if (slot === null || lines === undefined || lines.length === 0) return logged;
  const found = lines.findLast((line) => line.slot <= slot);
  if (found === undefined) return null;
  return { file: found.file, line: found.line, text: found.text.trim() };
}

function registersOf({ message, known }: LogReading, text: string): Record<string, string> {
  if (known.size === 0) return {};
  const registers: Record<string, string> = {};
  for (const [name] of message.matchAll(/\bR\d+\b/g)) registers[name] = known.get(name) ?? UNSET;
  // What the instruction sets needs no contents; what it reads has some, or the message says so.
  for (const [, number] of text.matchAll(/\b[rw](\d+)\b/g)) {
    const contents = known.get(`R${number}`);
    if (contents !== undefined) registers[`R${number}`] = contents;
  }
  return registers;
}
