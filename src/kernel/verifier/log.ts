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
const UINT_MAX = 0xffff_ffff;
/** Bytes that a log takes here to begin with; it grows up to the size of the caller's buffer. */
const FIRST_BYTES = 1 << 14;

/** The most instructions that are walked (BPF_COMPLEXITY_LIMIT_INSNS). */
export const COMPLEXITY_LIMIT = 1_000_000;

/** How many states a verification left. */
export interface StateCounts {
  readonly maxStatesPerInsn: number;
  readonly totalStates: number;
  readonly peakStates: number;
}

const NO_STATES: StateCounts = { maxStatesPerInsn: 0, totalStates: 0, peakStates: 0 };

/** What came of a log when the check is over. */
export interface LogOutcome {
  /** 0; -ENOSPC when the buffer was too small, -EFAULT when it is not there. */
  readonly errno: number;
  /** Bytes that the log took when it was longest, its NUL included; 0 when none was asked for. */
  readonly trueSize: number;
}

/**
 * Collects the text of one check, in bytes: position `p` of the log lies at `p` modulo the size of
 * the caller's buffer, so that what is too old is overwritten.
 */
export class VerifierLog {
  readonly level: number;
  readonly #memory: UserMemory;
  readonly #address: bigint;
  readonly #size: number;
  readonly #isFixed: boolean;
  #bytes: Uint8Array;
  /** Positions of the oldest byte that is kept, and behind the last one. */
  #start: number = 0;
  #end: number = 0;
  #longest: number = 0;

  private constructor(memory: UserMemory, level: number, address: bigint, size: number) {
    this.#memory = memory;
    this.level = level;
    this.#address = address;
    this.#size = size;
    this.#isFixed = (level & BPF_LOG_FIXED) !== 0;
    this.#bytes = new Uint8Array(Math.min(size, level === 0 ? 0 : FIRST_BYTES));
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
    this.write(text);
    this.write("\n");
  }

  /** Adds text. Names from BTF are bytes of any value, and each is one character. */
  write(text: string): void {
    if (this.level === 0) return;
    const from = this.#end;
    const end = from + text.length;
    this.#end = end;
    if (end >= this.#longest) this.#longest = end + 1;
    const size = this.#size;
    // One byte is for the NUL.
    if (!this.#isFixed && end - this.#start >= size) this.#start = end + 1 - size;
    if (size === 0) return;
    if (this.#bytes.length < size && end > this.#bytes.length) this.#grow(end);
    if (end <= size) {
      const bytes = this.#bytes;
      for (let i = 0; i < text.length; i++) bytes[from + i] = text.charCodeAt(i);
    } else {
      this.#writeOver(text, from);
    }
  }

  /** The end of the buffer is in the middle of the text or before it. */
  #writeOver(text: string, from: number): void {
    const bytes = this.#bytes;
    const size = this.#size;
    if (this.#isFixed) {
      for (let i = 0; from + i < size; i++) bytes[from + i] = text.charCodeAt(i);
      return;
    }
    const first = Math.max(0, text.length - size);
    let at = (from + first) % size;
    for (let i = first; i < text.length; i++) {
      bytes[at] = text.charCodeAt(i);
      at++;
      if (at === size) at = 0;
    }
  }

  #grow(end: number): void {
    const bytes = new Uint8Array(Math.min(this.#size, Math.max(end, 2 * this.#bytes.length)));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }

  /** How much is written; for {@link VerifierLog.reset}. */
  get length(): number {
    return this.#end;
  }

  /** Forgets what was written since the log had that length. bpf_vlog_reset() in Linux. */
  reset(length: number): void {
    if (this.#end <= length) return;
    this.#end = length;
    if (this.#start > length) this.#start = length;
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
    if (this.level === 0 || this.#longest === 0) return { errno: 0, trueSize: 0 };
    const trueSize = Math.min(this.#longest, UINT_MAX);
    if (this.#size === 0) return { errno: 0, trueSize };
    if (!this.#memory.write(this.#address, this.#kept())) return { errno: -EFAULT, trueSize };
    return { errno: trueSize > this.#size ? -ENOSPC : 0, trueSize };
  }

  /** What is left of the text, and a NUL. */
  #kept(): Uint8Array {
    const size = this.#size;
    const start = this.#start;
    const end = this.#isFixed ? Math.min(this.#end, size - 1) : this.#end;
    const kept = new Uint8Array(end - start + 1);
    const first = start % size;
    const beforeEnd = Math.min(end - start, size - first);
    kept.set(this.#bytes.subarray(first, first + beforeEnd));
    kept.set(this.#bytes.subarray(0, end - start - beforeEnd), beforeEnd);
    return kept;
  }
}
