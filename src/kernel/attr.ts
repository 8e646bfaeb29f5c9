/**
 * `union bpf_attr` inside the kernel: a zero-padded copy to read from, and the caller's own bytes
 * to write results to.
 */

import { BPF_ATTR_SIZE } from "../abi/attr.ts";
import { EFAULT } from "../abi/errno.ts";
import type { Field } from "../abi/layout.ts";
import { sizeOf, writeField } from "../abi/layout.ts";

/** The arguments of one bpf(2) call. */
export class Attr {
  readonly #bytes: Uint8Array = new Uint8Array(BPF_ATTR_SIZE);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  readonly #user: Uint8Array | null;

  /** @param user - the caller's bytes. @param size - how many of them the call passes. */
  constructor(user: Uint8Array | null, size: number) {
    this.#user = user;
    if (user !== null) this.#bytes.set(user.subarray(0, Math.min(size, BPF_ATTR_SIZE)));
  }

  u32([offset]: Field<"u32">): number {
    return this.#view.getUint32(offset, true);
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
    for (let i = end; i < BPF_ATTR_SIZE; i++) if (this.#bytes[i] !== 0) return false;
    return true;
  }

  /**
   * Writes a result into the caller's attr. As in Linux, that doesn't ask whether the size that the
   * call named reaches so far; bytes that the caller's buffer doesn't have are lost.
   *
   * @returns 0, or -EFAULT when the caller passed no buffer.
   */
  put(field: Field, value: number | bigint): number {
    if (this.#user === null) return -EFAULT;
    writeField(this.#view, field, value);
    const [offset] = field;
    const end = Math.min(offset + sizeOf(field[1]), this.#user.length);
    if (offset < end) this.#user.set(this.#bytes.subarray(offset, end), offset);
    return 0;
  }
}
