/**
 * Arrays: BPF_MAP_TYPE_ARRAY and PERCPU_ARRAY. Mirrors kernel/bpf/arraymap.c in Linux.
 */

import { BPF_EXIST, BPF_F_LOCK, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_NOEXIST } from "../../../abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM, ENOTSUPP } from "../../../abi/errno.ts";
import type { Machine } from "../../machine.ts";
import type { Task } from "../../task.ts";
import { copyBytes } from "./copy.ts";
import { MAP_HEADER_SIZE, roundUp8, writeHeader } from "./layout.ts";
import { BpfMap, type MapFacts } from "./map.ts";

/** Bytes of the block of a map whose keys are indices. */
export function arrayBlockSize(facts: MapFacts, possibleCpus: number): number {
  return MAP_HEADER_SIZE + facts.maxEntries * entrySize(facts, possibleCpus);
}

function entrySize({ type, valueSize }: MapFacts, possibleCpus: number): number {
  return roundUp8(valueSize) * (type === BPF_MAP_TYPE_PERCPU_ARRAY ? possibleCpus : 1);
}

/** A map whose keys are the indices 0 to `maxEntries` - 1. */
export abstract class IndexedMap extends BpfMap {
  /** Where entry 0 lies. */
  readonly base: number;
  /** Bytes from one entry to the next. */
  readonly stride: number;
  /** Bytes from one CPU's value to the next CPU's; 0 in a map that is not per CPU. */
  readonly cpuStride: number;

  /** @param address - of a block of {@link arrayBlockSize} bytes. */
  constructor(machine: Machine, facts: MapFacts, address: number) {
    super(machine, facts, address);
    this.base = address + MAP_HEADER_SIZE;
    this.stride = entrySize(facts, machine.options.possibleCpus);
    this.cpuStride = this.perCpu ? roundUp8(facts.valueSize) : 0;
    writeHeader(machine.memory.view, address, {
      type: facts.type,
      key_size: facts.keySize,
      value_size: facts.valueSize,
      max_entries: facts.maxEntries,
      base: this.base,
      stride: this.stride,
      cpu_stride: this.cpuStride,
    });
  }

  get perCpu(): boolean {
    return this.facts.type === BPF_MAP_TYPE_PERCPU_ARRAY;
  }

  get memoryBytes(): number {
    return arrayBlockSize(this.facts, this.machine.options.possibleCpus);
  }

  /** The index that a key is; -1 when it is past the end. */
  protected indexOf(keyAddress: number): number {
    const index = this.machine.memory.view.getUint32(keyAddress, true);
    return index < this.facts.maxEntries ? index : -1;
  }

  nextKey(keyAddress: number, nextKeyAddress: number): number {
    const { maxEntries } = this.facts;
    const index = keyAddress === 0 ? -1 : this.indexOf(keyAddress);
    if (index === maxEntries - 1) return -ENOENT;
    this.machine.memory.view.setUint32(nextKeyAddress, index + 1, true);
    return 0;
  }

  protected release(): void {}
}

/** An array of values, all of them there from the start. */
export class ArrayMap extends IndexedMap {
  lookup(keyAddress: number, cpu: number): number {
    const index = this.indexOf(keyAddress);
    return index < 0 ? 0 : this.base + index * this.stride + cpu * this.cpuStride;
  }

  update(keyAddress: number, valueAddress: number, flags: number, cpu: number): number {
    const index = this.#writableIndex(keyAddress, flags);
    if (index < 0) return index;
    const to = this.base + index * this.stride + cpu * this.cpuStride;
    copyBytes(this.machine.memory, to, valueAddress, this.facts.valueSize);
    return 0;
  }

  userUpdate(_task: Task, keyAddress: number, valueAddress: number, flags: number): number {
    const index = this.#writableIndex(keyAddress, flags);
    if (index < 0) return index;
    const to = this.base + index * this.stride;
    copyBytes(this.machine.memory, to, valueAddress, this.userValueSize);
    return 0;
  }

  /** Entries can't be taken out of an array, whatever the key. */
  delete(): number {
    return -EINVAL;
  }

  forEach(visit: (keyAddress: number, valueAddress: number) => boolean, cpu: number): number {
    const { memory } = this.machine;
    const key = memory.alloc(this.facts.keySize);
    if (key === 0) return -ENOMEM;
    try {
      const { maxEntries } = this.facts;
      for (let index = 0; index < maxEntries; index++) {
        memory.view.setUint32(key, index, true);
        const value = this.base + index * this.stride + cpu * this.cpuStride;
        if (!visit(key, value)) return index + 1;
      }
      return maxEntries;
    } finally {
      memory.free(key);
    }
  }

  containsValue(address: number, size: number): boolean {
    const offset = address - this.base;
    if (offset < 0 || offset >= this.facts.maxEntries * this.stride) return false;
    const valueStride = this.perCpu ? this.cpuStride : this.stride;
    return (offset % valueStride) + size <= this.facts.valueSize;
  }

  /**
   * Where BPF_PSEUDO_MAP_VALUE points: how .rodata, .data and .bss are reached. Mirrors
   * array_map_direct_value_addr() in Linux.
   *
   * @param offset - in bytes, into the only value.
   * @returns an address, or a negative errno.
   */
  directValueAddress(offset: number): number {
    if (this.perCpu) return -EINVAL;
    if (this.facts.maxEntries !== 1) return -ENOTSUPP;
    return offset < this.facts.valueSize ? this.base + offset : -EINVAL;
  }

  /** The order of these checks is Linux's: a flag without a spin lock comes last in an array. */
  #writableIndex(keyAddress: number, flags: number): number {
    const mayLock = this.perCpu ? 0 : BPF_F_LOCK;
    if (flags > (BPF_EXIST | mayLock) || (flags & ~mayLock) > BPF_EXIST) return -EINVAL;
    const index = this.indexOf(keyAddress);
    if (index < 0) return -E2BIG;
    if ((flags & BPF_NOEXIST) !== 0) return -EEXIST;
    return (flags & BPF_F_LOCK) === 0 ? index : -EINVAL;
  }
}
