/**
 * What is wrong with a map that a kernel doesn't create: rules for each type, and the kernel asked
 * again with the fields put right, so that nothing is blamed that isn't the reason.
 */

import { BTF_LOAD, MAP_CREATE } from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import { E2BIG, EINVAL, ENOTSUPP } from "../abi/errno.ts";
import { SMALLEST_BTF } from "../abi/smallest_btf.ts";
import { tryBpf } from "../call.ts";
import type { Kernel } from "../kernel.ts";
import { withFd } from "../objects.ts";
import { type FailedCall, field } from "./cause.ts";

/** What a type wants of one field of BPF_MAP_CREATE. */
interface ShapeRule {
  readonly field: string;
  readonly isKept: (value: number) => boolean;
  /** As the end of a sentence about the map. */
  readonly words: string;
  /** The nearest value that keeps the rule. */
  readonly repair: (value: number) => number;
}

/** A field that is wrong, and what it should be. */
export interface Complaint {
  readonly field: string;
  /** As the end of a sentence about the map. */
  readonly words: string;
  readonly value: number;
}

type Request = Readonly<Record<string, number | bigint>>;

/** The pages of most machines, and of some with large ones. */
const PAGE_BYTES = 4096;
/** Ring buffers are made with no more than this to see whether a kernel takes them. */
const MAX_RING_TRIED: number = 1 << 24;
const INT_MAX = 0x7fff_ffff;

function exactly(name: string, value: number, words: string): ShapeRule {
  return { field: name, isKept: (given) => given === value, words, repair: () => value };
}

function atLeastOne(name: string, words: string, usual: number): ShapeRule {
  return { field: name, isKept: (given) => given > 0, words, repair: () => usual };
}

function oneOf(name: string, values: readonly number[], words: string): ShapeRule {
  const repair = (): number => values[0] ?? 0;
  return { field: name, isKept: (given) => values.includes(given), words, repair };
}

function between(name: string, [low, high]: readonly [number, number], words: string): ShapeRule {
  return {
    field: name,
    isKept: (given) => given >= low && given <= high,
    words,
    repair: (given) => Math.min(Math.max(given, low), high),
  };
}

function flag(value: number, name: string): ShapeRule {
  return {
    field: "map_flags",
    isKept: (given) => (given & value) !== 0,
    words: `it takes the flag ${name} (${value})`,
    repair: (given) => (given | value) >>> 0,
  };
}

const INDEX: ShapeRule = exactly("key_size", 4, "its keys are indexes of 4 bytes");
const NO_KEYS: ShapeRule = exactly("key_size", 0, "it has no keys: key_size is 0");
const KEYS: ShapeRule = atLeastOne("key_size", "keys can't be empty", 4);
const VALUES: ShapeRule = atLeastOne("value_size", "values can't be empty", 4);
const NO_VALUES: ShapeRule = exactly("value_size", 0, "it has no values: value_size is 0");
const FD_VALUES: ShapeRule = exactly("value_size", 4, "its values are fds of 4 bytes");
const SOCKET_VALUES: ShapeRule = oneOf(
  "value_size",
  [4, 8],
  "its values are sockets, of 4 or 8 bytes",
);
const DEVICE_VALUES: ShapeRule = oneOf("value_size", [4, 8], "its values have 4 or 8 bytes");
const ENTRIES: ShapeRule = atLeastOne("max_entries", "max_entries can't be 0", 1);
const NO_ENTRIES: ShapeRule = exactly("max_entries", 0, "it has no size: max_entries is 0");
const NO_PREALLOC: ShapeRule = flag(BPF.BPF_F_NO_PREALLOC, "BPF_F_NO_PREALLOC");
const RING_BYTES: ShapeRule = {
  field: "max_entries",
  isKept: (size) => size >= PAGE_BYTES && Number.isInteger(Math.log2(size)),
  words: "max_entries is its size in bytes, a power of 2 and a multiple of the page size",
  repair: (size) => Math.min(2 ** Math.max(Math.ceil(Math.log2(size)), 12), 2 ** 31),
};
/** A stack of at most 127 frames (the sysctl kernel.perf_event_max_stack), 8 bytes each. */
const STACKS: ShapeRule = {
  field: "value_size",
  isKept: (size) => size >= 8 && size <= 1016 && size % 8 === 0,
  words: "its values are stacks: a multiple of 8 bytes, 1016 at most",
  repair: (size) => Math.min(Math.max(Math.ceil(size / 8) * 8, 8), 1016),
};
/** A prefix length of 4 bytes, and 1 to 256 bytes of what it is a prefix of. */
const PREFIXES: ShapeRule = between(
  "key_size",
  [5, 260],
  "its keys have a prefix length of 4 bytes and 1 to 256 bytes after it",
);
const CGROUP_KEYS: ShapeRule = oneOf(
  "key_size",
  [8, 16],
  "its keys are ids of cgroups, of 8 or 16 bytes",
);
const STORAGE: readonly ShapeRule[] = [
  exactly("key_size", 4, "its keys are fds of 4 bytes"),
  VALUES,
  NO_ENTRIES,
  NO_PREALLOC,
];

const HASHES: readonly ShapeRule[] = [KEYS, VALUES, ENTRIES];
const ARRAYS: readonly ShapeRule[] = [INDEX, VALUES, ENTRIES];
const FD_ARRAYS: readonly ShapeRule[] = [INDEX, FD_VALUES, ENTRIES];
const QUEUES: readonly ShapeRule[] = [NO_KEYS, VALUES, ENTRIES];
const RINGS: readonly ShapeRule[] = [NO_KEYS, NO_VALUES, RING_BYTES];

/** By type, as Linux 6.18 answered when it was asked; test/diagnosis/map_shapes.ts asks again. */
const RULES: ReadonlyMap<number, readonly ShapeRule[]> = new Map([
  [BPF.BPF_MAP_TYPE_HASH, HASHES],
  [BPF.BPF_MAP_TYPE_ARRAY, ARRAYS],
  [BPF.BPF_MAP_TYPE_PROG_ARRAY, FD_ARRAYS],
  [BPF.BPF_MAP_TYPE_PERF_EVENT_ARRAY, FD_ARRAYS],
  [BPF.BPF_MAP_TYPE_PERCPU_HASH, HASHES],
  [BPF.BPF_MAP_TYPE_PERCPU_ARRAY, ARRAYS],
  [BPF.BPF_MAP_TYPE_STACK_TRACE, [INDEX, STACKS, ENTRIES]],
  [BPF.BPF_MAP_TYPE_CGROUP_ARRAY, FD_ARRAYS],
  [BPF.BPF_MAP_TYPE_LRU_HASH, HASHES],
  [BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH, HASHES],
  [BPF.BPF_MAP_TYPE_LPM_TRIE, [PREFIXES, VALUES, ENTRIES, NO_PREALLOC]],
  [BPF.BPF_MAP_TYPE_ARRAY_OF_MAPS, FD_ARRAYS],
  [BPF.BPF_MAP_TYPE_HASH_OF_MAPS, [KEYS, FD_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_DEVMAP, [INDEX, DEVICE_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_SOCKMAP, [INDEX, SOCKET_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_CPUMAP, [INDEX, DEVICE_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_XSKMAP, FD_ARRAYS],
  [BPF.BPF_MAP_TYPE_SOCKHASH, [KEYS, SOCKET_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_CGROUP_STORAGE, [CGROUP_KEYS, VALUES, NO_ENTRIES]],
  [BPF.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, [INDEX, SOCKET_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, [CGROUP_KEYS, VALUES, NO_ENTRIES]],
  [BPF.BPF_MAP_TYPE_QUEUE, QUEUES],
  [BPF.BPF_MAP_TYPE_STACK, QUEUES],
  [BPF.BPF_MAP_TYPE_SK_STORAGE, STORAGE],
  [BPF.BPF_MAP_TYPE_DEVMAP_HASH, [INDEX, DEVICE_VALUES, ENTRIES]],
  [BPF.BPF_MAP_TYPE_RINGBUF, RINGS],
  [BPF.BPF_MAP_TYPE_INODE_STORAGE, STORAGE],
  [BPF.BPF_MAP_TYPE_TASK_STORAGE, STORAGE],
  [BPF.BPF_MAP_TYPE_BLOOM_FILTER, QUEUES],
  [BPF.BPF_MAP_TYPE_USER_RINGBUF, RINGS],
  [BPF.BPF_MAP_TYPE_CGRP_STORAGE, STORAGE],
  [
    BPF.BPF_MAP_TYPE_ARENA,
    [NO_KEYS, NO_VALUES, ENTRIES, flag(BPF.BPF_F_MMAPABLE, "BPF_F_MMAPABLE")],
  ],
]);

const MAPS_OF_MAPS: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF.BPF_MAP_TYPE_HASH_OF_MAPS,
]);
const RING_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_RINGBUF,
  BPF.BPF_MAP_TYPE_USER_RINGBUF,
]);
/** Types that want BTF of their keys and values. */
const STORAGE_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_SK_STORAGE,
  BPF.BPF_MAP_TYPE_INODE_STORAGE,
  BPF.BPF_MAP_TYPE_TASK_STORAGE,
  BPF.BPF_MAP_TYPE_CGRP_STORAGE,
]);

/** Fields that most maps leave 0, in groups of those that go together. */
const OPTIONAL_FIELDS: readonly (readonly string[])[] = [
  ["map_extra"],
  ["numa_node"],
  ["map_ifindex"],
  ["btf_fd", "btf_key_type_id", "btf_value_type_id"],
  ["btf_vmlinux_value_type_id", "value_type_btf_obj_fd"],
  ["map_token_fd"],
  ["excl_prog_hash", "excl_prog_hash_size"],
];

/** Bits of map_flags by name. */
const FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [BPF.BPF_F_NO_PREALLOC, "BPF_F_NO_PREALLOC"],
  [BPF.BPF_F_NO_COMMON_LRU, "BPF_F_NO_COMMON_LRU"],
  [BPF.BPF_F_NUMA_NODE, "BPF_F_NUMA_NODE"],
  [BPF.BPF_F_RDONLY, "BPF_F_RDONLY"],
  [BPF.BPF_F_WRONLY, "BPF_F_WRONLY"],
  [BPF.BPF_F_STACK_BUILD_ID, "BPF_F_STACK_BUILD_ID"],
  [BPF.BPF_F_ZERO_SEED, "BPF_F_ZERO_SEED"],
  [BPF.BPF_F_RDONLY_PROG, "BPF_F_RDONLY_PROG"],
  [BPF.BPF_F_WRONLY_PROG, "BPF_F_WRONLY_PROG"],
  [BPF.BPF_F_CLONE, "BPF_F_CLONE"],
  [BPF.BPF_F_MMAPABLE, "BPF_F_MMAPABLE"],
  [BPF.BPF_F_PRESERVE_ELEMS, "BPF_F_PRESERVE_ELEMS"],
  [BPF.BPF_F_INNER_MAP, "BPF_F_INNER_MAP"],
];

/** Whether Linux knows a type by this number. */
export function isMapType(type: number): boolean {
  return BPF.MAP_TYPE_NAMES[type] !== undefined && type !== BPF.BPF_MAP_TYPE_UNSPEC;
}

/** Whether a kernel has maps of a type, found out by making one; null when that can't be tried. */
export function hasMapType(kernel: Kernel, type: number): boolean | null {
  const rules = RULES.get(type);
  if (rules === undefined) return null;
  const usual: Record<string, number> = { map_type: type, key_size: 4, value_size: 4 };
  for (const rule of rules) {
    const value = usual[rule.field] ?? 0;
    usual[rule.field] = rule.isKept(value) ? value : rule.repair(value);
  }
  const outcome = MAPS_OF_MAPS.has(type)
    ? withInnerMap(kernel, (inner) => attempt(kernel, { ...usual, inner_map_fd: inner }))
    : STORAGE_TYPES.has(type)
      ? withTypes(kernel, (btf) => attempt(kernel, { ...usual, ...btf }))
      : attempt(kernel, usual);
  return outcome === null ? null : outcome !== -EINVAL;
}

function withInnerMap(kernel: Kernel, call: (fd: number) => number): number | null {
  const array = { map_type: BPF.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 };
  const { result } = tryBpf(kernel, BPF.BPF_MAP_CREATE, MAP_CREATE, array);
  return withFd(kernel, result, call);
}

function withTypes(kernel: Kernel, call: (fields: Request) => number): number | null {
  const btf = Uint8Array.from(SMALLEST_BTF);
  const request = { btf: kernel.addressOf(btf), btf_size: btf.length };
  const { result } = tryBpf(kernel, BPF.BPF_BTF_LOAD, BTF_LOAD, request);
  return withFd(kernel, result, (fd) =>
    call({ btf_fd: fd, btf_key_type_id: 1, btf_value_type_id: 1 }),
  );
}

/** Makes a map and lets go of it: 0, or a negative errno. */
function attempt(kernel: Kernel, request: Request): number {
  const { result } = tryBpf(kernel, BPF.BPF_MAP_CREATE, MAP_CREATE, request as never);
  return withFd(kernel, result, () => 0) ?? result;
}

/** The call's own fields, with a size that costs no memory to try where the size isn't at fault. */
function requestOf({ attr }: FailedCall): Request {
  const request: Record<string, number | bigint> = {};
  for (const [name, value] of Object.entries(attr)) {
    // What the map is called has been looked at before.
    if (typeof value === "number" || typeof value === "bigint") request[name] = value;
  }
  return request;
}

/** Whether a kernel has something against a map, tried with little memory. */
function isRefused(kernel: Kernel, request: Request): boolean {
  const entries = Number(request.max_entries ?? 0);
  const isRing = RING_TYPES.has(Number(request.map_type));
  // A ring's size is a size in bytes that may be wrong as such: it is tried as it is, or smaller.
  const isGood = RING_BYTES.isKept(entries);
  const most = isRing ? MAX_RING_TRIED : 1;
  const tried = isRing && !isGood ? entries : Math.min(entries, most);
  const result = attempt(kernel, { ...request, max_entries: tried });
  return result === -EINVAL || result === -ENOTSUPP;
}

/**
 * What a kernel that has the type has against a map: every complaint is the kernel's own, which
 * takes the map once all of them are met and refuses it while one isn't. Empty when that can't be
 * found out.
 */
export function shapeComplaints(call: FailedCall): readonly Complaint[] {
  const { kernel } = call;
  let repaired = requestOf(call);
  const complaints: Complaint[] = [];
  const repair = (complaint: Complaint): void => {
    complaints.push(complaint);
    repaired = { ...repaired, [complaint.field]: complaint.value };
  };
  for (const rule of RULES.get(field(call, "map_type")) ?? []) {
    const value = Number(repaired[rule.field] ?? 0);
    if (rule.isKept(value)) continue;
    repair({ field: rule.field, words: rule.words, value: rule.repair(value) });
  }
  if (isRefused(kernel, repaired)) {
    for (const each of optionalComplaints(kernel, repaired)) repair(each);
  }
  if (isRefused(kernel, repaired)) return [];
  return complaints.filter(({ field: name }) =>
    isRefused(kernel, { ...repaired, [name]: field(call, name) }),
  );
}

/** Optional fields and flags of a map that is refused for no other reason. */
function optionalComplaints(kernel: Kernel, request: Request): readonly Complaint[] {
  const complaints: Complaint[] = [];
  let plain = request;
  for (const group of OPTIONAL_FIELDS) {
    const given = group.filter((name) => Number(request[name] ?? 0) !== 0);
    plain = { ...plain, ...Object.fromEntries(given.map((name) => [name, 0])) };
    for (const name of given) {
      complaints.push({ field: name, words: `it takes no such ${name}; leave 0`, value: 0 });
    }
    if (given.length > 0 && !isRefused(kernel, plain)) return complaints;
  }
  const flags = flagComplaint(kernel, plain);
  return flags === null ? [] : [...complaints, flags];
}

function flagComplaint(kernel: Kernel, request: Request): Complaint | null {
  const given = Number(request.map_flags ?? 0) >>> 0;
  const needed = (RULES.get(Number(request.map_type)) ?? [])
    .filter(({ field: name }) => name === "map_flags")
    .reduce((flags, rule) => rule.repair(flags), 0);
  let kept = needed;
  if (isRefused(kernel, { ...request, map_flags: kept })) return null;
  for (let bit = 1, i = 0; i < 32; i++, bit = (bit << 1) >>> 0) {
    if ((given & bit) === 0 || (kept & bit) !== 0) continue;
    const flags = (kept | bit) >>> 0;
    if (!isRefused(kernel, { ...request, map_flags: flags })) kept = flags;
  }
  if (kept === given) return null;
  const wrong = flagWords((given & ~kept) >>> 0);
  return { field: "map_flags", words: `it doesn't take the flag ${wrong}`, value: kept };
}

/** "BPF_F_RDONLY (8) and 0x10000000". */
function flagWords(flags: number): string {
  const words: string[] = [];
  for (let bit = 1, i = 0; i < 32; i++, bit = (bit << 1) >>> 0) {
    if ((flags & bit) === 0) continue;
    const name = FLAG_NAMES.find(([each]) => each === bit)?.[1];
    words.push(name === undefined ? `0x${bit.toString(16)}` : `${name} (${bit})`);
  }
  return words.join(" and ");
}

/** Values from here on are only tried where nothing can be allocated for them. */
const MAX_VALUE_TRIED: number = 1 << 26;

/** The sizes of a map. */
type SizeField = "key_size" | "value_size" | "max_entries";

/**
 * Which of its sizes make a map too large: one alone, key and value together, or the number of
 * entries, which is never tried for what it would cost.
 */
export function tooLargeFields(call: FailedCall): readonly SizeField[] {
  const { kernel } = call;
  const small = {
    ...requestOf(call),
    max_entries: smallest(call, "max_entries"),
    key_size: smallest(call, "key_size"),
    value_size: smallest(call, "value_size"),
  };
  const isTooLarge = (...names: readonly SizeField[]): boolean => {
    const sizes = names.map((name) => field(call, name));
    if (sizes.some((size) => size > MAX_VALUE_TRIED && size <= INT_MAX)) return false;
    const given = Object.fromEntries(names.map((name, i) => [name, sizes[i]]));
    return attempt(kernel, { ...small, ...given } as Request) === -E2BIG;
  };
  const alone = (["key_size", "value_size"] as const).filter((name) => isTooLarge(name));
  if (alone.length > 0) return alone;
  return isTooLarge("key_size", "value_size") ? ["key_size", "value_size"] : ["max_entries"];
}

function smallest(call: FailedCall, name: SizeField): number {
  if (name === "max_entries") return 1;
  const rule = (RULES.get(field(call, "map_type")) ?? []).find((each) => each.field === name);
  const value = Math.min(field(call, name), 8);
  return rule === undefined || rule.isKept(value) ? value : rule.repair(value);
}
