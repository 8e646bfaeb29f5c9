/**
 * Memory whose end is a hard edge on both kernels: one byte further is EFAULT, so that a wrong size
 * shows, and can't reach anything of ours.
 */

import koffi from "koffi";
import type { Kernel } from "../../src/kernel.ts";

const PAGE = 4096;
/** Room for one block. */
const SLOT_SIZE = 16 * PAGE;
const SLOTS = 24;
const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

/** A place for one block. */
export interface Place {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

interface Room {
  readonly bytes: Uint8Array;
  /** Of the first byte, for the next call. */
  readonly address: () => bigint;
}

/** Places for the blocks of one call. */
export class Arena {
  readonly #rooms: readonly Room[];
  #taken: number = 0;

  private constructor(rooms: readonly Room[]) {
    this.#rooms = rooms;
  }

  /** Buffers of this process, as the embedded kernel knows them: it checks their bounds itself. */
  static ofBuffers(kernel: Kernel): Arena {
    const rooms = Array.from({ length: SLOTS }, () => {
      const bytes = new Uint8Array(SLOT_SIZE);
      return { bytes, address: () => kernel.addressOf(bytes) };
    });
    return new Arena(rooms);
  }

  /** Pages of this process with an unmapped page after each room. */
  static ofPages(): Arena {
    const libc = koffi.load(null);
    const mmap = libc.func("mmap", "intptr_t", ["size_t", "size_t", "int", "int", "int", "long"]);
    const mprotect = libc.func("mprotect", "int", ["size_t", "size_t", "int"]);
    const step = SLOT_SIZE + PAGE;
    const base = Number(mmap(0, SLOTS * step, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
    if (base < 0) throw new RangeError("mmap is refused");
    const rooms = Array.from({ length: SLOTS }, (_, i) => {
      const address = BigInt(base + i * step);
      if (mprotect(base + i * step + SLOT_SIZE, PAGE, PROT_NONE) < 0) {
        throw new RangeError("mprotect is refused");
      }
      return { bytes: new Uint8Array(koffi.view(address, SLOT_SIZE)), address: () => address };
    });
    return new Arena(rooms);
  }

  /** Forgets the blocks of the last call. */
  clear(): void {
    this.#taken = 0;
  }

  /** A place of `size` bytes that ends where the room ends. */
  place(size: number): Place {
    const room = this.#rooms[this.#taken++];
    if (room === undefined) throw new RangeError(`a call has more than ${SLOTS} blocks`);
    const offset = SLOT_SIZE - size;
    if (offset < 0) throw new RangeError(`size is ${size}, and a room has ${SLOT_SIZE} bytes`);
    return { bytes: room.bytes.subarray(offset), address: room.address() + BigInt(offset) };
  }
}
