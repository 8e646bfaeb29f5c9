/** Breaks when types of keys and values are accepted or refused otherwise than by Linux 6.18. */

import { describe, expect, test } from "vitest";
import { BPF_ATTR_SIZE, BTF_LOAD } from "../../../src/abi/attr.ts";
import * as BPF from "../../../src/abi/bpf.ts";
import { EINVAL } from "../../../src/abi/errno.ts";
import { BPF_MAP_INFO_SIZE, MAP_INFO } from "../../../src/abi/info.ts";
import { decode, encode } from "../../../src/abi/layout.ts";
import { Attr } from "../../../src/kernel/attr.ts";
import { btfLoad } from "../../../src/kernel/bpf/btf.ts";
import { fillMapInfo } from "../../../src/kernel/bpf/map/info.ts";
import { type CreateValues, Harness, u32s } from "./harness.ts";

const STRINGS = "\0i\0l\0t\0s\0f\0v\0.data\0e\0A\0fw\0";

/** struct btf_type: name, kind, number of parts, size or type, and what follows. */
function type(name: string, kind: number, parts: number, size: number, more: number[] = []) {
  const offset = name === "" ? 0 : STRINGS.indexOf(`\0${name}\0`) + 1;
  return [offset, (kind << 24) | parts, size, ...more];
}

const INT = 1;
const OFFSET_OF_F = STRINGS.indexOf("\0f\0") + 1;
const OFFSET_OF_A = STRINGS.indexOf("\0A\0") + 1;

/** The types, by the ids that the tests use, from 1 on. */
const TYPES = [
  type("i", 1, 0, 4, [32]),
  type("l", 1, 0, 8, [64]),
  type("t", 8, 0, INT),
  type("s", 4, 1, 4, [OFFSET_OF_F, INT, 0]),
  type("v", 14, 0, 2, [1]),
  type(".data", 15, 1, 8, [5, 0, 8]),
  type("", 2, 0, INT),
  type("e", 6, 1, 4, [OFFSET_OF_A, 0]),
  type("i", 1, 0, 4, [(1 << 24) | 32]),
  type("", 3, 0, 0, [INT, INT, 2]),
  type("i", 1, 0, 4, [16]),
  type("", 2, 0, 0),
  type("fw", 7, 0, 0),
];

function loadBtf(harness: Harness): number {
  const types = u32s(TYPES.flat());
  const strings = new TextEncoder().encode(STRINGS);
  const header = u32s([0x1eb9f, 24, 0, types.length, types.length, strings.length]);
  const btf = new Uint8Array([...header, ...types, ...strings]);
  const attr = encode(BTF_LOAD, { btf: harness.address(btf), btf_size: btf.length }, BPF_ATTR_SIZE);
  return btfLoad(harness.task, new Attr(attr, attr.length));
}

/** The type ids, of those that there are and one more, that a map accepts. */
function accepted(mapType: number, values: (id: number) => CreateValues): number[] {
  const harness = new Harness();
  const btf_fd = loadBtf(harness);
  expect(btf_fd).toBeGreaterThan(0);
  const good: number[] = [];
  for (let id = 0; id <= TYPES.length + 1; id++) {
    const result = harness.create(mapType, { btf_fd, ...values(id) });
    if (result >= 0) good.push(id);
    else expect([id, result]).toEqual([id, -EINVAL]);
  }
  return good;
}

const ARRAYS = [BPF.BPF_MAP_TYPE_ARRAY, BPF.BPF_MAP_TYPE_PERCPU_ARRAY] as const;
const OTHERS = [
  BPF.BPF_MAP_TYPE_HASH,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
  BPF.BPF_MAP_TYPE_LRU_HASH,
  BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH,
] as const;

describe("keys", () => {
  const keyed = (id: number): CreateValues => ({ btf_key_type_id: id, btf_value_type_id: 2 });

  test.each(ARRAYS)("of arrays (type %i) are integers of 32 bits", (mapType) => {
    expect(accepted(mapType, keyed)).toEqual([1, 3, 9]);
  });

  test.each(OTHERS)("of hashes (type %i) are of the right size", (mapType) => {
    expect(accepted(mapType, keyed)).toEqual([1, 3, 4, 8, 9, 11]);
    const long = (id: number): CreateValues => ({ ...keyed(id), key_size: 8 });
    expect(accepted(mapType, long)).toEqual([2, 5, 6, 7, 10, 12]);
  });

  test("of .data there are none", () => {
    const section = (id: number): CreateValues => ({ btf_value_type_id: id, max_entries: 1 });
    // Id 0 for both says nothing about types at all.
    expect(accepted(BPF.BPF_MAP_TYPE_ARRAY, section)).toEqual([0, 6]);
    expect(accepted(BPF.BPF_MAP_TYPE_PERCPU_ARRAY, section)).toEqual([0]);
    expect(accepted(BPF.BPF_MAP_TYPE_HASH, section)).toEqual([0]);
    const two = (id: number): CreateValues => ({ btf_value_type_id: id, max_entries: 2 });
    expect(accepted(BPF.BPF_MAP_TYPE_ARRAY, two)).toEqual([0]);
  });
});

describe("values", () => {
  const valued = (id: number): CreateValues => ({ btf_key_type_id: 1, btf_value_type_id: id });

  test.each([...ARRAYS, ...OTHERS])("of maps (type %i) are of the right size", (mapType) => {
    expect(accepted(mapType, valued)).toEqual([2, 5, 6, 7, 10, 12]);
  });

  test("of prog arrays too", () => {
    const small = (id: number): CreateValues => ({ ...valued(id), value_size: 4 });
    expect(accepted(BPF.BPF_MAP_TYPE_PROG_ARRAY, small)).toEqual([1, 3, 4, 8, 9, 11]);
  });
});

test("a map holds its types, names them in info, and lets them go", () => {
  const harness = new Harness();
  const btf_fd = loadBtf(harness);
  const { fd, map } = harness.newMap(BPF.BPF_MAP_TYPE_HASH, {
    btf_fd,
    btf_key_type_id: 3,
    btf_value_type_id: 2,
  });
  harness.task.files.close(btf_fd);
  expect(harness.machine.btfs.size).toBe(1);
  const info = fillMapInfo(map, new Uint8Array(BPF_MAP_INFO_SIZE));
  if (typeof info === "number") throw new RangeError(`fillMapInfo: ${info}`);
  expect(decode(MAP_INFO, info)).toMatchObject({
    btf_id: 1,
    btf_key_type_id: 3,
    btf_value_type_id: 2,
    btf_vmlinux_id: 0,
  });
  harness.task.files.close(fd);
  expect(harness.machine.btfs.size).toBe(0);
});

test("a map that is refused after its types were found doesn't hold them", () => {
  const harness = new Harness();
  const btf_fd = loadBtf(harness);
  const types = { btf_fd, btf_key_type_id: 1, btf_value_type_id: 2 };
  const refused = harness.create(BPF.BPF_MAP_TYPE_HASH, { ...types, excl_prog_hash_size: 1 });
  expect(refused).toBe(-EINVAL);
  harness.task.files.close(btf_fd);
  expect(harness.machine.btfs.size).toBe(0);
  expect(harness.blocksInUse).toBe(0);
});
