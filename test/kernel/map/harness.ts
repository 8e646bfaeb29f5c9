/**
 * A small kernel for tests of maps: a machine, a task, and its calls by the names of bpf(2).
 */

import * as ATTR from "../../../src/abi/attr.ts";
import { BPF_ATTR_SIZE } from "../../../src/abi/attr.ts";
import { encode, type Layout, type Values } from "../../../src/abi/layout.ts";
import { Attr } from "../../../src/kernel/attr.ts";
import * as commands from "../../../src/kernel/bpf/map/commands.ts";
import { mapFromFd } from "../../../src/kernel/bpf/map/fd.ts";
import type { BpfMap } from "../../../src/kernel/bpf/map/map.ts";
import { Prog, ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { Machine } from "../../../src/kernel/machine.ts";
import { ALL_CAPABILITIES, type Capability, type Task } from "../../../src/kernel/task.ts";
import { BufferMemory } from "../../../src/kernel/user_memory.ts";
import { ManualScheduler } from "../../../src/kernel/workqueue.ts";

type Handler = (task: Task, attr: Attr) => number;

/** What a map is created with; what is left out is as in {@link SMALL}. */
export type CreateValues = Partial<Values<typeof ATTR.MAP_CREATE>>;

/** Sizes that suit every kind but prog arrays. */
export const SMALL = { key_size: 4, value_size: 8, max_entries: 4 } as const;

/** An address where nothing is mapped. */
export const UNMAPPED = 0x1000n;

const BATCHES = {
  Lookup: commands.mapLookupBatch,
  LookupAndDelete: commands.mapLookupAndDeleteBatch,
  Update: commands.mapUpdateBatch,
  Delete: commands.mapDeleteBatch,
} as const;

/** What a batch call came to. */
export interface BatchResult {
  readonly result: number;
  readonly count: number;
}

/** Where a batch call finds its arrays; an address of 0 by default. */
export interface BatchArguments {
  readonly inBatch?: Uint8Array | bigint;
  readonly outBatch?: Uint8Array | bigint;
  readonly keys?: Uint8Array | bigint;
  readonly values?: Uint8Array | bigint;
  readonly count: number;
  readonly elemFlags?: bigint;
  readonly flags?: bigint;
}

/** A machine with one task, and a count of the memory blocks in use. */
export class Harness {
  readonly machine: Machine;
  readonly task: Task;
  readonly #userMemory: BufferMemory = new BufferMemory();
  readonly #blocks: Set<number> = new Set();

  constructor(possibleCpus: number = 2, capabilities: Iterable<Capability> = ALL_CAPABILITIES) {
    let seed = 1;
    this.machine = new Machine({
      clock: { monotonicNs: () => 0n },
      random: () => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        return seed;
      },
      scheduler: new ManualScheduler(),
      possibleCpus,
      memoryLimitBytes: 1 << 26,
      preempt: () => {},
      trace: () => {},
    });
    this.task = this.machine.spawn({
      netns: this.machine.namespaces.init,
      capabilities,
      uid: 0,
      openFilesLimit: 64,
      memory: this.#userMemory,
    });
    this.#watchMemory();
  }

  /** Blocks of linear memory that were allocated and not freed. */
  get blocksInUse(): number {
    return this.#blocks.size;
  }

  address(at: Uint8Array | bigint | undefined): bigint {
    if (at === undefined) return 0n;
    return typeof at === "bigint" ? at : this.#userMemory.addressOf(at);
  }

  create(type: number, values: CreateValues = {}): number {
    const sizes = { ...SMALL, map_type: type };
    return this.#call(commands.mapCreate, ATTR.MAP_CREATE, { ...sizes, ...values });
  }

  /** A map that must come into being, and its fd. */
  newMap(type: number, values: CreateValues = {}): { readonly fd: number; readonly map: BpfMap } {
    const fd = this.create(type, values);
    return { fd, map: this.map(fd) };
  }

  map(fd: number): BpfMap {
    const map = mapFromFd(this.task, fd);
    if (typeof map === "number") throw new RangeError(`no map behind fd ${fd}: ${map}`);
    return map;
  }

  /** A program that does nothing, and its fd. */
  newProg(type: number, expectedAttachType: number = 0, maps: readonly BpfMap[] = []): number {
    const prog = new Prog(this.machine, {
      type,
      expectedAttachType,
      name: "",
      tag: new Uint8Array(8),
      gplCompatible: true,
      instructions: [],
      xlated: new Uint8Array(0),
      maps,
      loadTimeNs: 0n,
      uid: 0,
      verifiedInsns: 0,
    });
    return this.task.files.add(new ProgFile(prog));
  }

  lookup(fd: number, key: Uint8Array | bigint, value: Uint8Array | bigint, flags = 0n): number {
    return this.#element(commands.mapLookupElem, fd, key, value, flags);
  }

  update(fd: number, key: Uint8Array | bigint, value: Uint8Array | bigint, flags = 0n): number {
    return this.#element(commands.mapUpdateElem, fd, key, value, flags);
  }

  take(fd: number, key: Uint8Array | bigint, value: Uint8Array | bigint, flags = 0n): number {
    return this.#element(commands.mapLookupAndDeleteElem, fd, key, value, flags);
  }

  delete(fd: number, key: Uint8Array | bigint): number {
    const values = { map_fd: fd, key: this.address(key) };
    return this.#call(commands.mapDeleteElem, ATTR.MAP_DELETE_ELEM, values);
  }

  nextKey(fd: number, key: Uint8Array | bigint | undefined, next: Uint8Array | bigint): number {
    const values = { map_fd: fd, key: this.address(key), next_key: this.address(next) };
    return this.#call(commands.mapGetNextKey, ATTR.MAP_GET_NEXT_KEY, values);
  }

  freeze(fd: number): number {
    return this.#call(commands.mapFreeze, ATTR.MAP_FREEZE, { map_fd: fd });
  }

  batch(command: keyof typeof BATCHES, fd: number, given: BatchArguments): BatchResult {
    const bytes = encode(
      ATTR.MAP_BATCH,
      {
        in_batch: this.address(given.inBatch),
        out_batch: this.address(given.outBatch),
        keys: this.address(given.keys),
        values: this.address(given.values),
        count: given.count,
        map_fd: fd,
        elem_flags: given.elemFlags ?? 0n,
        flags: given.flags ?? 0n,
      },
      BPF_ATTR_SIZE,
    );
    const result = BATCHES[command](this.task, new Attr(bytes, bytes.length));
    const [offset] = ATTR.MAP_BATCH.count;
    return { result, count: new DataView(bytes.buffer).getUint32(offset, true) };
  }

  /** Every key that nextKey() walks over, as numbers. */
  keys(fd: number): number[] {
    const keys: number[] = [];
    const next = new Uint8Array(4);
    let key: Uint8Array | undefined;
    while (this.nextKey(fd, key, next) === 0) {
      key = next.slice();
      keys.push(readU32(key));
    }
    return keys;
  }

  #element(
    handler: Handler,
    fd: number,
    key: Uint8Array | bigint,
    value: Uint8Array | bigint,
    flags: bigint,
  ): number {
    const addresses = { key: this.address(key), value: this.address(value) };
    return this.#call(handler, ATTR.MAP_ELEM, { map_fd: fd >>> 0, ...addresses, flags });
  }

  #call<L extends Layout>(handler: Handler, layout: L, values: Partial<Values<L>>): number {
    const bytes = encode(layout, values, BPF_ATTR_SIZE);
    return handler(this.task, new Attr(bytes, bytes.length));
  }

  #watchMemory(): void {
    const { memory } = this.machine;
    const alloc = memory.alloc.bind(memory);
    const free = memory.free.bind(memory);
    memory.alloc = (size) => {
      const address = alloc(size);
      if (address !== 0) this.#blocks.add(address);
      return address;
    };
    memory.free = (address) => {
      if (!this.#blocks.delete(address)) throw new RangeError(`freed twice: ${address}`);
      free(address);
    };
  }
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** u32 numbers one after the other. */
export function u32s(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}

export function readU32(bytes: Uint8Array, index: number = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4 * index, true);
}

/** A value of `size` bytes that are all the same. */
export function filled(size: number, byte: number): Uint8Array {
  return new Uint8Array(size).fill(byte);
}
