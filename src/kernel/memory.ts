/**
 * The one linear memory of a kernel: stacks, contexts, packets and map values live in it, and what
 * a program calls a pointer is an offset into it.
 */

const PAGE_BYTES = 65_536;
/** Nothing is ever placed below: a small number is never a valid pointer. */
const FIRST_ADDRESS = PAGE_BYTES;
const ALIGNMENT = 8;
/** Before each block stands its size, for free(). */
const HEADER_BYTES = 8;

/** Looked up once: V8 takes a third of a small copy's time to find it on each call. */
const { set: setBytes } = Uint8Array.prototype;

/** How much memory a kernel may take, in bytes, when nothing else is asked for. */
export const DEFAULT_MEMORY_LIMIT = 0x4000_0000;

/** A growing linear memory with an allocator. Fresh blocks are zeroed. */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly #limit: number;
  readonly #free: Map<number, number[]> = new Map();
  #top: number = FIRST_ADDRESS;
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
    this.#limit = limitBytes;
    const maximum = Math.max(2, Math.floor(limitBytes / PAGE_BYTES));
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

  /** Bytes handed out so far that were not given back for other sizes (the high-water mark). */
  get usedBytes(): number {
    return this.#top - FIRST_ADDRESS;
  }

  /**
   * A zeroed block, 8-byte aligned.
   *
   * @returns its address, or 0 when the limit leaves no room.
   */
  alloc(sizeBytes: number): number {
    const size = roundUp(Math.max(sizeBytes, ALIGNMENT));
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) {
      this.#bytes.fill(0, reused, reused + size);
      return reused;
    }
    const address = this.#top + HEADER_BYTES;
    const end = address + size;
    if (end > this.#limit || !this.#grow(end)) return 0;
    this.#view.setFloat64(address - HEADER_BYTES, size, true);
    this.#top = end;
    return address;
  }

  /** Gives a block back. Its size was noted by {@link LinearMemory.alloc}. */
  free(address: number): void {
    if (address === 0) return;
    const size = this.#view.getFloat64(address - HEADER_BYTES, true);
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [address]);
    else list.push(address);
  }

  /** Makes `end` addressable; false when the engine has no more memory to give. */
  #grow(end: number): boolean {
    const missing = end - this.#bytes.length;
    if (missing <= 0) return true;
    // Doubling keeps the number of copies of a growing memory small.
    const wanted = Math.min(
      Math.max(missing, this.#bytes.length),
      this.#limit - this.#bytes.length,
    );
    const pages = Math.ceil(Math.max(missing, wanted) / PAGE_BYTES);
    try {
      this.memory.grow(pages);
    } catch {
      return false;
    }
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    return true;
  }
}

function roundUp(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}
