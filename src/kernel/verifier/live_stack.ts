/**
 * Which stack slots are read later on: for every chain of calls, what its instructions were seen to
 * read and to write in the stacks of all its frames, and what follows from that backwards over the
 * control flow. Analogous to kernel/bpf/liveness.c.
 */

import { type Flow, NOWHERE, postorderOf } from "./flow.ts";
import { SLOT_BYTES } from "./stack.ts";

/** What a program has that its chains of calls share. */
export interface CallSites {
  readonly flow: Flow;
  /** First slots of functions, each with the slot after its last one. */
  readonly ends: ReadonlyMap<number, number>;
  /** Whether the instruction calls a helper that calls back. */
  readonly callsBack: (slot: number) => boolean;
  /** null: nobody is told. */
  readonly log: StackLog | null;
}

/** What is told of changes, at level 2 of the log. */
export interface StackLog {
  line(text: string): void;
  /** Whether states are compared at the instruction. */
  isPoint(slot: number): boolean;
}

/** A set of slots of one stack: bits 0 to 31 and 32 to 63. */
export interface SlotMask {
  low: number;
  high: number;
}

/** Words an instruction: four sets of slots, of two words each. */
const WORDS = 8;
/** Slots that the instruction may read. */
const READ = 0;
/** Slots that it surely writes as a whole. */
const WRITTEN = 2;
/** Slots that it, or else what follows it in the function, surely writes. */
const REPLACED = 4;
/** Slots that it, or what follows it in the function, may read before they are written. */
const LIVE = 6;

/** What is known of an instruction's writes: nothing yet, that there are none, perhaps some. */
const UNSEEN = 0;
const WRITES_NOTHING = 1;
const WRITES = 2;

/** How a function, called by one chain of calls, uses the stacks of the frames. */
export class StackUse {
  readonly caller: StackUse | null;
  readonly #program: CallSites;
  readonly #depth: number;
  /** The caller's slot; -1 where a walk begins. */
  readonly #callSite: number;
  readonly #start: number;
  readonly #end: number;
  /** By frame: the sets of every instruction; null when none of them uses that stack. */
  readonly #frames: (Uint32Array | null)[];
  readonly #writes: Uint8Array;
  readonly #callees: Map<number, Map<number, StackUse>> = new Map();
  /** More is read or less is written than what is known to be live accounts for. */
  #isStale: boolean = false;
  #writesLess: boolean = false;

  constructor(
    program: CallSites,
    start: number,
    caller: StackUse | null = null,
    callSite: number = -1,
  ) {
    this.caller = caller;
    this.#program = program;
    this.#depth = caller === null ? 0 : caller.#depth + 1;
    this.#callSite = callSite;
    this.#start = start;
    this.#end = program.ends.get(start) ?? program.flow.target.length;
    this.#frames = Array.from({ length: this.#depth + 1 }, () => null);
    this.#writes = new Uint8Array(this.#end - start);
  }

  /** The same chain of calls with one more. */
  call(callSite: number, start: number): StackUse {
    let callees = this.#callees.get(callSite);
    if (callees === undefined) {
      callees = new Map();
      this.#callees.set(callSite, callees);
    }
    let callee = callees.get(start);
    if (callee === undefined) {
      callee = new StackUse(this.#program, start, this, callSite);
      callees.set(start, callee);
    }
    return callee;
  }

  /** The instruction reads a slot of a frame's stack. */
  read(slot: number, frame: number, index: number): void {
    const bit = 1 << (index & 31);
    this.#addReads(slot, frame, index < 32 ? bit : 0, index < 32 ? 0 : bit);
  }

  /**
   * The instruction was walked. What it doesn't write on every path is not sure to be written.
   *
   * @param frame - the frame of whose stack it wrote a whole slot; -1: of none.
   */
  settle(slot: number, frame: number, index: number): void {
    const at = slot - this.#start;
    const before = this.#writes[at];
    if (before === WRITES_NOTHING) return;
    const bit = 1 << (index & 31);
    for (let i = 0; i <= this.#depth; i++) {
      const wanted = i === frame ? bit : 0;
      this.#settleFrame(slot, i, index < 32 ? wanted : 0, index < 32 ? 0 : wanted);
    }
    if (before === UNSEEN) this.#writes[at] = frame < 0 ? WRITES_NOTHING : WRITES;
  }

  /**
   * A path is at its end, or leaves the function: finds out what is live, from this function
   * outwards, where that may have changed.
   */
  update(): void {
    if (!this.#canWait) this.#solve();
    this.caller?.update();
  }

  /**
   * No caller is told, and no path comes back to what it was seen to read since: whoever asks gets
   * the same answer as if it had been found at once.
   */
  get #canWait(): boolean {
    const { flow, log } = this.#program;
    return this.caller === null && !flow.hasLoops && log === null;
  }

  /** Adds the slots of a frame's stack that are read by this function from `slot` on. */
  addLive(slot: number, frame: number, mask: SlotMask): void {
    if (this.#canWait) this.#solve();
    const sets = this.#frames[frame];
    if (sets === null || sets === undefined) return;
    const at = WORDS * (slot - this.#start) + LIVE;
    mask.low |= sets[at] as number;
    mask.high |= sets[at + 1] as number;
  }

  /** As {@link StackUse.addLive}, after the call: a callback may be called once more. */
  addLiveBehind(callSite: number, frame: number, mask: SlotMask): void {
    this.addLive(this.#program.callsBack(callSite) ? callSite : callSite + 1, frame, mask);
  }

  #reach(frame: number): Uint32Array {
    let sets = this.#frames[frame] ?? null;
    if (sets === null) {
      sets = new Uint32Array(WORDS * this.#writes.length);
      this.#frames[frame] = sets;
    }
    return sets;
  }

  #addReads(slot: number, frame: number, low: number, high: number): void {
    const sets = this.#reach(frame);
    const at = WORDS * (slot - this.#start);
    sets[at + READ] = (sets[at + READ] as number) | low;
    sets[at + READ + 1] = (sets[at + READ + 1] as number) | high;
    const isKnown =
      (low & ~(sets[at + LIVE] as number)) === 0 && (high & ~(sets[at + LIVE + 1] as number)) === 0;
    if (!isKnown) this.#isStale = true;
  }

  #settleFrame(slot: number, frame: number, low: number, high: number): void {
    const isFirst = this.#writes[slot - this.#start] === UNSEEN;
    if (low === 0 && high === 0 && (isFirst || this.#frames[frame] === null)) return;
    const sets = this.#reach(frame);
    const at = WORDS * (slot - this.#start) + WRITTEN;
    const oldLow = sets[at] as number;
    const oldHigh = sets[at + 1] as number;
    const newLow = (isFirst ? low : low & oldLow) >>> 0;
    const newHigh = (isFirst ? high : high & oldHigh) >>> 0;
    if (newLow === oldLow && newHigh === oldHigh) return;
    sets[at] = newLow;
    sets[at + 1] = newHigh;
    this.#isStale = true;
    if (!isFirst) this.#writesLess = true;
  }

  #solve(): void {
    if (!this.#isStale) return;
    this.#isStale = false;
    const { flow, log } = this.#program;
    const { hasLoops } = flow;
    // What is told depends on the order in which it is found out; what is found doesn't.
    const order =
      log === null ? flow.order.subarray(this.#start, this.#end) : postorderOf(flow, this.#start);
    for (const sets of this.#frames)
      if (sets !== null && this.#writesLess) this.#forgetReplaced(sets);
    let rounds = 0;
    for (let changed = true; changed; ) {
      changed = false;
      rounds++;
      for (const [frame, sets] of this.#frames.entries()) {
        if (sets === null) continue;
        for (let at = 0; at < order.length; at++) {
          const slot = order[at] as number;
          const before = log === null ? null : this.#copyOf(sets, slot);
          if (!this.#solveSlot(sets, slot)) continue;
          changed ||= hasLoops || log !== null;
          if (before !== null) this.#tell(log as StackLog, sets, before, frame, slot);
        }
      }
    }
    log?.line(`${this.#name} live stack update done in ${rounds} iterations`);
    this.#writesLess = false;
    this.#tellCaller();
  }

  /** The chain of calls: its slots, and where the innermost function begins. */
  get #name(): string {
    const slots: number[] = [this.#start];
    for (let at: StackUse | null = this; at !== null; at = at.caller) {
      if (at.caller !== null) slots.unshift(at.#callSite);
    }
    return `(${slots.join(",")})`;
  }

  #copyOf(sets: Uint32Array, slot: number): Uint32Array {
    const at = WORDS * (slot - this.#start);
    return sets.slice(at, at + WORDS);
  }

  /** Analogous to log_mask_change() in Linux, for both sets. */
  #tell(log: StackLog, sets: Uint32Array, before: Uint32Array, frame: number, slot: number): void {
    const now = this.#copyOf(sets, slot);
    const own = [READ, READ + 1, WRITTEN, WRITTEN + 1].some((word) => now[word] !== 0);
    if (!own && slot !== this.#start && !log.isPoint(slot)) return;
    const where = `${this.#name} frame ${frame} insn ${slot} `;
    for (const [what, word] of [
      ["live", LIVE],
      ["written", REPLACED],
    ] as const) {
      const gone = slotNames(before, now, word);
      const come = slotNames(now, before, word);
      if (come === "" && gone === "") continue;
      log.line(
        `${where}${come === "" ? "" : `+${what} ${come} `}${gone === "" ? "" : `-${what} ${gone}`}`,
      );
    }
  }

  #forgetReplaced(sets: Uint32Array): void {
    for (let at = REPLACED; at < sets.length; at += WORDS) sets.fill(0, at, at + 2);
  }

  /** @returns whether something changed. */
  #solveSlot(sets: Uint32Array, slot: number): boolean {
    const { flow } = this.#program;
    const next = flow.next[slot] as number;
    const target = flow.target[slot] as number;
    if (next === NOWHERE && target === NOWHERE) return false;
    const at = WORDS * (slot - this.#start);
    const behind = WORDS * ((next === NOWHERE ? target : next) - this.#start);
    const there = target === NOWHERE ? behind : WORDS * (target - this.#start);
    let changed = false;
    for (let word = 0; word < 2; word++) {
      const written = sets[at + WRITTEN + word] as number;
      const after = (sets[behind + LIVE + word] as number) | (sets[there + LIVE + word] as number);
      const live = ((after & ~written) | (sets[at + READ + word] as number)) >>> 0;
      const later =
        (sets[behind + REPLACED + word] as number) & (sets[there + REPLACED + word] as number);
      const replaced = (later | written) >>> 0;
      if (live === sets[at + LIVE + word] && replaced === sets[at + REPLACED + word]) continue;
      sets[at + LIVE + word] = live;
      sets[at + REPLACED + word] = replaced;
      changed = true;
    }
    return changed;
  }

  /** To the caller, the call reads and writes what this function does. */
  #tellCaller(): void {
    const { caller } = this;
    if (caller === null) return;
    const slot = this.#callSite;
    for (let frame = 0; frame < this.#depth; frame++) {
      const [live, liveHigh] = this.#first(frame, LIVE);
      const [replaced, replacedHigh] = this.#first(frame, REPLACED);
      if ((live | liveHigh) !== 0) caller.#addReads(slot, frame, live, liveHigh);
      caller.#settleFrame(slot, frame, replaced, replacedHigh);
    }
    const at = slot - caller.#start;
    if (caller.#writes[at] === UNSEEN) caller.#writes[at] = WRITES;
  }

  /** One of the sets of the function's first instruction. */
  #first(frame: number, set: number): readonly [low: number, high: number] {
    const sets = this.#frames[frame];
    return [sets?.[set] ?? 0, sets?.[set + 1] ?? 0];
  }
}

/** Slots of a set that are not in another one. */
function slotNames(sets: Uint32Array, others: Uint32Array, word: number): string {
  const names: number[] = [];
  for (let i = 0; i < 64; i++) {
    const at = word + (i >> 5);
    const isNew = (((sets[at] as number) & ~(others[at] as number)) >>> (i & 31)) & 1;
    if (isNew === 1) names.push(-SLOT_BYTES * (i + 1));
  }
  return names.join(",");
}
