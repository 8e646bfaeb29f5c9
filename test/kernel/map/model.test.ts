/**
 * Breaks when any sequence of calls makes a map differ from a plain Map, leaves its memory in
 * disorder, or leaks.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as BPF from "../../../src/abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOENT } from "../../../src/abi/errno.ts";
import { decode } from "../../../src/abi/layout.ts";
import { HashMap } from "../../../src/kernel/bpf/map/hash.ts";
import { hashKey } from "../../../src/kernel/bpf/map/hash_key.ts";
import { ELEMENT, MAP_HEADER, roundUp8 } from "../../../src/kernel/bpf/map/layout.ts";
import type { BpfMap } from "../../../src/kernel/bpf/map/map.ts";
import { filled, Harness } from "./harness.ts";

const CPUS = 3;
const MAX_ENTRIES = 6;
/** More than fit, so that full maps, evictions and absent keys are common. */
const KEYS = 10;
const RUNS = 150;

/** One call. A `cpu` of null is bpf(2), a number a program running there. */
type Call =
  | { do: "update"; key: number; byte: number; flags: number; cpu: number | null }
  | { do: "lookup"; key: number; cpu: number | null }
  | { do: "take" | "delete"; key: number; cpu: number | null };

const key = fc.nat({ max: KEYS - 1 });
const cpu = fc.option(fc.nat({ max: CPUS - 1 }));
const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("update" as const),
      key,
      byte: fc.integer({ min: 1, max: 255 }),
      flags: fc.constantFrom(0, 0, 0, 1, 2, 3),
      cpu,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lookup" as const), key, cpu }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom("take" as const, "delete" as const), key, cpu }),
  },
);

/** A map of the kernel next to the plain Map that it should be like, values by CPU. */
class Pair {
  readonly harness: Harness = new Harness(CPUS);
  readonly fd: number;
  readonly map: BpfMap;
  readonly lru: boolean;
  /** In the order of their last use, as JavaScript's Map keeps what is deleted and set again. */
  readonly model: Map<number, number[]> = new Map();
  readonly #keySize: number;
  readonly #indexed: boolean;
  readonly #key: number;
  readonly #value: number;

  constructor(type: number, flags: number, keySize: number, valueSize: number) {
    this.#keySize = keySize;
    this.lru = [BPF.BPF_MAP_TYPE_LRU_HASH, BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH].includes(type);
    const { fd, map } = this.harness.newMap(type, {
      key_size: keySize,
      value_size: valueSize,
      max_entries: MAX_ENTRIES,
      map_flags: flags,
    });
    this.fd = fd;
    this.map = map;
    this.#indexed = !(map instanceof HashMap);
    if (this.#indexed) for (let i = 0; i < MAX_ENTRIES; i++) this.model.set(i, this.#values(0));
    this.#key = this.harness.machine.memory.alloc(keySize);
    this.#value = this.harness.machine.memory.alloc(valueSize);
  }

  run(call: Call): void {
    if (call.do === "update") expect(this.#update(call)).toBe(this.#expectUpdate(call));
    else if (call.do === "lookup") expect(this.#lookup(call)).toEqual(this.#expectLookup(call));
    else expect(this.#delete(call)).toBe(this.#expectDelete(call));
  }

  /** Compares everything there is, by every way to look at it. */
  checkAll(): void {
    const found = new Map<number, number[]>();
    let after: Uint8Array | undefined;
    for (let steps = 0; steps <= MAX_ENTRIES; steps++) {
      const next = new Uint8Array(this.#keySize);
      if (this.harness.nextKey(this.fd, after, next) !== 0) break;
      after = next;
      found.set(next[0] ?? -1, this.#read(next));
    }
    expect(found).toEqual(new Map(this.model));
    const visited = new Map<number, number>();
    const visit = (key: number, value: number): boolean => {
      const { bytes } = this.harness.machine.memory;
      visited.set(bytes[key] ?? -1, bytes[value] ?? -1);
      return this.map.containsValue(value, this.map.facts.valueSize);
    };
    expect(this.map.forEach(visit, 0)).toBe(this.model.size);
    expect(visited).toEqual(new Map([...this.model].map(([key, values]) => [key, values[0]])));
    if (this.map instanceof HashMap) this.#checkBuckets(this.map);
  }

  /** Lets the map go: nothing may stay but the two blocks of this class. */
  close(): void {
    this.harness.task.files.close(this.fd);
    expect(this.harness.blocksInUse).toBe(2);
  }

  /** The hash in memory as a JIT would walk it: every element in its bucket, the count right. */
  #checkBuckets(map: HashMap): void {
    const { view, bytes } = this.harness.machine.memory;
    const header = decode(MAP_HEADER, bytes.subarray(map.address));
    let count = 0;
    for (let bucket = 0; bucket <= header.bucket_mask; bucket++) {
      let element = view.getUint32(header.buckets + 4 * bucket, true);
      for (; element !== 0; element = view.getUint32(element + ELEMENT.next[0], true)) {
        const hash = hashKey(view, element + header.key_offset, this.#keySize, header.seed);
        expect(view.getUint32(element + ELEMENT.hash[0], true)).toBe(hash);
        expect(hash & header.bucket_mask).toBe(bucket);
        count++;
      }
    }
    expect(count).toBe(this.model.size);
    expect(map.count).toBe(this.model.size);
  }

  #update({ key, byte, flags, cpu }: Call & { do: "update" }): number {
    if (cpu === null) {
      const value = filled(this.map.userValueSize, byte);
      return this.harness.update(this.fd, this.#keyBytes(key), value, BigInt(flags));
    }
    const { bytes } = this.harness.machine.memory;
    bytes.fill(byte, this.#value, this.#value + this.map.facts.valueSize);
    return this.map.update(this.#keyAddress(key), this.#value, flags, this.#cpu(cpu));
  }

  #expectUpdate({ key, byte, flags, cpu }: Call & { do: "update" }): number {
    const old = this.model.get(key);
    if (flags > 2) return -EINVAL;
    if (this.#indexed && old === undefined) return -E2BIG;
    if (flags === 1 && old !== undefined) return -EEXIST;
    if (flags === 2 && old === undefined) return -ENOENT;
    if (old === undefined && this.model.size === MAX_ENTRIES) {
      if (!this.lru) return -E2BIG;
      const [oldest] = this.model.keys();
      this.model.delete(oldest ?? -1);
    }
    const values = old ?? this.#values(0);
    if (cpu === null) values.fill(byte);
    else values[this.#cpu(cpu)] = byte;
    this.#use(key, values);
    return 0;
  }

  #lookup({ key, cpu }: Call & { do: "lookup" }): number[] | null {
    if (cpu === null) {
      const values = this.#read(this.#keyBytes(key));
      return values.length === 0 ? null : values;
    }
    const address = this.map.lookup(this.#keyAddress(key), this.#cpu(cpu));
    if (address === 0) return null;
    const { valueSize } = this.map.facts;
    const value = this.harness.machine.memory.bytes.slice(address, address + valueSize);
    expect(value).toEqual(filled(valueSize, value[0] ?? -1));
    return [...value.subarray(0, 1)];
  }

  #expectLookup({ key, cpu }: Call & { do: "lookup" }): number[] | null {
    const values = this.model.get(key);
    if (values === undefined) return null;
    if (cpu === null) return values;
    this.#use(key, values);
    return [values[this.#cpu(cpu)] ?? -1];
  }

  #delete({ do: how, key, cpu }: Call & { do: "take" | "delete" }): number {
    if (how === "delete" && cpu !== null) return this.map.delete(this.#keyAddress(key));
    if (how === "delete" || this.#indexed) return this.harness.delete(this.fd, this.#keyBytes(key));
    const value = new Uint8Array(this.map.userValueSize);
    const result = this.harness.take(this.fd, this.#keyBytes(key), value);
    if (result === 0) expect(this.#split(value)).toEqual(this.model.get(key));
    return result;
  }

  #expectDelete({ key }: Call): number {
    if (this.#indexed) return -EINVAL;
    return this.model.delete(key) ? 0 : -ENOENT;
  }

  /** What bpf(2) reads under a key: the byte that fills each CPU's value; empty for none. */
  #read(key: Uint8Array): number[] {
    const value = new Uint8Array(this.map.userValueSize);
    const result = this.harness.lookup(this.fd, key, value);
    if (result === 0) return this.#split(value);
    expect(result).toBe(-ENOENT);
    return [];
  }

  #split(value: Uint8Array): number[] {
    const { valueSize } = this.map.facts;
    return this.#values(0).map((_, cpu) => {
      const one = value.subarray(cpu * roundUp8(valueSize)).subarray(0, valueSize);
      expect(one).toEqual(filled(valueSize, one[0] ?? -1));
      return one[0] ?? -1;
    });
  }

  #use(key: number, values: number[]): void {
    if (this.lru) this.model.delete(key);
    this.model.set(key, values);
  }

  #values(byte: number): number[] {
    return Array(this.map.perCpu ? CPUS : 1).fill(byte);
  }

  /** A map that is not per CPU has one value for all. */
  #cpu(cpu: number): number {
    return this.map.perCpu ? cpu : 0;
  }

  #keyBytes(key: number): Uint8Array {
    const bytes = new Uint8Array(this.#keySize);
    bytes[0] = key;
    return bytes;
  }

  #keyAddress(key: number): number {
    this.harness.machine.memory.bytes.set(this.#keyBytes(key), this.#key);
    return this.#key;
  }
}

const KINDS: readonly [name: string, type: number, flags: number, keySizes: number[]][] = [
  ["array", BPF.BPF_MAP_TYPE_ARRAY, 0, [4]],
  ["per-CPU array", BPF.BPF_MAP_TYPE_PERCPU_ARRAY, 0, [4]],
  ["hash", BPF.BPF_MAP_TYPE_HASH, 0, [1, 4, 7, 16]],
  ["hash on demand", BPF.BPF_MAP_TYPE_HASH, BPF.BPF_F_NO_PREALLOC, [1, 4, 7, 16]],
  ["per-CPU hash", BPF.BPF_MAP_TYPE_PERCPU_HASH, 0, [4, 5]],
  ["per-CPU hash on demand", BPF.BPF_MAP_TYPE_PERCPU_HASH, BPF.BPF_F_NO_PREALLOC, [4]],
  ["LRU hash", BPF.BPF_MAP_TYPE_LRU_HASH, 0, [4, 9]],
  ["LRU hash, own lists", BPF.BPF_MAP_TYPE_LRU_HASH, BPF.BPF_F_NO_COMMON_LRU, [4]],
  ["per-CPU LRU hash", BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH, 0, [4]],
];

describe.each(KINDS)("%s is like a Map", (_name, type, flags, keySizes) => {
  test("whatever is called, in whatever order", () => {
    const sizes = fc.tuple(fc.constantFrom(...keySizes), fc.constantFrom(1, 8, 13));
    const calls = fc.array(call, { maxLength: 60 });
    fc.assert(
      fc.property(sizes, calls, ([keySize, valueSize], calls) => {
        const pair = new Pair(type, flags, keySize, valueSize);
        for (const call of calls) pair.run(call);
        pair.checkAll();
        pair.close();
      }),
      { numRuns: RUNS },
    );
  });
});
