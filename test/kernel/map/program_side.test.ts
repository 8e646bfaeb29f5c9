/** Breaks when programs, or the code compiled from them, meet maps otherwise than on Linux. */

import { describe, expect, test } from "vitest";
import * as BPF from "../../../src/abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOTSUPP } from "../../../src/abi/errno.ts";
import { decode } from "../../../src/abi/layout.ts";
import { ArrayMap } from "../../../src/kernel/bpf/map/array.ts";
import { HashMap } from "../../../src/kernel/bpf/map/hash.ts";
import { hashKey } from "../../../src/kernel/bpf/map/hash_key.ts";
import { ELEMENT, MAP_HEADER } from "../../../src/kernel/bpf/map/layout.ts";
import type { BpfMap } from "../../../src/kernel/bpf/map/map.ts";
import { ProgArray } from "../../../src/kernel/bpf/map/prog_array.ts";
import type { LinearMemory } from "../../../src/kernel/memory.ts";
import { type CreateValues, Harness, u32 } from "./harness.ts";

const HASH = BPF.BPF_MAP_TYPE_HASH;
const LRU = BPF.BPF_MAP_TYPE_LRU_HASH;
const ALL_HASHES = [
  HASH,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
  LRU,
  BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH,
] as const;

/** A map as a program uses it: u32 keys and u64 values, in linear memory. */
class Program {
  readonly harness: Harness;
  readonly map: BpfMap;
  readonly fd: number;
  readonly #key: number;
  readonly #value: number;

  constructor(type: number, values: CreateValues = {}) {
    this.harness = new Harness(2);
    const { fd, map } = this.harness.newMap(type, values);
    this.fd = fd;
    this.map = map;
    this.#key = this.memory.alloc(8);
    this.#value = this.memory.alloc(8);
  }

  get memory(): LinearMemory {
    return this.harness.machine.memory;
  }

  key(key: number): number {
    this.memory.view.setUint32(this.#key, key, true);
    return this.#key;
  }

  lookup(key: number, cpu = 0): number {
    return this.map.lookup(this.key(key), cpu);
  }

  update(key: number, value: bigint, flags = 0, cpu = 0): number {
    this.memory.view.setBigUint64(this.#value, value, true);
    return this.map.update(this.key(key), this.#value, flags, cpu);
  }

  read(address: number): bigint {
    return this.memory.view.getBigUint64(address, true);
  }

  header() {
    return decode(MAP_HEADER, this.memory.bytes.subarray(this.map.address));
  }
}

test("MurmurHash3_x86_32, by its published values", () => {
  const hash = (text: string, seed: number) => {
    const bytes = new TextEncoder().encode(text);
    return hashKey(new DataView(bytes.buffer), 0, bytes.length, seed);
  };
  expect(hash("", 0)).toBe(0);
  expect(hash("", 1)).toBe(0x514e28b7);
  expect(hash("", 0xffffffff)).toBe(0x81f16f39);
  expect(hash("test", 0)).toBe(0xba6bd213);
  expect(hash("test", 0x9747b28c)).toBe(0x704b81dc);
  expect(hash("Hello, world!", 0)).toBe(0xc0363e43);
  expect(hash("The quick brown fox jumps over the lazy dog", 0x9747b28c)).toBe(0x2fa826cd);
});

describe("layouts, as a JIT reads them", () => {
  test.each([BPF.BPF_MAP_TYPE_ARRAY, BPF.BPF_MAP_TYPE_PERCPU_ARRAY])("array %i", (type) => {
    const program = new Program(type, { value_size: 12, max_entries: 3 });
    const header = program.header();
    expect(header.max_entries).toBe(3);
    for (let index = 0; index < 3; index++) {
      for (const cpu of program.map.perCpu ? [0, 1] : [0]) {
        const address = header.base + index * header.stride + cpu * header.cpu_stride;
        expect(program.lookup(index, cpu)).toBe(address);
      }
    }
    expect(program.lookup(3)).toBe(0);
    expect(program.lookup(0xffffffff)).toBe(0);
  });

  test.each(ALL_HASHES)("hash %i", (type) => {
    const program = new Program(type, { max_entries: 20 });
    const { view } = program.memory;
    const { buckets, bucket_mask, seed, key_offset, value_offset, cpu_stride } = program.header();
    expect(bucket_mask).toBe(31);
    for (let i = 0; i < 20; i++) expect(program.update(i * 7, BigInt(i))).toBe(0);
    for (let i = 0; i < 20; i++) {
      const hash = hashKey(view, program.key(i * 7), 4, seed);
      let element = view.getUint32(buckets + 4 * (hash & bucket_mask), true);
      while (element !== 0 && view.getUint32(element + key_offset, true) !== i * 7) {
        element = view.getUint32(element + ELEMENT.next[0], true);
      }
      expect(view.getUint32(element + ELEMENT.hash[0], true)).toBe(hash);
      expect(program.lookup(i * 7)).toBe(element + value_offset);
      if (program.map.perCpu) {
        expect(program.lookup(i * 7, 1)).toBe(element + value_offset + cpu_stride);
      }
      expect(program.read(element + value_offset)).toBe(BigInt(i));
    }
  });
});

describe("pointers that a program keeps", () => {
  test.each([0, BPF.BPF_F_NO_PREALLOC])("an update leaves the old value alone (%i)", (flags) => {
    const program = new Program(HASH, { map_flags: flags });
    program.update(1, 10n);
    const before = program.lookup(1);
    program.update(1, 20n);
    expect(program.read(before)).toBe(10n);
    expect(program.read(program.lookup(1))).toBe(20n);
  });

  test("a per-CPU update writes in place, for one CPU", () => {
    const program = new Program(BPF.BPF_MAP_TYPE_PERCPU_HASH);
    program.update(1, 10n, 0, 1);
    expect([program.lookup(1, 0), program.lookup(1, 1)].map((at) => program.read(at))).toEqual([
      0n,
      10n,
    ]);
    const before = program.lookup(1, 0);
    program.update(1, 20n, 0, 0);
    expect(program.lookup(1, 0)).toBe(before);
    expect(program.read(before)).toBe(20n);
    expect(program.read(program.lookup(1, 1))).toBe(10n);
    // An element that is used again shows nothing of what it held.
    program.map.delete(program.key(1));
    program.update(2, 5n, 0, 0);
    expect(program.read(program.lookup(2, 1))).toBe(0n);
  });

  test.each([...ALL_HASHES, BPF.BPF_MAP_TYPE_ARRAY, BPF.BPF_MAP_TYPE_PERCPU_ARRAY])(
    "type %i: what lies within one value",
    (type) => {
      const program = new Program(type, { value_size: 12 });
      const { memory } = program;
      if (type !== BPF.BPF_MAP_TYPE_ARRAY && type !== BPF.BPF_MAP_TYPE_PERCPU_ARRAY) {
        const value = memory.alloc(12);
        expect(program.map.update(program.key(2), value, 0, 0)).toBe(0);
      }
      for (const cpu of program.map.perCpu ? [0, 1] : [0]) {
        const value = program.lookup(2, cpu);
        const within = (offset: number, size: number) =>
          program.map.containsValue(value + offset, size);
        expect([within(0, 12), within(0, 1), within(4, 8), within(11, 1)]).not.toContain(false);
        expect([within(0, 13), within(8, 8), within(12, 1), within(11, 2)]).not.toContain(true);
      }
      expect(program.map.containsValue(program.map.address, 1)).toBe(false);
      expect(program.map.containsValue(0, 1)).toBe(false);
      expect(program.map.containsValue(memory.bytes.length, 1)).toBe(false);
    },
  );

  test("elements allocated on the way are known in every slab", () => {
    const program = new Program(HASH, { map_flags: BPF.BPF_F_NO_PREALLOC, max_entries: 100 });
    for (let i = 0; i < 100; i++) expect(program.update(i, 1n)).toBe(0);
    for (let i = 0; i < 100; i++) {
      const value = program.lookup(i);
      expect(program.map.containsValue(value, 8)).toBe(true);
      expect(program.map.containsValue(value - 1, 8)).toBe(false);
      expect(program.map.containsValue(value + 1, 8)).toBe(false);
    }
    program.harness.task.files.close(program.fd);
    // The two blocks that are left are the program's own.
    expect(program.harness.blocksInUse).toBe(2);
  });
});

describe("errors of an update", () => {
  test("array", () => {
    const program = new Program(BPF.BPF_MAP_TYPE_ARRAY);
    expect(program.update(9, 0n)).toBe(-E2BIG);
    expect(program.update(0, 0n, 1)).toBe(-EEXIST);
    expect(program.update(0, 0n, 3)).toBe(-EINVAL);
    expect(program.update(9, 0n, 4)).toBe(-E2BIG);
    expect(program.update(0, 0n, 4)).toBe(-EINVAL);
    expect(program.map.delete(program.key(0))).toBe(-EINVAL);
  });

  test("hash", () => {
    const program = new Program(HASH);
    expect(program.update(1, 0n, 2)).toBe(-ENOENT);
    expect(program.update(1, 0n, 1)).toBe(0);
    expect(program.update(1, 0n, 1)).toBe(-EEXIST);
    expect(program.update(1, 0n, 3)).toBe(-EINVAL);
    expect(program.update(1, 0n, 4)).toBe(-EINVAL);
  });
});

test("direct addresses are for the only value of an array", () => {
  const direct = (type: number, max_entries: number, offset: number) => {
    const { map } = new Program(type, { max_entries, value_size: 100 });
    if (!(map instanceof ArrayMap)) throw new RangeError("not an array");
    const address = map.directValueAddress(offset);
    return address < 0 ? address : address - map.base;
  };
  expect(direct(BPF.BPF_MAP_TYPE_ARRAY, 1, 0)).toBe(0);
  expect(direct(BPF.BPF_MAP_TYPE_ARRAY, 1, 99)).toBe(99);
  expect(direct(BPF.BPF_MAP_TYPE_ARRAY, 1, 100)).toBe(-EINVAL);
  expect(direct(BPF.BPF_MAP_TYPE_ARRAY, 2, 0)).toBe(-ENOTSUPP);
  expect(direct(BPF.BPF_MAP_TYPE_PERCPU_ARRAY, 1, 0)).toBe(-EINVAL);
});

describe("forEach", () => {
  test.each([BPF.BPF_MAP_TYPE_ARRAY, BPF.BPF_MAP_TYPE_PERCPU_ARRAY, ...ALL_HASHES])(
    "type %i: each element once, with this CPU's value, until told to stop",
    (type) => {
      const program = new Program(type);
      const cpu = program.map.perCpu ? 1 : 0;
      for (let i = 0; i < 4; i++) program.update(i, BigInt(i * 3), 0, cpu);
      const seen: [number, bigint][] = [];
      const see = (key: number, value: number): boolean =>
        seen.push([program.memory.view.getUint32(key, true), program.read(value)]) > 0;
      const visited = program.map.forEach(see, cpu);
      expect(visited).toBe(4);
      const inOrder = seen.toSorted(([a], [b]) => a - b);
      expect(inOrder).toEqual([0, 1, 2, 3].map((i) => [i, BigInt(i * 3)]));
      const stop = (): boolean => false;
      expect(program.map.forEach(stop, cpu)).toBe(1);
    },
  );

  test.each(ALL_HASHES)("type %i: elements may go while it walks", (type) => {
    const program = new Program(type, { max_entries: 64 });
    for (let i = 0; i < 64; i++) program.update(i, 0n);
    const seen = new Set<number>();
    // Each visit takes out the visited element and the one that may come next.
    const takeTwo = (key: number): boolean => {
      const number = program.memory.view.getUint32(key, true);
      seen.add(number);
      expect(program.map.delete(program.key(number))).toBe(0);
      program.map.delete(program.key((number + 1) % 64));
      return true;
    };
    const visited = program.map.forEach(takeTwo, 0);
    expect(visited).toBe(seen.size);
    expect(program.harness.keys(program.fd)).toEqual([]);
  });

  test("an element that went while its bucket was being walked isn't visited", () => {
    const program = new Program(HASH, { max_entries: 64 });
    const { bucket_mask, seed } = program.header();
    const bucketOf = (key: number) =>
      hashKey(program.memory.view, program.key(key), 4, seed) & bucket_mask;
    for (let i = 0; i < 64; i++) program.update(i, 0n);
    const clearBucket = (key: number): boolean => {
      const bucket = bucketOf(program.memory.view.getUint32(key, true));
      for (let i = 0; i < 64; i++) if (bucketOf(i) === bucket) program.map.delete(program.key(i));
      return true;
    };
    const buckets = new Set(Array.from({ length: 64 }, (_, i) => bucketOf(i)));
    expect(buckets.size).toBeLessThan(64);
    expect(program.map.forEach(clearBucket, 0)).toBe(buckets.size);
  });

  test("a hash may fill up again while it walks, and the walk ends", () => {
    const program = new Program(HASH, { max_entries: 64 });
    for (let i = 0; i < 32; i++) program.update(i, 0n);
    let next = 1000;
    const replace = (key: number): boolean => {
      program.map.delete(program.key(program.memory.view.getUint32(key, true)));
      return program.update(next++, 0n) === 0;
    };
    const visited = program.map.forEach(replace, 0);
    expect(visited).toBeGreaterThanOrEqual(32);
    expect(program.harness.keys(program.fd)).toHaveLength(32);
  });
});

describe("an LRU map that is full", () => {
  test("forgets what no program used for longest", () => {
    const program = new Program(LRU);
    for (let i = 0; i < 4; i++) program.update(i, BigInt(i));
    program.lookup(0);
    program.update(1, 1n);
    // Looking through bpf(2) is not a use.
    expect(program.harness.lookup(program.fd, u32(2), new Uint8Array(8))).toBe(0);
    program.update(4, 4n);
    program.update(5, 5n);
    expect(program.harness.keys(program.fd).toSorted((a, b) => a - b)).toEqual([0, 1, 4, 5]);
  });

  test("forgets nothing for an update that fails", () => {
    const program = new Program(LRU);
    for (let i = 0; i < 4; i++) program.update(i, BigInt(i));
    expect(program.update(2, 0n, 1)).toBe(-EEXIST);
    expect(program.update(9, 0n, 2)).toBe(-ENOENT);
    expect(program.harness.keys(program.fd)).toHaveLength(4);
  });
});

test("a tail call finds the program, and its id lies in memory", () => {
  const program = new Program(BPF.BPF_MAP_TYPE_PROG_ARRAY, { value_size: 4 });
  const { harness, map } = program;
  if (!(map instanceof ProgArray)) throw new RangeError("not a prog array");
  expect(map.checkOwner({ type: 22, expectedAttachType: 0 })).toBe(true);
  expect(map.checkOwner({ type: 22, expectedAttachType: 17 })).toBe(false);
  expect(map.checkOwner({ type: 30, expectedAttachType: 0 })).toBe(false);
  const fd = harness.newProg(22);
  expect(harness.update(program.fd, u32(2), u32(fd))).toBe(0);
  expect(map.progAt(2)?.id).toBe(1);
  expect([0, 3, 4, 0xffffffff].map((index) => map.progAt(index))).toEqual(Array(4).fill(null));
  const { base, stride } = program.header();
  expect(program.memory.view.getUint32(base + 2 * stride, true)).toBe(1);
  harness.delete(program.fd, u32(2));
  expect(map.progAt(2)).toBe(null);
  expect(program.memory.view.getUint32(base + 2 * stride, true)).toBe(0);
  expect(program.lookup(2)).toBe(0);
});

test("no memory left for an element on demand is ENOMEM, and the map stays whole", () => {
  const program = new Program(HASH, {
    map_flags: BPF.BPF_F_NO_PREALLOC,
    value_size: 1 << 20,
    max_entries: 1000,
  });
  const { map, memory } = program;
  if (!(map instanceof HashMap)) throw new RangeError("not a hash");
  const value = memory.alloc(1 << 20);
  let result = 0;
  for (let i = 0; i < 1000 && result === 0; i++) result = map.update(program.key(i), value, 0, 0);
  expect(result).toBe(-12);
  expect(map.count).toBeGreaterThan(8);
  for (let i = 0; i < map.count; i++) expect(program.lookup(i)).not.toBe(0);
  expect(program.lookup(map.count)).toBe(0);
});
