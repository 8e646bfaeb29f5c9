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

/**
 * A buffer that can be reached by address. Addresses here are numbers: there are enough of them
 * below 2^53 for 10^12 buffers, and none is used again.
 */
export interface Mapping {
  readonly base: number;
  readonly buffer: ArrayBufferLike;
  /** How often it was mapped and not unmapped yet. */
  holders: number;
}

/**
 * Gives buffers of this process addresses, and finds them again by address.
 *
 * A buffer has one address for life. It is mapped there, and kept alive, from
 * {@link BufferMemory.map} to {@link BufferMemory.unmap}; the address faults before and after. No
 * WeakRef is involved: whatever one has looked at lives until the end of the job, so that a loop of
 * 2,000,000 map lookups took 1 GB.
 */
export class BufferMemory implements UserMemory {
  readonly #bases: WeakMap<ArrayBufferLike, number> = new WeakMap();
  /** Few at a time: those of the calls that are being made. */
  readonly #mappings: Map<ArrayBufferLike, Mapping> = new Map();
  #nextBase: number = FIRST_BASE;

  /** Maps a buffer, until it is unmapped as often as it was mapped. */
  map(buffer: ArrayBufferLike): Mapping {
    const known = this.#mappings.get(buffer);
    if (known !== undefined) {
      known.holders++;
      return known;
    }
    const base = this.#bases.get(buffer) ?? this.#newBase(buffer);
    const mapping = { base, buffer, holders: 1 };
    this.#mappings.set(buffer, mapping);
    return mapping;
  }

  unmap(mapping: Mapping): void {
    mapping.holders--;
    if (mapping.holders === 0) this.#mappings.delete(mapping.buffer);
  }

  /** The address of the first byte of a buffer, which stays mapped. */
  addressOf(buffer: Uint8Array): bigint {
    return BigInt(this.map(buffer.buffer).base + buffer.byteOffset);
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

  #newBase(buffer: ArrayBufferLike): number {
    const base = this.#nextBase;
    // A page in between stays unmapped, so running over the end of a buffer faults.
    this.#nextBase += (Math.ceil(buffer.byteLength / PAGE) + 1) * PAGE;
    this.#bases.set(buffer, base);
    return base;
  }

  /** The bytes from an address on, as many of `length` as are mapped; null when not even one is. */
  #resolve(virtual: bigint, length: number): Uint8Array | null {
    // What doesn't fit a number exactly is above every mapping all the same.
    const address = Number(virtual);
    for (const { base, buffer } of this.#mappings.values()) {
      const offset = address - base;
      if (offset < 0 || offset >= buffer.byteLength) continue;
      return new Uint8Array(buffer, offset, Math.min(length, buffer.byteLength - offset));
    }
    return null;
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
