/**
 * Stays in loops: from the checkpoint with which a path comes into one until all paths from there
 * are at their ends. Paths that were cut short since they came round wait until then for what
 * matters to a verdict later in the loop. Analogous to struct bpf_scc_visit in Linux.
 */

import { type Forgotten, isReadNow } from "./cleaning.ts";
import type { Environment } from "./environment.ts";
import type { VerifierLog } from "./log.ts";
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
  /** How the log names it: its calls and its component. */
  readonly #name: string;
  /** The checkpoint that the current stay began with. */
  #entry: Checkpoint | null = null;
  #backedges: Backedge[] = [];
  #early: Forgotten[] = [];
  /** Checkpoints that marks have to be traced back over. */
  readonly #kept: Set<Checkpoint> = new Set();

  constructor(name: string) {
    this.#name = name;
  }

  /** Marks may be missing in all of the stay's checkpoints. */
  get isIncomplete(): boolean {
    return this.#backedges.length > 0;
  }

  /** A checkpoint within the loop is left. @param log - null: it is not told. */
  enter(checkpoint: Checkpoint, log: VerifierLog | null): void {
    if (this.#entry !== null) return;
    this.#entry = checkpoint;
    if (log?.isVerbose === true) log.line(`SCC enter ${this.#name}`);
  }

  /**
   * Cuts a path short: what matters from `equal` on matters to it, when that is known.
   *
   * @param silently - the log is not told, and nothing counted.
   */
  addBackedge(env: Environment, equal: Checkpoint, silently: boolean): void {
    const { state, slot } = env;
    if (!silently) {
      if (env.log.isVerbose) env.log.line(`SCC backedge ${this.#name}`);
      env.backedges++;
      env.updatePeak();
    }
    // The latest first, as Linux goes through them.
    this.#backedges.unshift({ state, slot, equal });
    for (let at = state.parent; at !== null && !this.#kept.has(at); at = at.parent) {
      at.keep();
      this.#kept.add(at);
      if (at === this.#entry) return;
    }
  }

  /** All paths from a checkpoint are at their ends, and with it perhaps the stay. */
  leave(env: Environment, checkpoint: Checkpoint): void {
    if (checkpoint !== this.#entry) return;
    if (env.log.isVerbose) env.log.line(`SCC exit ${this.#name}`);
    env.backedges -= this.#backedges.length;
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
    let name = "(";
    for (let i = 1; i <= depth; i++) name += `${(frames[i] as Frame).callSite},`;
    name += `${component})`;
    let visit = this.#visits.get(name);
    if (visit === undefined) {
      visit = new Visit(name);
      this.#visits.set(name, visit);
    }
    return visit;
  }
}
