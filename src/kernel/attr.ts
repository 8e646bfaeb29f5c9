/**
 * `union bpf_attr` inside the kernel: a zero-padded copy to read from, and the caller's own bytes
 * to write results to.
 */

import { BPF_ATTR_SIZE } from "../abi/attr.ts";
import { EFAULT } from "../abi/errno.ts";
import { type Field, sizeOf, writeField } from "../abi/layout.ts";

/** The arguments of one bpf(2) call. Used again for the next call: see {@link AttrStack}. */
export class Attr {
  readonly #bytes: Uint8Array = new Uint8Array(BPF_ATTR_SIZE);
  readonly #words: Uint32Array = new Uint32Array(this.#bytes.buffer);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  #user: Uint8Array | null = null;
  #size: number = 0;
  /** Bytes copied from the caller, or written since; zeros follow. */
  #length: number = 0;

  constructor(user: Uint8Array | null = null, size: number = 0) {
    this.load(user, size);
  }

  /** @param user - the caller's bytes. @param size - how many of them the call passes. */
  load(user: Uint8Array | null, size: number): this {
    const bytes = this.#bytes;
    const length = user === null ? 0 : Math.min(size, BPF_ATTR_SIZE);
    // Loops, not set() and fill(): for so few bytes a call, or a view for it, costs more.
    for (let i = 0; i < length; i++) bytes[i] = (user as Uint8Array)[i] as number;
    for (let i = length; i < this.#length; i++) bytes[i] = 0;
    this.#user = user;
    this.#size = size;
    this.#length = length;
    return this;
  }

  /** Whether the size that the call named reaches to the end of a field. */
  reaches([offset, type]: Field): boolean {
    return this.#size >= offset + sizeOf(type);
  }

  /** Every u32 of the union lies at a multiple of 4. */
  u32(field: Field<"u32">): number {
    return this.#words[field[0] >> 2] as number;
  }

  s32([offset]: Field<"s32">): number {
    return this.#view.getInt32(offset, true);
  }

  u64([offset]: Field<"u64">): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  bytes([offset, length]: Field<number>): Uint8Array {
    return this.#bytes.slice(offset, offset + length);
  }

  /** Whether every byte of the union from `end` on is 0: the rule CHECK_ATTR() stands for. */
  isZeroFrom(end: number): boolean {
    for (let i = end; i < this.#length; i++) if (this.#bytes[i] !== 0) return false;
    return true;
  }

  /**
   * Writes a result into the caller's attr. As in Linux, that doesn't ask whether the size that the
   * call named reaches so far; bytes that the caller's buffer doesn't have are lost.
   *
   * @returns 0, or -EFAULT when the caller passed no buffer.
   */
  put(field: Field, value: number | bigint): number {
    const user = this.#user;
    if (user === null) return -EFAULT;
    const [offset, type] = field;
    const end = offset + sizeOf(type);
    writeField(this.#view, field, value);
    this.#length = Math.max(this.#length, end);
    for (let i = offset; i < Math.min(end, user.length); i++) user[i] = this.#bytes[i] as number;
    return 0;
  }
}

/** Attrs to use again: one is enough unless a call comes in the middle of another. */
export class AttrStack {
  readonly #attrs: Attr[] = [];
  #depth: number = 0;

  /** An attr until {@link AttrStack.pop}. */
  push(user: Uint8Array | null, size: number): Attr {
    const attr = this.#attrs[this.#depth] ?? new Attr();
    this.#attrs[this.#depth] = attr;
    this.#depth++;
    return attr.load(user, size);
  }

  pop(): void {
    this.#depth--;
  }
}
