/**
 * The order in which the elements of an LRU map were used, strung through the elements themselves.
 * Linux keeps this order only roughly (kernel/bpf/bpf_lru_list.c); here it is exact.
 */

import type { LinearMemory } from "../../memory.ts";
import { ELEMENT } from "./layout.ts";

const [OLDER] = ELEMENT.older;
const [NEWER] = ELEMENT.newer;

/** A list of elements from the one used last to the one used longest ago. */
export class LruList {
  readonly #memory: LinearMemory;
  #oldest: number = 0;
  #newest: number = 0;

  constructor(memory: LinearMemory) {
    this.#memory = memory;
  }

  /** The element that was used longest ago; 0 when there are none. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Adds an element, as the one used last. */
  add(element: number): void {
    this.#link(this.#newest, element);
    this.#link(element, 0);
  }

  remove(element: number): void {
    const { view } = this.#memory;
    this.#link(view.getUint32(element + OLDER, true), view.getUint32(element + NEWER, true));
  }

  /** Makes an element of the list the one used last. */
  touch(element: number): void {
    if (element === this.#newest) return;
    this.remove(element);
    this.add(element);
  }

  /** Makes two elements neighbours; 0 stands for the end of the list. */
  #link(older: number, newer: number): void {
    const { view } = this.#memory;
    if (older === 0) this.#oldest = newer;
    else view.setUint32(older + NEWER, newer, true);
    if (newer === 0) this.#newest = older;
    else view.setUint32(newer + OLDER, older, true);
  }
}
