/**
 * The walk as the log tells it: source lines, instructions, and what each of them read or changed.
 * Mirrors what do_check() prints in kernel/bpf/verifier.c, and when: the state after an instruction
 * is written when the next one is reached, on the instruction's own line if nothing came between.
 */

import * as I from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { Environment } from "./environment.ts";
import { ALL_PRECISE, EVERYTHING, formatFrame, type Precision, type Wanted } from "./format.ts";
import { instructionText } from "./instruction_text.ts";
import type { VerifierLog } from "./log.ts";
import type { State } from "./state.ts";

/** Comments stand at a multiple of so many columns (BPF_LOG_MIN_ALIGNMENT, BPF_LOG_ALIGNMENT). */
const MIN_ALIGNMENT = 8;
const ALIGNMENT = 40;
/** No single piece of text is longer (BPF_VERIFIER_TMP_LOG_SIZE, less a NUL). */
const MAX_PIECE = 1023;
const CALLER_SAVED = 0b11_1111;

/** Registers that an instruction reads or writes: after it, the log shows them. */
function touched({ opcode, dst, src, imm }: Instruction): number {
  const both = (1 << dst) | (1 << src);
  switch (I.BPF_CLASS(opcode)) {
    case I.BPF_ALU:
    case I.BPF_ALU64: {
      const operation = I.BPF_OP(opcode);
      const isUnary = operation === I.BPF_NEG || operation === I.BPF_END;
      return I.BPF_SRC(opcode) === I.BPF_X && !isUnary ? both : 1 << dst;
    }
    case I.BPF_LDX:
      return both;
    case I.BPF_STX:
      return I.BPF_MODE(opcode) === I.BPF_ATOMIC && imm === I.BPF_CMPXCHG ? both | 1 : both;
    case I.BPF_ST:
      return 1 << dst;
    case I.BPF_LD:
      if (opcode === I.BPF_LD_IMM64) return 1 << dst;
      return CALLER_SAVED | (1 << I.BPF_REG_6) | (I.BPF_MODE(opcode) === I.BPF_IND ? 1 << src : 0);
    default:
      return touchedByJump(opcode, both, dst);
  }
}

function touchedByJump(opcode: number, both: number, dst: number): number {
  switch (I.BPF_OP(opcode)) {
    case I.BPF_JA:
    case I.BPF_EXIT:
    case I.BPF_JCOND:
      return 0;
    case I.BPF_CALL:
      return CALLER_SAVED;
    default:
      return I.BPF_SRC(opcode) === I.BPF_X ? both : 1 << dst;
  }
}

/** Writes the steps of one verification. */
export class Trace {
  readonly #env: Environment;
  readonly #log: VerifierLog;
  readonly #isVerbose: boolean;
  readonly #precise: Precision | null;
  /** By slot: the instruction's text, and what it touches; made when it is first reached. */
  readonly #texts: (string | undefined)[] = [];
  readonly #touched: Uint16Array;
  /** What was touched since a state was last written. */
  #registers: number = 0;
  #low: number = 0;
  #high: number = 0;
  /** Where the last instruction's line ended, -1 before any; and its length. */
  #position: number = -1;
  #width: number = 0;
  #source: string | undefined;
  #startsPath: boolean = false;

  constructor(env: Environment) {
    const { log, subject } = env;
    this.#env = env;
    this.#log = log;
    this.#isVerbose = log.isVerbose;
    this.#precise = subject.bpfCapable ? null : ALL_PRECISE;
    this.#touched = Uint16Array.from(subject.insns, touched);
  }

  /** A walk begins. */
  start(): void {
    this.#source = undefined;
    this.#startsPath = false;
    this.touchAll();
  }

  /** Everything is to be written next. mark_verifier_state_scratched() in Linux. */
  touchAll(): void {
    this.#registers = -1;
    this.#low = -1;
    this.#high = -1;
  }

  /** A stack slot was written. */
  touchSlot(index: number): void {
    if (index < 32) this.#low |= 1 << index;
    else this.#high |= 1 << (index & 31);
  }

  /** Another path begins, or a function was left: all is written, with where it came from. */
  startPath(): void {
    this.#startsPath = true;
  }

  /** The path needs no further walk. */
  safe(slot: number): void {
    const text = `${slot}${this.#isGuess}: safe`;
    this.#log.line(this.#startsPath ? `\nfrom ${this.#env.previous} to ${text}` : `${slot}: safe`);
  }

  get #isGuess(): string {
    return this.#env.state.speculative ? " (speculative execution)" : "";
  }

  /** An instruction is about to be executed. */
  step(slot: number): void {
    const { state, previous } = this.#env;
    const log = this.#log;
    if (this.#startsPath && this.#isVerbose) {
      const all = formatFrame(state, state.depth, EVERYTHING, this.#precise);
      log.line(`\nfrom ${previous} to ${slot}${this.#isGuess}:${all}`);
      this.#startsPath = false;
    }
    if ((this.#registers | this.#low | this.#high) !== 0) this.change(slot);
    this.sourceLine(slot);
    const text = this.#texts[slot] ?? this.#describe(slot);
    log.write(text);
    this.#width = text.length;
    this.#position = log.length;
    this.#registers |= this.#touched[slot] as number;
  }

  #describe(slot: number): string {
    const { insns, shown, perfmon } = this.#env.subject;
    const insn = (shown[slot] ?? insns[slot]) as Instruction;
    const text = `${slot}: ${instructionText(insn, shown[slot + 1], perfmon)}\n`;
    this.#texts[slot] = text;
    return text;
  }

  /** The instruction as it stands after its slot; for other lines that name it. */
  instruction(slot: number): string {
    return (this.#texts[slot] ?? this.#describe(slot)).slice(0, -1);
  }

  /** What was touched, as it is now. print_insn_state() in Linux. @param slot - where it is so. */
  change(slot: number): void {
    const { state } = this.#env;
    const log = this.#log;
    const wanted: Wanted = { registers: this.#registers, low: this.#low, high: this.#high };
    const text = formatFrame(state, state.depth, wanted, this.#precise);
    if (this.#position === log.length) {
      log.reset(this.#position - 1);
      const least = Math.max(this.#width + MIN_ALIGNMENT / 2, ALIGNMENT);
      const column = MIN_ALIGNMENT * Math.ceil(least / MIN_ALIGNMENT);
      log.write(`${" ".repeat(column - this.#width - 1)};`);
    } else {
      log.write(`${slot}:`);
    }
    log.write(text);
    log.write("\n");
    this.#registers = this.#low = this.#high = 0;
  }

  /** The source line of an instruction, unless it was the last one that was written. */
  sourceLine(slot: number): void {
    const source = this.#env.subject.lines[slot];
    if (source === undefined || source === this.#source) return;
    this.#source = source;
    const place = source.lastIndexOf(" @ ");
    this.#log.write("; ");
    this.#log.write(source.slice(0, place).slice(0, MAX_PIECE));
    this.#log.write(`${source.slice(place)}\n`);
  }

  /** A whole frame, behind some words. */
  frame(words: string, state: State, depth: number): void {
    this.#log.line(`${words}${formatFrame(state, depth, EVERYTHING, this.#precise)}`);
  }
}
