/**
 * Memory under load: random blocks and maps come and go, and the memory of a kernel must stay near
 * what is alive.
 */

import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
} from "../../src/abi/bpf.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { LinearMemory } from "../../src/kernel/memory.ts";
import { BpfMap } from "../../src/map.ts";
import { Random } from "../random.ts";

/** How many things are alive at a time, at most. */
const MAX_ALIVE = 400;
const MAX_SIZE_BITS = 18;

/** What came of a run. */
export interface MemoryReport {
  /** The most bytes that were alive at a time, headers included. */
  readonly peakAliveBytes: number;
  /** The most bytes that the memory reached to. */
  readonly peakUsedBytes: number;
  /** Bytes in use when everything was given back. */
  readonly leftBytes: number;
}

/** A block and what was written to its ends. */
interface Block {
  readonly address: number;
  readonly size: number;
  readonly mark: number;
}

/** Sizes from 1 byte up: as many small ones as large ones. */
function randomSize(random: Random): number {
  return 1 + random.below(2 ** random.below(MAX_SIZE_BITS + 1));
}

/**
 * Takes and gives back blocks of random sizes, and looks at each: zeroed when it is new, untouched
 * by others when it goes.
 *
 * @throws {RangeError} when a block isn't so.
 */
export function soakBlocks(seed: number, count: number, shared: boolean): MemoryReport {
  const random = new Random(seed);
  const memory = new LinearMemory(undefined, shared);
  const alive: Block[] = [];
  let peakAliveBytes = 0;
  let peakUsedBytes = 0;
  const giveBack = (index: number): void => {
    const block = alive[index] as Block;
    alive[index] = alive.at(-1) as Block;
    alive.pop();
    const { address, size, mark } = block;
    const { bytes } = memory;
    if (bytes[address] !== mark || bytes[address + size - 1] !== mark) {
      throw new RangeError(`seed ${seed}: the block at ${address} was overwritten`);
    }
    memory.free(address);
  };
  for (let step = 0; step < count; step++) {
    // Waves: at times nearly everything goes.
    const wanted = step % 20_000 < 15_000 ? MAX_ALIVE : MAX_ALIVE >> 4;
    if (alive.length > 0 && random.below(2 * wanted) < alive.length) {
      giveBack(random.below(alive.length));
      continue;
    }
    const size = randomSize(random);
    const address = memory.alloc(size);
    if (address === 0 || address % 8 !== 0) throw new RangeError(`seed ${seed}: ${address}`);
    const { bytes } = memory;
    for (const at of [0, size >> 1, size - 1]) {
      if (bytes[address + at] !== 0) throw new RangeError(`seed ${seed}: not zero at ${address}`);
    }
    const mark = 1 + random.below(255);
    bytes.fill(mark, address, address + size);
    alive.push({ address, size, mark });
    peakAliveBytes = Math.max(peakAliveBytes, memory.allocatedBytes);
    peakUsedBytes = Math.max(peakUsedBytes, memory.usedBytes);
  }
  while (alive.length > 0) giveBack(alive.length - 1);
  return { peakAliveBytes, peakUsedBytes, leftBytes: memory.usedBytes };
}

/** Types of map that differ in how they take memory. */
const TYPES: readonly number[] = [
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
];
/** Without preallocation a hash map takes memory as it is filled. */
const BPF_F_NO_PREALLOC = 1;
/** A memory in which what is alive fits well, and what ever was alive doesn't. */
const MEMORY_BYTES = 64 << 20;

/**
 * Makes, fills and closes maps of random types and sizes on a kernel.
 *
 * @throws {BpfError} ENOMEM, if memory that was given back can't be used.
 */
export function soakMaps(seed: number, count: number): void {
  const random = new Random(seed);
  using kernel = EmbeddedKernel.boot({ memoryLimitBytes: MEMORY_BYTES, possibleCpus: 2 });
  const alive: BpfMap[] = [];
  for (let step = 0; step < count; step++) {
    if (alive.length > 0 && random.below(100) < alive.length) {
      const [map] = alive.splice(random.below(alive.length), 1);
      map?.[Symbol.dispose]();
      continue;
    }
    const type = random.pick(TYPES);
    const grows = type === BPF_MAP_TYPE_HASH && random.once(2);
    const map = BpfMap.create(kernel, {
      type,
      keySize: 4,
      valueSize: 1 + random.below(2 ** random.below(13)),
      maxEntries: 1 + random.below(2 ** random.below(6)),
      flags: grows ? BPF_F_NO_PREALLOC : 0,
    });
    alive.push(map);
    if (!grows) continue;
    const { maxEntries, valueSize } = map.info;
    for (let i = 0; i < maxEntries; i++) {
      map.set(new Uint8Array(Uint32Array.of(i).buffer), new Uint8Array(valueSize).fill(i));
    }
  }
  for (const map of alive) map[Symbol.dispose]();
  // All of it is one piece again: a map of nine tenths of the memory fits.
  const valueSize = Math.floor(MEMORY_BYTES * 0.9);
  BpfMap.create(kernel, { type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize, maxEntries: 1 })[
    Symbol.dispose
  ]();
}
