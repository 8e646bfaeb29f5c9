/** Breaks when the commands about elements answer otherwise than Linux 6.18 was seen to. */

import { describe, expect, test } from "vitest";
import * as BPF from "../../../src/abi/bpf.ts";
import * as ERRNO from "../../../src/abi/errno.ts";
import { BPF_MAP_INFO_SIZE, MAP_INFO } from "../../../src/abi/info.ts";
import { decode } from "../../../src/abi/layout.ts";
import { newMapFd } from "../../../src/kernel/bpf/map/fd.ts";
import { fillMapInfo } from "../../../src/kernel/bpf/map/info.ts";
import { filled, Harness, readU32, UNMAPPED, u32 } from "./harness.ts";

const { E2BIG, EBADF, EEXIST, EFAULT, EINVAL, ENOENT, ENOTSUPP, EPERM } = ERRNO;
const ARRAY = BPF.BPF_MAP_TYPE_ARRAY;
const HASH = BPF.BPF_MAP_TYPE_HASH;
const PROGS = BPF.BPF_MAP_TYPE_PROG_ARRAY;

/** Large enough for a value of any kind here. */
const ROOM = 64;

const KINDS: readonly [name: string, type: number, keyed: boolean][] = [
  ["hash", HASH, true],
  ["array", ARRAY, false],
  ["per-CPU hash", BPF.BPF_MAP_TYPE_PERCPU_HASH, true],
  ["per-CPU array", BPF.BPF_MAP_TYPE_PERCPU_ARRAY, false],
  ["LRU hash", BPF.BPF_MAP_TYPE_LRU_HASH, true],
  ["per-CPU LRU hash", BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH, true],
];

describe.each(KINDS)("%s", (_name, type, keyed) => {
  const value = new Uint8Array(ROOM);

  test("update: flags", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    expect(harness.update(fd, u32(1), value)).toBe(0);
    expect(harness.update(fd, u32(1), value, 1n)).toBe(-EEXIST);
    expect(harness.update(fd, u32(1), value, 2n)).toBe(0);
    for (const flags of [3n, 4n, 5n, 6n, 7n, 8n, 16n, 1n << 32n, (1n << 32n) | 4n]) {
      expect(harness.update(fd, u32(1), value, flags)).toBe(-EINVAL);
    }
  });

  test("lookup and take: flags come before the fd, BPF_F_LOCK after it", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    for (const flags of [1n, 2n, 4n, 5n, 8n, 1n << 32n]) {
      expect(harness.lookup(fd, u32(1), value, flags)).toBe(-EINVAL);
      expect(harness.take(fd, u32(1), value, flags)).toBe(-EINVAL);
    }
    expect(harness.lookup(-1, u32(1), value, 1n)).toBe(-EINVAL);
    expect(harness.lookup(-1, u32(1), value, 4n)).toBe(-EBADF);
    expect(harness.take(-1, u32(1), value, 4n)).toBe(-EBADF);
  });

  test("bad addresses", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    expect(harness.lookup(fd, 0n, value)).toBe(-EFAULT);
    expect(harness.take(fd, 0n, value)).toBe(-EFAULT);
    expect(harness.delete(fd, 0n)).toBe(-EFAULT);
    expect(harness.update(fd, 0n, value, 99n)).toBe(-EFAULT);
    expect(harness.update(fd, u32(0), 0n, 99n)).toBe(-EFAULT);
    expect(harness.update(fd, 0n, value, 4n)).toBe(-EINVAL);
    expect(harness.lookup(fd, u32(3), UNMAPPED)).toBe(keyed ? -ENOENT : -EFAULT);
    expect(harness.nextKey(fd, UNMAPPED, u32(0))).toBe(-EFAULT);
    expect(harness.nextKey(fd, undefined, UNMAPPED)).toBe(keyed ? -ENOENT : -EFAULT);
    expect(harness.update(fd, u32(3), value)).toBe(0);
    expect(harness.lookup(fd, u32(3), UNMAPPED)).toBe(-EFAULT);
    // The element is gone though its value never arrived.
    expect(harness.take(fd, u32(3), UNMAPPED)).toBe(keyed ? -EFAULT : -ENOTSUPP);
    expect(harness.lookup(fd, u32(3), value)).toBe(keyed ? -ENOENT : 0);
  });

  test("a key that is not there", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    expect(harness.lookup(fd, u32(9), value)).toBe(-ENOENT);
    expect(harness.take(fd, u32(9), value)).toBe(keyed ? -ENOENT : -ENOTSUPP);
    expect(harness.delete(fd, u32(9))).toBe(keyed ? -ENOENT : -EINVAL);
    expect(harness.update(fd, u32(9), value, 2n)).toBe(keyed ? -ENOENT : -E2BIG);
    expect(harness.update(fd, u32(9), value, 1n)).toBe(keyed ? 0 : -E2BIG);
  });

  test("frozen: reading goes on, changing is over", () => {
    const harness = new Harness();
    const { fd, map } = harness.newMap(type);
    expect(harness.freeze(fd)).toBe(0);
    expect(map.frozen).toBe(true);
    expect(harness.freeze(fd)).toBe(-EPERM);
    expect(harness.update(fd, 0n, 0n, 99n)).toBe(-EPERM);
    expect(harness.delete(fd, 0n)).toBe(-EPERM);
    expect(harness.take(fd, 0n, 0n)).toBe(-EPERM);
    expect(harness.lookup(fd, u32(0), value)).toBe(keyed ? -ENOENT : 0);
    expect(harness.nextKey(fd, undefined, u32(0))).toBe(keyed ? -ENOENT : 0);
  });

  test("fds for reading or writing only", () => {
    const harness = new Harness();
    const { fd, map } = harness.newMap(type);
    const reader = newMapFd(harness.task, map.get(), BPF.BPF_F_RDONLY);
    const writer = newMapFd(harness.task, map.get(), BPF.BPF_F_WRONLY);
    expect(harness.update(reader, u32(0), value)).toBe(-EPERM);
    expect(harness.delete(reader, u32(0))).toBe(-EPERM);
    expect(harness.take(reader, u32(0), value)).toBe(-EPERM);
    expect(harness.freeze(reader)).toBe(-EPERM);
    expect(harness.update(writer, u32(0), value)).toBe(0);
    expect(harness.lookup(writer, u32(0), value)).toBe(-EPERM);
    expect(harness.nextKey(writer, undefined, u32(0))).toBe(-EPERM);
    expect(harness.take(writer, u32(0), value)).toBe(-EPERM);
    expect(harness.lookup(reader, u32(0), value)).toBe(0);
    expect(harness.batch("Lookup", writer, { count: 1 }).result).toBe(-EPERM);
    expect(harness.batch("Update", reader, { count: 1 }).result).toBe(-EPERM);
    expect(harness.batch("Delete", reader, { count: 1 }).result).toBe(-EPERM);
    expect(harness.freeze(writer)).toBe(0);
    expect(harness.lookup(fd, u32(0), value)).toBe(0);
  });

  test("values are exact, or for each CPU rounded up to 8", () => {
    const harness = new Harness(2);
    const { fd, map } = harness.newMap(type, { value_size: 5 });
    const size = map.perCpu ? 16 : 5;
    const given = Uint8Array.from({ length: ROOM }, (_, i) => i + 1);
    expect(harness.update(fd, u32(0), given)).toBe(0);
    const read = filled(ROOM, 0xee);
    expect(harness.lookup(fd, u32(0), read)).toBe(0);
    expect(read.subarray(0, size)).toEqual(given.subarray(0, size));
    expect(read.subarray(size)).toEqual(filled(ROOM - size, 0xee));
    expect(harness.update(fd, u32(1), given.subarray(0, size).slice())).toBe(0);
    expect(harness.update(fd, u32(1), given.slice(0, size - 1))).toBe(-EFAULT);
  });

  test("everything is given back with the last fd", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(type);
    const copy = harness.task.files.dup(fd);
    for (let i = 0; i < 4; i++) expect(harness.update(fd, u32(i), value)).toBe(0);
    harness.task.files.close(fd);
    expect(harness.machine.maps.size).toBe(1);
    harness.task.files.close(copy);
    expect(harness.machine.maps.size).toBe(0);
    expect(harness.machine.mapsByAddress.size).toBe(0);
    expect(harness.blocksInUse).toBe(0);
  });
});

test("an fd that is no map's, or closed", () => {
  const harness = new Harness();
  expect(harness.lookup(0, u32(0), u32(0))).toBe(-EINVAL);
  expect(harness.freeze(0)).toBe(-EINVAL);
  expect(harness.freeze(99)).toBe(-EBADF);
  expect(harness.nextKey(99, u32(0), u32(0))).toBe(-EBADF);
});

describe("order of keys", () => {
  test("an array goes from 0 up, and begins again after a key it doesn't have", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(ARRAY);
    expect(harness.keys(fd)).toEqual([0, 1, 2, 3]);
    const next = u32(77);
    expect(harness.nextKey(fd, u32(99), next)).toBe(0);
    expect(readU32(next)).toBe(0);
    expect(harness.nextKey(fd, u32(3), next)).toBe(-ENOENT);
  });

  test("a hash without the key at hand begins at its first", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(HASH);
    expect(harness.nextKey(fd, u32(5), u32(0))).toBe(-ENOENT);
    for (const key of [10, 20, 30]) harness.update(fd, u32(key), new Uint8Array(8));
    const keys = harness.keys(fd);
    expect(keys.toSorted((a, b) => a - b)).toEqual([10, 20, 30]);
    const next = u32(0);
    expect(harness.nextKey(fd, u32(5), next)).toBe(0);
    expect(readU32(next)).toBe(keys[0]);
  });

  test("with a seed of 0 two maps agree", () => {
    const harness = new Harness();
    const orders = [BPF.BPF_F_ZERO_SEED, BPF.BPF_F_ZERO_SEED | BPF.BPF_F_NO_PREALLOC].map(
      (flags) => {
        const { fd } = harness.newMap(HASH, { map_flags: flags, max_entries: 16 });
        for (let i = 0; i < 16; i++) harness.update(fd, u32(i), new Uint8Array(8));
        return harness.keys(fd);
      },
    );
    expect(orders[0]).toHaveLength(16);
    expect(orders[1]).toEqual(orders[0]);
  });
});

test.each([0, BPF.BPF_F_NO_PREALLOC])("a full hash (flags %i) still takes what it has", (flags) => {
  const harness = new Harness();
  const { fd } = harness.newMap(HASH, { map_flags: flags });
  for (let i = 0; i < 4; i++) expect(harness.update(fd, u32(i), filled(8, i))).toBe(0);
  expect(harness.update(fd, u32(4), filled(8, 4))).toBe(-E2BIG);
  for (let i = 0; i < 4; i++) expect(harness.update(fd, u32(i), filled(8, 9))).toBe(0);
  expect(harness.delete(fd, u32(2))).toBe(0);
  expect(harness.update(fd, u32(4), filled(8, 4))).toBe(0);
  expect(harness.update(fd, u32(5), filled(8, 4))).toBe(-E2BIG);
});

describe("what a map says of itself", () => {
  test("info keeps what the caller had where the map has nothing to say", () => {
    const harness = new Harness();
    const { map } = harness.newMap(HASH, {
      map_flags: BPF.BPF_F_RDONLY | BPF.BPF_F_RDONLY_PROG,
      map_name: Uint8Array.from([0x6e, 0xff]),
    });
    const given = filled(BPF_MAP_INFO_SIZE, 0xaa);
    given.fill(0, MAP_INFO.hash[0]);
    const info = fillMapInfo(map, given);
    if (typeof info === "number") throw new RangeError(`fillMapInfo: ${info}`);
    const name = new Uint8Array(16);
    name.set([0x6e, 0xff]);
    expect(decode(MAP_INFO, info)).toEqual({
      type: HASH,
      id: map.id,
      key_size: 4,
      value_size: 8,
      max_entries: 4,
      map_flags: BPF.BPF_F_RDONLY_PROG,
      name,
      ifindex: 0xaaaaaaaa,
      btf_vmlinux_value_type_id: 0,
      netns_dev: 0xaaaaaaaaaaaaaaaan,
      netns_ino: 0xaaaaaaaaaaaaaaaan,
      btf_id: 0xaaaaaaaa,
      btf_key_type_id: 0xaaaaaaaa,
      btf_value_type_id: 0xaaaaaaaa,
      btf_vmlinux_id: 0xaaaaaaaa,
      map_extra: 0n,
      hash: 0n,
      hash_size: 0,
    });
  });

  test("info: a hash of the content isn't on offer", () => {
    const { map } = new Harness().newMap(HASH);
    const asks = new Uint8Array(BPF_MAP_INFO_SIZE);
    asks[MAP_INFO.hash_size[0]] = 32;
    expect(fillMapInfo(map, asks)).toBe(-EINVAL);
  });

  test("fdinfo has Linux's lines", () => {
    const harness = new Harness();
    const { fd, map } = harness.newMap(ARRAY, { map_flags: BPF.BPF_F_MMAPABLE });
    harness.freeze(fd);
    expect(harness.task.files.get(fd)?.fdinfo()).toBe(
      "map_type:\t2\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t4\nmap_flags:\t0x400\n" +
        `map_extra:\t0x0\nmemlock:\t${map.memoryBytes}\nmap_id:\t1\nfrozen:\t1\n`,
    );
    expect(map.memoryBytes).toBe(48 + 32);
  });

  test("a map for one program only remembers which", () => {
    const harness = new Harness();
    const hash = filled(32, 7);
    const { map } = harness.newMap(ARRAY, {
      excl_prog_hash: harness.address(hash),
      excl_prog_hash_size: 32,
    });
    expect(map.facts.exclusiveTo).toEqual(hash);
  });
});

describe("prog arrays", () => {
  const SIZES = { value_size: 4 };
  const DISSECTOR = BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;

  test("an fd goes in, an id comes out", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(PROGS, SIZES);
    harness.newProg(DISSECTOR);
    const prog = harness.newProg(DISSECTOR);
    const read = u32(0);
    expect(harness.lookup(fd, u32(1), read)).toBe(-ENOENT);
    expect(harness.update(fd, u32(1), u32(prog))).toBe(0);
    expect(harness.lookup(fd, u32(1), read)).toBe(0);
    expect(readU32(read)).toBe(2);
    expect(harness.lookup(fd, u32(9), read)).toBe(-ENOENT);
    expect(harness.keys(fd)).toEqual([0, 1, 2, 3]);
  });

  test("errors, in Linux's order", () => {
    const harness = new Harness();
    const { fd } = harness.newMap(PROGS, SIZES);
    const prog = harness.newProg(DISSECTOR);
    expect(harness.update(fd, u32(0), u32(prog), 1n)).toBe(-EINVAL);
    expect(harness.update(fd, u32(9), u32(prog), 2n)).toBe(-EINVAL);
    expect(harness.update(fd, u32(9), u32(999))).toBe(-E2BIG);
    expect(harness.update(fd, u32(0), u32(999))).toBe(-EBADF);
    expect(harness.update(fd, u32(0), u32(fd))).toBe(-EINVAL);
    expect(harness.delete(fd, u32(9))).toBe(-E2BIG);
    expect(harness.delete(fd, u32(1))).toBe(-ENOENT);
    expect(harness.take(fd, u32(1), u32(0))).toBe(-ENOTSUPP);
    for (const command of ["Lookup", "LookupAndDelete", "Update", "Delete"] as const) {
      expect(harness.batch(command, fd, { count: 0 }).result).toBe(-ENOTSUPP);
    }
  });

  test("the first program decides which others may come, for good", () => {
    const harness = new Harness();
    const { fd, map } = harness.newMap(PROGS, SIZES);
    expect(map.fdinfo()).not.toContain("owner");
    expect(harness.update(fd, u32(0), u32(harness.newProg(DISSECTOR)))).toBe(0);
    expect(map.fdinfo()).toMatch(/frozen:\t0\nowner_prog_type:\t22\nowner_jited:\t1\n$/);
    expect(harness.delete(fd, u32(0))).toBe(0);
    expect(harness.update(fd, u32(0), u32(harness.newProg(1)))).toBe(-EINVAL);
    expect(harness.update(fd, u32(0), u32(harness.newProg(DISSECTOR, 9)))).toBe(-EINVAL);
    expect(harness.update(fd, u32(0), u32(harness.newProg(DISSECTOR)))).toBe(0);
  });

  test("a program in the array it uses goes with the last fd", () => {
    const harness = new Harness();
    const { fd, map } = harness.newMap(PROGS, SIZES);
    const prog = harness.newProg(DISSECTOR, 0, [map]);
    const plain = harness.newProg(DISSECTOR);
    expect(harness.update(fd, u32(0), u32(prog))).toBe(0);
    expect(harness.update(fd, u32(3), u32(plain))).toBe(0);
    harness.task.files.close(plain);
    expect(harness.machine.progs.size).toBe(2);
    harness.task.files.close(fd);
    // The map is empty and lives on through the program.
    expect(harness.machine.maps.size).toBe(1);
    expect(harness.machine.progs.size).toBe(1);
    const again = newMapFd(harness.task, map.get(), 0);
    expect(harness.lookup(again, u32(0), u32(0))).toBe(-ENOENT);
    harness.task.files.close(again);
    harness.task.files.close(prog);
    expect(harness.machine.maps.size + harness.machine.progs.size).toBe(0);
    expect(harness.blocksInUse).toBe(0);
  });
});
