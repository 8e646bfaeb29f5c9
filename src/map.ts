/**
 * Maps: what programs and their users share.
 */

import { MAP_CREATE, MAP_DELETE_ELEM, MAP_ELEM, MAP_FREEZE, MAP_GET_NEXT_KEY } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { ENOENT } from "./abi/errno.ts";
import { BPF_MAP_INFO_SIZE, MAP_INFO } from "./abi/info.ts";
import { addressesOf, objectName, textOf, tryBpf } from "./call.ts";
import { bytes, type Codec } from "./codec.ts";
import { callBpf, refusal } from "./diagnosis/refusal.ts";
import {
  checkSameKernel,
  ObjectHandle,
  OwnedFd,
  openById,
  openPin,
  readInfo,
  takeOver,
} from "./handle.ts";
import type { Kernel } from "./kernel.ts";

/** What to create a map with. Sizes are in bytes. */
export interface MapOptions {
  /** BPF_MAP_TYPE_… */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_… of BPF_MAP_CREATE. */
  readonly flags?: number;
  /** The kernel keeps the first 15 bytes. */
  readonly name?: string;
  readonly numaNode?: number;
  readonly mapExtra?: bigint;
  /** For a map of maps: what the maps in it look like. */
  readonly innerMap?: BpfMap;
  /** BTF and type ids of key and value, so that tools can print them. */
  readonly btf?: { readonly fd: number; readonly keyTypeId: number; readonly valueTypeId: number };
}

/** What a kernel knows of a map. Sizes are in bytes. */
export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  /** Of one CPU's value, for a per-CPU map. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

const PER_CPU: ReadonlySet<number> = new Set([
  BPF.BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF.BPF_MAP_TYPE_PERCPU_HASH,
  BPF.BPF_MAP_TYPE_LRU_PERCPU_HASH,
]);

/**
 * A map. Keys and values are bytes, unless {@link BpfMap.as} says what they mean.
 *
 * ```ts
 * import { BPF_MAP_TYPE_HASH, BpfMap, u32, u64 } from "nslink";
 * import { EmbeddedKernel } from "nslink/embedded";
 *
 * using kernel = EmbeddedKernel.boot();
 * const options = { type: BPF_MAP_TYPE_HASH, keySize: 4, valueSize: 8, maxEntries: 16 };
 * using raw = BpfMap.create(kernel, options);
 * const packets = raw.as(u32, u64);
 * packets.set(6, 1n);
 * console.log([...packets]); // [[6, 1n]]
 * ```
 */
export class BpfMap<K = Uint8Array, V = Uint8Array> extends ObjectHandle {
  readonly info: MapInfo;
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;

  private constructor(owned: OwnedFd, info: MapInfo, key: Codec<K>, value: Codec<V>) {
    super(owned);
    this.info = info;
    this.#key = key;
    this.#value = value;
  }

  /**
   * Creates a map.
   *
   * @throws {BpfError} EINVAL for sizes or flags that the type doesn't take, ENOMEM, EPERM.
   */
  static create(kernel: Kernel, options: MapOptions): BpfMap {
    if (options.innerMap !== undefined) checkSameKernel(kernel, "innerMap", options.innerMap);
    const fd = callBpf(kernel, BPF.BPF_MAP_CREATE, MAP_CREATE, {
      map_type: options.type,
      key_size: options.keySize,
      value_size: options.valueSize,
      max_entries: options.maxEntries,
      map_flags: options.flags ?? 0,
      map_name: objectName(options.name ?? ""),
      numa_node: options.numaNode ?? 0,
      map_extra: options.mapExtra ?? 0n,
      inner_map_fd: options.innerMap?.fd ?? 0,
      btf_fd: options.btf?.fd ?? 0,
      btf_key_type_id: options.btf?.keyTypeId ?? 0,
      btf_value_type_id: options.btf?.valueTypeId ?? 0,
    });
    return BpfMap.#untyped(new OwnedFd(kernel, fd));
  }

  static #untyped(owned: OwnedFd): BpfMap {
    const info = readMapInfo(owned.kernel, owned.number);
    const values = PER_CPU.has(info.type)
      ? Math.ceil(info.valueSize / 8) * 8 * owned.kernel.possibleCpus
      : info.valueSize;
    return new BpfMap(owned, info, bytes(info.keySize), bytes(values));
  }

  /**
   * The map behind an fd, which is taken over: it is closed even if this throws.
   *
   * @throws {TypeError} when the fd isn't open on a map.
   */
  static fromFd(kernel: Kernel, fd: number): BpfMap {
    return takeOver(kernel, fd, "map", (owned) => BpfMap.#untyped(owned));
  }

  /**
   * Opens a map by its id.
   *
   * @throws {BpfError} ENOENT when there is none, EPERM without CAP_SYS_ADMIN.
   */
  static fromId(kernel: Kernel, id: number): BpfMap {
    return BpfMap.fromFd(kernel, openById(kernel, "map", id));
  }

  /**
   * Opens a pinned map.
   *
   * @throws {BpfError} ENOENT if nothing is pinned there; EACCES.
   * @throws {TypeError} when something else is pinned there.
   */
  static fromPin(kernel: Kernel, path: string): BpfMap {
    return BpfMap.fromFd(kernel, openPin(kernel, path));
  }

  /**
   * The same map, and the same fd, with keys and values of these types.
   *
   * @throws {RangeError} when a type's size isn't that of the map's keys or values.
   */
  as<K2, V2>(key: Codec<K2>, value: Codec<V2>): BpfMap<K2, V2> {
    const check = (what: string, given: number, wanted: number): void => {
      if (given === wanted) return;
      throw new RangeError(`${what}: ${given} bytes, but this map's are ${wanted}`);
    };
    check("key", key.size, this.#key.size);
    check("value", value.size, this.#value.size);
    return new BpfMap(this.owned, this.info, key, value);
  }

  /** The value under a key, or undefined. */
  get(key: K): V | undefined {
    return this.#read(BPF.BPF_MAP_LOOKUP_ELEM, key);
  }

  /**
   * Takes a key out and returns its value, or undefined.
   *
   * @throws {BpfError} ENOTSUPP for maps that keys can't be taken out of, such as arrays.
   */
  take(key: K): V | undefined {
    return this.#read(BPF.BPF_MAP_LOOKUP_AND_DELETE_ELEM, key);
  }

  /**
   * Sets the value under a key.
   *
   * @param flags - BPF_NOEXIST or BPF_EXIST, to insist on the key being new or known.
   * @throws {BpfError} E2BIG when the map is full (an array: no such index); EEXIST, ENOENT as
   *   the flags ask; EPERM when it is frozen or the fd may not write.
   */
  set(key: K, value: V, flags: number = BPF.BPF_ANY): void {
    const bytes = this.#value.encode(value);
    const [keyAt, valueAt] = addressesOf(this.kernel, this.#key.encode(key), bytes);
    const element = { map_fd: this.fd, key: keyAt, value: valueAt, flags: BigInt(flags) };
    callBpf(this.kernel, BPF.BPF_MAP_UPDATE_ELEM, MAP_ELEM, element, { value: bytes });
  }

  /**
   * Takes a key out; false when it wasn't there.
   *
   * @throws {BpfError} EINVAL for an array; EPERM when the map is frozen or the fd may not write.
   */
  delete(key: K): boolean {
    const cmd = BPF.BPF_MAP_DELETE_ELEM;
    const address = this.kernel.addressOf(this.#key.encode(key));
    const element = { map_fd: this.fd, key: address };
    const { result } = tryBpf(this.kernel, cmd, MAP_DELETE_ELEM, element);
    if (result === 0 || result === -ENOENT) return result === 0;
    throw refusal(this.kernel, cmd, result, element);
  }

  /**
   * Makes the map read-only for bpf(2); programs may still write it. Once, and for good.
   *
   * @throws {BpfError} EPERM when it is frozen already (EBUSY on older Linux).
   */
  freeze(): void {
    callBpf(this.kernel, BPF.BPF_MAP_FREEZE, MAP_FREEZE, { map_fd: this.fd });
  }

  /** The keys, in the kernel's order; each step is a call, and the map may change in between. */
  *keys(): Generator<K> {
    let current: Uint8Array | null = null;
    // A key that vanished sends the walk back to the start: never go round for ever.
    for (let steps = 0; steps <= this.info.maxEntries; steps++) {
      const next: Uint8Array = new Uint8Array(this.#key.size);
      const cmd = BPF.BPF_MAP_GET_NEXT_KEY;
      const { result } = tryBpf(this.kernel, cmd, MAP_GET_NEXT_KEY, {
        map_fd: this.fd,
        key: current === null ? 0n : this.kernel.addressOf(current),
        next_key: this.kernel.addressOf(next),
      });
      if (result === -ENOENT) return;
      if (result < 0) throw refusal(this.kernel, cmd, result, { map_fd: this.fd });
      yield this.#key.decode(next);
      current = next;
    }
  }

  /** Keys with their values; a key whose value is gone when it is asked for is left out. */
  *entries(): Generator<[K, V]> {
    for (const key of this.keys()) {
      const value = this.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.entries();
  }

  #read(cmd: number, key: K): V | undefined {
    const value = new Uint8Array(this.#value.size);
    const { result } = tryBpf(this.kernel, cmd, MAP_ELEM, {
      map_fd: this.fd,
      key: this.kernel.addressOf(this.#key.encode(key)),
      value: this.kernel.addressOf(value),
    });
    if (result === -ENOENT) return undefined;
    if (result < 0) throw refusal(this.kernel, cmd, result, { map_fd: this.fd });
    return this.#value.decode(value);
  }
}

function readMapInfo(kernel: Kernel, fd: number): MapInfo {
  const info = readInfo(kernel, fd, MAP_INFO, BPF_MAP_INFO_SIZE);
  return {
    type: info.type,
    id: info.id,
    keySize: info.key_size,
    valueSize: info.value_size,
    maxEntries: info.max_entries,
    flags: info.map_flags,
    name: textOf(info.name),
  };
}
