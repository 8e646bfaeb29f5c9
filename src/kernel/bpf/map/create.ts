/**
 * BPF_MAP_CREATE. Mirrors map_create() in kernel/bpf/syscall.c and the map_alloc_check() of the
 * kinds of map in Linux, the order of the checks included.
 */

import { MAP_CREATE } from "../../../abi/attr.ts";
import {
  BPF_F_INNER_MAP,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_PROG_ARRAY,
} from "../../../abi/bpf.ts";
import { E2BIG, EFAULT, EINVAL, ENOMEM, ENOTSUPP, EOPNOTSUPP, EPERM } from "../../../abi/errno.ts";
import { UNPRIVILEGED_MAP_TYPES } from "../../../abi/rights.ts";
import type { Attr } from "../../attr.ts";
import type { Machine } from "../../machine.ts";
import type { Task } from "../../task.ts";
import { BPF_F_TOKEN_FD, checkToken } from "../token.ts";
import { ArrayMap, arrayBlockSize } from "./array.ts";
import { mapBtfFromAttr } from "./btf.ts";
import { newMapFd } from "./fd.ts";
import { HashMap, hashBlockSize, isLru, isPerCpuHash } from "./hash.ts";
import { roundUp8 } from "./layout.ts";
import type { BpfMap, MapFacts } from "./map.ts";
import { loadObjectName } from "./name.ts";
import { ProgArray } from "./prog_array.ts";

/** What a map is created with that is about the fd and not about the map. */
const FD_FLAGS = BPF_F_RDONLY | BPF_F_WRONLY;
const PROG_ACCESS_FLAGS = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
/** The one NUMA node there is, and the number that stands for "any". */
const NUMA_NODE = 0;
const NUMA_NO_NODE = 0xffffffff;
const INT_MAX = 0x7fffffff;
/** A value for one CPU is no larger than what Linux's per-CPU allocator gives out. */
const MAX_PERCPU_VALUE = 32_768;
/** The largest key and value together: KMALLOC_MAX_SIZE without the element around them. */
const MAX_HASH_ELEMENT = (4 << 20) - 48;
/** A hash map for more entries would have more buckets than Linux can allocate. */
const MAX_HASH_ENTRIES = 2 ** 27;
/** An array of somebody without CAP_PERFMON is one for a power of two, which is a u32. */
const MAX_MASKED_ENTRIES = 2 ** 31;
/** The loopback device; it is in each namespace, and BPF can't be offloaded to it. */
const LOOPBACK_IFINDEX = 1;
const SHA256_SIZE = 32;

/** What a map is to be, as the caller asks for it. */
type Request = Omit<MapFacts, "name" | "btf" | "exclusiveTo">;

/** How maps of one type are made. */
interface Kind {
  readonly check: (task: Task, request: Request, numaNode: number) => number;
  /** Bytes of the map's block in linear memory. */
  readonly blockSize: (facts: Request & { name: string }, possibleCpus: number) => number;
  readonly create: new (machine: Machine, facts: MapFacts, address: number) => BpfMap;
}

const ARRAY: Kind = { check: checkArray, blockSize: arrayBlockSize, create: ArrayMap };
const HASH: Kind = { check: checkHash, blockSize: hashBlockSize, create: HashMap };

const KINDS: ReadonlyMap<number, Kind> = new Map([
  [BPF_MAP_TYPE_HASH, HASH],
  [BPF_MAP_TYPE_ARRAY, ARRAY],
  [
    BPF_MAP_TYPE_PROG_ARRAY,
    { check: checkProgArray, blockSize: arrayBlockSize, create: ProgArray },
  ],
  [BPF_MAP_TYPE_PERCPU_HASH, HASH],
  [BPF_MAP_TYPE_PERCPU_ARRAY, ARRAY],
  [BPF_MAP_TYPE_LRU_HASH, HASH],
  [BPF_MAP_TYPE_LRU_PERCPU_HASH, HASH],
]);

/** Types of map that can be created (BPF_MAP_TYPE_…). */
export const SUPPORTED_MAP_TYPES: readonly number[] = [...KINDS.keys()];

/** BPF_MAP_CREATE */
export function mapCreate(task: Task, attr: Attr): number {
  const kind = KINDS.get(attr.u32(MAP_CREATE.map_type));
  const allFlags = attr.u32(MAP_CREATE.map_flags);
  const flags = (allFlags & ~BPF_F_TOKEN_FD) >>> 0;
  const numaNode = (flags & BPF_F_NUMA_NODE) === 0 ? NUMA_NO_NODE : attr.u32(MAP_CREATE.numa_node);
  if (!btfIdsMakeSense(attr)) return -EINVAL;
  if (attr.u64(MAP_CREATE.map_extra) !== 0n) return -EINVAL;
  if ((flags & FD_FLAGS) === FD_FLAGS) return -EINVAL;
  if (numaNode !== NUMA_NO_NODE && numaNode !== NUMA_NODE) return -EINVAL;
  if (kind === undefined) return -EINVAL;
  const request: Request = {
    type: attr.u32(MAP_CREATE.map_type),
    keySize: attr.u32(MAP_CREATE.key_size),
    valueSize: attr.u32(MAP_CREATE.value_size),
    maxEntries: attr.u32(MAP_CREATE.max_entries),
    flags,
    ...(!task.capable("CAP_PERFMON") && { withoutPerfmon: true }),
  };
  const refused = kind.check(task, request, numaNode);
  if (refused !== 0) return refused;
  const badToken = checkToken(task, allFlags, allFlags, attr.s32(MAP_CREATE.map_token_fd));
  if (badToken !== 0) return badToken;
  if (!task.mayMakeBpf) return -EPERM;
  if (!UNPRIVILEGED_MAP_TYPES.has(request.type) && !task.capable("CAP_BPF")) return -EPERM;
  if (attr.u32(MAP_CREATE.map_ifindex) !== 0) return offload(task, request.type, attr);
  return allocate(task, attr, kind, { ...request, flags: flags & ~FD_FLAGS });
}

/** Allocates the map, then checks what Linux checks only then: the errors come in this order. */
function allocate(task: Task, attr: Attr, kind: Kind, request: Request): number {
  const { machine } = task;
  const { possibleCpus } = machine.options;
  if (kind === HASH && request.maxEntries > MAX_HASH_ENTRIES) return -E2BIG;
  if (kind !== HASH && request.withoutPerfmon && request.maxEntries > MAX_MASKED_ENTRIES) {
    return -E2BIG;
  }
  const facts = { ...request, maxEntries: roundedEntries(request, possibleCpus), name: "" };
  const address = machine.memory.alloc(kind.blockSize(facts, possibleCpus));
  if (address === 0) return -ENOMEM;
  const named = describe(task, attr, facts);
  if (typeof named === "number") {
    machine.memory.free(address);
    return named;
  }
  const map = new kind.create(machine, named, address);
  return newMapFd(task, map, attr.u32(MAP_CREATE.map_flags));
}

/** Lists of their own for the CPUs are of the same length. */
function roundedEntries({ maxEntries, flags }: Request, possibleCpus: number): number {
  if ((flags & BPF_F_NO_COMMON_LRU) === 0) return maxEntries;
  return Math.ceil(maxEntries / possibleCpus) * possibleCpus;
}

/** Adds name, types and the only program; or an errno. */
function describe(task: Task, attr: Attr, facts: MapFacts): MapFacts | number {
  const name = loadObjectName(attr.bytes(MAP_CREATE.map_name));
  if (typeof name === "number") return name;
  const btf = mapBtfFromAttr(task, attr, facts);
  if (typeof btf === "number") return btf;
  const exclusiveTo = exclusiveHash(task, attr);
  if (typeof exclusiveTo === "number") return exclusiveTo;
  btf?.btf.get();
  return {
    ...facts,
    name,
    ...(btf === null ? {} : { btf }),
    ...(exclusiveTo === null ? {} : { exclusiveTo }),
  };
}

function exclusiveHash(task: Task, attr: Attr): Uint8Array | null | number {
  const address = attr.u64(MAP_CREATE.excl_prog_hash);
  const size = attr.u32(MAP_CREATE.excl_prog_hash_size);
  if (address === 0n) return size === 0 ? null : -EINVAL;
  if (size !== SHA256_SIZE) return -EINVAL;
  return task.memory.read(address, size)?.slice() ?? -EFAULT;
}

/** Types of the kernel's own are for struct_ops maps only; a key's type needs a value's. */
function btfIdsMakeSense(attr: Attr): boolean {
  if (attr.u32(MAP_CREATE.btf_vmlinux_value_type_id) !== 0) return false;
  return attr.u32(MAP_CREATE.btf_key_type_id) === 0 || attr.u32(MAP_CREATE.btf_value_type_id) !== 0;
}

/** Maps on a network device: there is no device that can hold one. */
function offload(task: Task, type: number, attr: Attr): number {
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  if (type !== BPF_MAP_TYPE_ARRAY && type !== BPF_MAP_TYPE_HASH) return -EINVAL;
  return attr.u32(MAP_CREATE.map_ifindex) === LOOPBACK_IFINDEX ? -EOPNOTSUPP : -EINVAL;
}

/** Mirrors array_map_alloc_check() in Linux. */
function checkArray(_task: Task, request: Request, numaNode: number): number {
  const { type, keySize, valueSize, maxEntries, flags } = request;
  const perCpu = type === BPF_MAP_TYPE_PERCPU_ARRAY;
  const ofPlainArray = BPF_F_MMAPABLE | BPF_F_INNER_MAP;
  const known =
    BPF_F_NUMA_NODE | FD_FLAGS | PROG_ACCESS_FLAGS | BPF_F_PRESERVE_ELEMS | ofPlainArray;
  if (maxEntries === 0 || keySize !== 4 || valueSize === 0) return -EINVAL;
  if ((flags & ~known) !== 0 || !progMayAccess(flags)) return -EINVAL;
  if (perCpu && numaNode !== NUMA_NO_NODE) return -EINVAL;
  if (type !== BPF_MAP_TYPE_ARRAY && (flags & ofPlainArray) !== 0) return -EINVAL;
  if ((flags & BPF_F_PRESERVE_ELEMS) !== 0) return -EINVAL;
  if (valueSize > INT_MAX) return -E2BIG;
  return perCpu && roundUp8(valueSize) > MAX_PERCPU_VALUE ? -E2BIG : 0;
}

/** Mirrors fd_array_map_alloc_check() in Linux. */
function checkProgArray(task: Task, request: Request, numaNode: number): number {
  if (request.valueSize !== 4 || (request.flags & PROG_ACCESS_FLAGS) !== 0) return -EINVAL;
  return checkArray(task, request, numaNode);
}

/** Mirrors htab_map_alloc_check() in Linux. */
function checkHash(task: Task, request: Request, numaNode: number): number {
  const { type, keySize, valueSize, maxEntries, flags } = request;
  const ownLists = (flags & BPF_F_NO_COMMON_LRU) !== 0;
  const perCpu = isPerCpuHash(type);
  const known =
    BPF_F_NO_PREALLOC |
    BPF_F_NO_COMMON_LRU |
    BPF_F_NUMA_NODE |
    FD_FLAGS |
    PROG_ACCESS_FLAGS |
    BPF_F_ZERO_SEED;
  if ((flags & BPF_F_ZERO_SEED) !== 0 && !task.capable("CAP_SYS_ADMIN")) return -EPERM;
  if ((flags & ~known) !== 0 || !progMayAccess(flags)) return -EINVAL;
  if (!isLru(type) && ownLists) return -EINVAL;
  if (isLru(type) && (flags & BPF_F_NO_PREALLOC) !== 0) return -ENOTSUPP;
  if (numaNode !== NUMA_NO_NODE && (perCpu || ownLists)) return -EINVAL;
  if (maxEntries === 0 || keySize === 0 || valueSize === 0) return -EINVAL;
  if (keySize + valueSize >= MAX_HASH_ELEMENT) return -E2BIG;
  return perCpu && roundUp8(valueSize) > MAX_PERCPU_VALUE ? -E2BIG : 0;
}

/** A map that programs may neither read nor write is of no use. */
function progMayAccess(flags: number): boolean {
  return (flags & PROG_ACCESS_FLAGS) !== PROG_ACCESS_FLAGS;
}
