/**
 * One run of compiled code, as the helpers that it calls see it.
 */

import {
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_2,
  BPF_REG_3,
  MAX_BPF_STACK,
  MAX_CALL_FRAMES,
} from "../../abi/insn.ts";
import type { ProgArray } from "../bpf/map/prog_array.ts";
import type { Prog } from "../bpf/prog.ts";
import { type BatchRequest, DEFAULT_INSTRUCTION_LIMIT, type Invocation } from "../engine.ts";
import { HELPERS } from "../helpers/index.ts";
import type { Machine } from "../machine.ts";
import { ProgramRun } from "../program_run.ts";
import { CHECK_TAIL_CALL, NO_FRAME, OVER_LIMIT, TAIL_CALL_MISSED } from "./calls.ts";
import {
  MAX_REGIONS,
  MAX_ROUNDS,
  REGION_BYTES,
  STACKS_BYTES,
  STATE,
  STATE_BYTES,
} from "./run_state.ts";

const ARGUMENTS = 5;
const TOO_DEEP: string = `calls deeper than ${MAX_CALL_FRAMES} frames`;

/** Calls a function of the program in a frame; arguments and result are in the state. */
export type Callback = (frame: number) => void;

/** A program that runs, and the functions of it that helpers may call. */
export interface Caller {
  readonly prog: Prog;
  /** By first slot. */
  readonly callbacks: ReadonlyMap<number, Callback>;
}

/** A run; see run_state.ts for what of it lies in linear memory. */
export class JitRun extends ProgramRun {
  /** Address of the state. */
  readonly state: number;
  #caller: Caller | null = null;
  #frame: number = 0;
  /** The batch that is run, and which packet of it was the first to be entered. */
  #batch: BatchRequest | null = null;
  #firstPacket: number = 0;
  /** The program that a batch's packets meet, and those that they met: all live until its end. */
  #met: Prog | null = null;
  readonly #replaced: Prog[] = [];

  private constructor(machine: Machine, stack: number) {
    super(machine, stack);
    this.state = stack + STACKS_BYTES;
  }

  /** Null when there is no memory for the stacks. @param cpu - which CPU it is on. */
  static create(machine: Machine, cpu: number = 0): JitRun | null {
    const block = machine.memory.alloc(2 * STACKS_BYTES + STATE_BYTES);
    if (block === 0) return null;
    const run = new JitRun(machine, Math.ceil(block / STACKS_BYTES) * STACKS_BYTES);
    machine.memory.view.setUint32(run.state + STATE.cpu, cpu, true);
    run.#setLimit(machine.options.instructionLimit);
    return run;
  }

  /** Enters compiled code with a limit of its own: of instructions or rounds, as it counts them. */
  withLimit<T>(limit: number, enter: () => T): T {
    this.#setLimit(limit);
    try {
      return enter();
    } finally {
      this.#setLimit(this.machine.options.instructionLimit);
    }
  }

  #setLimit(limit: number = DEFAULT_INSTRUCTION_LIMIT): void {
    const { view, state } = this;
    view.setUint32(state + STATE.max_rounds, Math.min(limit, MAX_ROUNDS), true);
    view.setBigUint64(state + STATE.max_budget, BigInt(limit), true);
  }

  /** Instructions that are left, where they are counted. */
  get budget(): number {
    return Number(this.view.getBigInt64(this.state + STATE.budget, true));
  }

  /** Instructions that were executed, where they are counted. */
  get executed(): number {
    return Number(this.view.getBigUint64(this.state + STATE.max_budget, true)) - this.budget;
  }

  /** Takes from the instructions that are left those that were executed elsewhere. */
  spend(instructions: number): void {
    const at = this.state + STATE.budget;
    this.view.setBigInt64(at, BigInt(this.budget - instructions), true);
  }

  /** The first frame, by its lowest address. */
  get top(): number {
    return this.state - MAX_BPF_STACK;
  }

  /** What is being run on. */
  get invoked(): Invocation {
    this.#enterPacket();
    if (this.invocation === null) throw new TypeError("no program runs");
    return this.invocation;
  }

  override get cpu(): number {
    return this.view.getUint32(this.state + STATE.cpu, true);
  }

  /** Where the table index is of the program that a batch meets. */
  get cell(): number {
    return this.state + STATE.cell;
  }

  /** The batch that is run, if it is one. */
  get batch(): BatchRequest | null {
    return this.#batch;
  }

  /** The program that the packets of a batch meet. */
  get met(): Prog | null {
    return this.#met;
  }

  /** r0 as the run left it, in halves. */
  get r0(): readonly [low: number, high: number] {
    const { view, state } = this;
    return [view.getUint32(state + STATE.r0, true), view.getUint32(state + STATE.r0 + 4, true)];
  }

  get tailCalls(): number {
    return this.view.getUint32(this.state + STATE.tail_calls, true);
  }

  /** Gets ready to run. @param hardened - whether regions will be looked for in the state. */
  prepare(prog: Prog | null, invocation: Invocation, hardened: boolean): void {
    this.begin(prog, invocation);
    this.#batch = null;
    const { view, state } = this;
    const { skb } = invocation;
    view.setUint32(state + STATE.skb_tail, skb?.tail ?? 0, true);
    if (skb !== null) {
      view.setUint32(state + STATE.skb_head, skb.head, true);
      view.setUint32(state + STATE.skb_network, skb.network, true);
      view.setUint32(state + STATE.skb_data, skb.data, true);
    }
    if (hardened) this.#writeRegions(invocation);
  }

  /** Gets ready to run a batch from one of its packets on. */
  beginBatch(batch: BatchRequest, packet: number): void {
    this.#batch = batch;
    this.#firstPacket = packet;
    this.view.setUint32(this.state + STATE.done, 0, true);
    this.view.setUint32(this.state + STATE.skb_tail, 0, true);
  }

  /** The packet of the batch whose turn it is. */
  get packet(): number {
    return this.#firstPacket + this.view.getUint32(this.state + STATE.done, true);
  }

  /** Lets the packets that follow in a batch meet a program. @param entry - its table index. */
  meet(prog: Prog | null, entry: number): void {
    prog?.get();
    if (this.#met !== null) this.#replaced.push(this.#met);
    this.#met = prog;
    this.view.setUint32(this.cell, entry, true);
  }

  /** A batch is done. */
  endBatch(): void {
    this.#batch = null;
    this.#met?.put();
    this.#met = null;
    while (this.#replaced.length > 0) this.#replaced.pop()?.put();
  }

  /** In a batch, what is run on follows from how many packets are done. */
  #enterPacket(): void {
    if (this.#batch !== null) this.invocation = this.#batch.invocation(this.packet);
  }

  #writeRegions({ regions }: Invocation): void {
    const { view } = this;
    for (let i = 0; i < MAX_REGIONS; i++) {
      const region = regions[i];
      const at = this.state + STATE.regions + i * REGION_BYTES;
      view.setUint32(at, region?.start ?? 0, true);
      view.setUint32(at + 4, region === undefined ? 0 : region.end - region.start, true);
      view.setUint32(at + 8, region?.writable === true ? 1 : 0, true);
    }
  }

  /** Calls a helper for a program: arguments and result are in the state. */
  callHelper(caller: Caller, id: number, frame: number, slot: number): void {
    const { registers, state, view } = this;
    this.#enter(caller, frame, slot);
    if (id === NO_FRAME) throw this.fault(TOO_DEEP);
    if (id === OVER_LIMIT) throw this.overLimit();
    for (let i = 0; i < ARGUMENTS; i++) {
      const at = state + STATE.arguments + 8 * i;
      registers.setHalves(BPF_REG_1 + i, view.getUint32(at, true), view.getUint32(at + 4, true));
    }
    if (id === CHECK_TAIL_CALL) {
      this.tailCallArray();
      return;
    }
    if (id === TAIL_CALL_MISSED) {
      const array = this.map(registers.low(BPF_REG_2), registers.high(BPF_REG_2)) as ProgArray;
      this.machine.tailCallLedger?.missed(array, registers.low(BPF_REG_3));
      return;
    }
    const helper = HELPERS.get(id);
    if (helper === undefined) throw this.fault(`calls helper ${id}, which there is not`);
    const result = helper(this, registers);
    if (typeof result === "bigint") registers.set(BPF_REG_0, result);
    else registers.setHalves(BPF_REG_0, result, Math.floor(result / 2 ** 32));
    this.setR0(registers.low(BPF_REG_0), registers.high(BPF_REG_0));
  }

  setR0(low: number, high: number): void {
    const { state, view } = this;
    view.setUint32(state + STATE.r0, low, true);
    view.setUint32(state + STATE.r0 + 4, high, true);
  }

  /** Lets an access pass that the compiled check knew nothing about, or faults. */
  check(
    caller: Caller,
    address: number,
    size: number,
    write: number,
    frame: number,
    slot: number,
  ): void {
    this.#enter(caller, frame, slot);
    if (write === 0) this.checkRead(address, size);
    else this.checkWrite(address, size);
  }

  /** {@inheritDoc HelperCaller.callFunction} */
  callFunction(target: number, ...values: readonly (number | bigint)[]): bigint {
    const { state } = this;
    const caller = this.#caller;
    const callback = caller?.callbacks.get(target);
    if (caller === null || callback === undefined) {
      throw this.fault(`calls slot ${target}, which is no function`);
    }
    const [frame, slot] = [this.#frame, this.slot];
    if (frame === this.stack) throw this.fault(TOO_DEEP);
    for (let i = 0; i < ARGUMENTS; i++) {
      const value = BigInt(values[i] ?? 0);
      this.view.setBigUint64(state + STATE.arguments + 8 * i, BigInt.asUintN(64, value), true);
    }
    callback(frame - MAX_BPF_STACK);
    this.#enter(caller, frame, slot);
    return this.view.getBigUint64(state + STATE.r0, true);
  }

  /** What the checks go by: whose maps count, and which frames are in use. */
  #enter(caller: Caller, frame: number, slot: number): void {
    this.#caller = caller;
    this.#frame = frame;
    this.current = caller.prog;
    this.slot = slot;
    this.depth = (this.state - frame) / MAX_BPF_STACK;
    this.#enterPacket();
  }
}
