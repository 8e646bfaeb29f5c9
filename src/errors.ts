/**
 * The errors that the API throws. Inside the kernels errnos are values; here they become words.
 */

import { COMMAND_NAMES } from "./abi/bpf.ts";
import { errnoName } from "./abi/errno.ts";
import type { Remedy } from "./remedy.ts";
import type {
  RefusedInstruction,
  RefusedLine,
  VerdictCause,
  VerdictExplanation,
} from "./verdict/index.ts";

/** Why a call was refused, and what to do. */
export interface Diagnosis {
  /** Id of the cause, stable: "occupied-by-link". */
  readonly reason: string;
  /** Why, and what to do, in words. */
  readonly hint: string;
  /** What to do, the best first. */
  readonly remedies: readonly Remedy[];
}

/** A call that a kernel refused. */
export class BpfError extends Error {
  /** What was called: "BPF_LINK_CREATE", "open". */
  readonly command: string;
  /** Linux's error number, positive. */
  readonly errno: number;
  /** Its name, such as "E2BIG". */
  readonly code: string;
  /** Why, and what to do; empty when nothing more is known than the errno says. */
  readonly hint: string;
  /** Id of the cause that was found, such as "occupied-by-link"; null when none was. */
  readonly reason: string | null;
  /** What to do, the best first. */
  readonly remedies: readonly Remedy[];

  /**
   * @param command - a command of bpf(2), by number, or the name of another call.
   * @param errno - positive, or as a kernel returned it, negative.
   * @param why - a diagnosis, or no more than a hint.
   */
  constructor(command: number | string, errno: number, why: Diagnosis | string = "") {
    const hint = typeof why === "string" ? why : why.hint;
    const name = typeof command === "string" ? command : (COMMAND_NAMES[command] ?? "bpf");
    const code = errnoName(Math.abs(errno));
    super([name, code, ...(hint === "" ? [] : [hint])].join(": "));
    this.name = "BpfError";
    this.command = name;
    this.errno = Math.abs(errno);
    this.code = code;
    this.hint = hint;
    this.reason = typeof why === "string" ? null : why.reason;
    this.remedies = typeof why === "string" ? [] : why.remedies;
  }
}

/** A program that the verifier refused, and why, in the terms of its own source. */
export class VerifierError extends BpfError {
  /** What the verifier wrote, at log level 1. */
  readonly log: string;
  /** What it says is wrong, in its own words, perhaps in several lines. */
  readonly words: string;
  /** The instruction that it is about; null when it is about none. */
  readonly instruction: RefusedInstruction | null;
  /** Where that comes from; null when it isn't known, as without `-g`. */
  readonly line: RefusedLine | null;
  /** What was known of the registers involved, in the verifier's words. */
  readonly registers: Readonly<Record<string, string>>;
  /** Why, with what usually mends it; null for words that no cause is known for. */
  override readonly cause: VerdictCause | null;

  /**
   * @param refusal - the same with no log.
   * @param explanation - what the log comes to.
   */
  constructor(refusal: BpfError, log: string, explanation: VerdictExplanation) {
    const { command, errno, reason, hint, remedies } = refusal;
    super(command, errno, reason === null ? hint : { reason, hint, remedies });
    this.name = "VerifierError";
    this.log = log;
    this.words = explanation.message;
    this.instruction = explanation.instruction;
    this.line = explanation.line;
    this.registers = explanation.registers;
    this.cause = explanation.cause;
  }
}

/** How to describe something that is missing. */
export interface UnsupportedOptions extends ErrorOptions {
  /** What was asked for. */
  readonly feature: string;
  /** What would bring it: a Linux version, a package, a capability. */
  readonly since: string;
}

/** Something that this machine lacks, with what would bring it. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";
  readonly feature: string;
  readonly since: string;

  constructor({ feature, since, ...options }: UnsupportedOptions) {
    super(`${feature} is not available here; it needs ${since}`, options);
    this.feature = feature;
    this.since = since;
  }
}
