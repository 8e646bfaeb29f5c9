/**
 * Maps, one element at a time: what can be created, and what the element calls say.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BAD_POINTER, type Case, CLOSED_FD, type Fields, SOCKET_FILTER, u32s } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

type CreateFields = Fields<typeof bpf.BPF_MAP_CREATE>;

const HASH: CreateFields = { map_type: bpf.BPF_MAP_TYPE_HASH, max_entries: 2 };
const LRU: CreateFields = { map_type: bpf.BPF_MAP_TYPE_LRU_HASH };
const PROG_ARRAY: CreateFields = {
  map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY,
  value_size: 4,
  max_entries: 2,
};

/** A map's element calls with whole keys and values in, and outcomes out. */
export class Elements {
  readonly #case: Case;
  readonly fd: number;

  constructor(c: Case, fd: number) {
    this.#case = c;
    this.fd = fd;
  }

  update(key: Uint8Array, value: Uint8Array, flags: bigint = 0n): string {
    const pointers = { key: this.#case.at(key), value: this.#case.at(value) };
    return this.#case.outcome(bpf.BPF_MAP_UPDATE_ELEM, { map_fd: this.fd, ...pointers, flags });
  }

  /** The value, or how it failed. */
  lookup(key: Uint8Array, valueSize: number = 8, flags: bigint = 0n): readonly number[] | string {
    return this.#get(bpf.BPF_MAP_LOOKUP_ELEM, key, valueSize, flags);
  }

  take(key: Uint8Array, valueSize: number = 8, flags: bigint = 0n): readonly number[] | string {
    return this.#get(bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, valueSize, flags);
  }

  delete(key: Uint8Array): string {
    const fields = { map_fd: this.fd, key: this.#case.at(key) };
    return this.#case.outcome(bpf.BPF_MAP_DELETE_ELEM, fields);
  }

  /** The key after `key`, from the first on with null; or how it failed. */
  next(key: Uint8Array | null, keySize: number = 4): readonly number[] | string {
    const bytes = new Uint8Array(keySize);
    const outcome = this.#case.outcome(bpf.BPF_MAP_GET_NEXT_KEY, {
      map_fd: this.fd,
      key: key === null ? 0n : this.#case.at(key),
      next_key: this.#case.at(bytes),
    });
    return outcome === "ok" ? [...bytes] : outcome;
  }

  #get(
    command: typeof bpf.BPF_MAP_LOOKUP_ELEM | typeof bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    key: Uint8Array,
    valueSize: number,
    flags: bigint,
  ): readonly number[] | string {
    const bytes = new Uint8Array(valueSize);
    const pointers = { key: this.#case.at(key), value: this.#case.at(bytes) };
    const outcome = this.#case.outcome(command, { map_fd: this.fd, ...pointers, flags });
    return outcome === "ok" ? [...bytes] : outcome;
  }
}

/** A value of eight equal bytes. */
function value(byte: number): Uint8Array {
  return new Uint8Array(8).fill(byte);
}

const bytesOf = (array: Uint8Array): readonly number[] => [...array];
const elements = (c: Case, fields: CreateFields = {}): Elements => new Elements(c, c.map(fields));

export const maps: Chapter = {
  title: "maps",
  rules: (rules) => {
    creating(rules);
    array(rules);
    hash(rules);
    lru(rules);
    perCpu(rules);
    progArray(rules);
    pointers(rules);
    lookupAndDelete(rules);
    modesAndFreeze(rules);
  },
};

function creating({ rule }: Rules): void {
  const refused: readonly (readonly [what: string, fields: CreateFields, outcome: string])[] = [
    ["type 0", { map_type: 0 }, "EINVAL"],
    ["an unknown type", { map_type: 999 }, "EINVAL"],
    ["an array's key of 8 bytes", { key_size: 8 }, "EINVAL"],
    ["an array's value of 0 bytes", { value_size: 0 }, "EINVAL"],
    ["an array of 0", { max_entries: 0 }, "EINVAL"],
    ["an array's value over INT_MAX", { value_size: 0x80000000 }, "E2BIG"],
    ["an array too large for memory", { value_size: 0x100000, max_entries: 0x1000000 }, "ENOMEM"],
    ["a hash's key of 0 bytes", { ...HASH, key_size: 0 }, "EINVAL"],
    ["a hash's value of 0 bytes", { ...HASH, value_size: 0 }, "EINVAL"],
    ["a hash of 0", { ...HASH, max_entries: 0 }, "EINVAL"],
    ["a prog array's value of 8 bytes", { ...PROG_ARRAY, value_size: 8 }, "EINVAL"],
    ["a prog array's key of 8 bytes", { ...PROG_ARRAY, key_size: 8 }, "EINVAL"],
    ["an LRU hash without preallocation", { ...LRU, map_flags: bpf.BPF_F_NO_PREALLOC }, "ENOTSUPP"],
    ["both RDONLY and WRONLY", { map_flags: bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY }, "EINVAL"],
    ["flags nobody knows", { map_flags: 0x80000000 }, "EINVAL"],
    ["an array without preallocation", { map_flags: bpf.BPF_F_NO_PREALLOC }, "EINVAL"],
    ["a name with a dash", { map_name: new TextEncoder().encode("a-b") }, "EINVAL"],
    ["a name without its NUL", { map_name: new TextEncoder().encode("a".repeat(16)) }, "EINVAL"],
    ["map_extra", { map_extra: 1n }, "EINVAL"],
    ["a closed inner map", { inner_map_fd: CLOSED_FD }, "ok"],
    ["a key of BTF without BTF", { btf_key_type_id: 1 }, "EINVAL"],
  ];
  for (const [what, fields, outcome] of refused) {
    rule(`create with ${what} is ${outcome}`, (c) => {
      expect(c.outcome(bpf.BPF_MAP_CREATE, c.mapFields(fields))).toBe(outcome);
    });
  }

  rule("a name of 15 letters, digits, dots and underscores is fine", (c) => {
    const map_name = new TextEncoder().encode("Contract_1.maps");
    expect(c.outcome(bpf.BPF_MAP_CREATE, c.mapFields({ map_name }))).toBe("ok");
  });
}

function array({ rule }: Rules): void {
  rule("array: every element is there, zero at first", (c) => {
    const map = elements(c);
    expect(map.lookup(u32s(0))).toEqual(bytesOf(value(0)));
    expect(map.update(u32s(3), value(7))).toBe("ok");
    expect(map.lookup(u32s(3))).toEqual(bytesOf(value(7)));
    expect(map.lookup(u32s(2))).toEqual(bytesOf(value(0)));
  });

  rule("array: past the end, lookup is ENOENT, update E2BIG, delete EINVAL as always", (c) => {
    const map = elements(c);
    for (const index of [4, 0xffffffff]) {
      expect(map.lookup(u32s(index))).toBe("ENOENT");
      expect(map.update(u32s(index), value(1))).toBe("E2BIG");
      expect(map.delete(u32s(index))).toBe("EINVAL");
    }
    expect(map.delete(u32s(0))).toBe("EINVAL");
  });

  rule("array: BPF_NOEXIST is EEXIST, BPF_EXIST fine, other flags EINVAL", (c) => {
    const map = elements(c);
    expect(map.update(u32s(0), value(1), BigInt(bpf.BPF_NOEXIST))).toBe("EEXIST");
    expect(map.update(u32s(0), value(1), BigInt(bpf.BPF_EXIST))).toBe("ok");
    for (const flags of [3n, 8n, 1n << 40n]) {
      expect(map.update(u32s(0), value(1), flags)).toBe("EINVAL");
    }
  });

  rule("array: an index past the end is E2BIG before BPF_NOEXIST is EEXIST", (c) => {
    const map = elements(c);
    expect(map.update(u32s(4), value(1), BigInt(bpf.BPF_NOEXIST))).toBe("E2BIG");
    expect(map.update(u32s(4), value(1), 3n)).toBe("EINVAL");
  });

  rule("array: the keys go 0, 1, … and begin again after a key that isn't one", (c) => {
    const map = elements(c);
    expect(map.next(null)).toEqual([0, 0, 0, 0]);
    expect(map.next(u32s(0))).toEqual([1, 0, 0, 0]);
    expect(map.next(u32s(3))).toBe("ENOENT");
    expect(map.next(u32s(4))).toEqual([0, 0, 0, 0]);
  });

  rule("array: values whose size is no multiple of 8 don't touch", (c) => {
    const map = elements(c, { value_size: 5 });
    expect(map.update(u32s(1), value(9))).toBe("ok");
    expect(map.lookup(u32s(0), 6)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(map.lookup(u32s(1), 6)).toEqual([9, 9, 9, 9, 9, 0]);
    expect(map.lookup(u32s(2), 5)).toEqual([0, 0, 0, 0, 0]);
  });
}

function hash({ rule }: Rules): void {
  rule("hash: what isn't there is ENOENT, to lookup, delete and BPF_EXIST", (c) => {
    const map = elements(c, HASH);
    expect(map.lookup(u32s(1))).toBe("ENOENT");
    expect(map.delete(u32s(1))).toBe("ENOENT");
    expect(map.update(u32s(1), value(1), BigInt(bpf.BPF_EXIST))).toBe("ENOENT");
  });

  rule("hash: BPF_NOEXIST creates, and is EEXIST the next time", (c) => {
    const map = elements(c, HASH);
    expect(map.update(u32s(1), value(1), BigInt(bpf.BPF_NOEXIST))).toBe("ok");
    expect(map.update(u32s(1), value(2), BigInt(bpf.BPF_NOEXIST))).toBe("EEXIST");
    expect(map.update(u32s(1), value(3), BigInt(bpf.BPF_EXIST))).toBe("ok");
    expect(map.lookup(u32s(1))).toEqual(bytesOf(value(3)));
    expect(map.update(u32s(1), value(3), 3n)).toBe("EINVAL");
  });

  rule("hash: full is E2BIG, but an element that is there can be overwritten", (c) => {
    const map = elements(c, HASH);
    expect(map.update(u32s(1), value(1))).toBe("ok");
    expect(map.update(u32s(2), value(2))).toBe("ok");
    expect(map.update(u32s(3), value(3))).toBe("E2BIG");
    expect(map.update(u32s(2), value(4))).toBe("ok");
    expect(map.delete(u32s(1))).toBe("ok");
    expect(map.update(u32s(3), value(3))).toBe("ok");
  });

  rule("hash: the walk meets every key once, and begins again after an absent one", (c) => {
    const map = elements(c, { ...HASH, max_entries: 16 });
    expect(map.next(null)).toBe("ENOENT");
    for (let i = 0; i < 16; i++) map.update(u32s(i), value(i));
    const seen: number[] = [];
    let key = map.next(null);
    const first = key;
    while (typeof key !== "string" && seen.length <= 16) {
      seen.push(key[0] ?? -1);
      key = map.next(Uint8Array.from(key));
    }
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(key).toBe("ENOENT");
    expect(map.next(u32s(99))).toEqual(first);
  });

  rule("hash: keys are compared by all their bytes, whatever their size", (c) => {
    const map = elements(c, { ...HASH, key_size: 5, max_entries: 4 });
    expect(map.update(Uint8Array.of(1, 2, 3, 4, 5), value(1))).toBe("ok");
    expect(map.lookup(Uint8Array.of(1, 2, 3, 4, 6))).toBe("ENOENT");
    expect(map.lookup(Uint8Array.of(1, 2, 3, 4, 5))).toEqual(bytesOf(value(1)));
  });

  rule("hash: without preallocation it is the same", (c) => {
    const map = elements(c, { ...HASH, map_flags: bpf.BPF_F_NO_PREALLOC });
    expect(map.update(u32s(1), value(1))).toBe("ok");
    expect(map.update(u32s(2), value(2))).toBe("ok");
    expect(map.update(u32s(3), value(3))).toBe("E2BIG");
    expect(map.delete(u32s(1))).toBe("ok");
  });
}

function lru({ rule }: Rules): void {
  rule("LRU hash: is never full", (c) => {
    const map = elements(c, { ...LRU, max_entries: 64 });
    for (let i = 0; i < 256; i++) expect(map.update(u32s(i), value(i))).toBe("ok");
    expect(map.lookup(u32s(255))).toEqual(bytesOf(value(255)));
    const kept = Array.from({ length: 256 }, (_, i) => map.lookup(u32s(i))).filter(
      (found) => found !== "ENOENT",
    );
    expect(kept.length).toBeLessThanOrEqual(64);
  });
}

function perCpu({ rule }: Rules): void {
  const TYPES = [bpf.BPF_MAP_TYPE_PERCPU_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_HASH];
  for (const map_type of TYPES) {
    rule(`${bpf.MAP_TYPE_NAMES[map_type]}: a value for each CPU, each in a multiple of 8`, (c) => {
      const cpus = c.kernel.possibleCpus;
      const map = elements(c, { map_type, value_size: 5 });
      const values = new Uint8Array(8 * cpus);
      for (let cpu = 0; cpu < cpus; cpu++) values.fill(cpu + 1, 8 * cpu, 8 * cpu + 5);
      expect(map.update(u32s(1), values)).toBe("ok");
      expect(map.lookup(u32s(1), 8 * cpus)).toEqual([...values]);
      expect(map.update(u32s(9), values)).toBe(
        map_type === bpf.BPF_MAP_TYPE_PERCPU_ARRAY ? "E2BIG" : "ok",
      );
    });
  }

  rule("per-CPU: the flags of the plain kinds hold", (c) => {
    const values = new Uint8Array(8 * c.kernel.possibleCpus);
    const array = elements(c, { map_type: bpf.BPF_MAP_TYPE_PERCPU_ARRAY });
    expect(array.update(u32s(0), values, 1n)).toBe("EEXIST");
    expect(array.delete(u32s(0))).toBe("EINVAL");
    const hash = elements(c, { map_type: bpf.BPF_MAP_TYPE_PERCPU_HASH, max_entries: 1 });
    expect(hash.update(u32s(0), values, 2n)).toBe("ENOENT");
    expect(hash.update(u32s(0), values)).toBe("ok");
    expect(hash.update(u32s(1), values)).toBe("E2BIG");
    expect(hash.delete(u32s(0))).toBe("ok");
  });

  rule("per-CPU array: a value larger than 32768 bytes is E2BIG", (c) => {
    const map_type = bpf.BPF_MAP_TYPE_PERCPU_ARRAY;
    const create = (value_size: number): string =>
      c.outcome(bpf.BPF_MAP_CREATE, c.mapFields({ map_type, value_size }));
    expect(create(32768)).toBe("ok");
    expect(create(32769)).toBe("E2BIG");
  });
}

function progArray({ rule }: Rules): void {
  rule("prog array: a program's fd goes in, its id comes out", (c) => {
    const map = elements(c, PROG_ARRAY);
    const program = c.program();
    expect(map.update(u32s(0), u32s(program))).toBe("ok");
    expect(map.lookup(u32s(0), 4)).toEqual([...u32s(c.progId(program))]);
    expect(map.lookup(u32s(1), 4)).toBe("ENOENT");
    expect(map.lookup(u32s(2), 4)).toBe("ENOENT");
  });

  rule("prog array: it holds its programs", (c) => {
    const map = elements(c, PROG_ARRAY);
    const program = c.program();
    const id = c.progId(program);
    map.update(u32s(0), u32s(program));
    c.close(program);
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id)).toBe(true);
    expect(map.delete(u32s(0))).toBe("ok");
    expect(map.delete(u32s(0))).toBe("ENOENT");
    expect(map.delete(u32s(2))).toBe("E2BIG");
  });

  rule("prog array: flags are EINVAL, an index past the end E2BIG, a bad fd EBADF", (c) => {
    const map = elements(c, PROG_ARRAY);
    const program = u32s(c.program());
    expect(map.update(u32s(0), program, BigInt(bpf.BPF_NOEXIST))).toBe("EINVAL");
    expect(map.update(u32s(0), program, BigInt(bpf.BPF_EXIST))).toBe("EINVAL");
    expect(map.update(u32s(2), program)).toBe("E2BIG");
    expect(map.update(u32s(0), u32s(CLOSED_FD))).toBe("EBADF");
    expect(map.update(u32s(0), u32s(c.map()))).toBe("EINVAL");
    expect(map.update(u32s(2), u32s(CLOSED_FD)), "index before fd").toBe("E2BIG");
  });

  rule("prog array: it is for programs of the first one's type", (c) => {
    const map = elements(c, PROG_ARRAY);
    expect(map.update(u32s(0), u32s(c.program()))).toBe("ok");
    expect(map.update(u32s(1), u32s(c.program(SOCKET_FILTER)))).toBe("EINVAL");
    map.delete(u32s(0));
    expect(map.update(u32s(1), u32s(c.program(SOCKET_FILTER))), "for good").toBe("EINVAL");
  });

  rule("prog array: its fdinfo names the owner's type, once it has one", (c) => {
    const map = elements(c, PROG_ARRAY);
    expect(c.kernel.fdinfo(map.fd)).not.toContain("owner_prog_type");
    expect(map.update(u32s(0), u32s(c.program()))).toBe("ok");
    expect(c.kernel.fdinfo(map.fd)).toContain("owner_prog_type:\t22\n");
  });

  rule("prog array: its programs have to have the same expected_attach_type", (c) => {
    const map = elements(c, PROG_ARRAY);
    expect(map.update(u32s(0), u32s(c.program()))).toBe("ok");
    const odd = c.program({ expectedAttachType: bpf.BPF_SK_LOOKUP });
    expect(map.update(u32s(1), u32s(odd))).toBe("EINVAL");
  });
}

function pointers({ rule }: Rules): void {
  rule("bad pointers to keys and values are EFAULT", (c) => {
    const good = c.at(new Uint8Array(8));
    for (const fields of [{}, HASH]) {
      const map_fd = c.map(fields);
      for (const bad of [0n, BAD_POINTER]) {
        const noKey = { map_fd, key: bad, value: good };
        expect(c.outcome(bpf.BPF_MAP_LOOKUP_ELEM, noKey)).toBe("EFAULT");
        expect(c.outcome(bpf.BPF_MAP_UPDATE_ELEM, noKey)).toBe("EFAULT");
        expect(c.outcome(bpf.BPF_MAP_DELETE_ELEM, { map_fd, key: bad })).toBe("EFAULT");
        const noValue = { map_fd, key: good, value: bad };
        expect(c.outcome(bpf.BPF_MAP_UPDATE_ELEM, noValue)).toBe("EFAULT");
      }
      const badNext = { map_fd, key: BAD_POINTER, next_key: good };
      expect(c.outcome(bpf.BPF_MAP_GET_NEXT_KEY, badNext)).toBe("EFAULT");
    }
    const array = { map_fd: c.map(), key: good };
    expect(c.outcome(bpf.BPF_MAP_LOOKUP_ELEM, { ...array, value: BAD_POINTER })).toBe("EFAULT");
    expect(c.outcome(bpf.BPF_MAP_GET_NEXT_KEY, { ...array, next_key: 0n })).toBe("EFAULT");
  });

  rule("lookup flags are EINVAL, BPF_F_LOCK on a map without locks too", (c) => {
    for (const fields of [{}, HASH]) {
      const map = elements(c, fields);
      for (const flags of [1n, 2n, BigInt(bpf.BPF_F_LOCK), 8n, 1n << 63n]) {
        expect(map.lookup(u32s(0), 8, flags), `${flags}`).toBe("EINVAL");
      }
      expect(map.update(u32s(0), value(1), BigInt(bpf.BPF_F_LOCK))).toBe("EINVAL");
    }
  });
}

function lookupAndDelete({ rule }: Rules): void {
  rule("lookup-and-delete takes an element out of a hash", (c) => {
    const map = elements(c, HASH);
    map.update(u32s(1), value(5));
    expect(map.take(u32s(1))).toEqual(bytesOf(value(5)));
    expect(map.take(u32s(1))).toBe("ENOENT");
    expect(map.take(u32s(1), 8, 1n)).toBe("EINVAL");
  });

  rule("lookup-and-delete of an array is ENOTSUPP", (c) => {
    expect(elements(c).take(u32s(1))).toBe("ENOTSUPP");
  });
}

function modesAndFreeze({ rule }: Rules): void {
  rule("a map created RDONLY or WRONLY gives an fd of that kind", (c) => {
    const reader = elements(c, { map_flags: bpf.BPF_F_RDONLY });
    expect(reader.update(u32s(0), value(1))).toBe("EPERM");
    expect(reader.lookup(u32s(0))).toEqual(bytesOf(value(0)));
    const writer = elements(c, { ...HASH, map_flags: bpf.BPF_F_WRONLY });
    expect(writer.update(u32s(0), value(1))).toBe("ok");
    expect(writer.lookup(u32s(0))).toBe("EPERM");
    expect(writer.next(null)).toBe("EPERM");
    expect(writer.take(u32s(0))).toBe("EPERM");
    expect(writer.delete(u32s(0))).toBe("ok");
  });

  rule("freeze ends writing from outside; a second freeze is EPERM", (c) => {
    for (const fields of [{}, HASH]) {
      const map = elements(c, fields);
      expect(map.update(u32s(1), value(1))).toBe("ok");
      expect(c.outcome(bpf.BPF_MAP_FREEZE, { map_fd: map.fd })).toBe("ok");
      expect(map.update(u32s(1), value(2))).toBe("EPERM");
      expect(map.delete(u32s(1))).toBe("EPERM");
      expect(map.lookup(u32s(1))).toEqual(bytesOf(value(1)));
      expect(c.outcome(bpf.BPF_MAP_FREEZE, { map_fd: map.fd })).toBe("EPERM");
    }
  });

  rule("freeze needs an fd that may write", (c) => {
    const map_fd = c.map({ map_flags: bpf.BPF_F_RDONLY });
    expect(c.outcome(bpf.BPF_MAP_FREEZE, { map_fd })).toBe("EPERM");
  });
}
