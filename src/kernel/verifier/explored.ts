/**
 * The checkpoints of a verification: leaving them, holding the current state against them, and
 * throwing away those that never helped. Analogous to is_state_visited() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import type { Environment } from "./environment.ts";
import { type Comparison, covers, IdMap, isIdentical } from "./equality.ts";
import { liveRegisters } from "./live_registers.ts";
import { FORCE, findPoints, JOIN } from "./points.ts";
import { inheritPrecision } from "./precision.ts";
import { Refusal } from "./refusal.ts";
import { Checkpoint, type Frame, markSlotRead, type State } from "./state.ts";

/** A path with more steps than this since its last checkpoint leaves one. */
const MAX_HISTORY = 40;
/** Otherwise a checkpoint wants so many jumps and instructions since the last one. */
const MIN_JUMPS = 2;
const MIN_INSTRUCTIONS = 8;
/** The same while going round a loop. */
const MIN_LOOP_JUMPS = 20;
const MIN_LOOP_INSTRUCTIONS = 100;
/** How often a checkpoint may be no help for each time that it was. */
const MISSES_PER_HIT = 3;
const MISSES_PER_HIT_IN_LOOP = 64;

/** Checkpoints by slot. */
export class Explored {
  readonly points: Uint8Array;
  readonly #comparison: Comparison;
  readonly #bySlot: Map<number, Checkpoint[]> = new Map();
  #jumps: number = 0;
  #processed: number = 0;

  constructor({ subject }: Environment) {
    this.points = findPoints(subject.insns);
    this.#comparison = {
      live: liveRegisters(subject.insns),
      bpfCapable: subject.bpfCapable,
      perfmon: subject.perfmon,
      ids: new IdMap(),
      exploresLimits: false,
    };
  }

  /** Counters go on from here: another walk begins. */
  begin({ jumps, processed }: Environment): void {
    this.#jumps = jumps;
    this.#processed = processed;
    this.#bySlot.clear();
  }

  /**
   * Compares the current state with the checkpoints here, and may leave a new one.
   *
   * @returns whether this path needs no further walk.
   */
  visit(env: Environment): boolean {
    const { slot, state } = env;
    const point = this.points[slot] as number;
    const forced =
      env.subject.everyCheckpoint || (point & FORCE) !== 0 || state.historyLength > MAX_HISTORY;
    const jumps = env.jumps - this.#jumps;
    const processed = env.processed - this.#processed;
    let leaves = forced || (jumps >= MIN_JUMPS && processed >= MIN_INSTRUCTIONS);
    this.#comparison.exploresLimits = env.speculation.exploresLimits;
    let here = this.#bySlot.get(slot);
    if (here === undefined) {
      here = [];
      this.#bySlot.set(slot, here);
    }
    env.maxStatesPerInsn = Math.max(env.maxStatesPerInsn, here.length);
    // The latest first, as the most alike.
    for (let i = here.length - 1; i >= 0; i--) {
      const old = here[i] as Checkpoint;
      if (old.branches > 0) {
        if (this.#closesLoop(env, old)) return true;
        if (!forced && jumps < MIN_LOOP_JUMPS && processed < MIN_LOOP_INSTRUCTIONS) leaves = false;
      } else if (covers(old, state, old.incomplete ? "ranges" : "finished", this.#comparison)) {
        old.hits++;
        inherit(env, old);
        if (old.incomplete) markIncomplete(env);
        return true;
      }
      if (leaves) old.misses++;
      const factor =
        (point & FORCE) !== 0 && old.branches > 0 ? MISSES_PER_HIT_IN_LOOP : MISSES_PER_HIT;
      if (old.misses > old.hits * factor + factor) {
        here.splice(i, 1);
        env.peakStates--;
      }
    }
    if (leaves) this.#leave(env, here);
    return false;
  }

  /** A state on the same path. @returns whether the loop that it begins needs no further round. */
  #closesLoop(env: Environment, old: Checkpoint): boolean {
    const { state, slot } = env;
    const point = this.points[slot] as number;
    if ((point & FORCE) !== 0) {
      const isCallback = (point & JOIN) !== 0 && env.insn.opcode === CALL;
      const isOther = isCallback || old.mayGotoDepth !== state.mayGotoDepth;
      if (isOther && covers(old, state, "ranges", this.#comparison)) {
        old.hits++;
        inherit(env, old);
        markIncomplete(env);
        return true;
      }
      if (isCallback) return false;
    }
    const isSame =
      old.mayGotoDepth === state.mayGotoDepth &&
      old.callbackDepth === state.callbackDepth &&
      looksAlike(old, state) &&
      covers(old, state, "same", this.#comparison);
    if (!isSame) return false;
    throw new Refusal(EINVAL, `infinite loop detected at insn ${slot}`);
  }

  #leave(env: Environment, here: Checkpoint[]): void {
    const { state, slot } = env;
    this.#jumps = env.jumps;
    this.#processed = env.processed;
    env.totalStates++;
    env.peakStates++;
    const checkpoint = new Checkpoint(state, slot);
    state.parent = checkpoint;
    state.history = null;
    state.historyLength = 0;
    state.written = null;
    here.push(checkpoint);
  }
}

const CALL = 0x85;

/**
 * Whether the innermost frames' registers are the same to the last id, those that nobody reads any
 * more too: an endless loop changes nothing. Analogous to states_maybe_looping() in Linux.
 */
function looksAlike({ frames }: Checkpoint, now: State): boolean {
  if (frames.length !== now.frames.length) return false;
  const old = frames[now.depth] as Frame;
  return now.frame.registers.every((register, i) => isIdentical(old.get(i), register));
}

/** What mattered from the earlier state on, matters on this path. */
function inherit(env: Environment, old: Checkpoint): void {
  for (const [depth, frame] of old.frames.entries()) {
    if (!old.read.hasSlots(depth)) continue;
    for (let index = 0; index < frame.stack.length; index++) {
      if (old.read.hasSlot(depth, index)) markSlotRead(env.state, depth, index);
    }
  }
  inheritPrecision(env, old);
}

/** A path came back: what matters later on in the loop may matter here, and isn't known yet. */
function markIncomplete({ state }: Environment): void {
  for (let at = state.parent; at !== null && !at.incomplete; at = at.parent) at.incomplete = true;
}

/** A path is at its end, and with it perhaps checkpoints on it: update_branch_counts() in Linux. */
export function finishPath({ state }: Environment): void {
  for (let at = state.parent; at !== null; ) {
    at.branches--;
    if (at.branches > 0) return;
    const { parent } = at;
    at.finish();
    at = parent;
  }
}
