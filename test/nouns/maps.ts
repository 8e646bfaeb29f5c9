/** Maps: bytes and types, walks, and what a map refuses. */

import { describe, expect, test } from "vitest";
import {
  BPF_EXIST,
  BPF_F_RDONLY,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PROG_ARRAY,
  BPF_NOEXIST,
  type BpfMap,
  bytes,
  type Codec,
  perCpu,
  u8,
  u16,
  u32,
  u64,
} from "../../src/index.ts";
import type { Scene } from "./scenes.ts";
import { refusal, type Stage } from "./stage.ts";

const HASH = { type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 8, maxEntries: 4 };
const ARRAY = { type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 8, maxEntries: 3 };

function hash(stage: Stage): BpfMap<number, bigint> {
  return stage.map(HASH).as(u32, u64);
}

export const maps: Scene = (stage) => {
  test("info tells what was created", () => {
    const { info } = stage().map({ ...HASH, name: "flows", flags: 1 });
    expect(info).toMatchObject({ ...HASH, name: "flows", flags: 1 });
    expect(info.id).toBeGreaterThan(0);
  });

  test("without types keys and values are bytes", () => {
    const map = stage().map(HASH);
    const key = Uint8Array.of(1, 2, 3, 4);
    map.set(key, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(map.get(key)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(() => map.set(key, new Uint8Array(7))).toThrow(
      new RangeError("7 bytes given where 8 are wanted"),
    );
    expect(() => map.get(new Uint8Array(5))).toThrow(RangeError);
  });

  test("get, set, delete and take, by type", () => {
    const map = hash(stage());
    expect(map.get(6)).toBeUndefined();
    expect(map.delete(6)).toBe(false);
    expect(map.take(6)).toBeUndefined();
    map.set(6, 1n);
    map.set(17, 2n ** 64n - 1n);
    map.set(6, 3n);
    expect(map.get(6)).toBe(3n);
    expect(map.get(17)).toBe(2n ** 64n - 1n);
    expect(map.delete(6)).toBe(true);
    expect(map.get(6)).toBeUndefined();
    expect(map.take(17)).toBe(2n ** 64n - 1n);
    expect([...map]).toEqual([]);
  });

  test("flags insist on a key that is new, or known", () => {
    const map = hash(stage());
    refusal(() => map.set(1, 1n, BPF_EXIST), "ENOENT", /isn't there, and BPF_EXIST/);
    map.set(1, 1n, BPF_NOEXIST);
    refusal(() => map.set(1, 2n, BPF_NOEXIST), "EEXIST", /there already, and BPF_NOEXIST/);
    map.set(1, 3n, BPF_EXIST);
    expect(map.get(1)).toBe(3n);
  });

  test("a walk meets every key once", () => {
    const map = hash(stage());
    for (const key of [5, 6, 7, 8]) map.set(key, BigInt(key) * 10n);
    expect([...map.keys()].sort()).toEqual([5, 6, 7, 8]);
    expect(new Map(map)).toEqual(new Map([5, 6, 7, 8].map((key) => [key, BigInt(key) * 10n])));
    const array = stage().map(ARRAY).as(u32, u64);
    array.set(1, 9n);
    expect([...array]).toEqual([
      [0, 0n],
      [1, 9n],
      [2, 0n],
    ]);
  });

  test("a walk that takes each key out as it comes empties the map, and ends", () => {
    const map = hash(stage());
    for (const key of [5, 6, 7, 8]) map.set(key, 0n);
    for (const key of map.keys()) map.delete(key);
    expect([...map]).toEqual([]);
  });

  test("a walk ends though every step puts a new key in", () => {
    const map = stage()
      .map({ ...HASH, maxEntries: 64 })
      .as(u32, u64);
    let next = 0;
    map.set(next++, 0n);
    for (const key of map.keys()) {
      map.delete(key);
      map.set(next++, 0n);
    }
    expect(next).toBeLessThanOrEqual(66);
  });

  test("types whose sizes aren't the map's are refused", () => {
    const map = stage().map(HASH);
    expect(() => map.as(u16, u64)).toThrow(new RangeError("key: 2 bytes, but this map's are 4"));
    expect(() => map.as(u32, u32)).toThrow(new RangeError("value: 4 bytes, but this map's are 8"));
  });

  test("as() is the same map by the same fd: closed together", () => {
    const raw = stage().map(HASH);
    const typed = raw.as(u32, u64);
    expect(typed.fd).toBe(raw.fd);
    typed.set(1, 2n);
    expect([...raw.keys()]).toEqual([u32.encode(1)]);
    typed[Symbol.dispose]();
    expect(() => raw.fd).toThrow(TypeError);
    raw[Symbol.dispose]();
  });

  test("an array lacks no index, and has none to spare", () => {
    const map = stage().map(ARRAY).as(u32, u64);
    expect(map.get(2)).toBe(0n);
    expect(map.get(3)).toBeUndefined();
    refusal(() => map.set(3, 1n), "E2BIG", /map nouns holds at most 3 entries/);
    refusal(() => map.delete(0), "EINVAL", /map nouns is a BPF_MAP_TYPE_ARRAY, which/);
    refusal(() => map.take(0), "ENOTSUPP", /map nouns is a BPF_MAP_TYPE_ARRAY, which/);
  });

  test("a full hash takes no new key, an LRU hash forgets an old one", () => {
    const map = hash(stage());
    for (let key = 0; key < 4; key++) map.set(key, 0n);
    refusal(() => map.set(4, 0n), "E2BIG", /at most 4 entries/);
    map.set(3, 1n);
    const lru = stage()
      .map({ ...HASH, type: BPF_MAP_TYPE_LRU_HASH, maxEntries: 512 })
      .as(u32, u64);
    for (let key = 0; key < 2048; key++) lru.set(key, 0n);
    expect([...lru.keys()].length).toBeLessThanOrEqual(512);
    expect(lru.get(2047)).toBe(0n);
  });

  test("a per-CPU map has a value for each possible CPU", () => {
    const { possibleCpus } = stage().kernel;
    const types = [BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH];
    for (const type of types) {
      const raw = stage().map({ ...HASH, type, valueSize: 4 });
      const map = raw.as(u32, perCpu(u32, possibleCpus));
      const values = Array.from({ length: possibleCpus }, (_, cpu) => 0xffff_fff0 + cpu);
      map.set(1, values);
      expect(map.get(1)).toEqual(values);
      expect(raw.info.valueSize, "one CPU's").toBe(4);
      expect(() => map.set(1, [...values, 1])).toThrow(RangeError);
    }
  });

  test("a frozen map is for reading only", () => {
    const map = hash(stage());
    map.set(1, 1n);
    map.freeze();
    expect(map.get(1)).toBe(1n);
    refusal(() => map.set(1, 2n), "EPERM", /map nouns is frozen, for good/);
    refusal(() => map.delete(1), "EPERM", /map nouns is frozen/);
    expect(() => map.freeze()).toThrow(/^BPF_MAP_FREEZE: (EPERM|EBUSY): map nouns is frozen/);
  });

  test("an fd that may only read says so", () => {
    const map = stage()
      .map({ ...HASH, flags: BPF_F_RDONLY })
      .as(u32, u64);
    expect(map.get(1)).toBeUndefined();
    refusal(
      () => map.set(1, 1n),
      "EPERM",
      /this fd may not write map nouns: it was opened with BPF_F_RDONLY$/,
    );
  });

  test("a prog array takes programs by fd and tells their ids", () => {
    const program = stage().program();
    const map = stage()
      .map({ ...ARRAY, type: BPF_MAP_TYPE_PROG_ARRAY, valueSize: 4 })
      .as(u32, u32);
    map.set(1, program.fd);
    expect([...map]).toEqual([[1, program.info.id]]);
    expect(map.delete(1)).toBe(true);
    expect(map.delete(1)).toBe(false);
  });

  describe("codecs", () => {
    test("are little-endian and come back as they went", () => {
      expect(u8.encode(0xfe)).toEqual(Uint8Array.of(0xfe));
      expect(u16.encode(0x1234)).toEqual(Uint8Array.of(0x34, 0x12));
      expect(u32.encode(0xdead_beef)).toEqual(Uint8Array.of(0xef, 0xbe, 0xad, 0xde));
      expect(u64.encode(1n << 63n)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80));
      const all: [Codec<number>, number][] = [
        [u8, 0xff],
        [u16, 0xffff],
        [u32, 0xffff_ffff],
      ];
      for (const [codec, value] of all) expect(codec.decode(codec.encode(value))).toBe(value);
    });

    test("refuse what doesn't fit, instead of cutting it", () => {
      for (const wrong of [-1, 256, 1.5, Number.NaN]) {
        expect(() => u8.encode(wrong)).toThrow(
          new RangeError(`${wrong} is no integer from 0 to 255`),
        );
      }
      expect(() => u64.encode(-1n)).toThrow(new RangeError("-1 is no u64"));
      expect(() => u64.encode(1n << 64n)).toThrow(RangeError);
    });

    test("of bytes give out a copy, not the kernel's memory", () => {
      const memory = Uint8Array.of(1, 2, 3);
      const copy = bytes(2).decode(memory);
      memory[0] = 9;
      expect(copy).toEqual(Uint8Array.of(1, 2));
    });

    test("of a per-CPU value put each CPU's on a boundary of 8 bytes", () => {
      const codec = perCpu(bytes(9), 2);
      expect(codec.size).toBe(32);
      const values = [new Uint8Array(9).fill(1), new Uint8Array(9).fill(2)];
      const encoded = codec.encode(values);
      expect([encoded[8], encoded[9], encoded[15], encoded[16]]).toEqual([1, 0, 0, 2]);
      expect(codec.decode(encoded)).toEqual(values);
    });
  });
};
