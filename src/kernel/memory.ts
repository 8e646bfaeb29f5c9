/**
 * The one linear memory of a kernel: stacks, contexts, packets and map values live in it, and what
 * a program calls a pointer is an offset into it.
 */

import { ALIGNMENT, FreeBlocks, HEADER_BYTES, isFree, sizeOf } from "./free_blocks.ts";

const PAGE_BYTES = 65_536;
/** Nothing is ever placed below: a small number is never a valid pointer. */
const FIRST_ADDRESS = PAGE_BYTES;

/** Looked up once: V8 takes a third of a small copy's time to find it on each call. */
const { set: setBytes } = Uint8Array.prototype;

/** How much memory a kernel may take, in bytes, when nothing else is asked for. */
export const DEFAULT_MEMORY_LIMIT = 0x4000_0000;

/** Up to so many bytes are zeroed by a loop: below, a call of fill() takes longer. */
const FEW_BYTES = 128;

/**
 * A growing linear memory with an allocator. Fresh blocks are zeroed.
 *
 * A block that is given back is joined with the free ones beside it, and a free block that is
 * larger than what is asked for is divided: see free_blocks.ts. A free block at the end of memory
 * is no block any more: what lies behind the last one is free.
 */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly #limit: number;
  readonly #free: FreeBlocks = new FreeBlocks();
  /** Where the next header comes when no free block is large enough, and the size before it. */
  #top: number = FIRST_ADDRESS;
  #lastSize: number = 0;
  /** Nothing was ever written from here on: fresh blocks are zero there. */
  #touched: number = FIRST_ADDRESS;
  #bytes: Uint8Array;
  #view: DataView;
  #words: Int32Array;

  /**
   * @param limitBytes - what allocation may not grow past; at most 4 GiB.
   * @param shared - whether other threads can be given it. Its buffer is a SharedArrayBuffer then.
   */
  constructor(limitBytes: number = DEFAULT_MEMORY_LIMIT, shared: boolean = false) {
    if (!(limitBytes >= FIRST_ADDRESS && limitBytes <= 2 ** 32)) {
      throw new RangeError(`limitBytes must lie between 64 KiB and 4 GiB, not ${limitBytes}`);
    }
    const maximum = Math.max(2, Math.floor(limitBytes / PAGE_BYTES));
    this.#limit = Math.min(limitBytes, maximum * PAGE_BYTES);
    this.memory = new WebAssembly.Memory({ initial: 2, ...(shared && { maximum, shared }) });
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
  }

  /** All of it, by address. Ask anew after an allocation: growth replaces the buffer. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** All of it, by address. Ask anew after an allocation: growth replaces the buffer. */
  get view(): DataView {
    return this.#view;
  }

  /** The same in words, by address / 4. */
  get words(): Int32Array {
    return this.#words;
  }

  /** Puts bytes there; they have to lie inside. */
  write(address: number, bytes: Uint8Array): void {
    setBytes.call(this.#bytes, bytes, address);
  }

  /** Stores a u32 after all that was stored before, as other threads see it. */
  publish(address: number, value: number): void {
    Atomics.store(this.#words, address >>> 2, value);
  }

  /** Bytes from the first block to the end of the last one, the free ones in between among them. */
  get usedBytes(): number {
    return this.#top - FIRST_ADDRESS;
  }

  /** Bytes of the blocks that are handed out, and of the headers of all blocks. */
  get allocatedBytes(): number {
    return this.usedBytes - this.#free.bytes;
  }

  /** What allocation may not grow past, in bytes. */
  get limitBytes(): number {
    return this.#limit;
  }

  /**
   * A zeroed block, 8-byte aligned.
   *
   * @returns its address, or 0 when the limit leaves no room.
   */
  alloc(sizeBytes: number): number {
    // Larger sizes have no class; NaN is no size either.
    if (!(sizeBytes <= this.#limit)) return 0;
    const size = roundUp(Math.max(sizeBytes, ALIGNMENT));
    const found = this.#free.find(this.#words, size);
    const block = found === 0 ? this.#extend(size) : this.#take(found, size);
    if (block === 0) return 0;
    const address = block + HEADER_BYTES;
    this.#zero(address, Math.min(address + size, this.#touched));
    this.#touched = Math.max(this.#touched, address + size);
    return address;
  }

  /**
   * Gives a block back. 0 stands for none.
   *
   * @throws {RangeError} when it isn't a block, or was given back before.
   */
  free(address: number): void {
    if (address === 0) return;
    let block = address - HEADER_BYTES;
    if (!this.#isAllocated(block)) {
      throw new RangeError(`free: no block was allocated at address ${address}`);
    }
    const words = this.#words;
    let size = sizeOf(words, block);
    const previousSize = (words[block >>> 2] as number) >>> 0;
    const previous = block - HEADER_BYTES - previousSize;
    if (previousSize !== 0 && isFree(words, previous)) {
      this.#free.remove(words, previous, previousSize);
      block = previous;
      size += HEADER_BYTES + previousSize;
    }
    const next = block + HEADER_BYTES + size;
    if (next === this.#top) {
      this.#top = block;
      this.#lastSize = (words[block >>> 2] as number) >>> 0;
      return;
    }
    if (isFree(words, next)) {
      const nextSize = sizeOf(words, next);
      this.#free.remove(words, next, nextSize);
      size += HEADER_BYTES + nextSize;
    }
    this.#free.add(words, block, size);
    words[(block + HEADER_BYTES + size) >>> 2] = size;
  }

  /** Takes a block at the end; 0 when there is no room. */
  #extend(size: number): number {
    const block = this.#top;
    const end = block + HEADER_BYTES + size;
    if (end > this.#limit || !this.#grow(end)) {
      // The class of the size has blocks that nobody looked at.
      const found = this.#free.find(this.#words, size, Number.POSITIVE_INFINITY);
      return found === 0 ? 0 : this.#take(found, size);
    }
    const at = block >>> 2;
    this.#words[at] = this.#lastSize;
    this.#words[at + 1] = size;
    this.#lastSize = size;
    this.#top = end;
    return block;
  }

  /** Takes a free block, and leaves what is too much of it. */
  #take(block: number, size: number): number {
    const words = this.#words;
    const found = sizeOf(words, block);
    this.#free.remove(words, block, found);
    const restSize = found - size - HEADER_BYTES;
    if (restSize < ALIGNMENT) return block;
    const rest = block + HEADER_BYTES + size;
    words[(block >>> 2) + 1] = size;
    words[rest >>> 2] = size;
    this.#free.add(words, rest, restSize);
    // A free block is never the last one.
    words[(rest + HEADER_BYTES + restSize) >>> 2] = restSize;
    return block;
  }

  /** Whether a header is there, of a block that is handed out: the block behind it must agree. */
  #isAllocated(block: number): boolean {
    if (!(block >= FIRST_ADDRESS && block < this.#top && block % ALIGNMENT === 0)) return false;
    const words = this.#words;
    const size = sizeOf(words, block);
    const next = block + HEADER_BYTES + size;
    if (isFree(words, block) || size === 0 || next > this.#top) return false;
    return (next === this.#top ? this.#lastSize : (words[next >>> 2] as number) >>> 0) === size;
  }

  #zero(start: number, end: number): void {
    if (end - start > FEW_BYTES) this.#bytes.fill(0, start, end);
    else for (let at = start; at < end; at += 4) this.#words[at >>> 2] = 0;
  }

  /** Makes `end` addressable; false when the engine has no more memory to give. */
  #grow(end: number): boolean {
    const missing = end - this.#bytes.length;
    if (missing <= 0) return true;
    // Doubling keeps the number of copies of a growing memory small.
    const doubled = Math.min(this.#bytes.length, this.#limit - this.#bytes.length);
    if (!this.#growBy(Math.max(missing, doubled)) && !this.#growBy(missing)) return false;
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    return true;
  }

  #growBy(bytes: number): boolean {
    try {
      this.memory.grow(Math.ceil(bytes / PAGE_BYTES));
      return true;
    } catch {
      return false;
    }
  }
}

function roundUp(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}
