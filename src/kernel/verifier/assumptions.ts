/**
 * What accepting a program relies on, for the engines to check while it runs: the range of each
 * number that is added to a pointer or subtracted from it, the range of each size that a helper is
 * passed, and which instructions can be reached. Where the verifier is wrong about a range, the run
 * is stopped before it uses the pointer. Linux masks such sums for tasks without CAP_PERFMON
 * (sanitize_ptr_alu() in kernel/bpf/verifier.c); it has no such check for others.
 */

import type { Bounds } from "./bounds.ts";

/** Whenever the instruction is executed, the register holds a number from `smin` to `smax`. */
export interface AssumedRange {
  readonly register: number;
  /** s64, both inclusive. */
  readonly smin: bigint;
  readonly smax: bigint;
}

/** What a verification assumed. */
export interface Assumptions {
  /** By slot: no instruction has two such operands. */
  readonly ranges: ReadonlyMap<number, AssumedRange>;
  /** By slot: 1 where some path leads. */
  readonly reached: Uint8Array;
}

// What the operands of an addition are, as bits: on different paths they may differ.
const NO_POINTER = 1;
const POINTER_FIRST = 2;
const POINTER_SECOND = 4;

/** Collects the ranges of one verification: for each instruction the union over all paths. */
export class RangeCollector {
  /** By slot of an addition: a mask of the bits above. */
  readonly #operands: Uint8Array;
  readonly #ranges: Map<number, AssumedRange> = new Map();

  /** @param slots - of the program. */
  constructor(slots: number) {
    this.#operands = new Uint8Array(slots);
  }

  /** On this path, the instruction adds two numbers. */
  noteNumbers(slot: number): void {
    this.#operands[slot] = (this.#operands[slot] as number) | NO_POINTER;
  }

  /**
   * On this path, the instruction adds a number to a pointer.
   *
   * @param register - holds the number. @param isReversed - the pointer is the second operand.
   */
  noteSum(slot: number, register: number, bounds: Readonly<Bounds>, isReversed: boolean): void {
    const operands = isReversed ? POINTER_SECOND : POINTER_FIRST;
    this.#operands[slot] = (this.#operands[slot] as number) | operands;
    this.noteRange(slot, register, bounds);
  }

  /** On this path, the register that the instruction uses holds a number within bounds. */
  noteRange(slot: number, register: number, { smin, smax }: Readonly<Bounds>): void {
    const before = this.#ranges.get(slot);
    if (before === undefined) {
      this.#ranges.set(slot, { register, smin, smax });
    } else if (smin < before.smin || smax > before.smax) {
      this.#ranges.set(slot, {
        register,
        smin: smin < before.smin ? smin : before.smin,
        smax: smax > before.smax ? smax : before.smax,
      });
    }
  }

  /**
   * The ranges that hold on every path. An addition whose operands are of other kinds on other
   * paths has none: while a program runs, numbers and pointers can't be told apart.
   */
  finish(): ReadonlyMap<number, AssumedRange> {
    for (const slot of this.#ranges.keys()) {
      const operands = this.#operands[slot] as number;
      if ((operands & (operands - 1)) !== 0) this.#ranges.delete(slot);
    }
    return this.#ranges;
  }
}
