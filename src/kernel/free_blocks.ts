/**
 * The free blocks of a linear memory, by size: what an allocator of the kind "two-level segregated
 * fit" keeps (Masmano, Ripoll, Crespo and Real, ECRTS 2004).
 *
 * Blocks lie side by side. Each begins with a header of two words: how many bytes the block before
 * it has, and how many it has itself, with the lowest bit set while it is free. Sizes are multiples
 * of 8. A free block holds, behind its header, the next and the previous free block of its class.
 */

/** Bytes of a block's header. */
export const HEADER_BYTES = 8;
/** Sizes are multiples of it, and no block is smaller. */
export const ALIGNMENT = 8;

/** In the word of a block's size: whether it is free. */
const IS_FREE = 1;

/** Sizes below 32 * 8 bytes have a class each; above, each power of two is divided into 16. */
const EXACT_CLASSES = 32;
const DIVISION_BITS = 4;
const FIRST_EXPONENT = 5;
/** In units of 8 bytes sizes are below 2^29: the last class is that of 2^28 units and more. */
const CLASSES = EXACT_CLASSES + (29 - FIRST_EXPONENT) * (1 << DIVISION_BITS);

/** How many blocks of a class are looked at for the smallest that is large enough. */
const MAX_LOOKED_AT = 8;

/** The class of a size: blocks of a higher class are larger than any of a lower one. */
function classOf(size: number): number {
  const units = size >>> 3;
  if (units < EXACT_CLASSES) return units;
  const exponent = 31 - Math.clz32(units);
  const division = (units >>> (exponent - DIVISION_BITS)) & ((1 << DIVISION_BITS) - 1);
  return EXACT_CLASSES + ((exponent - FIRST_EXPONENT) << DIVISION_BITS) + division;
}

/** Lists of free blocks, one a class, strung together through the blocks themselves. */
export class FreeBlocks {
  /** The first block of each class, or 0. Addresses of headers. */
  readonly #heads: Uint32Array = new Uint32Array(CLASSES);
  /** A bit for each class: whether it has blocks. */
  readonly #occupied: Uint32Array = new Uint32Array(Math.ceil(CLASSES / 32));
  #bytes: number = 0;

  /** Bytes of all of them, without headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Marks a block as free and puts it in. */
  add(words: Int32Array, block: number, size: number): void {
    const index = classOf(size);
    const next = this.#heads[index] as number;
    const at = block >>> 2;
    words[at + 1] = size | IS_FREE;
    words[at + 2] = next;
    words[at + 3] = 0;
    if (next !== 0) words[(next >>> 2) + 3] = block;
    this.#heads[index] = block;
    this.#occupied[index >>> 5] = (this.#occupied[index >>> 5] as number) | (1 << (index & 31));
    this.#bytes += size;
  }

  /** Marks a block as taken and takes it out. */
  remove(words: Int32Array, block: number, size: number): void {
    const at = block >>> 2;
    const next = (words[at + 2] as number) >>> 0;
    const previous = (words[at + 3] as number) >>> 0;
    words[at + 1] = size;
    if (next !== 0) words[(next >>> 2) + 3] = previous;
    if (previous !== 0) words[(previous >>> 2) + 2] = next;
    else {
      const index = classOf(size);
      this.#heads[index] = next;
      const others = this.#occupied[index >>> 5] as number;
      if (next === 0) this.#occupied[index >>> 5] = others & ~(1 << (index & 31));
    }
    this.#bytes -= size;
  }

  /**
   * A free block of at least `size` bytes, or 0. The smallest of the first few is chosen.
   *
   * @param lookedAt - how many blocks of the size's own class are looked at; those of higher
   *   classes are all large enough.
   */
  find(words: Int32Array, size: number, lookedAt: number = MAX_LOOKED_AT): number {
    const own = classOf(size);
    const best = this.#smallestIn(words, own, size, lookedAt);
    if (best !== 0) return best;
    const higher = this.#occupiedFrom(own + 1);
    return higher < 0 ? 0 : this.#smallestIn(words, higher, size, MAX_LOOKED_AT);
  }

  #smallestIn(words: Int32Array, index: number, size: number, lookedAt: number): number {
    let best = 0;
    let bestSize = Number.POSITIVE_INFINITY;
    let block = this.#heads[index] as number;
    for (let looked = 0; block !== 0 && looked < lookedAt; looked++) {
      const found = sizeOf(words, block);
      if (found === size) return block;
      if (found > size && found < bestSize) {
        best = block;
        bestSize = found;
      }
      block = (words[(block >>> 2) + 2] as number) >>> 0;
    }
    return best;
  }

  /** The lowest class from `index` on that has blocks; -1 when none has. */
  #occupiedFrom(index: number): number {
    for (let word = index >>> 5; word < this.#occupied.length; word++) {
      const from = word === index >>> 5 ? -1 << (index & 31) : -1;
      const bits = (this.#occupied[word] as number) & from;
      if (bits !== 0) return (word << 5) + (31 - Math.clz32(bits & -bits));
    }
    return -1;
  }
}

/** Whether a block is free. */
export function isFree(words: Int32Array, block: number): boolean {
  return ((words[(block >>> 2) + 1] as number) & IS_FREE) !== 0;
}

/** Bytes of a block without its header. */
export function sizeOf(words: Int32Array, block: number): number {
  return ((words[(block >>> 2) + 1] as number) & ~IS_FREE) >>> 0;
}
