/** Breaks when BPF_MAP_CREATE answers otherwise than Linux 6.18 was seen to. */

import { describe, expect, test } from "vitest";
import * as BPF from "../../../src/abi/bpf.ts";
import * as ERRNO from "../../../src/abi/errno.ts";
import type { Capability } from "../../../src/kernel/task.ts";
import { type CreateValues, Harness, UNMAPPED } from "./harness.ts";

const { EBADF, E2BIG, EFAULT, EINVAL, EMFILE, ENOMEM, ENOTSUPP, EOPNOTSUPP, EPERM } = ERRNO;
const ARRAY = BPF.BPF_MAP_TYPE_ARRAY;
const HASH = BPF.BPF_MAP_TYPE_HASH;
const PROGS = BPF.BPF_MAP_TYPE_PROG_ARRAY;
const PERCPU_HASH = BPF.BPF_MAP_TYPE_PERCPU_HASH;
const PERCPU_ARRAY = BPF.BPF_MAP_TYPE_PERCPU_ARRAY;
const LRU = BPF.BPF_MAP_TYPE_LRU_HASH;
const LRU_PERCPU = BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH;
const BAD_NAME = { map_name: bytes("a-b") };

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function create(type: number, values: CreateValues, capabilities?: Capability[]): number {
  const harness = new Harness(2, capabilities);
  const result = harness.create(type, values);
  harness.task.exit();
  expect(harness.blocksInUse).toBe(0);
  expect(harness.machine.maps.size).toBe(0);
  return Math.min(result, 0);
}

describe("flags that a kind of map takes", () => {
  const cases: [name: string, type: number, values: CreateValues, good: number[]][] = [
    ["array", ARRAY, {}, [2, 3, 4, 7, 8, 10, 12]],
    ["hash", HASH, {}, [0, 2, 3, 4, 6, 7, 8]],
    ["prog array", PROGS, { value_size: 4 }, [2, 3, 4]],
    ["per-CPU hash", PERCPU_HASH, {}, [0, 3, 4, 6, 7, 8]],
    ["per-CPU array", PERCPU_ARRAY, {}, [3, 4, 7, 8]],
    ["LRU hash", LRU, {}, [1, 2, 3, 4, 6, 7, 8]],
    ["per-CPU LRU hash", LRU_PERCPU, {}, [1, 3, 4, 6, 7, 8]],
  ];
  test.each(cases)("%s", (_name, type, values, good) => {
    for (let bit = 0; bit < 32; bit++) {
      if (bit === 16) continue;
      const result = create(type, { ...values, map_flags: (1 << bit) >>> 0 });
      const lruOnDemand = bit === 0 && (type === LRU || type === LRU_PERCPU);
      const expected = good.includes(bit) ? 0 : lruOnDemand ? -ENOTSUPP : -EINVAL;
      expect([bit, result]).toEqual([bit, expected]);
    }
  });
});

describe("sizes and everything else", () => {
  const cases: [type: number, values: CreateValues, expected: number][] = [
    [ARRAY, { max_entries: 0 }, -EINVAL],
    [ARRAY, { key_size: 8 }, -EINVAL],
    [ARRAY, { key_size: 2 }, -EINVAL],
    [ARRAY, { value_size: 0 }, -EINVAL],
    [ARRAY, { value_size: 0x80000000, max_entries: 1 }, -E2BIG],
    [ARRAY, { value_size: 0x7fffffff, max_entries: 1 }, -ENOMEM],
    [ARRAY, { max_entries: 0xffffffff }, -ENOMEM],
    [PERCPU_ARRAY, { value_size: 32_768 }, 0],
    [PERCPU_ARRAY, { value_size: 32_769 }, -E2BIG],
    [PROGS, { value_size: 8 }, -EINVAL],
    [HASH, { key_size: 0 }, -EINVAL],
    [HASH, { value_size: 0 }, -EINVAL],
    [HASH, { max_entries: 0 }, -EINVAL],
    [HASH, { key_size: 1000, value_size: 4_193_255, max_entries: 1 }, 0],
    [HASH, { key_size: 1000, value_size: 4_193_256, max_entries: 1 }, -E2BIG],
    [HASH, { max_entries: 2 ** 27 }, -ENOMEM],
    [HASH, { max_entries: 2 ** 27 + 1 }, -E2BIG],
    [HASH, { max_entries: 0xffffffff }, -E2BIG],
    [PERCPU_HASH, { value_size: 32_769 }, -E2BIG],
    [LRU_PERCPU, { value_size: 32_769 }, -E2BIG],
    [LRU, { map_flags: BPF.BPF_F_NO_COMMON_LRU, max_entries: 1 }, 0],
    [LRU, { map_flags: BPF.BPF_F_NO_COMMON_LRU | BPF.BPF_F_NUMA_NODE }, -EINVAL],
    [0, {}, -EINVAL],
    [999, {}, -EINVAL],
    [ARRAY, { map_flags: BPF.BPF_F_RDONLY | BPF.BPF_F_WRONLY }, -EINVAL],
    [HASH, { map_flags: BPF.BPF_F_RDONLY_PROG | BPF.BPF_F_WRONLY_PROG }, -EINVAL],
    [ARRAY, { map_flags: BPF.BPF_F_NUMA_NODE, numa_node: 1 }, -EINVAL],
    [ARRAY, { map_flags: BPF.BPF_F_NUMA_NODE, numa_node: 0 }, 0],
    [PERCPU_ARRAY, { map_flags: BPF.BPF_F_NUMA_NODE, numa_node: 0 }, -EINVAL],
    [PERCPU_ARRAY, { map_flags: BPF.BPF_F_NUMA_NODE, numa_node: 0xffffffff }, 0],
    [ARRAY, { numa_node: 5 }, 0],
    [ARRAY, { inner_map_fd: 99 }, 0],
    [ARRAY, { map_extra: 1n }, -EINVAL],
    [ARRAY, { map_ifindex: 1 }, -EOPNOTSUPP],
    [ARRAY, { map_ifindex: 99 }, -EINVAL],
    [LRU, { map_ifindex: 1 }, -EINVAL],
    [ARRAY, { btf_fd: 99 }, 0],
    [ARRAY, { btf_fd: 99, btf_key_type_id: 1 }, -EINVAL],
    [ARRAY, { btf_fd: 99, btf_value_type_id: 1 }, -EBADF],
    [ARRAY, { btf_fd: 0, btf_value_type_id: 1 }, -EINVAL],
    [ARRAY, { btf_vmlinux_value_type_id: 1 }, -EINVAL],
    [ARRAY, { map_token_fd: 1 }, 0],
    [ARRAY, { map_flags: 1 << 16, map_token_fd: 99 }, -EBADF],
    [ARRAY, { map_flags: 1 << 16, map_token_fd: 0 }, -EINVAL],
    [ARRAY, { excl_prog_hash_size: 32 }, -EINVAL],
    [ARRAY, { excl_prog_hash: UNMAPPED, excl_prog_hash_size: 31 }, -EINVAL],
    [ARRAY, { excl_prog_hash: UNMAPPED, excl_prog_hash_size: 32 }, -EFAULT],
    // Of two reasons, the first that Linux comes to.
    [ARRAY, { ...BAD_NAME, value_size: 0x80000000 }, -E2BIG],
    [ARRAY, { ...BAD_NAME, max_entries: 0xffffffff }, -ENOMEM],
    [ARRAY, { ...BAD_NAME, btf_fd: 99, btf_value_type_id: 1 }, -EINVAL],
    [ARRAY, { value_size: 0x80000000, map_flags: 1 }, -EINVAL],
    [ARRAY, { btf_fd: 99, btf_value_type_id: 1, excl_prog_hash_size: 1 }, -EBADF],
    [ARRAY, { map_ifindex: 1, map_flags: 1 << 16, map_token_fd: 99 }, -EBADF],
    [LRU, { map_flags: 1, max_entries: 0 }, -ENOTSUPP],
    [LRU, { map_flags: 1 | BPF.BPF_F_RDONLY | BPF.BPF_F_WRONLY }, -EINVAL],
  ];
  test.each(cases)("type %i, %o", (type, values, expected) => {
    expect(create(type, values)).toBe(expected);
  });
});

test("names are of Latin letters, digits, _ and ., and end in time", () => {
  const named = (text: string) => create(ARRAY, { map_name: bytes(text) });
  for (const good of ["abc", "a.b_C9", "\xff", "A".repeat(15), "ab\0-", "\0a", ""]) {
    expect([good, named(good)]).toEqual([good, 0]);
  }
  for (const bad of ["a-b", "a b", "a:b", "A".repeat(16), "\xd7", "\xf7", "\xbf", "\x80"]) {
    expect([bad, named(bad)]).toEqual([bad, -EINVAL]);
  }
});

describe("without capabilities", () => {
  const cases: [type: number, values: CreateValues, expected: number][] = [
    [ARRAY, {}, -EPERM],
    [999, {}, -EINVAL],
    [ARRAY, { max_entries: 0 }, -EINVAL],
    [ARRAY, BAD_NAME, -EPERM],
    [ARRAY, { value_size: 0xffffffff }, -E2BIG],
    [ARRAY, { max_entries: 0xffffffff }, -EPERM],
    [HASH, { map_flags: BPF.BPF_F_ZERO_SEED | BPF.BPF_F_STACK_BUILD_ID }, -EPERM],
    [HASH, { map_flags: BPF.BPF_F_ZERO_SEED | 24 }, -EINVAL],
    [LRU, { map_flags: BPF.BPF_F_NO_PREALLOC }, -ENOTSUPP],
    [ARRAY, { map_flags: 1 << 16, map_token_fd: 99 }, -EBADF],
    [ARRAY, { map_ifindex: 99 }, -EPERM],
  ];
  test.each(cases)("type %i, %o", (type, values, expected) => {
    expect(create(type, values, [])).toBe(expected);
  });

  test("CAP_BPF is enough, but not for a seed of 0", () => {
    expect(create(HASH, {}, ["CAP_BPF"])).toBe(0);
    expect(create(HASH, { map_flags: BPF.BPF_F_ZERO_SEED }, ["CAP_BPF"])).toBe(-EPERM);
    expect(create(ARRAY, { map_ifindex: 1 }, ["CAP_BPF"])).toBe(-EPERM);
  });
});

test("when there is no fd left, the map goes and its id is burned", () => {
  const harness = new Harness();
  const fds: number[] = [];
  for (let fd = harness.create(ARRAY); fd >= 0; fd = harness.create(ARRAY)) fds.push(fd);
  expect(harness.create(ARRAY)).toBe(-EMFILE);
  expect(harness.machine.maps.size).toBe(fds.length);
  expect(harness.blocksInUse).toBe(fds.length);
  harness.task.files.close(fds[0] ?? -1);
  expect(harness.newMap(ARRAY).map.id).toBe(fds.length + 3);
});

test("lists of their own for the CPUs make entries a multiple of the CPUs", () => {
  const harness = new Harness(2);
  const flags = { map_flags: BPF.BPF_F_NO_COMMON_LRU };
  const entries = [3, 4, 5].map(
    (max_entries) => harness.newMap(LRU, { ...flags, max_entries }).map.facts.maxEntries,
  );
  expect(entries).toEqual([4, 4, 6]);
});
