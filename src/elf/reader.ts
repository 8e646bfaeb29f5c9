/** Reading bytes that can't be trusted: a bounded cursor, and a table of NUL-terminated strings. */

import { ObjectError } from "./error.ts";
import { MAX_STRING_BYTES, MAX_STRINGS_TOTAL_BYTES } from "./limits.ts";

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Reads little-endian values one after another; reading past the end is an {@link ObjectError}. */
export class Cursor {
  /** What errors name. */
  readonly section: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;

  constructor(bytes: Uint8Array, section: string, offset = 0) {
    this.section = section;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = offset;
  }

  /** Byte offset of the next value. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** A 64-bit offset or size, which has to be one that a number can hold. */
  size64(): number {
    const at = this.#advance(8);
    const value = Number(this.#view.getBigUint64(at, true));
    if (Number.isSafeInteger(value)) return value;
    throw new ObjectError(this.section, at, `a size or offset of ${value} bytes`);
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  skip(length: number): void {
    this.#advance(length);
  }

  #advance(length: number): number {
    if (length > this.remaining) {
      const problem = `${length} bytes wanted, ${Math.max(this.remaining, 0)} are left`;
      throw new ObjectError(this.section, this.#offset, problem);
    }
    const at = this.#offset;
    this.#offset += length;
    return at;
  }
}

/** Part of `bytes`, as a view; a range outside of them is an {@link ObjectError}. */
export function slice(
  bytes: Uint8Array,
  offset: number,
  length: number,
  section: string,
): Uint8Array {
  if (offset + length <= bytes.length) return bytes.subarray(offset, offset + length);
  const problem = `${length} bytes at ${offset} lie outside of the ${bytes.length} that there are`;
  throw new ObjectError(section, 0, problem);
}

/** A string from its first byte to its NUL, decoded as UTF-8. */
export function readString(bytes: Uint8Array, offset: number, section: string): string {
  if (offset >= bytes.length) {
    throw new ObjectError(section, offset, `a string past the end at ${bytes.length}`);
  }
  const limit = Math.min(bytes.length, offset + MAX_STRING_BYTES + 1);
  const end = bytes.subarray(offset, limit).indexOf(0);
  if (end >= 0) return UTF8.decode(bytes.subarray(offset, offset + end));
  const problem = limit === bytes.length ? "no NUL" : `more than ${MAX_STRING_BYTES} bytes`;
  throw new ObjectError(section, offset, `a string with ${problem}`);
}

/** The strings of an ELF string table or of BTF, by byte offset. */
export class StringTable {
  readonly #bytes: Uint8Array;
  readonly #section: string;
  readonly #known = new Map<number, string>();
  #total = 0;

  constructor(bytes: Uint8Array, section: string) {
    this.#bytes = bytes;
    this.#section = section;
  }

  at(offset: number): string {
    const known = this.#known.get(offset);
    if (known !== undefined) return known;
    const string = readString(this.#bytes, offset, this.#section);
    this.#total += string.length;
    if (this.#total > MAX_STRINGS_TOTAL_BYTES) {
      const problem = `the strings come to more than ${MAX_STRINGS_TOTAL_BYTES} bytes`;
      throw new ObjectError(this.#section, offset, problem);
    }
    this.#known.set(offset, string);
    return string;
  }
}
