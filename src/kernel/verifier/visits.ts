/**
 * Stays in loops: from the checkpoint with which a path comes into one until all paths from there
 * are at their ends. Paths that were cut short since they came round wait until then for what
 * matters to a verdict later in the loop. Analogous to struct bpf_scc_visit in Linux.
 */

import { type Forgotten, isReadNow } from "./cleaning.ts";
import type { Environment } from "./environment.ts";
import { inheritPrecision, lacksPrecision, markAllPrecise } from "./precision.ts";
import type { Checkpoint, Frame, State } from "./state.ts";

/** How often marks go round a loop before all numbers are marked (MAX_BACKEDGE_ITERS). */
const MAX_ROUNDS = 64;

/** A path that was cut short. */
interface Backedge {
  readonly state: State;
  readonly slot: number;
  /** The checkpoint that covers it. */
  readonly equal: Checkpoint;
}

/** All stays in one loop by the same calls, one after the other. */
export class Visit {
  /** The checkpoint that the current stay began with. */
  #entry: Checkpoint | null = null;
  #backedges: Backedge[] = [];
  #early: Forgotten[] = [];
  /** Checkpoints that marks have to be traced back over. */
  readonly #kept: Set<Checkpoint> = new Set();

  /** Marks may be missing in all of the stay's checkpoints. */
  get isIncomplete(): boolean {
    return this.#backedges.length > 0;
  }

  /** A checkpoint within the loop is left. */
  enter(checkpoint: Checkpoint): void {
    this.#entry ??= checkpoint;
  }

  /** Cuts a path short: what matters from `equal` on matters to it, when that is known. */
  addBackedge({ state, slot }: Environment, equal: Checkpoint): void {
    this.#backedges.push({ state, slot, equal });
    for (let at = state.parent; at !== null && !this.#kept.has(at); at = at.parent) {
      at.keep();
      this.#kept.add(at);
      if (at === this.#entry) return;
    }
  }

  /** All paths from a checkpoint are at their ends, and with it perhaps the stay. */
  leave(env: Environment, checkpoint: Checkpoint): void {
    if (checkpoint !== this.#entry) return;
    if (this.#backedges.length > 0) this.#propagate(env);
    this.#end();
  }

  /** As {@link Visit.leave}, but only looks. @returns whether marks are missing. */
  leavesDoubt(env: Environment, checkpoint: Checkpoint): boolean {
    if (checkpoint !== this.#entry) return false;
    const doubt =
      this.#early.some(isReadNow) ||
      this.#backedges.some(({ state, slot, equal }) => lacksPrecision(env, state, slot, equal));
    this.#end();
    return doubt;
  }

  /** Slots were forgotten in a checkpoint before the stay was over. */
  noteForgotten(forgotten: Forgotten): void {
    this.#early.push(forgotten);
  }

  #end(): void {
    this.#entry = null;
    this.#backedges = [];
    this.#early = [];
    for (const checkpoint of this.#kept) checkpoint.release();
    this.#kept.clear();
  }

  #propagate(env: Environment): void {
    let round = 0;
    while (this.#goRound(env)) {
      round++;
      if (round <= MAX_ROUNDS) continue;
      for (const { state } of this.#backedges) markAllPrecise(env, state);
      break;
    }
  }

  /** @returns whether there were marks that were missing. */
  #goRound(env: Environment): boolean {
    let changed = false;
    for (const { state, slot, equal } of this.#backedges) {
      if (inheritPrecision(env, state, slot, equal)) changed = true;
    }
    return changed;
  }
}

/** The stays of one walk. */
export class Visits {
  readonly #components: Uint32Array;
  readonly #visits: Map<string, Visit> = new Map();

  constructor(components: Uint32Array) {
    this.#components = components;
  }

  /** The loop that a state is in, the outermost one; null when it is in none. */
  of(frames: readonly Frame[], slot: number): Visit | null {
    for (let depth = 0; depth < frames.length; depth++) {
      const component = this.#components[frames[depth + 1]?.callSite ?? slot] as number;
      if (component !== 0) return this.#find(frames, depth, component);
    }
    return null;
  }

  #find(frames: readonly Frame[], depth: number, component: number): Visit {
    let key = `${component}`;
    for (let i = 1; i <= depth; i++) key += `,${(frames[i] as Frame).callSite}`;
    let visit = this.#visits.get(key);
    if (visit === undefined) {
      visit = new Visit();
      this.#visits.set(key, visit);
    }
    return visit;
  }
}
