/**
 * Open files and a task's table of them.
 */

import { EBADF, EMFILE } from "../abi/errno.ts";
import type { FileStatus } from "../kernel.ts";
import type { Net } from "./net_namespace.ts";

/** open(2)'s numbers (include/uapi/asm-generic/fcntl.h). */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_DIRECTORY = 0o200000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
const O_LARGEFILE = 0o100000;
/** All that an O_PATH fd remembers of how it was opened. */
const O_PATH_FLAGS = O_DIRECTORY | O_CLOEXEC | O_PATH;

/** An open file: what an fd refers to, counted, shared by dup and by passing it on. */
export abstract class File {
  /** The network namespace that it is open on; null for files of other kinds. */
  readonly net: Net | null;
  readonly #name: string;
  #flags: number;
  #references: number = 1;

  protected constructor(name: string, flags: number, net: Net | null = null) {
    this.#name = name;
    this.#flags = flags;
    this.net = net;
  }

  /** What /proc/self/fd shows, such as "anon_inode:bpf_link". */
  get name(): string {
    return this.#name;
  }

  /** Access mode, O_CLOEXEC and the like, as fdinfo prints them. */
  get flags(): number {
    return this.#flags;
  }

  /** Notes how open(2) came to it; whatever is opened is closed on exec here. */
  openedWith(flags: number): this {
    const kept = flags & O_PATH ? flags & O_PATH_FLAGS : flags | O_LARGEFILE;
    this.#flags = kept | O_CLOEXEC;
    return this;
  }

  /** What fstat(2) and fstatfs(2) say. */
  get status(): FileStatus {
    return { type: "regular file", fileSystem: "other", uid: 0, mode: 0o600 };
  }

  /** One more holder. */
  get(): this {
    this.#references++;
    return this;
  }

  /** One holder less; the last one releases what the file holds, before this returns. */
  put(): void {
    this.#references--;
    if (this.#references === 0) this.release();
  }

  /** The lines of /proc/self/fdinfo that are this kind of file's own. */
  fdinfo(): string {
    return "";
  }

  protected abstract release(): void;
}

/** A file with nothing of ours behind it: /dev/null, a namespace of another kind. */
export class OtherFile extends File {
  constructor(name: string, flags: number = O_RDWR) {
    super(name, flags);
  }

  override get status(): FileStatus {
    const status = super.status;
    return this.name.startsWith("/dev/") ? { ...status, type: "character device" } : status;
  }

  protected release(): void {}
}

/** An O_PATH fd: it pins what the path leads to, and every call but close and dup says EBADF. */
export class PathFile extends File {
  readonly target: File;

  /** @param target - taken over: put when this file goes. */
  constructor(target: File) {
    super("", O_PATH);
    this.target = target;
  }

  override get name(): string {
    return this.target.name;
  }

  override get status(): FileStatus {
    return this.target.status;
  }

  protected release(): void {
    this.target.put();
  }
}

/** A number that is taken, with nothing behind it yet. */
const RESERVED = Symbol("reserved");

/** A task's fds: lowest free number first. */
export class FdTable {
  readonly limit: number;
  readonly #slots: (File | typeof RESERVED | null)[] = [];
  /** No slot below is free. */
  #lowest: number = 0;
  #open: number = 0;

  /** @param limit - how many fds there may be; more is EMFILE. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Fds that are open. */
  get open(): number {
    return this.#open;
  }

  /** The file behind an fd; null where there is none to use: closed, reserved or O_PATH. */
  get(fd: number): File | null {
    const file = this.getAny(fd);
    return file instanceof PathFile ? null : file;
  }

  /** The file behind an fd, an O_PATH one too. */
  getAny(fd: number): File | null {
    const slot = this.#slots[fd];
    return slot === undefined || slot === RESERVED ? null : slot;
  }

  /** Takes the lowest free number, or -EMFILE. */
  reserve(): number {
    let fd = this.#lowest;
    while (fd < this.#slots.length && this.#slots[fd] !== null) fd++;
    if (fd >= this.limit) return -EMFILE;
    this.#slots[fd] = RESERVED;
    this.#lowest = fd + 1;
    return fd;
  }

  /** Gives a reserved number back. */
  unreserve(fd: number): void {
    this.#slots[fd] = null;
    this.#lowest = Math.min(this.#lowest, fd);
  }

  /** Puts a file behind a reserved number; the table takes the reference over. */
  install(fd: number, file: File): number {
    this.#slots[fd] = file;
    this.#open++;
    return fd;
  }

  /** An fd for a file, or -EMFILE (and then the file is put). */
  add(file: File): number {
    const fd = this.reserve();
    if (fd >= 0) return this.install(fd, file);
    file.put();
    return fd;
  }

  close(fd: number): number {
    const file = this.getAny(fd);
    if (file === null) return -EBADF;
    this.unreserve(fd);
    this.#open--;
    file.put();
    return 0;
  }

  dup(fd: number): number {
    const file = this.getAny(fd);
    return file === null ? -EBADF : this.add(file.get());
  }

  closeAll(): void {
    for (let fd = 0; fd < this.#slots.length; fd++) this.close(fd);
  }

  /** The open fds and their files, in order. */
  *entries(): Generator<readonly [fd: number, file: File]> {
    for (let fd = 0; fd < this.#slots.length; fd++) {
      const file = this.getAny(fd);
      if (file !== null) yield [fd, file];
    }
  }
}
