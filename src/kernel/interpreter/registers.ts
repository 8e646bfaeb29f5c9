/**
 * The eleven registers of a BPF program, in two halves each: most instructions of real programs
 * need no 64-bit arithmetic, and 32-bit numbers are what JavaScript is fast at.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";

/** Index of a register that programs don't see: it holds the immediate of an instruction. */
export const IMMEDIATE_REGISTER: number = MAX_BPF_REG;

/** Which of the two u32 of a u64 is the low one; engines on big-endian machines exist. */
const LOW = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

/** The register file of a run. */
export class Registers {
  /** Each register as u64. */
  readonly u64: BigUint64Array = new BigUint64Array(MAX_BPF_REG + 1);
  /** Each register as s64: the same bytes. */
  readonly s64: BigInt64Array = new BigInt64Array(this.u64.buffer);
  readonly #u32: Uint32Array = new Uint32Array(this.u64.buffer);

  /** Bits 0-31, as u32. */
  low(register: number): number {
    return this.#u32[2 * register + LOW] as number;
  }

  /** Bits 32-63, as u32. */
  high(register: number): number {
    return this.#u32[2 * register + HIGH] as number;
  }

  /** All 64 bits, as u64. */
  get(register: number): bigint {
    return this.u64[register] as bigint;
  }

  /** All 64 bits, as s64. */
  getSigned(register: number): bigint {
    return this.s64[register] as bigint;
  }

  /** Sets both halves, each cut to 32 bits. */
  setHalves(register: number, low: number, high: number): void {
    this.#u32[2 * register + LOW] = low;
    this.#u32[2 * register + HIGH] = high;
  }

  /** Sets the low half to `value`, cut to 32 bits, and the high half to 0. */
  setU32(register: number, value: number): void {
    this.#u32[2 * register + LOW] = value;
    this.#u32[2 * register + HIGH] = 0;
  }

  /** Sets all bits from an s32, sign-extended. */
  setS32(register: number, value: number): void {
    this.#u32[2 * register + LOW] = value;
    this.#u32[2 * register + HIGH] = value >> 31;
  }

  /** Sets all bits, cut to 64. */
  set(register: number, value: bigint): void {
    this.u64[register] = value;
  }

  copy(to: number, from: number): void {
    this.setHalves(to, this.low(from), this.high(from));
  }

  clear(): void {
    this.u64.fill(0n);
  }
}
