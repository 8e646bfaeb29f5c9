/**
 * bpf(2) with the care that a garbage-collected caller needs.
 */

import { BPF_ATTR_MAX_SIZE } from "../abi/attr.ts";
import * as libc from "./libc.ts";

/** Keeps buffers where the kernel was told they are, and attrs where it can write to them. */
export class BpfSyscall {
  /**
   * Every attr passes through here: the kernel may write output fields past the size that the
   * call named, which in a shorter buffer of the caller's would be somebody else's memory.
   */
  readonly #scratch: Uint8Array = new Uint8Array(BPF_ATTR_MAX_SIZE);
  readonly #address: number = Number(libc.addressOf(this.#scratch));
  /** The first n bytes of the scratch, by n: made once, because a call is shorter than a `new`. */
  readonly #prefixes: Uint8Array[] = [];
  /** Buffers whose addresses were given out since the last call. */
  #held: Uint8Array[] = [];

  call(cmd: number, attr: Uint8Array | null, size?: number): number {
    const result = attr === null ? libc.bpf(cmd, 0, size ?? 0) : this.#through(cmd, attr, size);
    if (this.#held.length > 0) this.#held = [];
    return result;
  }

  addressOf(buffer: Uint8Array): bigint {
    this.#held.push(buffer);
    return libc.addressOf(buffer);
  }

  #through(cmd: number, attr: Uint8Array, size: number = attr.length): number {
    if (size > attr.length) {
      throw new RangeError(`size is ${size}, and attr has only ${attr.length} bytes`);
    }
    // Past the scratch there is nothing to see: the kernel refuses such a size without a look.
    if (attr.length > BPF_ATTR_MAX_SIZE) return libc.bpf(cmd, this.#address, size);
    this.#scratch.set(attr);
    const result = libc.bpf(cmd, this.#address, size);
    attr.set(this.#prefix(attr.length));
    return result;
  }

  #prefix(length: number): Uint8Array {
    let prefix = this.#prefixes[length];
    if (prefix === undefined) {
      prefix = this.#scratch.subarray(0, length);
      this.#prefixes[length] = prefix;
    }
    return prefix;
  }
}
