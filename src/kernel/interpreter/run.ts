/**
 * One run of a program on the interpreter: registers, call frames and tail calls. Every access to
 * memory passes the checks of {@link ProgramRun}.
 */

import { MAX_TAIL_CALL_CNT } from "../../abi/bpf.ts";
import {
  BPF_REG_0,
  BPF_REG_1,
  BPF_REG_3,
  BPF_REG_6,
  BPF_REG_10,
  MAX_BPF_STACK,
  MAX_CALL_FRAMES,
} from "../../abi/insn.ts";
import type { Prog } from "../bpf/prog.ts";
import {
  DEFAULT_INSTRUCTION_LIMIT,
  type InstructionObserver,
  type Invocation,
  type RunOptions,
} from "../engine.ts";
import { MAX_LOOPS } from "../helpers/loop.ts";
import type { Machine } from "../machine.ts";
import { ProgramRun, STACKS_BYTES } from "../program_run.ts";
import { decode } from "./decode.ts";
import { LEAVE_LOOP, type Step } from "./step.ts";

/** r6 to r9 outlive a call. */
const SAVED_REGISTERS = 4;

/** What is put back when a function returns. */
interface Frame {
  returnSlot: number;
  prog: Prog | null;
  /** Rounds that may_goto still grants the function. */
  rounds: number;
  readonly saved: BigUint64Array;
}

/** Runs programs, one at a time. Made once and used again: a run allocates next to nothing. */
export class Run extends ProgramRun {
  #steps: readonly Step[] = [];
  readonly #frames: readonly Frame[] = Array.from({ length: MAX_CALL_FRAMES }, () => ({
    returnSlot: LEAVE_LOOP,
    prog: null,
    rounds: 0,
    saved: new BigUint64Array(SAVED_REGISTERS),
  }));
  #limit: number = 0;
  /** Instructions that may still be executed. */
  #budget: number = 0;
  #tailCalls: number = 0;
  #observer: InstructionObserver | undefined;

  /** Null when there is no memory for the stacks. */
  static create(machine: Machine): Run | null {
    const stack = machine.memory.alloc(STACKS_BYTES);
    return stack === 0 ? null : new Run(machine, stack);
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
    this.begin(prog, invocation);
    this.#limit =
      options.instructionLimit ??
      this.machine.options.instructionLimit ??
      DEFAULT_INSTRUCTION_LIMIT;
    this.#budget = this.#limit;
    this.#observer = options.onInstruction;
    this.#tailCalls = options.tailCalls ?? 0;
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
    this.slot = slot;
    if (this.#budget === 0) throw this.overLimit();
    this.#budget--;
    return step;
  }

  #switchTo(prog: Prog): void {
    this.current = prog;
    this.#steps = decode(prog);
  }

  // Frames.

  /** A frame on top, with a stack of zeros: nothing of another program is to be found there. */
  #enter(returnSlot: number): void {
    const frame = this.#frames[this.depth];
    if (frame === undefined) throw this.fault(`calls deeper than ${MAX_CALL_FRAMES} frames`);
    const { registers } = this;
    frame.returnSlot = returnSlot;
    frame.prog = this.current;
    frame.rounds = MAX_LOOPS;
    for (let i = 0; i < SAVED_REGISTERS; i++) frame.saved[i] = registers.get(BPF_REG_6 + i);
    this.depth++;
    const bottom = this.stack + STACKS_BYTES - this.depth * MAX_BPF_STACK;
    this.bytes.fill(0, bottom, bottom + MAX_BPF_STACK);
    registers.setU32(BPF_REG_10, bottom + MAX_BPF_STACK);
  }

  /** Back to the caller: the slot to go on at. */
  leave(): number {
    this.depth--;
    const frame = this.#frames[this.depth] as Frame;
    const { registers } = this;
    for (let i = 0; i < SAVED_REGISTERS; i++)
      registers.set(BPF_REG_6 + i, frame.saved[i] as bigint);
    registers.setU32(BPF_REG_10, this.stack + STACKS_BYTES - (this.depth - 1) * MAX_BPF_STACK);
    // A tail call may have put another program into this frame.
    if (frame.prog !== null && frame.prog !== this.current) this.#switchTo(frame.prog);
    return frame.returnSlot;
  }

  /** Whether may_goto lets the function go round once more. */
  takesRound(): boolean {
    const frame = this.#frames[this.depth - 1] as Frame;
    return frame.rounds-- > 0;
  }

  /** Calls a function of the program; its arguments are in the registers. */
  call(target: number, returnSlot: number): number {
    this.#enter(returnSlot);
    return target;
  }

  /** {@inheritDoc HelperCaller.callFunction} */
  callFunction(target: number, ...values: readonly (number | bigint)[]): bigint {
    const slot = this.slot;
    values.forEach((value, i) => {
      this.registers.set(BPF_REG_1 + i, BigInt(value));
    });
    this.#enter(LEAVE_LOOP);
    this.#loop(target);
    this.slot = slot;
    return this.registers.get(BPF_REG_0);
  }

  /**
   * Puts another program into the current frame.
   *
   * @returns the slot to go on at: 0 in the other program, or `next` when there is none to call or
   *   too many were called.
   */
  tailCall(next: number): number {
    const { registers } = this;
    const array = this.tailCallArray();
    const index = registers.low(BPF_REG_3);
    const target = array.progAt(index);
    if (target === null || this.#tailCalls >= MAX_TAIL_CALL_CNT) {
      this.machine.tailCallLedger?.missed(array, index);
      return next;
    }
    this.#tailCalls++;
    const bottom = registers.low(BPF_REG_10) - MAX_BPF_STACK;
    this.bytes.fill(0, bottom, bottom + MAX_BPF_STACK);
    (this.#frames[this.depth - 1] as Frame).rounds = MAX_LOOPS;
    this.#switchTo(target);
    return 0;
  }
}
