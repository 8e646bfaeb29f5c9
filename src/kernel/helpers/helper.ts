/**
 * What a helper is: a function that programs call by number, and what it may ask of the run that
 * calls it.
 */

import type { BpfMap } from "../bpf/map/map.ts";
import type { Registers } from "../interpreter/registers.ts";
import type { Machine } from "../machine.ts";

/** A socket buffer in linear memory, by addresses. */
export interface Skb {
  /** First byte: the link header. */
  readonly head: number;
  /** The network header. */
  readonly network: number;
  /** Where offset 0 of a packet load is. */
  readonly data: number;
  /** After the last byte. */
  readonly tail: number;
}

/** The run that calls a helper. */
export interface HelperCaller {
  readonly machine: Machine;
  /** Which CPU the program runs on. */
  readonly cpu: number;
  /** The packet; null in a run that has none to load from. */
  readonly skb: Skb | null;
  /** Linear memory as it is now: ask again after anything that may allocate. */
  readonly view: DataView;
  /** Linear memory as it is now: ask again after anything that may allocate. */
  readonly bytes: Uint8Array;
  /** The address in a register, which points to memory. Faults when it can't be one. */
  address(register: number, offset: number): number;
  /** Faults unless the program may read there. */
  checkRead(address: number, size: number): void;
  /** Faults unless the program may write there. */
  checkWrite(address: number, size: number): void;
  /** Faults unless the register points to the program's context. */
  checkContext(register: number): void;
  /** Whether the program may read there. */
  canRead(address: number, size: number): boolean;
  /** The map behind a pointer, given in halves. Faults when the program names no such map. */
  map(low: number, high: number): BpfMap;
  /** The slot behind a pointer to a function of the program. Faults when it is none. */
  functionSlot(register: number): number;
  /** Calls a function of the program with these arguments in r1, r2, … and returns its r0. */
  callFunction(slot: number, ...values: readonly (number | bigint)[]): bigint;
  /** Lets callbacks read these bytes while `use` runs, and returns what that returns. */
  lend<T>(address: number, size: number, use: () => T): T;
}

/**
 * A helper. Arguments are in r1 to r5.
 *
 * @returns r0: a u64, or a number that is sign-extended.
 */
export type Helper = (caller: HelperCaller, registers: Registers) => number | bigint;
