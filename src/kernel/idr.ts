/**
 * Ids that go round: an object gets the next number after the last one given out, as Linux's
 * idr_alloc_cyclic() does for programs, maps and links.
 */

/** Ids lie in [1, INT_MAX). */
const FIRST_ID = 1;
const END_ID = 0x7fffffff;
/** Holes in the order are closed when they outnumber the living by this many. */
const MAX_SLACK = 64;

/** Objects by id, with a walk in ascending order. */
export class Idr<T> {
  readonly #entries: Map<number, T> = new Map();
  /** Ids in ascending order, some of them freed already. */
  #order: number[] = [];
  #next: number = FIRST_ID;

  get size(): number {
    return this.#entries.size;
  }

  /** Gives `entry` the next free id. */
  alloc(entry: T): number {
    let id = this.#next;
    // There are always free ids: memory ends long before 2^31 objects.
    while (this.#entries.has(id)) id = successor(id);
    this.#next = successor(id);
    this.#entries.set(id, entry);
    const at = this.#lowerBound(id);
    if (this.#order[at] !== id) this.#order.splice(at, 0, id);
    return id;
  }

  get(id: number): T | undefined {
    return this.#entries.get(id);
  }

  free(id: number): void {
    if (!this.#entries.delete(id)) return;
    if (this.#order.length > 2 * this.#entries.size + MAX_SLACK) {
      this.#order = this.#order.filter((each) => this.#entries.has(each));
    }
  }

  /** The smallest id in use that is greater than `id`, or null. */
  after(id: number): number | null {
    for (let at = this.#lowerBound(id + 1); at < this.#order.length; at++) {
      const candidate = this.#order[at];
      if (candidate !== undefined && this.#entries.has(candidate)) return candidate;
    }
    return null;
  }

  values(): IterableIterator<T> {
    return this.#entries.values();
  }

  /** The place of the first id in the order that is `id` or greater. */
  #lowerBound(id: number): number {
    const last = this.#order.at(-1);
    if (last === undefined || last < id) return this.#order.length;
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#order[middle] ?? 0) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function successor(id: number): number {
  return id + 1 >= END_ID ? FIRST_ID : id + 1;
}
