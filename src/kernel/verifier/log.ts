/**
 * The log that a caller may ask for when it loads a program or BTF. Mirrors kernel/bpf/log.c in
 * Linux: without BPF_LOG_FIXED a log that is too long keeps its end, with it its beginning.
 */

import { EFAULT, EINVAL, ENOSPC } from "../../abi/errno.ts";
import type { UserMemory } from "../user_memory.ts";

// Bits of log_level (include/linux/bpf_verifier.h).
export const BPF_LOG_LEVEL1 = 1;
export const BPF_LOG_LEVEL2 = 2;
export const BPF_LOG_STATS = 4;
export const BPF_LOG_FIXED = 8;
const BPF_LOG_MASK = BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2 | BPF_LOG_STATS | BPF_LOG_FIXED;

/** The largest log buffer, in bytes (UINT_MAX >> 2). */
const MAX_LOG_SIZE = 0x3fffffff;

/** The most instructions that are walked (BPF_COMPLEXITY_LIMIT_INSNS). */
export const COMPLEXITY_LIMIT = 1_000_000;

/** How many states a verification left. */
export interface StateCounts {
  readonly maxStatesPerInsn: number;
  readonly totalStates: number;
  readonly peakStates: number;
}

const NO_STATES: StateCounts = { maxStatesPerInsn: 0, totalStates: 0, peakStates: 0 };

/** A log keeps no more lines than it has room for, or little more than that. */
const MIN_KEPT = 4096;
const SLACK = 2;

/** Where comments begin in lines that are short enough. */
const ANNOTATION_COLUMN = 37;

/** What came of a log when the check is over. */
export interface LogOutcome {
  /** 0; -ENOSPC when the buffer was too small, -EFAULT when it is not there. */
  readonly errno: number;
  /** Bytes that the whole log takes, its NUL included; 0 when none was asked for. */
  readonly trueSize: number;
}

/** Collects the lines of one check. */
export class VerifierLog {
  readonly level: number;
  readonly #memory: UserMemory;
  readonly #address: bigint;
  readonly #size: number;
  /** Lines with their ends; the oldest may be gone. */
  readonly #lines: string[] = [];
  /** Characters of these, and of all that were written and not forgotten. */
  #kept: number = 0;
  #end: number = 0;
  /** The source line that was written last. */
  lastSource: string = "";

  private constructor(memory: UserMemory, level: number, address: bigint, size: number) {
    this.#memory = memory;
    this.level = level;
    this.#address = address;
    this.#size = size;
  }

  /**
   * A log into the caller's memory, or -EINVAL for a combination that makes no sense.
   *
   * @param address - of the buffer; 0 with a size of 0 only counts the bytes.
   */
  static open(
    memory: UserMemory,
    level: number,
    address: bigint,
    size: number,
  ): VerifierLog | number {
    const hasBuffer = address !== 0n;
    if (hasBuffer !== size > 0 || (hasBuffer && level === 0)) return -EINVAL;
    if ((level & ~BPF_LOG_MASK) !== 0 || size > MAX_LOG_SIZE) return -EINVAL;
    return new VerifierLog(memory, level, address, size);
  }

  /** Adds a line; the newline is added here. */
  line(text: string): void {
    if (this.level === 0) return;
    const line = `${text}\n`;
    this.#lines.push(line);
    this.#kept += line.length;
    this.#end += line.length;
    if (!this.#isFixed && this.#kept > SLACK * (this.#size + MIN_KEPT)) this.#dropOldest();
  }

  /** A log that is too long keeps its beginning. */
  get #isFixed(): boolean {
    return (this.level & BPF_LOG_FIXED) !== 0;
  }

  #dropOldest(): void {
    let first = 0;
    while (this.#kept > this.#size + MIN_KEPT) {
      this.#kept -= this.#lines[first]?.length ?? 0;
      first++;
    }
    this.#lines.splice(0, first);
  }

  /** How much is written; for {@link VerifierLog.forget}. */
  get length(): number {
    return this.#end;
  }

  /** Steps are wanted, at least those of the last path. */
  get hasPaths(): boolean {
    return (this.level & (BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2)) !== 0;
  }

  /** Figures are wanted beside the last line. */
  get hasFigures(): boolean {
    return (this.level & BPF_LOG_STATS) !== 0;
  }

  /** Every step is wanted, not only those of the last path. */
  get isVerbose(): boolean {
    return (this.level & BPF_LOG_LEVEL2) !== 0;
  }

  /** Forgets what was written since the log had that length, unless every step is wanted. */
  forget(length: number): void {
    if (this.isVerbose) return;
    // A line that was annotated since then stays.
    for (let last = this.#lines.at(-1); last !== undefined; last = this.#lines.at(-1)) {
      if (this.#end - last.length < length) return;
      this.#lines.pop();
      this.#change(last, "");
    }
    this.#end = Math.min(this.#end, length);
  }

  /** Adds a comment to the last line. */
  annotate(text: string): void {
    const line = this.#lines.pop() ?? "\n";
    const annotated = `${line.slice(0, -1).padEnd(ANNOTATION_COLUMN)} ; ${text}\n`;
    this.#lines.push(annotated);
    this.#change(line, annotated);
  }

  #change(before: string, after: string): void {
    this.#kept += after.length - before.length;
    this.#end += after.length - before.length;
  }

  /** Adds the last line. */
  statistics(
    processed: number,
    { maxStatesPerInsn, totalStates, peakStates }: StateCounts = NO_STATES,
  ): void {
    this.line(
      `processed ${processed} insns (limit ${COMPLEXITY_LIMIT}) ` +
        `max_states_per_insn ${maxStatesPerInsn} total_states ${totalStates} ` +
        `peak_states ${peakStates} mark_read 0`,
    );
  }

  /** Adds a line that says why something is refused. @returns -errno. */
  refuse(errno: number, text: string): number {
    this.line(text);
    return -errno;
  }

  /** Writes the log out. Analogous to bpf_vlog_finalize() in Linux. */
  finish(): LogOutcome {
    if (this.level === 0) return { errno: 0, trueSize: 0 };
    if (this.#end === 0) return { errno: 0, trueSize: 0 };
    const text = this.#lines.join("");
    const trueSize = this.#end + 1;
    if (this.#size === 0) return { errno: 0, trueSize };
    const room = this.#size - 1;
    const kept = this.#isFixed ? text.slice(0, room) : text.slice(Math.max(0, text.length - room));
    const bytes = new Uint8Array(kept.length + 1);
    // Names from BTF are bytes of any value, and each is one character here.
    for (let i = 0; i < kept.length; i++) bytes[i] = kept.charCodeAt(i);
    if (!this.#memory.write(this.#address, bytes)) return { errno: -EFAULT, trueSize };
    return { errno: trueSize > this.#size ? -ENOSPC : 0, trueSize };
  }
}
