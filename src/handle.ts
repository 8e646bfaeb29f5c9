/**
 * What every noun that holds an fd is.
 */

import { GET_FD_BY_ID, OBJ, OBJ_GET_INFO } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { decode, encodeInto, type Layout, type Values } from "./abi/layout.ts";
import { cString } from "./call.ts";
import { callBpf, check } from "./diagnosis/refusal.ts";
import type { Kernel } from "./kernel.ts";

/** An fd that is closed once, however many objects share it. */
export class OwnedFd {
  readonly kernel: Kernel;
  readonly #number: number;
  #isOpen: boolean = true;

  constructor(kernel: Kernel, number: number) {
    this.kernel = kernel;
    this.#number = number;
  }

  /**
   * The fd.
   *
   * @throws {TypeError} when it is closed already.
   */
  get number(): number {
    // Asked for a comparison, engines make one; else they ask whether it is true in any way.
    return this.#isOpen === true ? this.#number : this.#refuse();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const attr = { fd: this.#number };
    check(this.kernel, "close", this.kernel.close(this.#number), {}, attr);
  }

  #refuse(): never {
    throw new TypeError(`fd ${this.#number} is disposed already`);
  }
}

/** Something that holds an fd of a kernel. Disposing it closes the fd; twice is harmless. */
export abstract class Handle implements Disposable {
  protected readonly owned: OwnedFd;

  protected constructor(owned: OwnedFd) {
    this.owned = owned;
  }

  get kernel(): Kernel {
    return this.owned.kernel;
  }

  /**
   * The fd; it stays this object's.
   *
   * @throws {TypeError} when it is closed already.
   */
  get fd(): number {
    return this.owned.number;
  }

  /** Closes the fd. What the fd was open on lives on while somebody else holds it. */
  [Symbol.dispose](): void {
    this.owned.close();
  }
}

/** A kind of BPF object. */
export type ObjectKind = "program" | "map" | "link";

/** What /proc/self/fd calls them; a link's name depends on how it was opened. */
const FD_NAMES: Readonly<Record<ObjectKind, readonly string[]>> = {
  program: ["anon_inode:bpf-prog"],
  map: ["anon_inode:bpf-map"],
  link: ["anon_inode:bpf_link", "anon_inode:bpf-link"],
};

const GET_BY_ID = {
  program: BPF.BPF_PROG_GET_FD_BY_ID,
  map: BPF.BPF_MAP_GET_FD_BY_ID,
  link: BPF.BPF_LINK_GET_FD_BY_ID,
} as const;

/**
 * Takes over an fd that somebody else opened: it is closed if nothing comes of it.
 *
 * @param make - makes the object that owns the fd from here on.
 * @throws {TypeError} when the fd is open on something else, or not open.
 */
export function takeOver<T>(
  kernel: Kernel,
  fd: number,
  kind: ObjectKind,
  make: (owned: OwnedFd) => T,
): T {
  const name = kernel.fdname(fd);
  if (name === "") throw new TypeError(`fd: ${fd} is not open`);
  const owned = new OwnedFd(kernel, fd);
  try {
    if (!FD_NAMES[kind].includes(name)) {
      throw new TypeError(`fd: ${fd} is open on ${name}, which is no ${kind}`);
    }
    return make(owned);
  } catch (error) {
    owned.close();
    throw error;
  }
}

/**
 * Fds mean something to their own task only.
 *
 * @throws {TypeError} when something that a caller gave belongs to another kernel or task.
 */
export function checkSameKernel(kernel: Kernel, what: string, given: Handle): void {
  if (given.kernel === kernel) return;
  throw new TypeError(`${what}: belongs to another kernel, or to another task of this one`);
}

/** A {@link Handle} on a BPF object: it can be pinned. */
export abstract class ObjectHandle extends Handle {
  /**
   * Gives the object a name in the BPF file system, which holds it until it is unlinked.
   *
   * @throws {BpfError} EEXIST if the name is taken; EPERM outside a BPF file system, or for a name
   *   with a dot in it; ENOENT if the directory is missing.
   */
  pin(path: string): void {
    const pathname = this.kernel.addressOf(cString(path));
    callBpf(this.kernel, BPF.BPF_OBJ_PIN, OBJ, { pathname, bpf_fd: this.fd }, { path });
  }
}

/** Room for the largest of the info structs, used again: a new buffer costs more than the call. */
const MAX_INFO_SIZE = 256;
let spareInfo: Uint8Array | null = null;

/**
 * What BPF_OBJ_GET_INFO_BY_FD says, decoded.
 *
 * @param size - of the struct, in bytes; at most 256.
 * @param request - fields that ask for something: room for a list, and its address.
 */
export function readInfo<L extends Layout>(
  kernel: Kernel,
  fd: number,
  layout: L,
  size: number,
  request: Partial<Values<L>> = {},
): Values<L> {
  const info = spareInfo ?? new Uint8Array(MAX_INFO_SIZE);
  spareInfo = null;
  info.fill(0);
  encodeInto(new DataView(info.buffer), layout, request);
  const attr = { bpf_fd: fd, info_len: size, info: kernel.addressOf(info) };
  callBpf(kernel, BPF.BPF_OBJ_GET_INFO_BY_FD, OBJ_GET_INFO, attr);
  const values = decode(layout, info);
  spareInfo = info;
  return values;
}

/**
 * Opens a pinned object.
 *
 * @returns its fd.
 * @throws {BpfError} ENOENT if nothing has the name; EACCES if it isn't a pin, or somebody else's.
 */
export function openPin(kernel: Kernel, path: string): number {
  const pathname = kernel.addressOf(cString(path));
  return callBpf(kernel, BPF.BPF_OBJ_GET, OBJ, { pathname }, { path });
}

/**
 * Opens an object by its id.
 *
 * @returns its fd.
 * @throws {BpfError} ENOENT when there is none; EPERM without CAP_SYS_ADMIN.
 */
export function openById(kernel: Kernel, kind: ObjectKind, id: number): number {
  return callBpf(kernel, GET_BY_ID[kind], GET_FD_BY_ID, { id });
}
