/**
 * The maps that programs of the table name, the same on every kernel.
 */

import * as BPF from "../../../src/abi/bpf.ts";
import { BpfMap } from "../../../src/index.ts";
import type { Kernel } from "../../../src/kernel.ts";
import { TYPES } from "./row.ts";

const ARRAY = { type: BPF.BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 64, maxEntries: 1 };
const PROGS = { type: BPF.BPF_MAP_TYPE_PROG_ARRAY, keySize: 4, valueSize: 4, maxEntries: 4 };

const MAPS = {
  array: { ...ARRAY, maxEntries: 4 },
  hash: { type: BPF.BPF_MAP_TYPE_HASH, keySize: 8, valueSize: 48, maxEntries: 4 },
  lru: { type: BPF.BPF_MAP_TYPE_LRU_HASH, keySize: 4, valueSize: 24, maxEntries: 64 },
  percpu: { ...ARRAY, type: BPF.BPF_MAP_TYPE_PERCPU_ARRAY },
  data: ARRAY,
  rodata: { ...ARRAY, flags: BPF.BPF_F_RDONLY_PROG },
  rdonly: { ...ARRAY, flags: BPF.BPF_F_RDONLY_PROG },
  wronly: { ...ARRAY, flags: BPF.BPF_F_WRONLY_PROG },
} as const;

/** What finds a value of the hash, to which r0 points then, and keeps the context in r6. */
export const FOUND = `
    *(u64 *)(r10 - 8) = 0
    r6 = r1
    r1 = map_fd[hash]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    if r0 == 0 goto out`;

/** The constants: "text" and its end, 7 as a u64 at 8, and four bytes at 60 that don't end. */
const RODATA: Uint8Array = new Uint8Array(64);
RODATA.set(new TextEncoder().encode("text"));
RODATA[8] = 7;
RODATA.fill(1, 60);

/** Fds by name; a prog array for each type of program, which owns it. */
export class TableMaps implements Disposable {
  readonly #maps: Map<string, BpfMap>;

  constructor(kernel: Kernel) {
    const make = (options: typeof ARRAY) => BpfMap.create(kernel, options);
    this.#maps = new Map([
      ...Object.entries(MAPS).map(([name, options]) => [name, make(options)] as const),
      ...Object.keys(TYPES).map((type) => [`progs of ${type}`, make(PROGS)] as const),
    ]);
    const rodata = this.#maps.get("rodata");
    rodata?.set(new Uint8Array(4), RODATA);
    rodata?.freeze();
  }

  /** What a program of a type may write in place of fds. */
  constants(type: string): Record<string, number> {
    const constants: Record<string, number> = {};
    for (const [name, { fd }] of this.#maps) {
      const [first = "", , owner] = name.split(" ");
      if (owner === undefined || owner === type) constants[first] = fd;
    }
    return constants;
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps.values()) map[Symbol.dispose]();
  }
}
