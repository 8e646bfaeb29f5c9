/**
 * Room for the elements of one hash map. An element that is given back is used again by the same
 * map and no other: a program that still points into it finds another element, never a stranger.
 */

import type { LinearMemory } from "../../memory.ts";
import { ELEMENT } from "./layout.ts";

/** A map that allocates as it goes begins with room for this many elements, then doubles. */
const FIRST_SLAB_ELEMENTS = 8;

/** Elements side by side. */
interface Slab {
  readonly base: number;
  readonly end: number;
}

/** Elements of one size, in slabs. */
export class ElementPool {
  readonly #memory: LinearMemory;
  readonly #stride: number;
  readonly #limit: number;
  /** By address. */
  readonly #slabs: Slab[] = [];
  /** Those to give back at the end. */
  readonly #owned: number[] = [];
  /** Elements that there is room for in all slabs. */
  #capacity: number = 0;
  /** Elements given back, strung together by their first field. */
  #free: number = 0;
  /** Elements from here to the end of the newest slab were never used. */
  #fresh: number = 0;
  #freshEnd: number = 0;

  /**
   * @param stride - bytes of an element.
   * @param limit - how many elements there may be.
   */
  constructor(memory: LinearMemory, stride: number, limit: number) {
    this.#memory = memory;
    this.#stride = stride;
    this.#limit = limit;
  }

  /** Bytes that the pool allocated by itself. */
  get ownedBytes(): number {
    const owned = new Set(this.#owned);
    let bytes = 0;
    for (const { base, end } of this.#slabs) if (owned.has(base)) bytes += end - base;
    return bytes;
  }

  /** Adds zeroed room for `count` elements that belongs to somebody else. */
  addSlab(base: number, count: number): void {
    const end = base + count * this.#stride;
    this.#slabs.push({ base, end });
    this.#slabs.sort((a, b) => a.base - b.base);
    this.#capacity += count;
    this.#fresh = base;
    this.#freshEnd = end;
  }

  /** An element, with whatever it held before; 0 when there is no memory left. */
  take(): number {
    const reused = this.#free;
    if (reused !== 0) {
      this.#free = this.#memory.view.getUint32(reused + ELEMENT.next[0], true);
      return reused;
    }
    if (this.#fresh === this.#freshEnd && !this.#grow()) return 0;
    const element = this.#fresh;
    this.#fresh += this.#stride;
    return element;
  }

  /** Takes an element back. */
  give(element: number): void {
    this.#memory.view.setUint32(element + ELEMENT.next[0], this.#free, true);
    this.#free = element;
  }

  /** How far into an element an address lies; -1 when it lies in none. */
  offsetInElement(address: number): number {
    let low = 0;
    let high = this.#slabs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slabs[middle]?.base ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    const slab = this.#slabs[low - 1];
    return slab !== undefined && address < slab.end ? (address - slab.base) % this.#stride : -1;
  }

  /** Gives back the memory that the pool allocated. */
  release(): void {
    for (const base of this.#owned) this.#memory.free(base);
  }

  #grow(): boolean {
    const wanted = Math.max(this.#capacity, FIRST_SLAB_ELEMENTS);
    const room = this.#limit - this.#capacity;
    // Little memory left: one element is better than none.
    for (const count of [Math.min(wanted, room), Math.min(1, room)]) {
      const base = count === 0 ? 0 : this.#memory.alloc(count * this.#stride);
      if (base === 0) continue;
      this.#owned.push(base);
      this.addSlab(base, count);
      return true;
    }
    return false;
  }
}
