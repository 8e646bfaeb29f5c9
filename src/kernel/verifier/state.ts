/**
 * States: what the verifier knows at one point of one path through a program, and the checkpoints
 * that it leaves on its way. Analogous to struct bpf_verifier_state in Linux.
 */

import { BPF_REG_10, MAX_BPF_REG } from "../../abi/insn.ts";
import type { StackUse } from "./live_stack.ts";
import { Marks } from "./marks.ts";
import { NOT_INIT, pointer, type Register } from "./register.ts";
import { EMPTY_SLOT, type Slot } from "./stack.ts";
import type { Visit } from "./visits.ts";

/** One call of a function. */
export class Frame {
  readonly registers: Register[];
  /** Slots from the top of the stack down; shorter than the stack where nothing was written. */
  readonly stack: Slot[];
  /** The slot of the call; -1 for the function that the walk began with. */
  readonly callSite: number;
  /** First slot of the function. */
  readonly start: number;
  /** A helper called it. */
  readonly isCallback: boolean;
  /** What is known of how the calls that led here use stacks. */
  readonly use: StackUse;
  /** How often a helper called a callback from here, one after the other. */
  callbackDepth: number;

  constructor(
    registers: Register[],
    stack: Slot[],
    callSite: number,
    start: number,
    isCallback: boolean,
    use: StackUse,
    callbackDepth: number,
  ) {
    this.registers = registers;
    this.stack = stack;
    this.callSite = callSite;
    this.start = start;
    this.isCallback = isCallback;
    this.use = use;
    this.callbackDepth = callbackDepth;
  }

  /** @param depth - its place among the frames. */
  static enter(
    depth: number,
    callSite: number,
    start: number,
    isCallback: boolean,
    use: StackUse,
  ): Frame {
    const registers: Register[] = Array.from({ length: MAX_BPF_REG }, () => NOT_INIT);
    registers[BPF_REG_10] = pointer("fp", { frame: depth });
    return new Frame(registers, [], callSite, start, isCallback, use, 0);
  }

  copy(): Frame {
    return new Frame(
      this.registers.slice(),
      this.stack.slice(),
      this.callSite,
      this.start,
      this.isCallback,
      this.use,
      this.callbackDepth,
    );
  }

  get(register: number): Register {
    return this.registers[register] as Register;
  }

  set(register: number, contents: Register): void {
    this.registers[register] = contents;
  }

  slot(index: number): Slot {
    return this.stack[index] ?? EMPTY_SLOT;
  }

  setSlot(index: number, slot: Slot): void {
    this.reach(index);
    this.stack[index] = slot;
  }

  /** Makes the stack as long as a slot asks for. */
  reach(index: number): void {
    while (this.stack.length <= index) this.stack.push(EMPTY_SLOT);
  }
}

/** A register or stack slot, by frame. */
export interface Place {
  readonly frame: number;
  readonly isSlot: boolean;
  readonly index: number;
}

/** One instruction that a path took, with what tracking precision backwards needs to know. */
export interface Step {
  readonly slot: number;
  readonly before: Step | null;
  /** The spilled register that was written or read here; null for any other access. */
  access: { readonly frame: number; readonly index: number } | null;
  /** Numbers that learnt from each other at this jump. */
  linked: readonly Place[] | null;
  /** Operands of a jump that are stack pointers, and so no numbers. */
  stackOperands: number;
  /** Whether Linux would have kept it. */
  counted: boolean;
}

/** Something that the program was given and has to give back. */
export interface Reference {
  readonly id: number;
  /** The call that gave it. */
  readonly slot: number;
}

/** A state that walks on, or that waits to. */
export class State {
  readonly frames: Frame[];
  /** What the program holds, the oldest first. Never changed: states share the list. */
  references: readonly Reference[] = [];
  /** The last checkpoint on the path. */
  parent: Checkpoint | null = null;
  /** Instructions since then, the last first. */
  history: Step | null = null;
  /** How many of them Linux would have kept. */
  historyLength: number = 0;
  mayGotoDepth: number = 0;
  callbackDepth: number = 0;
  /** The path is one that a processor may only guess. */
  speculative: boolean = false;

  constructor(frames: Frame[]) {
    this.frames = frames;
  }

  get depth(): number {
    return this.frames.length - 1;
  }

  get frame(): Frame {
    return this.frames[this.frames.length - 1] as Frame;
  }

  copy(): State {
    const copy = new State(this.frames.map((frame) => frame.copy()));
    copy.references = this.references;
    copy.parent = this.parent;
    copy.history = this.history;
    copy.historyLength = this.historyLength;
    copy.mayGotoDepth = this.mayGotoDepth;
    copy.callbackDepth = this.callbackDepth;
    copy.speculative = this.speculative;
    return copy;
  }

  /** Calls `change` for every register and spilled register; what it returns is the new one. */
  update(change: (register: Register) => Register): void {
    for (const { registers, stack } of this.frames) {
      for (let i = 0; i < MAX_BPF_REG; i++) {
        const before = registers[i] as Register;
        if (before !== NOT_INIT) registers[i] = change(before);
      }
      for (let i = 0; i < stack.length; i++) {
        const { kinds, spilled } = stack[i] as Slot;
        if (spilled === null) continue;
        const after = change(spilled);
        if (after !== spilled) stack[i] = { kinds, spilled: after };
      }
    }
  }

  /** What is in a place; null when that is no register and no spilled one. */
  at({ frame, isSlot, index }: Place): Register | null {
    const holder = this.frames[frame];
    if (holder === undefined) return null;
    return isSlot ? holder.slot(index).spilled : holder.get(index);
  }

  put({ frame, isSlot, index }: Place, register: Register): void {
    const holder = this.frames[frame] as Frame;
    if (isSlot) holder.setSlot(index, { kinds: holder.slot(index).kinds, spilled: register });
    else holder.set(index, register);
  }
}

/** A state that was passed at one instruction, to hold later ones against. */
export class Checkpoint {
  readonly slot: number;
  readonly frames: readonly Frame[];
  readonly references: readonly Reference[];
  /** The checkpoint before it; null once all paths from here are at their ends. */
  parent: Checkpoint | null;
  /** Instructions since then, the last first; null once all paths are at their ends. */
  history: Step | null;
  readonly mayGotoDepth: number;
  readonly callbackDepth: number;
  readonly speculative: boolean;
  /** Numbers on whose value the verdict depends. */
  readonly precise: Marks = new Marks();
  /** Paths from here that are not at their end yet. */
  branches: number = 1;
  /** The loop that it is in. */
  readonly visit: Visit | null;
  /** What nobody reads any more is forgotten. */
  isClean: boolean = false;
  /** The loop that it is in when those that helpers make count, too; null: nobody asks. */
  readonly doubts: Visit | null;
  /** How many stays have marks traced back over it after all paths are at their ends. */
  #holders: number = 0;
  /** It is not compared any more, but still counted. */
  isEvicted: boolean = false;
  hits: number = 0;
  misses: number = 0;

  constructor(state: State, slot: number, visit: Visit | null, doubts: Visit | null) {
    this.slot = slot;
    this.visit = visit;
    this.doubts = doubts;
    this.frames = state.frames.map((frame) => frame.copy());
    this.references = state.references;
    this.parent = state.parent;
    this.history = state.history;
    this.mayGotoDepth = state.mayGotoDepth;
    this.callbackDepth = state.callbackDepth;
    this.speculative = state.speculative;
  }

  /** Marks may be missing: a path that came round waits for them. */
  get isIncomplete(): boolean {
    return this.visit?.isIncomplete === true;
  }

  /** All paths from here are at their ends: nobody traces back over this one, unless it is kept. */
  finish(): void {
    if (this.#holders > 0) return;
    this.parent = null;
    this.history = null;
  }

  /** A stay needs the way back over it. */
  keep(): void {
    this.#holders++;
  }

  /** It doesn't any more, since it is over. */
  release(): void {
    this.#holders--;
    this.finish();
  }
}
