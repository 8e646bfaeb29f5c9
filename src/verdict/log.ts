/**
 * What stands in a verifier's log, Linux's or the embedded kernel's: the words against a program,
 * the instruction that they are about, what was known there, and the figures at the end.
 */

import { KnownState } from "./known.ts";

/** What a verification took: the log's last lines. */
export interface Statistics {
  /** Instructions walked, each as often as paths came by. */
  readonly processed: number;
  /** How many may be walked. */
  readonly limit: number;
  /** States kept: the most at one instruction, all in all, and the most at one time. */
  readonly maxStatesPerInstruction: number;
  readonly totalStates: number;
  readonly peakStates: number;
  /** Microseconds; null unless the log was asked for statistics (level 4). */
  readonly timeUs: number | null;
}

/** A line of the source, as far as a log tells. */
export interface LoggedLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** A log taken apart. */
export interface LogReading {
  /** What is wrong, in the verifier's words, perhaps in several lines; "" when nothing is. */
  readonly message: string;
  /** Where, in slots of 8 bytes; null when the log doesn't say. */
  readonly slot: number | null;
  /** The instruction there, as the log writes it; "" when it doesn't. */
  readonly instruction: string;
  /** The source line there; null when the log has none. */
  readonly line: LoggedLine | null;
  /** What was known there: "R2" -> "pkt(id=2,r=0)", "fp-8" -> "scalar()"; none that is unset. */
  readonly known: ReadonlyMap<string, string>;
}

const PROCESSED = new RegExp(
  "processed (\\d+) insns \\(limit (\\d+)\\) " +
    "max_states_per_insn (\\d+) total_states (\\d+) peak_states (\\d+)",
);
const TIME = /^verification time (\d+) usec/m;
const INSTRUCTION = /^(\d+): \([0-9a-f]{2}\) (.*)$/;
const SOURCE = /^; (.*) @ (.+):(\d+)$/;
/** A state that stands by itself, behind "from 5 to 11:" or behind a slot. */
const STATE =
  /^(?:(from) \d+ to \d+[^:]*: ?|\d+: | ?)((?:frame\d+: ?)?(?:(?:R\d+|fp-?\d+)\w*=.*)?)$/;
/** Where a whole state follows. */
const HEADING = /^(?:callee:|to caller at \d+:)$/;
/** The walk went on to here: what was said before it is no longer so. */
const REMARKS = [
  /^; /,
  /^(?:mark_precise|last_idx|regs=|parent|propagating|func#\d|caller:|returning from callee:)/,
  /^(?:processed \d|verification time|stack depth|cur state:|old state:|Live regs before insn)/,
  /^\(\d+(?:,\d+)*\) (?:frame \d|live stack)/,
  /^(?:Func#\d+ \(.*\) is safe|Validating |\d+: safe$|from \d+ to \d+: safe$)/,
  /^ +\d+: [.\d]{10,} \([0-9a-f]{2}\)/,
];
/** Where a message names its instruction. */
const NAMED_SLOT = /\binsn (\d+)/;

/** The figures at the end of a log; null when it was cut, or none was asked for. */
export function readStatistics(log: string): Statistics | null {
  const figures = PROCESSED.exec(log);
  if (figures === null) return null;
  const [processed = 0, limit = 0, most = 0, total = 0, peak = 0] = figures.slice(1).map(Number);
  const time = TIME.exec(log)?.[1];
  return {
    processed,
    limit,
    maxStatesPerInstruction: most,
    totalStates: total,
    peakStates: peak,
    timeUs: time === undefined ? null : Number(time),
  };
}

/** Takes a log apart. */
export function readLog(log: string): LogReading {
  const reader = new Reader();
  // Some of Linux's messages have no end of line of their own, or begin behind an instruction.
  const lines = log.replace(/(?=processed \d+ insns)|(?<= )(?=infinite loop detected)/g, "\n");
  for (const line of lines.split("\n")) reader.read(line.trimEnd());
  return reader.finish();
}

/** Follows the walk line by line: only what is so at its end counts. */
class Reader {
  #message: string[] = [];
  #slot: number | null = null;
  #instruction: string = "";
  #line: LoggedLine | null = null;
  readonly #known: KnownState = new KnownState();
  #startsOver: boolean = false;

  read(line: string): void {
    const instruction = INSTRUCTION.exec(line);
    const source = SOURCE.exec(line);
    const state = STATE.exec(line);
    if (instruction !== null) {
      this.#readInstruction(Number(instruction[1]), instruction[2] ?? "");
    } else if (source !== null) {
      const [, text = "", file = "", number = ""] = source;
      this.#line = { file, line: Number(number), text };
    } else if (HEADING.test(line)) {
      this.#startsOver = true;
    } else if (line !== "" && state !== null) {
      const isAll = this.#startsOver || state[1] !== undefined;
      this.#known.learn(state[2] ?? "", isAll ? "all" : "change");
      this.#startsOver = false;
    } else if (line !== "" && !REMARKS.some((remark) => remark.test(line))) {
      this.#message.push(line);
    }
  }

  finish(): LogReading {
    const message = this.#message.join("\n");
    const named = NAMED_SLOT.exec(message)?.[1];
    const slot = named === undefined ? this.#slot : Number(named);
    const isHere = slot === this.#slot;
    return {
      message,
      slot,
      instruction: isHere ? this.#instruction : "",
      line: isHere ? this.#line : null,
      known: isHere ? this.#known.here : new Map(),
    };
  }

  #readInstruction(slot: number, rest: string): void {
    const [text = "", learnt = ""] = rest.split(/ +; (?=frame\d|R\d|fp)/);
    this.#message = [];
    this.#slot = slot;
    this.#instruction = text.trimEnd();
    if (text.startsWith("call ")) this.#known.forgetArguments();
    if (learnt !== "") this.#known.learn(learnt, text.startsWith("if ") ? "comparison" : "change");
  }
}
