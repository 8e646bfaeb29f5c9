/** Breaks when the batch commands answer otherwise than Linux 6.18 was seen to. */

import { describe, expect, test } from "vitest";
import * as BPF from "../../../src/abi/bpf.ts";
import * as ERRNO from "../../../src/abi/errno.ts";
import { filled, Harness, readU32, UNMAPPED, u32, u32s } from "./harness.ts";

const { E2BIG, EBADF, EFAULT, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EPERM } = ERRNO;
const ARRAY = BPF.BPF_MAP_TYPE_ARRAY;
const HASH = BPF.BPF_MAP_TYPE_HASH;
const PERCPU_HASH = BPF.BPF_MAP_TYPE_PERCPU_HASH;
const PERCPU_ARRAY = BPF.BPF_MAP_TYPE_PERCPU_ARRAY;
const LRU = BPF.BPF_MAP_TYPE_LRU_HASH;
const LRU_PERCPU = BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH;
const COMMANDS = ["Lookup", "LookupAndDelete", "Update", "Delete"] as const;
const HASHES = [HASH, PERCPU_HASH, LRU, LRU_PERCPU] as const;

/** Room for the keys and values of all batches here. */
const keys = new Uint8Array(512);
const values = new Uint8Array(4096);

/** A map with the keys 0 to `count` - 1, each value full of its key. */
function mapOf(harness: Harness, type: number, count: number): number {
  const { fd } = harness.newMap(type, { max_entries: count });
  for (let i = 0; i < count; i++) expect(harness.update(fd, u32(i), filled(32, i))).toBe(0);
  return fd;
}

describe("which kinds have which", () => {
  test.each([ARRAY, PERCPU_ARRAY])("arrays (type %i) can't delete", (type) => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    const results = COMMANDS.map((command) => harness.batch(command, fd, { count: 0 }).result);
    expect(results).toEqual([0, -ENOTSUPP, 0, -ENOTSUPP]);
    // What isn't there has no flags either, but the mode of the fd comes first.
    expect(harness.batch("Delete", fd, { count: 1, elemFlags: 8n }).result).toBe(-ENOTSUPP);
    harness.freeze(fd);
    expect(harness.batch("Delete", fd, { count: 1 }).result).toBe(-EPERM);
  });

  test.each(HASHES)("hashes (type %i) have all", (type) => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    for (const command of COMMANDS) {
      expect(harness.batch(command, fd, { count: 0 })).toEqual({ result: 0, count: 0 });
      for (const elemFlags of [1n, 2n, 3n, 4n, 8n]) {
        expect(harness.batch(command, fd, { count: 0, elemFlags }).result).toBe(-EINVAL);
      }
      // Only walks of hashes look at the flags.
      const walks = command === "Lookup" || command === "LookupAndDelete";
      expect(harness.batch(command, fd, { count: 0, flags: 8n }).result).toBe(walks ? -EINVAL : 0);
    }
  });

  test("an array's walk ignores the flags", () => {
    const harness = new Harness();
    const fd = mapOf(harness, ARRAY, 4);
    const call = { outBatch: u32(0), keys, values, count: 1, flags: 1n };
    expect(harness.batch("Lookup", fd, call)).toEqual({ result: 0, count: 1 });
  });

  test("fds", () => {
    const harness = new Harness();
    for (const command of COMMANDS) {
      expect(harness.batch(command, 99, { count: 0 }).result).toBe(-EBADF);
      expect(harness.batch(command, 0, { count: 0 }).result).toBe(-EINVAL);
    }
  });
});

describe("walking an array", () => {
  const harness = new Harness();
  const fd = mapOf(harness, ARRAY, 8);
  const walk = (count: number, inBatch?: Uint8Array | bigint, outBatch = u32(0xee)) => ({
    ...harness.batch("Lookup", fd, {
      ...(inBatch === undefined ? {} : { inBatch }),
      outBatch,
      keys,
      values,
      count,
    }),
    cursor: readU32(outBatch),
  });

  test("the cursor is the last key", () => {
    expect(walk(3)).toEqual({ result: 0, count: 3, cursor: 2 });
    expect([readU32(keys, 0), readU32(keys, 2)]).toEqual([0, 2]);
    expect(values.subarray(16, 24)).toEqual(filled(8, 2));
    expect(walk(8)).toEqual({ result: 0, count: 8, cursor: 7 });
    expect(walk(9)).toEqual({ result: -ENOENT, count: 8, cursor: 7 });
    expect(walk(9, u32(6))).toEqual({ result: -ENOENT, count: 1, cursor: 7 });
    expect(walk(9, u32(7))).toEqual({ result: -ENOENT, count: 0, cursor: 0xee });
    expect(walk(2, u32(99))).toEqual({ result: 0, count: 2, cursor: 1 });
  });

  test("bad addresses", () => {
    const call = { outBatch: u32(0), keys, values, count: 2 };
    const lookup = (changed: object) => harness.batch("Lookup", fd, { ...call, ...changed });
    expect(lookup({ inBatch: UNMAPPED })).toEqual({ result: -EFAULT, count: 0 });
    expect(lookup({ keys: UNMAPPED })).toEqual({ result: -EFAULT, count: 0 });
    expect(lookup({ values: UNMAPPED })).toEqual({ result: -EFAULT, count: 0 });
    expect(lookup({ outBatch: UNMAPPED })).toEqual({ result: -EFAULT, count: 2 });
    expect(lookup({ inBatch: u32(7), outBatch: UNMAPPED })).toEqual({ result: -ENOENT, count: 0 });
  });
});

describe.each(HASHES)("walking a hash (type %i)", (type) => {
  const SIZE = 64;

  test("whole buckets at a time, each key once", () => {
    const harness = new Harness();
    const fd = mapOf(harness, type, SIZE);
    const size = harness.map(fd).userValueSize;
    const seen: number[] = [];
    const cursor = u32(0);
    let inBatch: { inBatch?: Uint8Array } = {};
    let result = 0;
    for (let calls = 0; result === 0 && calls < SIZE; calls++) {
      const call = { ...inBatch, outBatch: cursor, keys, values, count: 16 };
      const answer = harness.batch("Lookup", fd, call);
      result = answer.result;
      for (let i = 0; i < answer.count; i++) {
        const key = readU32(keys, i);
        seen.push(key);
        expect(values.subarray(i * size, (i + 1) * size)).toEqual(filled(size, key));
      }
      inBatch = { inBatch: cursor };
    }
    expect(result).toBe(-ENOENT);
    expect(readU32(cursor)).toBe(SIZE);
    expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: SIZE }, (_, i) => i));
  });

  test("everything at once, the end, and past it", () => {
    const harness = new Harness();
    const fd = mapOf(harness, type, SIZE);
    const cursor = u32(0xee);
    const call = { outBatch: cursor, keys, values, count: SIZE };
    expect(harness.batch("Lookup", fd, call)).toEqual({ result: -ENOENT, count: SIZE });
    expect(readU32(cursor)).toBe(SIZE);
    const past = { ...call, outBatch: UNMAPPED, inBatch: u32(SIZE) };
    expect(harness.batch("Lookup", fd, past)).toEqual({ result: -ENOENT, count: 0 });
  });

  test("a bucket that doesn't fit is ENOSPC only when nothing came before it", () => {
    const harness = new Harness();
    const fd = mapOf(harness, type, SIZE);
    const cursor = u32(0);
    let answer = harness.batch("Lookup", fd, { outBatch: cursor, keys, values, count: 1 });
    for (let calls = 0; answer.result === 0 && calls < SIZE; calls++) {
      expect(answer.count).toBe(1);
      const call = { inBatch: cursor, outBatch: cursor, keys, values, count: 1 };
      answer = harness.batch("Lookup", fd, call);
    }
    // With 64 keys in 64 buckets, two of them share one.
    expect(answer).toEqual({ result: -ENOSPC, count: 0 });
    expect(readU32(cursor)).toBeLessThan(SIZE);
  });

  test("taking all leaves none", () => {
    const harness = new Harness();
    const fd = mapOf(harness, type, SIZE);
    const call = { outBatch: u32(0), keys, values, count: SIZE };
    expect(harness.batch("LookupAndDelete", fd, call)).toEqual({ result: -ENOENT, count: SIZE });
    expect(harness.keys(fd)).toEqual([]);
    expect(harness.batch("LookupAndDelete", fd, call)).toEqual({ result: -ENOENT, count: 0 });
  });

  test("bad addresses; a bucket that is taken is lost even when it doesn't arrive", () => {
    const harness = new Harness();
    const fd = mapOf(harness, type, 8);
    const call = { outBatch: u32(0), keys, values, count: SIZE };
    const lookup = (changed: object) => harness.batch("Lookup", fd, { ...call, ...changed });
    for (const field of ["inBatch", "outBatch", "keys", "values"]) {
      expect(lookup({ [field]: UNMAPPED })).toEqual({ result: -EFAULT, count: 0 });
    }
    const taking = harness.batch("LookupAndDelete", fd, { ...call, keys: UNMAPPED });
    expect(taking).toEqual({ result: -EFAULT, count: 0 });
    const left = harness.keys(fd).length;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(8);
  });
});

describe("updating and deleting", () => {
  const sixteen = u32s(Array.from({ length: 16 }, (_, i) => i));

  test.each([HASH, ARRAY])("type %i: up to the first that fails", (type) => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    const call = { keys: sixteen, values, count: 6 };
    expect(harness.batch("Update", fd, call)).toEqual({ result: -E2BIG, count: 4 });
    expect(harness.batch("Update", fd, { ...call, count: 2, keys: UNMAPPED })).toEqual({
      result: -EFAULT,
      count: 0,
    });
    expect(harness.batch("Update", fd, { ...call, count: 2, values: UNMAPPED })).toEqual({
      result: -EFAULT,
      count: 0,
    });
  });

  test("delete", () => {
    const harness = new Harness();
    const fd = mapOf(harness, HASH, 4);
    const call = { keys: sixteen, count: 6 };
    expect(harness.batch("Delete", fd, call)).toEqual({ result: -ENOENT, count: 4 });
    expect(harness.batch("Delete", fd, call)).toEqual({ result: -ENOENT, count: 0 });
    expect(harness.batch("Delete", fd, { keys: UNMAPPED, count: 6 })).toEqual({
      result: -EFAULT,
      count: 0,
    });
  });

  test("per-CPU values take 8 bytes for each CPU", () => {
    const harness = new Harness(2);
    const { fd } = harness.newMap(PERCPU_ARRAY, { value_size: 5 });
    const given = Uint8Array.from({ length: 32 }, (_, i) => i);
    const update = { keys: sixteen, values: given, count: 2 };
    expect(harness.batch("Update", fd, update)).toEqual({ result: 0, count: 2 });
    const read = filled(64, 0xee);
    const lookup = { outBatch: u32(0), keys, values: read, count: 3 };
    expect(harness.batch("Lookup", fd, lookup)).toEqual({ result: 0, count: 3 });
    expect(read.subarray(0, 32)).toEqual(given);
    expect(read.subarray(32, 48)).toEqual(filled(16, 0));
    expect(read.subarray(48)).toEqual(filled(16, 0xee));
  });
});
