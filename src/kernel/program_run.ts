/**
 * What a run of a program is to the helpers that it calls, on every engine: registers, and the
 * check that each access to memory passes.
 */

import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from "../abi/bpf.ts";
import { BPF_REG_1, BPF_REG_2, MAX_BPF_STACK, MAX_CALL_FRAMES } from "../abi/insn.ts";
import { findField } from "./bpf/context.ts";
import type { BpfMap } from "./bpf/map/map.ts";
import { ProgArray } from "./bpf/map/prog_array.ts";
import type { Prog } from "./bpf/prog.ts";
import type { Invocation, Region } from "./engine.ts";
import type { HelperCaller, Skb } from "./helpers/helper.ts";
import { OVER_INSTRUCTION_LIMIT, RunFault } from "./interpreter/fault.ts";
import { Registers } from "./interpreter/registers.ts";
import type { Machine } from "./machine.ts";

/** Upper half of what `lddw` makes of a function: more than any address has. */
export const FUNCTION_TAG = 1;

/** Bytes of the stacks of all frames of a run. */
export const STACKS_BYTES: number = MAX_CALL_FRAMES * MAX_BPF_STACK;

/** What stops a run where the verifier was wrong; see verifier/assumptions.ts. */
export const OUT_OF_ASSUMED_RANGE =
  "uses a number as an offset or size that the verifier had ruled out (a fault of the verifier)";
export const NEVER_REACHED =
  "is an instruction that the verifier found no path to (a fault of the verifier)";

/** A run, made once and used again: a run allocates next to nothing. */
export abstract class ProgramRun implements HelperCaller {
  readonly machine: Machine;
  readonly registers: Registers = new Registers();
  /** Base of the stacks of all frames, the deepest lowest. */
  protected readonly stack: number;
  /** The program whose instructions are executed; null between runs. */
  protected current: Prog | null = null;
  protected invocation: Invocation | null = null;
  /** Frames in use. */
  protected depth: number = 0;
  /** The instruction that is executed; -1 when that isn't known. */
  protected slot: number = 0;
  /** What the callbacks that run may read besides: keys of maps. */
  #lent: readonly Region[] = [];

  /** @param stack - {@link STACKS_BYTES} of linear memory. */
  protected constructor(machine: Machine, stack: number) {
    this.machine = machine;
    this.stack = stack;
  }

  /** {@inheritDoc HelperCaller.callFunction} */
  abstract callFunction(target: number, ...values: readonly (number | bigint)[]): bigint;

  /** Linear memory, as it is now. */
  get view(): DataView {
    return this.machine.memory.view;
  }

  get bytes(): Uint8Array {
    return this.machine.memory.bytes;
  }

  get prog(): Prog {
    if (this.current === null) throw new TypeError("no program runs");
    return this.current;
  }

  /** Which of the possible CPUs: the first, unless several threads run programs. */
  get cpu(): number {
    return 0;
  }

  get skb(): Skb | null {
    return this.invocation?.skb ?? null;
  }

  /** A run of a program on something begins. */
  protected begin(prog: Prog | null, invocation: Invocation): void {
    this.current = prog;
    this.invocation = invocation;
    this.depth = 0;
    this.slot = 0;
    if (this.#lent.length > 0) this.#lent = [];
  }

  fault(reason: string, address: bigint | number | null = null): RunFault {
    const where = typeof address === "number" ? BigInt(address) : address;
    return new RunFault(this.current?.id ?? 0, this.slot, reason, where);
  }

  overLimit(): RunFault {
    return this.fault(OVER_INSTRUCTION_LIMIT);
  }

  /** {@inheritDoc HelperCaller.lend} */
  lend<T>(start: number, size: number, use: () => T): T {
    const before = this.#lent;
    this.#lent = [...before, { start, end: start + size, writable: false }];
    try {
      return use();
    } finally {
      this.#lent = before;
    }
  }

  // Memory.

  /** The address in a register plus an offset. */
  address(register: number, offset: number): number {
    const { registers } = this;
    if (registers.high(register) !== 0) {
      const address = BigInt.asUintN(64, registers.get(register) + BigInt(offset));
      throw this.fault("uses what is no address", address);
    }
    return registers.low(register) + offset;
  }

  /** @throws {RunFault} unless the program may read `size` bytes there. */
  checkRead(address: number, size: number): void {
    if (this.canRead(address, size)) return;
    throw this.fault(`reads ${size} bytes that it has no access to`, address);
  }

  /** @throws {RunFault} unless the program may write `size` bytes there. */
  checkWrite(address: number, size: number): void {
    if (this.#inStack(address, size) || this.#inRegion(address, size, true)) return;
    if (this.#inContext(address, size, true) || this.#inMap(address, size, BPF_F_RDONLY_PROG)) {
      return;
    }
    throw this.fault(`writes ${size} bytes that it has no access to`, address);
  }

  /** {@inheritDoc HelperCaller.canRead} */
  canRead(address: number, size: number): boolean {
    return (
      this.#inStack(address, size) ||
      this.#inRegion(address, size, false) ||
      this.#inContext(address, size, false) ||
      this.#inMap(address, size, BPF_F_WRONLY_PROG) ||
      this.#lent.some((region) => contains(region, address, size))
    );
  }

  /** Atomics work on the stack, on values of maps and nowhere else. */
  checkAtomic(address: number, size: number): void {
    if (this.#inStack(address, size)) return;
    if (this.#inMap(address, size, BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return;
    // Packets and keys are out; memory without a context around it is like a map's value.
    if (this.invocation?.layout === null && this.#inRegion(address, size, true)) return;
    throw this.fault(`works atomically on ${size} bytes where it must not`, address);
  }

  /** In one frame of those in use: a pointer to a caller's stack is a pointer like any other. */
  #inStack(address: number, size: number): boolean {
    const from = address - this.stack;
    const last = from + size - 1;
    return (
      from >= STACKS_BYTES - this.depth * MAX_BPF_STACK &&
      last < STACKS_BYTES &&
      Math.floor(from / MAX_BPF_STACK) === Math.floor(last / MAX_BPF_STACK)
    );
  }

  #inRegion(address: number, size: number, write: boolean): boolean {
    for (const region of this.invocation?.regions ?? []) {
      if (contains(region, address, size)) return region.writable || !write;
    }
    return false;
  }

  #inContext(address: number, size: number, write: boolean): boolean {
    const { context = 0, layout = null } = this.invocation ?? {};
    if (layout === null || address < context || address >= context + layout.size) return false;
    return findField(layout, address - context, size, write) !== null;
  }

  /** @param forbidden - flags of a map that rule the access out. */
  #inMap(address: number, size: number, forbidden: number): boolean {
    for (const map of this.prog.facts.maps) {
      if (map.containsValue(address, size)) return (map.facts.flags & forbidden) === 0;
    }
    return false;
  }

  /** {@inheritDoc HelperCaller.checkContext} */
  checkContext(register: number): void {
    const { registers } = this;
    if (registers.low(register) === this.invocation?.context && registers.high(register) === 0) {
      return;
    }
    throw this.fault(`needs the context in r${register}`, registers.get(register));
  }

  /** What a tail call goes through: r1 must be the context, r2 a program array. */
  tailCallArray(): ProgArray {
    const { registers } = this;
    const array = this.map(registers.low(BPF_REG_2), registers.high(BPF_REG_2));
    if (!(array instanceof ProgArray)) throw this.fault("tail call without a program array in r2");
    this.checkContext(BPF_REG_1);
    return array;
  }

  /** {@inheritDoc HelperCaller.functionSlot} */
  functionSlot(register: number): number {
    if (this.registers.high(register) === FUNCTION_TAG) return this.registers.low(register);
    throw this.fault(`needs a function in r${register}`, this.registers.get(register));
  }

  /** The map behind a pointer that `lddw` loaded; only those that the program names count. */
  map(low: number, high: number): BpfMap {
    const map = high === 0 ? this.machine.mapsByAddress.get(low) : undefined;
    if (map === undefined || !this.prog.facts.maps.includes(map)) {
      throw this.fault("uses as a map what is none", (BigInt(high) << 32n) | BigInt(low));
    }
    return map;
  }
}

function contains(region: Region, address: number, size: number): boolean {
  return address >= region.start && address + size <= region.end;
}
