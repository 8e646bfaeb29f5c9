/**
 * One run of a program on the interpreter: registers, call frames, and the check that every access
 * to memory passes.
 */

import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, MAX_TAIL_CALL_CNT } from "../../abi/bpf.ts";
import {
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_6,
  BPF_REG_10,
  MAX_BPF_STACK,
  MAX_CALL_FRAMES,
} from "../../abi/insn.ts";
import { type ContextLayout, findField } from "../bpf/context.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { ProgArray } from "../bpf/map/prog_array.ts";
import type { Prog } from "../bpf/prog.ts";
import type { HelperCaller, Skb } from "../helpers/helper.ts";
import type { Machine } from "../machine.ts";
import { decode } from "./decode.ts";
import { RunFault } from "./fault.ts";
import { Registers } from "./registers.ts";
import { LEAVE_LOOP, type Step } from "./step.ts";

/** Upper half of what `lddw` makes of a function: more than any address has. */
export const FUNCTION_TAG = 1;
/** How many instructions a run may execute when nothing else is asked for. */
export const DEFAULT_INSTRUCTION_LIMIT = 1_000_000;

const STACK_BYTES = MAX_CALL_FRAMES * MAX_BPF_STACK;
/** r6 to r9 outlive a call. */
const SAVED_REGISTERS = 4;

/** Memory that a program may touch besides its stack, its context and its maps. */
export interface Region {
  /** Address of the first byte. */
  readonly start: number;
  /** Address after the last byte. */
  readonly end: number;
  readonly writable: boolean;
}

/** What a program is run on. */
export interface Invocation {
  /** r1: where the context lies in linear memory. */
  readonly context: number;
  /** Which of its fields may be touched; null when they are in `regions`. */
  readonly layout: ContextLayout | null;
  /** Packet, flow keys. */
  readonly regions: readonly Region[];
  /** What packet helpers and LD_ABS read; null in a run without a socket buffer. */
  readonly skb: Skb | null;
}

/** Sees every instruction before it is executed. */
export type InstructionObserver = (slot: number, registers: Registers, prog: Prog) => void;

/** How to run. */
export interface RunOptions {
  /** More instructions than this are a fault. */
  readonly instructionLimit?: number;
  readonly onInstruction?: InstructionObserver | undefined;
  /** r2 at entry; Linux leaves it undefined, the conformance cases find a length there. */
  readonly r2?: bigint;
}

/** What is put back when a function returns. */
interface Frame {
  returnSlot: number;
  prog: Prog | null;
  readonly saved: BigUint64Array;
}

/** Runs programs, one at a time. Made once and used again: a run allocates next to nothing. */
export class Run implements HelperCaller {
  readonly machine: Machine;
  readonly registers: Registers = new Registers();
  /** Base of the stacks of all frames, the deepest lowest. */
  readonly #stack: number;
  #prog: Prog | null = null;
  #steps: readonly Step[] = [];
  #invocation: Invocation | null = null;
  /** What the callbacks that run may read besides: keys of maps. */
  #lent: readonly Region[] = [];
  readonly #frames: readonly Frame[] = Array.from({ length: MAX_CALL_FRAMES }, () => ({
    returnSlot: LEAVE_LOOP,
    prog: null,
    saved: new BigUint64Array(SAVED_REGISTERS),
  }));
  #depth: number = 0;
  #slot: number = 0;
  #limit: number = 0;
  /** Instructions that may still be executed. */
  #budget: number = 0;
  #tailCalls: number = 0;
  #observer: InstructionObserver | undefined;

  /** @param stack - {@link STACK_BYTES} of linear memory. */
  private constructor(machine: Machine, stack: number) {
    this.machine = machine;
    this.#stack = stack;
  }

  /** Null when there is no memory for the stacks. */
  static create(machine: Machine): Run | null {
    const stack = machine.memory.alloc(STACK_BYTES);
    return stack === 0 ? null : new Run(machine, stack);
  }

  /** Linear memory, as it is now. */
  get view(): DataView {
    return this.machine.memory.view;
  }

  get bytes(): Uint8Array {
    return this.machine.memory.bytes;
  }

  get prog(): Prog {
    if (this.#prog === null) throw new TypeError("no program runs");
    return this.#prog;
  }

  /** Programs run on one CPU of possibly many, and always on this one. */
  get cpu(): number {
    return 0;
  }

  get skb(): Skb | null {
    return this.#invocation?.skb ?? null;
  }

  /** Instructions executed so far. */
  get executed(): number {
    return this.#limit - this.#budget;
  }

  /**
   * Runs a program to its end; r0 is then its result.
   *
   * @throws {RunFault} where the program does what it must not.
   */
  execute(prog: Prog, invocation: Invocation, options: RunOptions): void {
    const { registers } = this;
    registers.clear();
    this.#invocation = invocation;
    this.#lent = [];
    this.#limit = options.instructionLimit ?? DEFAULT_INSTRUCTION_LIMIT;
    this.#budget = this.#limit;
    this.#observer = options.onInstruction;
    this.#tailCalls = 0;
    this.#depth = 0;
    this.#slot = 0;
    this.#switchTo(prog);
    this.#enter(LEAVE_LOOP);
    registers.setU32(BPF_REG_1, invocation.context);
    if (options.r2 !== undefined) registers.set(2, options.r2);
    this.#loop(0);
  }

  /** The steps of the current function until it, or what it turned into, comes to its end. */
  #loop(start: number): void {
    if (this.#observer !== undefined) {
      this.#observedLoop(start, this.#observer);
      return;
    }
    let slot = start;
    while (slot !== LEAVE_LOOP) slot = this.#step(slot)(this);
  }

  #observedLoop(start: number, observer: InstructionObserver): void {
    let slot = start;
    while (slot !== LEAVE_LOOP) {
      const step = this.#step(slot);
      observer(slot, this.registers, this.prog);
      slot = step(this);
    }
  }

  #step(slot: number): Step {
    const step = this.#steps[slot];
    if (step === undefined) throw this.fault(`goes on at slot ${slot}, outside of the program`);
    this.#slot = slot;
    if (this.#budget === 0) throw this.fault("takes more instructions than a run may");
    this.#budget--;
    return step;
  }

  fault(reason: string, address: bigint | number | null = null): RunFault {
    const where = typeof address === "number" ? BigInt(address) : address;
    return new RunFault(this.#prog?.id ?? 0, this.#slot, reason, where);
  }

  #switchTo(prog: Prog): void {
    this.#prog = prog;
    this.#steps = decode(prog);
  }

  // Frames.

  /** A frame on top, with a stack of zeros. */
  #enter(returnSlot: number): void {
    const frame = this.#frames[this.#depth];
    if (frame === undefined) throw this.fault(`calls deeper than ${MAX_CALL_FRAMES} frames`);
    const { registers } = this;
    frame.returnSlot = returnSlot;
    frame.prog = this.#prog;
    for (let i = 0; i < SAVED_REGISTERS; i++) frame.saved[i] = registers.get(BPF_REG_6 + i);
    this.#depth++;
    const bottom = this.#stack + STACK_BYTES - this.#depth * MAX_BPF_STACK;
    this.bytes.fill(0, bottom, bottom + MAX_BPF_STACK);
    registers.setU32(BPF_REG_10, bottom + MAX_BPF_STACK);
  }

  /** Back to the caller: the slot to go on at. */
  leave(): number {
    this.#depth--;
    const frame = this.#frames[this.#depth] as Frame;
    const { registers } = this;
    for (let i = 0; i < SAVED_REGISTERS; i++)
      registers.set(BPF_REG_6 + i, frame.saved[i] as bigint);
    registers.setU32(BPF_REG_10, this.#stack + STACK_BYTES - (this.#depth - 1) * MAX_BPF_STACK);
    // A tail call may have put another program into this frame.
    if (frame.prog !== null && frame.prog !== this.#prog) this.#switchTo(frame.prog);
    return frame.returnSlot;
  }

  /** Calls a function of the program; its arguments are in the registers. */
  call(target: number, returnSlot: number): number {
    this.#enter(returnSlot);
    return target;
  }

  /** {@inheritDoc HelperCaller.callFunction} */
  callFunction(target: number, ...values: readonly (number | bigint)[]): bigint {
    const slot = this.#slot;
    values.forEach((value, i) => {
      this.registers.set(BPF_REG_1 + i, BigInt(value));
    });
    this.#enter(LEAVE_LOOP);
    this.#loop(target);
    this.#slot = slot;
    return this.registers.get(BPF_REG_0);
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

  /**
   * Puts another program into the current frame: r1 must be the context, r2 a program array.
   *
   * @returns the slot to go on at: 0 in the other program, or `next` when there is none to call or
   *   too many were called.
   */
  tailCall(next: number): number {
    const { registers } = this;
    const array = this.map(registers.low(2), registers.high(2));
    if (!(array instanceof ProgArray)) throw this.fault("tail call without a program array in r2");
    this.checkContext(BPF_REG_1);
    const target = array.progAt(registers.low(3));
    if (target === null || this.#tailCalls >= MAX_TAIL_CALL_CNT) return next;
    this.#tailCalls++;
    this.#switchTo(target);
    return 0;
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
    if (this.#invocation?.layout === null && this.#inRegion(address, size, true)) return;
    throw this.fault(`works atomically on ${size} bytes where it must not`, address);
  }

  /** In one frame of those in use: a pointer to a caller's stack is a pointer like any other. */
  #inStack(address: number, size: number): boolean {
    const from = address - this.#stack;
    const last = from + size - 1;
    return (
      from >= STACK_BYTES - this.#depth * MAX_BPF_STACK &&
      last < STACK_BYTES &&
      Math.floor(from / MAX_BPF_STACK) === Math.floor(last / MAX_BPF_STACK)
    );
  }

  #inRegion(address: number, size: number, write: boolean): boolean {
    for (const region of this.#invocation?.regions ?? []) {
      if (contains(region, address, size)) return region.writable || !write;
    }
    return false;
  }

  #inContext(address: number, size: number, write: boolean): boolean {
    const { context = 0, layout = null } = this.#invocation ?? {};
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
    if (registers.low(register) === this.#invocation?.context && registers.high(register) === 0) {
      return;
    }
    throw this.fault(`needs the context in r${register}`, registers.get(register));
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
