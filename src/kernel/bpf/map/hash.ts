/**
 * Hash maps: BPF_MAP_TYPE_HASH, LRU_HASH, PERCPU_HASH and LRU_PERCPU_HASH. Mirrors
 * kernel/bpf/hashtab.c in Linux.
 */

import {
  BPF_EXIST,
  BPF_F_NO_PREALLOC,
  BPF_F_ZERO_SEED,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_NOEXIST,
} from "../../../abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM } from "../../../abi/errno.ts";
import type { Machine } from "../../machine.ts";
import type { Task } from "../../task.ts";
import { copyBytes } from "./copy.ts";
import { ElementPool } from "./element_pool.ts";
import { hashKey, sameKey } from "./hash_key.ts";
import { ELEMENT, MAP_HEADER_SIZE, roundUp8, writeHeader } from "./layout.ts";
import { LruList } from "./lru_list.ts";
import { BpfMap, type MapFacts } from "./map.ts";

const [NEXT] = ELEMENT.next;
const [HASH] = ELEMENT.hash;

/** Stands for a CPU's number where a value is for all of them. */
const ALL_CPUS = -1;

/** Whether what a map forgets when it is full is what was used longest ago. */
export function isLru(type: number): boolean {
  return type === BPF_MAP_TYPE_LRU_HASH || type === BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/** Whether a hash map of this type has values for each CPU. */
export function isPerCpuHash(type: number): boolean {
  return type === BPF_MAP_TYPE_PERCPU_HASH || type === BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/** Sizes and offsets that follow from what a hash map was created with. */
export class HashGeometry {
  /** A power of two, and no less than `maxEntries`. */
  readonly bucketCount: number;
  readonly keyOffset: number;
  readonly valueOffset: number;
  readonly cpuStride: number;
  readonly stride: number;
  /** One more than may be in use, so that an element can be replaced in a full map. */
  readonly elementCount: number;
  readonly preallocated: number;
  /** Where the preallocated elements begin, from the start of the block. */
  readonly elementsOffset: number;

  constructor({ type, keySize, valueSize, maxEntries, flags }: MapFacts, possibleCpus: number) {
    const perCpu = isPerCpuHash(type);
    this.bucketCount = 2 ** (32 - Math.clz32(maxEntries - 1));
    this.keyOffset = isLru(type) ? ELEMENT.newer[0] + 4 : ELEMENT.hash[0] + 4;
    this.valueOffset = this.keyOffset + roundUp8(keySize);
    this.cpuStride = perCpu ? roundUp8(valueSize) : 0;
    this.stride = this.valueOffset + roundUp8(valueSize) * (perCpu ? possibleCpus : 1);
    this.elementCount = maxEntries + 1;
    this.preallocated = (flags & BPF_F_NO_PREALLOC) === 0 ? this.elementCount : 0;
    this.elementsOffset = MAP_HEADER_SIZE + roundUp8(4 * this.bucketCount);
  }

  get blockSize(): number {
    return this.elementsOffset + this.preallocated * this.stride;
  }
}

/** Bytes of the block of a hash map. */
export function hashBlockSize(facts: MapFacts, possibleCpus: number): number {
  return new HashGeometry(facts, possibleCpus).blockSize;
}

/** A hash map of any kind. */
export class HashMap extends BpfMap {
  readonly geometry: HashGeometry;
  readonly seed: number;
  readonly perCpu: boolean;
  readonly #buckets: number;
  readonly #pool: ElementPool;
  readonly #lru: LruList | null;
  #count: number = 0;

  /** @param address - of a block of {@link hashBlockSize} bytes. */
  constructor(machine: Machine, facts: MapFacts, address: number) {
    super(machine, facts, address);
    const { memory, options } = machine;
    const geometry = new HashGeometry(facts, options.possibleCpus);
    this.geometry = geometry;
    this.seed = (facts.flags & BPF_F_ZERO_SEED) === 0 ? options.random() >>> 0 : 0;
    this.perCpu = isPerCpuHash(facts.type);
    this.#buckets = address + MAP_HEADER_SIZE;
    this.#pool = new ElementPool(memory, geometry.stride, geometry.elementCount);
    const elements = address + geometry.elementsOffset;
    if (geometry.preallocated > 0) this.#pool.addSlab(elements, geometry.preallocated);
    this.#lru = isLru(facts.type) ? new LruList(memory) : null;
    writeHeader(memory.view, address, {
      type: facts.type,
      key_size: facts.keySize,
      value_size: facts.valueSize,
      max_entries: facts.maxEntries,
      base: elements,
      stride: geometry.stride,
      cpu_stride: geometry.cpuStride,
      buckets: this.#buckets,
      bucket_mask: geometry.bucketCount - 1,
      seed: this.seed,
      key_offset: geometry.keyOffset,
      value_offset: geometry.valueOffset,
    });
  }

  /** Elements in the map. */
  get count(): number {
    return this.#count;
  }

  get memoryBytes(): number {
    return this.geometry.blockSize + this.#pool.ownedBytes;
  }

  lookup(keyAddress: number, cpu: number): number {
    const element = this.#find(keyAddress);
    if (element === 0) return 0;
    this.#lru?.touch(element);
    return this.#valueOf(element, cpu);
  }

  /** Reading an LRU map through bpf(2) doesn't count as a use. */
  override userLookup(keyAddress: number): number {
    const element = this.#find(keyAddress);
    return element === 0 ? 0 : this.#valueOf(element, 0);
  }

  update(keyAddress: number, valueAddress: number, flags: number, cpu: number): number {
    return this.#set(keyAddress, valueAddress, flags, cpu);
  }

  userUpdate(_task: Task, keyAddress: number, valueAddress: number, flags: number): number {
    return this.#set(keyAddress, valueAddress, flags, this.perCpu ? ALL_CPUS : 0);
  }

  delete(keyAddress: number): number {
    const slot = this.#slotOf(keyAddress, this.#hashOf(keyAddress));
    if (this.#read(slot) === 0) return -ENOENT;
    this.#remove(slot);
    return 0;
  }

  nextKey(keyAddress: number, nextKeyAddress: number): number {
    const { bucketCount } = this.geometry;
    let next = 0;
    let bucket = 0;
    const element = keyAddress === 0 ? 0 : this.#find(keyAddress);
    if (element !== 0) {
      next = this.#read(element + NEXT);
      bucket = (this.#read(element + HASH) & (bucketCount - 1)) + 1;
    }
    while (next === 0 && bucket < bucketCount) next = this.#read(this.#buckets + 4 * bucket++);
    if (next === 0) return -ENOENT;
    const key = next + this.geometry.keyOffset;
    copyBytes(this.machine.memory, nextKeyAddress, key, this.facts.keySize);
    return 0;
  }

  forEach(visit: (keyAddress: number, valueAddress: number) => boolean, cpu: number): number {
    let visited = 0;
    for (let bucket = 0; bucket < this.geometry.bucketCount; bucket++) {
      let first = true;
      for (const element of this.bucket(bucket)) {
        // An earlier visit may have taken it out.
        if (!first && !this.bucket(bucket).includes(element)) continue;
        first = false;
        visited++;
        const key = element + this.geometry.keyOffset;
        if (!visit(key, this.#valueOf(element, cpu))) return visited;
      }
    }
    return visited;
  }

  /** The elements in a bucket, in order, by address. */
  bucket(index: number): number[] {
    const elements: number[] = [];
    let element = this.#read(this.#buckets + 4 * index);
    for (; element !== 0; element = this.#read(element + NEXT)) elements.push(element);
    return elements;
  }

  containsValue(address: number, size: number): boolean {
    const { valueOffset, cpuStride } = this.geometry;
    const offset = this.#pool.offsetInElement(address) - valueOffset;
    if (offset < 0) return false;
    return (cpuStride === 0 ? offset : offset % cpuStride) + size <= this.facts.valueSize;
  }

  protected release(): void {
    this.#pool.release();
  }

  #set(keyAddress: number, valueAddress: number, flags: number, cpu: number): number {
    // No map here has a spin lock, so BPF_F_LOCK is as unknown as the flags that don't exist.
    if (flags > BPF_EXIST) return -EINVAL;
    const hash = this.#hashOf(keyAddress);
    const slot = this.#slotOf(keyAddress, hash);
    const old = this.#read(slot);
    if (old !== 0 && flags === BPF_NOEXIST) return -EEXIST;
    if (old === 0 && flags === BPF_EXIST) return -ENOENT;

    if (old !== 0 && this.perCpu) {
      this.#writeValue(old, valueAddress, cpu);
      this.#lru?.touch(old);
      return 0;
    }
    // Taking the old element's place, not its bytes: who looked it up before keeps what was there.
    if (old === 0) {
      const refused = this.#makeRoom();
      if (refused !== 0) return refused;
    }
    const element = this.#pool.take();
    if (element === 0) return -ENOMEM;
    copyBytes(
      this.machine.memory,
      element + this.geometry.keyOffset,
      keyAddress,
      this.facts.keySize,
    );
    if (this.perCpu && cpu !== ALL_CPUS) this.#zeroValues(element);
    this.#writeValue(element, valueAddress, cpu);
    this.#link(element, hash);
    // Other threads find the new one or the old one, never none.
    if (old !== 0) this.#remove(slot === this.#headOf(hash) ? element + NEXT : slot);
    return 0;
  }

  /** Lets one element more in: an LRU map forgets its oldest, another may refuse. */
  #makeRoom(): number {
    if (this.#count < this.facts.maxEntries) return 0;
    if (this.#lru === null) return -E2BIG;
    const key = this.#lru.oldest + this.geometry.keyOffset;
    return this.delete(key);
  }

  /** Puts an element with its key and value at the head of its bucket. */
  #link(element: number, hash: number): void {
    const { memory } = this.machine;
    const head = this.#headOf(hash);
    memory.view.setUint32(element + HASH, hash, true);
    memory.view.setUint32(element + NEXT, this.#read(head), true);
    memory.publish(head, element);
    this.#lru?.add(element);
    this.#count++;
  }

  /** Takes out the element that a slot leads to. */
  #remove(slot: number): void {
    const element = this.#read(slot);
    this.machine.memory.publish(slot, this.#read(element + NEXT));
    this.#lru?.remove(element);
    this.#pool.give(element);
    this.#count--;
  }

  #writeValue(element: number, valueAddress: number, cpu: number): void {
    const size = cpu === ALL_CPUS ? this.userValueSize : this.facts.valueSize;
    copyBytes(this.machine.memory, this.#valueOf(element, Math.max(cpu, 0)), valueAddress, size);
  }

  #zeroValues(element: number): void {
    const { valueOffset, stride } = this.geometry;
    this.machine.memory.bytes.fill(0, element + valueOffset, element + stride);
  }

  #valueOf(element: number, cpu: number): number {
    return element + this.geometry.valueOffset + cpu * this.geometry.cpuStride;
  }

  #hashOf(keyAddress: number): number {
    return hashKey(this.machine.memory.view, keyAddress, this.facts.keySize, this.seed);
  }

  /** Where the address of a bucket's first element is kept. */
  #headOf(hash: number): number {
    return this.#buckets + 4 * (hash & (this.geometry.bucketCount - 1));
  }

  /** Where the address of a key's element is kept, or the 0 at the end of its bucket. */
  #slotOf(keyAddress: number, hash: number): number {
    const { view } = this.machine.memory;
    const { keyOffset } = this.geometry;
    let slot = this.#headOf(hash);
    for (;;) {
      const element = view.getUint32(slot, true);
      if (element === 0) return slot;
      if (
        view.getUint32(element + HASH, true) === hash &&
        sameKey(view, element + keyOffset, keyAddress, this.facts.keySize)
      ) {
        return slot;
      }
      slot = element + NEXT;
    }
  }

  #find(keyAddress: number): number {
    return this.#read(this.#slotOf(keyAddress, this.#hashOf(keyAddress)));
  }

  #read(address: number): number {
    return this.machine.memory.view.getUint32(address, true);
  }
}
