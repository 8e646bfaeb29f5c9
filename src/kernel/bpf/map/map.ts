/**
 * What every kind of map is: struct bpf_map, the operations a kind provides, and the fd.
 */

import { File, O_ACCMODE, O_RDONLY, O_WRONLY } from "../../file.ts";
import type { Machine } from "../../machine.ts";
import type { Task } from "../../task.ts";
import type { FieldKind, SpecialField } from "../../verifier/btf_fields.ts";
import type { Btf } from "../btf.ts";
import { roundUp8 } from "./layout.ts";

/** The types of a map's keys and values. */
export interface MapBtf {
  /** The map holds it. */
  readonly btf: Btf;
  /** 0: none given. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
  /** What of a value the kernel looks after; null: nothing. */
  readonly fields: readonly SpecialField[] | null;
}

/** What a map was created with. */
export interface MapFacts {
  /** BPF_MAP_TYPE_… */
  readonly type: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes of one value (of one CPU's, for a per-CPU map). */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_…, without those that are about the fd. */
  readonly flags: number;
  /** Its bytes, one a character. */
  readonly name: string;
  readonly btf?: MapBtf;
  /** Made by a task without CAP_PERFMON. */
  readonly withoutPerfmon?: true;
  /** The SHA-256 of the only program that may use the map. */
  readonly exclusiveTo?: Uint8Array;
}

/**
 * A map of the embedded kernel. Keys and values are named by their addresses in the kernel's
 * linear memory, so that programs, the JIT and bpf(2) meet the same bytes; see layout.ts.
 */
export abstract class BpfMap {
  readonly machine: Machine;
  readonly facts: MapFacts;
  readonly id: number;
  /** What programs hold as a pointer to the map: a block of its own in linear memory. */
  readonly address: number;
  frozen: boolean = false;
  #references: number = 1;
  #users: number = 0;

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
    this.facts.btf?.btf.put();
    this.machine.memory.free(this.address);
  }

  /** {@link BpfMap.get} for an fd or a pin, which make a user. Mirrors bpf_map_inc_with_uref(). */
  getUser(): this {
    this.#users++;
    return this.get();
  }

  /** {@link BpfMap.put} for an fd or a pin. With the last user, what only users need goes. */
  putUser(): void {
    this.#users--;
    if (this.#users === 0) this.usersGone();
    this.put();
  }

  /** Whether its values have a field of a kind. */
  hasField(kind: FieldKind): boolean {
    return this.facts.btf?.fields?.some((field) => field.kind === kind) === true;
  }

  /**
   * Puts what the kernel looks after into its first state, in `userValueSize` bytes on their way
   * from or to a task: that neither makes up a lock or a pointer nor sees one. No program changes
   * them, since none that uses such a map is loaded. Mirrors check_and_init_map_value() in Linux,
   * but for heads of lists, which show addresses there.
   */
  initFields(address: number): void {
    const fields = this.facts.btf?.fields ?? [];
    if (fields.length === 0) return;
    const { bytes } = this.machine.memory;
    const stride = roundUp8(this.facts.valueSize);
    for (let at = address; at < address + this.userValueSize; at += stride) {
      for (const { kind, offset, size } of fields) {
        bytes.fill(0, at + offset, at + offset + size);
        // A count of references begins with its owner's.
        if (kind === "bpf_refcount") bytes[at + offset] = 1;
      }
    }
  }

  /** Bytes of linear memory that it takes. */
  abstract get memoryBytes(): number;

  /** Whether each CPU has values of its own. */
  abstract get perCpu(): boolean;

  /**
   * Bytes of a value as bpf(2) carries it: `valueSize`, or for a per-CPU map one value for every
   * possible CPU, each rounded up to 8. Mirrors bpf_map_value_size() in Linux.
   */
  get userValueSize(): number {
    const { valueSize } = this.facts;
    return this.perCpu ? roundUp8(valueSize) * this.machine.options.possibleCpus : valueSize;
  }

  /** The address of the value under a key, for the given CPU; 0 when there is none. */
  abstract lookup(keyAddress: number, cpu: number): number;

  /** The address of `userValueSize` bytes to show to bpf(2); 0 when there is none. */
  userLookup(keyAddress: number): number {
    return this.lookup(keyAddress, 0);
  }

  /** Sets the value under a key, for the given CPU. 0 or a negative errno. */
  abstract update(keyAddress: number, valueAddress: number, flags: number, cpu: number): number;

  /** {@link BpfMap.update} by bpf(2): `userValueSize` bytes, so all CPUs at once. */
  abstract userUpdate(task: Task, keyAddress: number, valueAddress: number, flags: number): number;

  /** Takes a key out. 0 or a negative errno. */
  abstract delete(keyAddress: number): number;

  /**
   * Writes the key that comes after the one at `keyAddress` (0 or an unknown key: the first one).
   *
   * @returns 0, or -ENOENT after the last.
   */
  abstract nextKey(keyAddress: number, nextKeyAddress: number): number;

  /**
   * Walks the elements as bpf_for_each_map_elem does, with the given CPU's values. Elements may be
   * deleted and added meanwhile.
   *
   * @param visit - says whether to go on.
   * @returns how many elements were visited, or a negative errno.
   */
  abstract forEach(
    visit: (keyAddress: number, valueAddress: number) => boolean,
    cpu: number,
  ): number;

  /** Whether `size` bytes at `address` lie within one value, as a program may touch them. */
  abstract containsValue(address: number, size: number): boolean;

  /** Lines of fdinfo that come after those that all maps have. */
  protected ownFdinfo(): readonly (readonly [key: string, value: number])[] {
    return [];
  }

  /** The last fd and pin are gone; programs may still hold the map. */
  protected usersGone(): void {}

  /** Gives back what the kind of map allocated; the header's block is freed by the caller. */
  protected abstract release(): void;

  /** What fdinfo shows; `memlock` is the linear memory that the map takes. */
  fdinfo(): string {
    const { facts } = this;
    const lines = [
      ["map_type", facts.type],
      ["key_size", facts.keySize],
      ["value_size", facts.valueSize],
      ["max_entries", facts.maxEntries],
      ["map_flags", `0x${facts.flags.toString(16)}`],
      ["map_extra", "0x0"],
      ["memlock", this.memoryBytes],
      ["map_id", this.id],
      ["frozen", this.frozen ? 1 : 0],
      ...this.ownFdinfo(),
    ];
    return lines.map(([key, value]) => `${key}:\t${value}\n`).join("");
  }
}

/** An fd on a map: a user of it. */
export class MapFile extends File {
  readonly map: BpfMap;

  /**
   * @param map - the file takes the caller's reference over.
   * @param flags - O_RDWR, O_RDONLY or O_WRONLY, and O_CLOEXEC.
   */
  constructor(map: BpfMap, flags: number) {
    super("anon_inode:bpf-map", flags);
    this.map = map.getUser();
    map.put();
  }

  /** Whether bpf(2) may read elements through it. */
  get readable(): boolean {
    return (this.flags & O_ACCMODE) !== O_WRONLY;
  }

  /** Whether bpf(2) may change elements through it. */
  get writable(): boolean {
    return (this.flags & O_ACCMODE) !== O_RDONLY && !this.map.frozen;
  }

  override fdinfo(): string {
    return this.map.fdinfo();
  }

  protected release(): void {
    this.map.putUser();
  }
}
