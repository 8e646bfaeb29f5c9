/**
 * What every kind of map is: struct bpf_map, the operations a kind provides, and the fd.
 */

import { File } from "../../file.ts";
import type { Machine } from "../../machine.ts";

/** What a map was created with. */
export interface MapFacts {
  /** BPF_MAP_TYPE_… */
  readonly type: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes of one value (of one CPU's, for a per-CPU map). */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_… */
  readonly flags: number;
  readonly name: string;
}

/**
 * A map of the embedded kernel. Keys and values are named by their addresses in the kernel's linear
 * memory, so that programs, the JIT and bpf(2) meet the same bytes.
 */
export abstract class BpfMap {
  readonly machine: Machine;
  readonly facts: MapFacts;
  readonly id: number;
  /** What programs hold as a pointer to the map: a block of its own in linear memory. */
  readonly address: number;
  frozen: boolean = false;
  #references: number = 1;

  /** @param address - of the map's header; 0 is not allowed, allocate before. */
  protected constructor(machine: Machine, facts: MapFacts, address: number) {
    this.machine = machine;
    this.facts = facts;
    this.address = address;
    this.id = machine.maps.alloc(this);
    machine.mapsByAddress.set(address, this);
  }

  get(): this {
    this.#references++;
    return this;
  }

  /** Lets go; with the last holder the id is gone and the memory given back. */
  put(): void {
    this.#references--;
    if (this.#references > 0) return;
    this.machine.maps.free(this.id);
    this.machine.mapsByAddress.delete(this.address);
    this.release();
    this.machine.memory.free(this.address);
  }

  /** The address of the value under a key, for the given CPU; 0 when there is none. */
  abstract lookup(keyAddress: number, cpu: number): number;

  /** Sets the value under a key, for the given CPU. 0 or a negative errno. */
  abstract update(keyAddress: number, valueAddress: number, flags: number, cpu: number): number;

  /** Takes a key out. 0 or a negative errno. */
  abstract delete(keyAddress: number): number;

  /**
   * Writes the key that comes after the one at `keyAddress` (0 or an unknown key: the first one).
   *
   * @returns 0, or -ENOENT after the last.
   */
  abstract nextKey(keyAddress: number, nextKeyAddress: number): number;

  /** Whether `size` bytes at `address` lie within one value, as a program may touch them. */
  abstract containsValue(address: number, size: number): boolean;

  /** Gives back what the kind of map allocated; the header is freed by the caller. */
  protected abstract release(): void;
}

/** An fd on a map. */
export class MapFile extends File {
  readonly map: BpfMap;

  /**
   * @param map - the file takes the caller's reference over.
   * @param flags - O_RDWR, O_RDONLY or O_WRONLY, and O_CLOEXEC.
   */
  constructor(map: BpfMap, flags: number) {
    super("anon_inode:bpf-map", flags);
    this.map = map;
  }

  protected release(): void {
    this.map.put();
  }
}
