/**
 * Where a pin is, or is to be: its directory, opened once, and its name in it. What is checked
 * through that fd is what is changed, whatever becomes of the path meanwhile.
 */

import { OBJ } from "../abi/attr.ts";
import { BPF_F_PATH_FD, BPF_OBJ_GET, BPF_OBJ_PIN } from "../abi/bpf.ts";
import { EEXIST, EINVAL, ENOENT, ENOTDIR, EPERM } from "../abi/errno.ts";
import { isFileName } from "../abi/names.ts";
import { bpfResult, cString } from "../call.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { BpfError } from "../errors.ts";
import type { FileStatus, Kernel } from "../kernel.ts";
import { Link } from "../link.ts";

// include/uapi/asm-generic/fcntl.h
export const O_PATH = 0o10000000;
export const O_DIRECTORY = 0o200000;

/** What /proc/self/fd calls the fds of what is pinned. */
const PINNED: ReadonlyMap<string, string> = new Map([
  ["anon_inode:bpf-prog", "the pin of a program"],
  ["anon_inode:bpf-map", "the pin of a map"],
]);

/** A name in a directory that is open. */
export class PinPlace implements Disposable {
  readonly kernel: Kernel;
  /** As it was given. */
  readonly path: string;
  /** On the directory. */
  readonly fd: number;
  /** The last part of the path, with the slashes behind it. */
  readonly name: string;
  #isOpen: boolean = true;

  private constructor(kernel: Kernel, path: string, fd: number, name: string) {
    this.kernel = kernel;
    this.path = path;
    this.fd = fd;
    this.name = name;
  }

  /**
   * Opens the directory of a path.
   *
   * @param call - that is going to be made, for the error.
   * @throws {BpfError} ENOENT, ENOTDIR or EACCES when there is no way to it.
   */
  static open(kernel: Kernel, path: string, call: number | string): PinPlace {
    if (path === "") throw new BpfError(call, -ENOENT, "the path is empty");
    const [, directory = "", name = ""] = /^(.*?)([^/]*\/*)$/s.exec(path) ?? [];
    const fd = kernel.open(directory === "" ? rootOr(path) : directory, O_PATH | O_DIRECTORY);
    if (fd < 0) throw refusal(kernel, call, fd, {}, { path });
    return new PinPlace(kernel, path, fd, name);
  }

  /**
   * Opens the directory of a path at which something is to be pinned. The name may be taken: it is
   * the call that pins who says so.
   *
   * @throws {BpfError} as BPF_OBJ_PIN is refused, when no pin can be there.
   */
  static openForPin(kernel: Kernel, path: string): PinPlace {
    const place = PinPlace.open(kernel, path, BPF_OBJ_PIN);
    try {
      const isTaken = place.#exists();
      if (isTaken && !isFileName(place.name)) throw place.#refusal(BPF_OBJ_PIN, -EEXIST);
      if (!isTaken && place.name.endsWith("/")) {
        throw new BpfError(BPF_OBJ_PIN, -ENOENT, `${path} ends with /, as no pin's path does`);
      }
      place.requireBpffs();
      return place;
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws {BpfError} EPERM, as BPF_OBJ_PIN would say, outside of a BPF file system. */
  requireBpffs(): void {
    const status = this.kernel.directories.status(this.fd);
    if (typeof status === "number") throw this.#refusal(BPF_OBJ_PIN, status);
    if (status.fileSystem !== "bpf") throw this.#refusal(BPF_OBJ_PIN, -EPERM);
  }

  /** Gives an object a name here. @param object - fd. @throws {BpfError} */
  pin(object: number): void {
    const result = pinAt(this.kernel, this.fd, this.name, object);
    if (result < 0) throw this.#refusal(BPF_OBJ_PIN, result);
  }

  /**
   * Opens the link that is pinned here.
   *
   * @returns it, and the status of its pin; null when nothing is here.
   * @throws {BpfError} EINVAL when it is no pinned link; EACCES when it is somebody else's.
   */
  openLink(): { readonly link: Link; readonly status: FileStatus } | null {
    const { kernel } = this;
    const found = kernel.directories.find(this.fd, this.name);
    if (found === -ENOENT) return null;
    // In a BPF file system no name has a dot but the kernel's own, and nobody can look for one.
    if (found === -EPERM && this.name.includes(".")) return null;
    if (found === -ENOTDIR) throw this.#notALink("a path that ends with / is a directory's");
    if (found < 0) throw this.#refusal("bpffs.unlink", found);
    try {
      const status = kernel.directories.status(found);
      if (typeof status === "number") throw this.#refusal("bpffs.unlink", status);
      return { link: this.#linkBehind(status), status };
    } finally {
      kernel.close(found);
    }
  }

  /** Takes the name away. @throws {BpfError} */
  unlink(): void {
    const result = this.kernel.directories.unlink(this.fd, this.name);
    if (result < 0) throw this.#refusal("bpffs.unlink", result);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.kernel.close(this.fd);
  }

  #exists(): boolean {
    const found = this.kernel.directories.find(this.fd, this.name.replace(/\/+$/, "") || ".");
    if (found >= 0) this.kernel.close(found);
    return found >= 0;
  }

  #linkBehind({ type, fileSystem }: FileStatus): Link {
    const { kernel, name } = this;
    const outside = fileSystem === "bpf" ? "" : ", and not in a BPF file system";
    if (type !== "regular file" || outside !== "") {
      throw this.#notALink(`it is a ${type}${outside}`);
    }
    const fd = getAt(kernel, this.fd, name);
    // Names with a dot are the kernel's own, which pins nothing there.
    if (fd < 0 && name.includes(".")) throw this.#notALink("it is a file of the kernel's");
    if (fd < 0) throw this.#refusal(BPF_OBJ_GET, fd);
    const kind = PINNED.get(kernel.fdname(fd));
    if (kind === undefined) return Link.fromFd(kernel, fd);
    kernel.close(fd);
    throw this.#notALink(`it is ${kind}`);
  }

  #refusal(call: number | string, result: number): BpfError {
    return refusal(this.kernel, call, result, {}, { path: this.path });
  }

  #notALink(reason: string): BpfError {
    return new BpfError("bpffs.unlink", EINVAL, `${this.path} is not a pinned link: ${reason}`);
  }
}

function rootOr(path: string): string {
  return path.startsWith("/") ? "/" : ".";
}

/**
 * BPF_OBJ_PIN in a directory that is open.
 *
 * @returns 0 or a negative errno.
 */
export function pinAt(kernel: Kernel, directory: number, name: string, object: number): number {
  return at(kernel, BPF_OBJ_PIN, directory, name, object);
}

/**
 * BPF_OBJ_GET in a directory that is open.
 *
 * @returns an fd or a negative errno.
 */
export function getAt(kernel: Kernel, directory: number, name: string): number {
  return at(kernel, BPF_OBJ_GET, directory, name, 0);
}

function at(kernel: Kernel, call: number, fd: number, name: string, object: number): number {
  const fields = { bpf_fd: object, file_flags: BPF_F_PATH_FD, path_fd: fd };
  const result = bpfResult(kernel, call, OBJ, { ...fields, pathname: addressOf(kernel, name) });
  if (result !== -EINVAL) return result;
  // Linux before 6.5 knows no BPF_F_PATH_FD.
  const pathname = addressOf(kernel, `/proc/self/fd/${fd}/${name}`);
  return bpfResult(kernel, call, OBJ, { bpf_fd: object, pathname });
}

function addressOf(kernel: Kernel, path: string): bigint {
  return kernel.addressOf(cString(path));
}
