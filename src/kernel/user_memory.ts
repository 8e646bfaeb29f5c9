/**
 * The memory of a caller, as the pointer fields of an attr reach it.
 */

import { E2BIG, EFAULT, ENAMETOOLONG } from "../abi/errno.ts";

/** Memory that a kernel reads and writes on behalf of a task, by virtual address. */
export interface UserMemory {
  /** The bytes there (not to be written to), or null where some of them are not mapped. */
  read(address: bigint, length: number): Uint8Array | null;
  /** Writes bytes, up to the first that is not mapped; false when there is one. */
  write(address: bigint, bytes: Uint8Array): boolean;
}

const PAGE = 4096;
/** Where the first buffer lands: like a process's mappings, far from 0 and below 2^47. */
const FIRST_BASE = 0x7f00_0000_0000;
/** The list of mappings is swept of dead ones when it has doubled, and no sooner than this. */
const MIN_SWEEP = 1024;

/** Addresses here are numbers: all that are handed out stay far below 2^53. */
interface Mapping {
  readonly base: number;
  readonly length: number;
  readonly buffer: WeakRef<ArrayBufferLike>;
}

/**
 * Gives buffers of this process addresses, and finds them again by address.
 *
 * A buffer keeps its address for life and is not kept alive by it: an address whose buffer is gone
 * faults, as an unmapped one does.
 */
export class BufferMemory implements UserMemory {
  readonly #bases: WeakMap<ArrayBufferLike, number> = new WeakMap();
  /** In order of their bases, which only ever grow. */
  #mappings: Mapping[] = [];
  #nextBase: number = FIRST_BASE;
  #sweepAt: number = MIN_SWEEP;

  /** The address of the first byte of `buffer`. */
  addressOf(buffer: Uint8Array): bigint {
    const base = this.#bases.get(buffer.buffer) ?? this.#map(buffer.buffer);
    return BigInt(base + buffer.byteOffset);
  }

  read(address: bigint, length: number): Uint8Array | null {
    if (length === 0) return new Uint8Array(0);
    const room = this.#resolve(address, length);
    return room !== null && room.length === length ? room : null;
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    const room = this.#resolve(address, bytes.length);
    if (room === null) return false;
    const fits = room.length === bytes.length;
    room.set(fits ? bytes : bytes.subarray(0, room.length));
    return fits;
  }

  #map(buffer: ArrayBufferLike): number {
    if (this.#mappings.length >= this.#sweepAt) this.#sweep();
    const base = this.#nextBase;
    const length = buffer.byteLength;
    // A page in between stays unmapped, so running over the end of a buffer faults.
    this.#nextBase += (Math.ceil(length / PAGE) + 1) * PAGE;
    this.#bases.set(buffer, base);
    this.#mappings.push({ base, length, buffer: new WeakRef(buffer) });
    return base;
  }

  /** The bytes from an address on, as many of `length` as are mapped; null when not even one is. */
  #resolve(virtual: bigint, length: number): Uint8Array | null {
    // What doesn't fit a number exactly is above every mapping all the same.
    const address = Number(virtual);
    let low = 0;
    let high = this.#mappings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#mappings[middle] as Mapping).base <= address) low = middle + 1;
      else high = middle;
    }
    const mapping = this.#mappings[low - 1];
    if (mapping === undefined) return null;
    const offset = address - mapping.base;
    if (offset >= mapping.length) return null;
    const buffer = mapping.buffer.deref();
    if (buffer === undefined) return null;
    return new Uint8Array(buffer, offset, Math.min(length, mapping.length - offset));
  }

  #sweep(): void {
    this.#mappings = this.#mappings.filter((mapping) => mapping.buffer.deref() !== undefined);
    this.#sweepAt = Math.max(MIN_SWEEP, 2 * this.#mappings.length);
  }
}

/**
 * Whether bytes that this kernel knows nothing about are all 0. What comes first decides: a byte
 * that is not, or one that is not mapped. Analogous to bpf_check_uarg_tail_zero() in Linux.
 *
 * @returns 0, -E2BIG or -EFAULT.
 */
export function checkZeroTail(memory: UserMemory, address: bigint, length: number): number {
  const whole = memory.read(address, length);
  if (whole !== null) return whole.every((byte) => byte === 0) ? 0 : -E2BIG;
  for (let i = 0; i < length; i++) {
    const byte = memory.read(address + BigInt(i), 1)?.[0];
    if (byte === undefined) return -EFAULT;
    if (byte !== 0) return -E2BIG;
  }
  return 0;
}

/**
 * A NUL-terminated string, read as strncpy_from_user() reads it: up to the NUL and no further, so
 * that what lies behind it needn't be mapped.
 *
 * @param maxBytes - room for the string and its NUL.
 * @returns the bytes before the NUL; -EFAULT, or -ENAMETOOLONG when no NUL comes in time.
 */
export function readCString(
  memory: UserMemory,
  address: bigint,
  maxBytes: number,
): Uint8Array | number {
  const whole = memory.read(address, maxBytes);
  if (whole !== null) {
    const end = whole.indexOf(0);
    return end < 0 ? -ENAMETOOLONG : whole.slice(0, end);
  }
  const bytes: number[] = [];
  for (let i = 0; i < maxBytes; i++) {
    const byte = memory.read(address + BigInt(i), 1)?.[0];
    if (byte === undefined) return -EFAULT;
    if (byte === 0) return Uint8Array.from(bytes);
    bytes.push(byte);
  }
  return -ENAMETOOLONG;
}
