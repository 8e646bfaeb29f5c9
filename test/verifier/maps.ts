/**
 * The maps that test programs are made of, the same on every kernel.
 */

import * as BPF from "../../src/abi/bpf.ts";
import type { MapSpec } from "../../src/elf/index.ts";
import { BpfMap } from "../../src/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { objectMaps } from "./objects.ts";

/** One map, and what it begins with. */
export interface TestMap {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
  /** The value at key 0. */
  readonly contents?: Uint8Array;
  readonly freeze?: boolean;
}

/** Numbers of all sizes and signs, for programs to take as constants. */
const CONSTANTS: Uint8Array = Uint8Array.from({ length: 64 }, (_, i) =>
  i < 16 ? ([0, 1, 7, 8, 0x7f, 0x80, 0xff, 63, 64, 0, 0, 0, 0, 0, 0, 0][i] ?? 0) : (i * 37) & 0xff,
);

const array = { type: BPF.BPF_MAP_TYPE_ARRAY, keySize: 4 };

/** The maps of generated programs; those of compiled objects follow them. */
const OWN_MAPS: readonly TestMap[] = [
  { name: "array", ...array, valueSize: 64, maxEntries: 4 },
  { name: "hash", type: BPF.BPF_MAP_TYPE_HASH, keySize: 8, valueSize: 48, maxEntries: 4 },
  {
    name: "rodata",
    ...array,
    valueSize: 64,
    maxEntries: 1,
    flags: BPF.BPF_F_RDONLY_PROG,
    contents: CONSTANTS,
    freeze: true,
  },
  { name: "data", ...array, valueSize: 64, maxEntries: 1 },
  { name: "wronly", ...array, valueSize: 64, maxEntries: 1, flags: BPF.BPF_F_WRONLY_PROG },
  { name: "percpu", type: BPF.BPF_MAP_TYPE_PERCPU_ARRAY, keySize: 4, valueSize: 16, maxEntries: 2 },
  { name: "lru", type: BPF.BPF_MAP_TYPE_LRU_HASH, keySize: 4, valueSize: 24, maxEntries: 4 },
  // Read-only for programs, but not frozen: its values are no constants.
  { name: "rdonly", ...array, valueSize: 64, maxEntries: 1, flags: BPF.BPF_F_RDONLY_PROG },
  // A prog array belongs to the type of the first program that uses it.
  ...[
    BPF.BPF_PROG_TYPE_SOCKET_FILTER,
    BPF.BPF_PROG_TYPE_XDP,
    BPF.BPF_PROG_TYPE_FLOW_DISSECTOR,
    BPF.BPF_PROG_TYPE_SK_LOOKUP,
  ].map((type) => ({
    name: `progs${type}`,
    type: BPF.BPF_MAP_TYPE_PROG_ARRAY,
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
  })),
];

/** All maps; programs name them by their index. */
export const MAPS: readonly TestMap[] = [...OWN_MAPS, ...objectMaps().map(fromSpec)];

/** Index of each of the generator's maps, by name: constants for the assembler. */
export const MAP_INDEX: Readonly<Record<string, number>> = Object.fromEntries(
  OWN_MAPS.map(({ name }, i) => [name, i]),
);

/** Where the maps of compiled objects begin. */
export const FIRST_OBJECT_MAP: number = OWN_MAPS.length;

function fromSpec(spec: MapSpec): TestMap {
  return {
    name: spec.name,
    type: spec.type,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: spec.maxEntries,
    flags: spec.flags,
    ...(spec.contents?.kind === "bytes" && { contents: spec.contents.bytes }),
    freeze: spec.freeze,
  };
}

/** Makes one of the maps. */
export function makeMap(kernel: Kernel, { contents, freeze, ...options }: TestMap): BpfMap {
  const map = BpfMap.create(kernel, { ...options, name: options.name.replaceAll(".", "_") });
  if (contents !== undefined) map.set(new Uint8Array(options.keySize), contents);
  if (freeze === true) map.freeze();
  return map;
}
