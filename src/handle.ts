/**
 * What every noun that holds an fd is.
 */

import { OBJ, OBJ_GET_INFO } from "./abi/attr.ts";
import { BPF_OBJ_GET, BPF_OBJ_GET_INFO_BY_FD, BPF_OBJ_PIN } from "./abi/bpf.ts";
import { EACCES, EEXIST, EINVAL, ENOENT, EPERM } from "./abi/errno.ts";
import { decode, encode, type Layout, type Values } from "./abi/layout.ts";
import { callBpf, check, cString } from "./call.ts";
import type { Kernel } from "./kernel.ts";

/** An fd that is closed once, however many objects share it. */
export class OwnedFd {
  readonly kernel: Kernel;
  readonly #number: number;
  #open: boolean = true;

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
    if (!this.#open) throw new TypeError(`fd ${this.#number} is disposed already`);
    return this.#number;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    check("close", this.kernel.close(this.#number));
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
    callBpf(this.kernel, BPF_OBJ_PIN, OBJ, { pathname, bpf_fd: this.fd }, (errno) =>
      pinHint(path, errno),
    );
  }
}

/**
 * What BPF_OBJ_GET_INFO_BY_FD says, decoded.
 *
 * @param size - of the struct, in bytes.
 * @param request - fields that ask for something: room for a list, and its address.
 */
export function readInfo<L extends Layout>(
  kernel: Kernel,
  fd: number,
  layout: L,
  size: number,
  request: Partial<Values<L>> = {},
): Values<L> {
  const info = encode(layout, request, size);
  const address = kernel.addressOf(info);
  const attr = { bpf_fd: fd, info_len: size, info: address };
  callBpf(kernel, BPF_OBJ_GET_INFO_BY_FD, OBJ_GET_INFO, attr);
  return decode(layout, info);
}

/**
 * Opens a pinned object.
 *
 * @returns its fd.
 * @throws {BpfError} ENOENT if nothing has the name; EACCES if it isn't a pin.
 */
export function openPin(kernel: Kernel, path: string): number {
  const pathname = kernel.addressOf(cString(path));
  return callBpf(kernel, BPF_OBJ_GET, OBJ, { pathname }, (errno) => openHint(path, errno));
}

function pinHint(path: string, errno: number): string {
  switch (errno) {
    case EEXIST:
      return `${path} exists already; unlink it first, or pin under another name`;
    case ENOENT:
      return `the directory of ${path} doesn't exist; make it first`;
    case EPERM:
      return (path.split("/").at(-1) ?? "").includes(".")
        ? `a name in the BPF file system may not contain a dot: ${path}`
        : `${path} is not in a BPF file system; pin below /sys/fs/bpf`;
    case EINVAL:
      return "only programs, maps and links can be pinned";
    default:
      return "";
  }
}

function openHint(path: string, errno: number): string {
  switch (errno) {
    case ENOENT:
      return `nothing is pinned at ${path}`;
    case EACCES:
      return `${path} is not a pin that this task may open`;
    default:
      return "";
  }
}
