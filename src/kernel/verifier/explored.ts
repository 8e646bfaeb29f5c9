/**
 * The checkpoints of a verification: leaving them, holding the current state against them, and
 * throwing away those that never helped. Analogous to is_state_visited() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import type { Instruction } from "../../asm/index.ts";
import { clean } from "./cleaning.ts";
import { findComponents } from "./components.ts";
import type { Environment } from "./environment.ts";
import { type Comparison, covers, IdMap, isIdentical } from "./equality.ts";
import { ALL_PRECISE, EVERYTHING, formatFrame } from "./format.ts";
import { FORCE, findPoints, JOIN } from "./points.ts";
import { callsBack, inheritPrecision } from "./precision.ts";
import { Refusal } from "./refusal.ts";
import { Checkpoint, type Frame, type State } from "./state.ts";
import { Visits } from "./visits.ts";
import { sameCallSites } from "./widen.ts";

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

/** The checkpoints of a walk. */
export class Explored {
  readonly points: Uint8Array;
  readonly #comparison: Comparison;
  /** null: there are no loops. */
  readonly components: Uint32Array | null;
  readonly #visits: Visits | null;
  /** The same with the loops that helpers make by calling back; null: they are in it already. */
  readonly #doubts: Visits | null;
  #buckets: (Checkpoint[] | undefined)[] = [];
  #jumps: number = 0;
  #processed: number = 0;

  /** @param waits - paths that came round to a helper that calls back wait, as others do. */
  constructor({ subject, flow, live }: Environment, waits: boolean) {
    const { insns, bpfCapable, perfmon } = subject;
    this.points = findPoints(insns);
    this.#comparison = {
      live,
      bpfCapable,
      perfmon,
      ids: new IdMap(),
      exploresLimits: false,
    };
    const repeats = insns.some(callsBack)
      ? (slot: number): boolean => callsBack(insns[slot] as Instruction)
      : null;
    this.components = findComponents(flow, waits ? repeats : null);
    const withCallbacks = waits || repeats === null ? null : findComponents(flow, repeats);
    this.#visits = this.components && new Visits(this.components);
    this.#doubts = withCallbacks && new Visits(withCallbacks);
  }

  /** Another walk begins. All stays of the last one are over; its checkpoints are of no use. */
  begin(): void {
    this.#buckets = new Array(this.points.length);
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
    const bucket = this.#bucketOf(env);
    this.#clean(bucket, env);
    const count = bucket.length;
    // The latest first, as the most alike.
    for (let i = count - 1; i >= 0; i--) {
      const old = bucket[i] as Checkpoint;
      if (old.slot !== slot) continue;
      if (old.branches > 0) {
        if (this.#closesLoop(env, old)) return true;
        if (!forced && jumps < MIN_LOOP_JUMPS && processed < MIN_LOOP_INSTRUCTIONS) leaves = false;
      } else {
        const { isIncomplete } = old;
        if (covers(old, state, isIncomplete ? "ranges" : "finished", this.#comparison)) {
          cutShort(env, old, isIncomplete);
          return true;
        }
      }
      if (leaves) old.misses++;
      const factor =
        (point & FORCE) !== 0 && old.branches > 0 ? MISSES_PER_HIT_IN_LOOP : MISSES_PER_HIT;
      if (old.misses > old.hits * factor + factor) {
        bucket.splice(i, 1);
        env.explored--;
        env.evicted++;
        old.isEvicted = true;
        letGo(env, old);
      }
    }
    env.maxStatesPerInsn = Math.max(env.maxStatesPerInsn, count);
    if (leaves) this.#leave(env, bucket);
    return false;
  }

  /** As in Linux, states that were called from elsewhere are mostly elsewhere. */
  #bucketOf({ slot, state }: Environment): Checkpoint[] {
    const hash = ((slot ^ state.frame.callSite) >>> 0) % this.points.length;
    const bucket = this.#buckets[hash] ?? [];
    this.#buckets[hash] = bucket;
    return bucket;
  }

  #clean(bucket: readonly Checkpoint[], { slot, state }: Environment): void {
    for (const old of bucket) {
      if (old.isClean || old.branches > 0 || old.slot !== slot || old.isIncomplete) continue;
      if (!sameCallSites(old.frames, state.frames)) continue;
      const forgotten = clean(old, this.#comparison.live);
      old.isClean = true;
      if (old.doubts?.isIncomplete === true) old.doubts.noteForgotten(forgotten);
    }
  }

  /** A state on the same path. @returns whether the loop that it begins needs no further round. */
  #closesLoop(env: Environment, old: Checkpoint): boolean {
    const { state, slot } = env;
    const point = this.points[slot] as number;
    if ((point & FORCE) !== 0) {
      const isCallback = (point & JOIN) !== 0 && env.insn.opcode === CALL;
      const isOther = isCallback || old.mayGotoDepth !== state.mayGotoDepth;
      if (isOther && covers(old, state, "ranges", this.#comparison)) {
        cutShort(env, old, !isCallback || this.#doubts === null);
        if (isCallback) old.doubts?.addBackedge(env, old, true);
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
    env.trace?.sourceLine(slot);
    env.log.line(`infinite loop detected at insn ${slot}`);
    const precise = env.subject.bpfCapable ? old.precise : ALL_PRECISE;
    const now = env.subject.bpfCapable ? null : ALL_PRECISE;
    env.log.line(`cur state:${formatFrame(state, state.depth, EVERYTHING, now)}`);
    const before = formatFrame(old, state.depth, EVERYTHING, precise);
    throw new Refusal(EINVAL, `old state:${before}`);
  }

  #leave(env: Environment, bucket: Checkpoint[]): void {
    const { state, slot } = env;
    this.#jumps = env.jumps;
    this.#processed = env.processed;
    env.totalStates++;
    env.explored++;
    env.updatePeak();
    const visit = this.#visits?.of(state.frames, slot) ?? null;
    const doubts = this.#doubts?.of(state.frames, slot) ?? null;
    const checkpoint = new Checkpoint(state, slot, visit, doubts);
    visit?.enter(checkpoint, env.log);
    doubts?.enter(checkpoint, null);
    state.parent = checkpoint;
    state.history = null;
    state.historyLength = 0;
    bucket.push(checkpoint);
  }

  /** A path is at its end, and with it perhaps checkpoints: update_branch_counts() in Linux. */
  finishPath(env: Environment): void {
    for (let at = env.state.parent; at !== null; ) {
      at.branches--;
      if (at.branches > 0) return;
      const { parent } = at;
      at.visit?.leave(env, at);
      if (at.doubts?.leavesDoubt(env, at) === true) env.isDoubtful = true;
      at.finish();
      letGo(env, at);
      at = parent;
    }
  }
}

/** A checkpoint that is not compared any more is kept while paths from it are walked. */
function letGo(env: Environment, checkpoint: Checkpoint): void {
  if (!checkpoint.isEvicted || checkpoint.branches > 0 || checkpoint.isIncomplete) return;
  checkpoint.isEvicted = false;
  env.evicted--;
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

/**
 * The path needs no further walk: what matters from the earlier state on, matters on it.
 *
 * @param isRound - the earlier state's marks may be missing: they are asked for again later on.
 */
function cutShort(env: Environment, old: Checkpoint, isRound: boolean): void {
  old.hits++;
  inheritPrecision(env, env.state, env.slot, old);
  if (isRound) old.visit?.addBackedge(env, old, false);
}
