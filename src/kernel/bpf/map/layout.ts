/**
 * How maps lie in linear memory, for those who read them there: helpers, the interpreter, the JIT.
 *
 * At `map.address` begins one block: the header below, then what the kind of map needs.
 *
 * - Arrays: `max_entries` entries from `base` on. The value of entry i for CPU c is at
 *   `base + i * stride + c * cpu_stride`; an index is good when it is less than `max_entries`.
 * - Prog arrays: the same, and a value is the u32 id of the program, 0 where there is none.
 * - Hashes: u32 bucket heads from `buckets` on, then the preallocated elements. A key's bucket is
 *   `hashKey(key) & bucket_mask`; a head, and the u32 at the start of an element, is the address of
 *   the next element of the bucket, or 0. An element is {@link ELEMENT}; its key lies at
 *   `key_offset`, the value for CPU c at `value_offset + c * cpu_stride`.
 *
 * All of it is 8-byte aligned and little-endian. Maps that are not per CPU have a `cpu_stride` of
 * 0, so one formula serves both. Everything in the header stays as it is for the life of the map.
 */

import { type Field, writeField } from "../../../abi/layout.ts";

/** The block at `map.address`. */
export const MAP_HEADER = {
  type: [0, "u32"],
  key_size: [4, "u32"],
  value_size: [8, "u32"],
  max_entries: [12, "u32"],
  base: [16, "u32"],
  stride: [20, "u32"],
  cpu_stride: [24, "u32"],
  buckets: [28, "u32"],
  bucket_mask: [32, "u32"],
  seed: [36, "u32"],
  key_offset: [40, "u32"],
  value_offset: [44, "u32"],
} as const;

/** Bytes of the header; what follows begins here. */
export const MAP_HEADER_SIZE = 48;

/** What a hash element begins with; `older` and `newer` exist in LRU maps only. */
export const ELEMENT = {
  next: [0, "u32"],
  hash: [4, "u32"],
  older: [8, "u32"],
  newer: [12, "u32"],
} as const;

/** Fills in fields of a header. */
export function writeHeader(
  view: DataView,
  address: number,
  values: Partial<Record<keyof typeof MAP_HEADER, number>>,
): void {
  const header = new DataView(view.buffer, address, MAP_HEADER_SIZE);
  for (const [name, value] of Object.entries(values)) {
    const field: Field = MAP_HEADER[name as keyof typeof MAP_HEADER];
    writeField(header, field, value);
  }
}

/** The next multiple of 8. Also right past 2^31, where bit operations are not. */
export function roundUp8(size: number): number {
  return Math.ceil(size / 8) * 8;
}
