/**
 * bpf(2) with the care that a garbage-collected caller needs.
 */

import { BPF_ATTR_SIZE } from "../abi/attr.ts";
import * as libc from "./libc.ts";

/** Keeps buffers where the kernel was told they are, and attrs where it can write to them. */
export class BpfSyscall {
  /**
   * Attrs shorter than the union pass through here: the kernel may write output fields past the
   * size that the call named, which in the caller's buffer would be somebody else's memory.
   */
  readonly #scratch: Uint8Array = new Uint8Array(BPF_ATTR_SIZE);
  readonly #address: number = Number(libc.addressOf(this.#scratch));
  /** The first n bytes of the scratch, by n: made once, because a call is shorter than a `new`. */
  readonly #prefixes: Uint8Array[] = [];
  /** The last attr that was passed as it is: callers use theirs again, and asking where costs. */
  #whole: Uint8Array | null = null;
  #wholeAddress: number = 0;
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
    if (attr.length >= BPF_ATTR_SIZE) return libc.bpf(cmd, this.#addressOfWhole(attr), size);
    this.#scratch.set(attr);
    const result = libc.bpf(cmd, this.#address, size);
    attr.set(this.#prefix(attr.length));
    return result;
  }

  #addressOfWhole(attr: Uint8Array): number {
    if (attr !== this.#whole) {
      this.#whole = attr;
      this.#wholeAddress = Number(libc.addressOf(attr));
    }
    return this.#wholeAddress;
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
