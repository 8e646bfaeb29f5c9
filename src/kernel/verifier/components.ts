/**
 * The loops of a program: strongly connected components of its control flow, function by function.
 * Analogous to compute_scc() in kernel/bpf/verifier.c.
 */

import { type Flow, NOWHERE } from "./flow.ts";

/**
 * By slot: the number of the component that the slot is in; 0 when no path comes back to it. null
 * where there are no loops at all.
 *
 * @param repeats - whether the instruction is a loop by itself: a helper that calls back; null:
 *   none is.
 */
export function findComponents(
  flow: Flow,
  repeats: ((slot: number) => boolean) | null,
): Uint32Array | null {
  if (!flow.hasLoops && repeats === null) return null;
  const search = new Search(flow, repeats ?? (() => false));
  for (let slot = 0; slot < flow.target.length; slot++) search.from(slot);
  return search.components;
}

/** Tarjan's search, without recursion. */
class Search {
  readonly components: Uint32Array;
  readonly #flow: Flow;
  readonly #repeats: (slot: number) => boolean;
  /** When a slot was first met, from 1 on; then also the earliest that it leads back to. */
  readonly #met: Uint32Array;
  readonly #earliest: Uint32Array;
  /** Slots whose component isn't complete, and whether a slot is among them. */
  readonly #open: number[] = [];
  readonly #isOpen: Uint8Array;
  #time: number = 0;
  #count: number = 0;

  constructor(flow: Flow, repeats: (slot: number) => boolean) {
    this.#flow = flow;
    this.#repeats = repeats;
    const { length } = flow.target;
    this.components = new Uint32Array(length);
    this.#met = new Uint32Array(length);
    this.#earliest = new Uint32Array(length);
    this.#isOpen = new Uint8Array(length);
  }

  from(first: number): void {
    const path: number[] = [first];
    for (let slot = path.at(-1); slot !== undefined; slot = path.at(-1)) {
      if (this.#met[slot] === 0) this.#meet(slot);
      const next = this.#nextOf(slot);
      if (next !== undefined) {
        path.push(next);
        continue;
      }
      path.pop();
      if (this.#isOpen[slot] === 1 && this.#earliest[slot] === this.#met[slot]) this.#close(slot);
    }
  }

  #meet(slot: number): void {
    this.#time++;
    this.#met[slot] = this.#time;
    this.#earliest[slot] = this.#time;
    this.#open.push(slot);
    this.#isOpen[slot] = 1;
  }

  /** A follower that wasn't met yet; when there is none, what the others lead back to is known. */
  #nextOf(slot: number): number | undefined {
    const next = this.#flow.next[slot] as number;
    if (this.#leadsOn(slot, next)) return next;
    const target = this.#flow.target[slot] as number;
    return this.#leadsOn(slot, target) ? target : undefined;
  }

  /** Whether a follower wasn't met yet. */
  #leadsOn(slot: number, follower: number): boolean {
    if (follower === NOWHERE || follower >= this.#met.length) return false;
    if (this.#met[follower] === 0) return true;
    if (this.#isOpen[follower] === 0) return false;
    const earliest = this.#earliest[follower] as number;
    if (earliest < (this.#earliest[slot] as number)) this.#earliest[slot] = earliest;
    return false;
  }

  /** The component that begins with `slot` is complete; one slot by itself need not be a loop. */
  #close(slot: number): void {
    const isAlone = this.#open.at(-1) === slot;
    const isLoop = !isAlone || this.#flow.target[slot] === slot || this.#repeats(slot);
    if (isLoop) this.#count++;
    for (let member = this.#open.pop(); member !== undefined; member = this.#open.pop()) {
      this.#isOpen[member] = 0;
      if (isLoop) this.components[member] = this.#count;
      if (member === slot) return;
    }
  }
}
