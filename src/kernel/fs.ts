/**
 * As much of a file system as BPF touches: /sys/fs/bpf, /run/netns, /proc/PID/ns, /dev/null.
 */

import {
  EACCES,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EPERM,
  EROFS,
} from "../abi/errno.ts";
import { encodeName, isFileName } from "../abi/names.ts";
import type { FileStatus } from "../kernel.ts";
import { File, O_ACCMODE, O_DIRECTORY, O_PATH, O_RDONLY, OtherFile, PathFile } from "./file.ts";
import type { Machine } from "./machine.ts";
import { type Net, NetnsFile } from "./net_namespace.ts";
import type { Task } from "./task.ts";

/** Longest path and longest name in it, in bytes. */
export const PATH_MAX = 4096;
const NAME_MAX = 255;
/** Where the BPF file system is. */
export const BPFFS_MOUNT = "/sys/fs/bpf";

/** Permission bits, as in the last digit of a mode. */
export const MAY_READ = 4;
export const MAY_WRITE = 2;
const MAY_SEARCH = 1;

/** What a name in a directory leads to. */
export abstract class Node {
  readonly uid: number;
  readonly mode: number;

  protected constructor(uid: number, mode: number) {
    this.uid = uid;
    this.mode = mode;
  }

  /** open(2) of it: a file, or a negative errno. */
  abstract open(task: Task, flags: number): File | number;

  /** What an O_PATH fd holds. */
  abstract openPath(task: Task): File | number;

  /** Called when its name goes. */
  unlinked(_task: Task): void {}

  /** Whether the task may: 0 or -EACCES. */
  permission(task: Task, mask: number): number {
    if (task.overridesPermissions) return 0;
    const bits = task.uid === this.uid ? this.mode >> 6 : this.mode;
    return (bits & mask) === mask ? 0 : -EACCES;
  }
}

/** An fd on a directory, good for paths that start from it. */
export class DirectoryFile extends File {
  readonly directory: Directory;

  constructor(directory: Directory) {
    super("", O_RDONLY | O_DIRECTORY);
    this.directory = directory;
  }

  override get name(): string {
    return this.directory.path;
  }

  override get status(): FileStatus {
    const { kind, uid, mode } = this.directory;
    const fileSystem = kind === "bpffs" ? "bpf" : "other";
    return { type: "directory", fileSystem, uid, mode };
  }

  protected release(): void {}
}

/** The directory that an fd is open on, an O_PATH one too; EBADF, ENOTDIR. */
export function directoryBehind(task: Task, fd: number): Directory | number {
  const any = task.files.getAny(fd);
  const file = any instanceof PathFile ? any.target : any;
  if (file === null) return -EBADF;
  return file instanceof DirectoryFile ? file.directory : -ENOTDIR;
}

/** What Linux puts behind the path of a file that has none any more. */
const DELETED = " (deleted)";

/** What kind of file system a directory belongs to. */
type DirectoryKind = "bpffs" | "other";

export class Directory extends Node {
  readonly kind: DirectoryKind;
  readonly parent: Directory | null;
  readonly entries: Map<string, Node> = new Map();
  readonly #name: string;
  #isRemoved: boolean = false;

  constructor(
    parent: Directory | null,
    kind: DirectoryKind,
    uid: number,
    mode: number,
    name: string = "",
  ) {
    super(uid, mode);
    this.parent = parent;
    this.kind = kind;
    this.#name = name;
  }

  /** Where it is, or was before it was removed. */
  get path(): string {
    return this.parent === null ? "/" : this.parent.pathOf(this.#name, this);
  }

  /** Where a node is that was put here under a name, or where it was. */
  pathOf(name: string, node: Node): string {
    const path = this.parent === null ? `/${name}` : `${this.path}/${name}`;
    return this.entries.get(name) === node ? path : `${path}${DELETED}`;
  }

  /** Whether rmdir(2) has taken it away; who has an fd on it still has it. */
  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  override unlinked(): void {
    this.#isRemoved = true;
  }

  /** The node under a name, or a negative errno. */
  lookup(_task: Task, name: string): Node | number {
    const found = this.entries.get(name);
    if (found !== undefined) return found;
    // Names with a dot are kept for bpffs itself, even to look up.
    return this.kind === "bpffs" && name.includes(".") ? -EPERM : -ENOENT;
  }

  open(task: Task, flags: number): File | number {
    if ((flags & O_ACCMODE) !== O_RDONLY) return -EISDIR;
    const refused = this.permission(task, MAY_READ);
    return refused === 0 ? new DirectoryFile(this) : refused;
  }

  openPath(): File {
    return new DirectoryFile(this);
  }

  /** A directory below, made if need be. */
  below(name: string, kind: DirectoryKind = "other", mode: number = 0o755): Directory {
    const directory = new Directory(this, kind, 0, mode, name);
    this.entries.set(name, directory);
    return directory;
  }
}

/** /proc: its directories follow the tasks. */
class ProcDirectory extends Directory {
  override lookup(task: Task, name: string): Node | number {
    const pid = name === "self" || name === "thread-self" ? task.pid : Number(name);
    const found = task.machine.tasks.get(pid);
    return found === undefined ? -ENOENT : taskDirectory(this, found);
  }
}

function taskDirectory(proc: Directory, task: Task): Directory {
  const directory = new TaskDirectory(proc, task);
  const ns = directory.below("ns");
  ns.entries.set("net", new NetnsNode(task.netns));
  for (const other of ["mnt", "uts", "ipc", "pid", "user", "cgroup", "time"]) {
    ns.entries.set(other, new OtherNode(`${other}:[1]`));
  }
  return directory;
}

/** /proc/PID: its namespaces, and its fds when somebody asks for them. */
class TaskDirectory extends Directory {
  readonly #task: Task;

  constructor(proc: Directory, task: Task) {
    super(proc, "other", task.uid, 0o555);
    this.#task = task;
  }

  override lookup(task: Task, name: string): Node | number {
    if (name !== "fd") return super.lookup(task, name);
    const directory = new Directory(this, "other", this.#task.uid, 0o500);
    for (const [fd, file] of this.#task.files.entries()) {
      directory.entries.set(`${fd}`, new FdNode(file));
    }
    return directory;
  }
}

/** /proc/PID/fd/N: a way to a namespace that has no other; the other files have no second open. */
class FdNode extends Node {
  readonly #file: File;

  constructor(file: File) {
    super(0, 0o600);
    this.#file = file instanceof PathFile ? file.target : file;
  }

  open(): File | number {
    const file = this.#file;
    return file instanceof NetnsFile ? new NetnsFile(file.net, () => file.name) : -ENXIO;
  }

  openPath(): File {
    return this.#file.get();
  }
}

/** A file that is of no interest here but for not being a BPF object. */
class OtherNode extends Node {
  readonly #name: string;

  constructor(name: string) {
    super(0, 0o666);
    this.#name = name;
  }

  open(): File {
    return new OtherFile(this.#name);
  }

  openPath(): File {
    return new OtherFile(this.#name);
  }
}

/** A network namespace's file in /proc. */
class NetnsNode extends Node {
  readonly net: Net;

  constructor(net: Net) {
    super(0, 0o444);
    this.net = net;
  }

  open(): File {
    return new NetnsFile(this.net);
  }

  openPath(): File {
    return this.open();
  }
}

/** A name under /run/netns: a bind mount, which holds the namespace. */
class NamedNetns extends NetnsNode {
  #path: string;

  constructor(net: Net, name: string) {
    super(net.get());
    this.#path = `/run/netns/${name}`;
  }

  override open(): File {
    return new NetnsFile(this.net, () => this.#path);
  }

  /** An fd outlives its mount, and then nobody can say where it was. */
  override unlinked(): void {
    this.#path = "/";
    this.net.put();
  }
}

/** Where a path's last name is, and what stands there. */
interface Place {
  readonly directory: Directory;
  /** "/", "." or ".." when the path ends in a directory itself. */
  readonly name: string;
  readonly node: Node | number;
}

/** What ends a path that names no entry of a directory, and why that can't be removed. */
const NO_ENTRY: ReadonlyMap<string, number> = new Map([
  ["/", -EBUSY],
  [".", -EINVAL],
  ["..", -ENOTEMPTY],
]);

/** The tree of names of a kernel. */
export class Filesystem {
  readonly root: Directory = new Directory(null, "other", 0, 0o755);
  readonly #netns: Directory;
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#netns = this.root.below("run").below("netns");
    this.root.below("var").entries.set("run", this.root.entries.get("run") as Directory);
    this.root.below("tmp", "other", 0o777);
    this.root.below("dev").entries.set("null", new OtherNode("/dev/null"));
    this.root.entries.set("proc", new ProcDirectory(this.root, "other", 0, 0o555));
    this.root.below("sys").below("fs").below("bpf", "bpffs", 0o1777);
  }

  /** Names under /run/netns and what they hold. */
  *namedNetns(): Generator<readonly [name: string, net: Net]> {
    for (const [name, node] of this.#netns.entries) {
      if (node instanceof NamedNetns) yield [name, node.net];
    }
  }

  /** What `ip netns add` does. */
  createNetns(task: Task, name: string): number {
    if (!isFileName(name)) return -EINVAL;
    if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
    if (this.#netns.entries.has(name)) return -EEXIST;
    const refused = this.#netns.permission(task, MAY_WRITE);
    if (refused !== 0) return refused;
    const net = this.#machine.namespaces.create();
    this.#netns.entries.set(name, new NamedNetns(net, name));
    net.put();
    return 0;
  }

  /** What `ip netns del` does. */
  removeNetns(task: Task, name: string): number {
    if (!isFileName(name)) return -EINVAL;
    const node = this.#netns.entries.get(name);
    if (node === undefined) return -ENOENT;
    const refused = this.#netns.permission(task, MAY_WRITE);
    if (refused !== 0) return refused;
    // The name is a mount, which takes that capability to undo.
    if (!task.capable("CAP_SYS_ADMIN")) return -EBUSY;
    this.#netns.entries.delete(name);
    node.unlinked(task);
    return 0;
  }

  /** open(2): an fd or a negative errno. */
  open(task: Task, path: string, flags: number, from: Directory = this.root): number {
    const node = this.find(task, path, from);
    if (typeof node === "number") return node;
    if ((flags & O_DIRECTORY) !== 0 && !(node instanceof Directory)) return -ENOTDIR;
    const file = (flags & O_PATH) === 0 ? node.open(task, flags) : node.openPath(task);
    if (typeof file === "number") return file;
    const opened = (flags & O_PATH) === 0 ? file : new PathFile(file);
    return task.files.add(opened.openedWith(flags));
  }

  mkdir(task: Task, path: string, mode: number = 0o700, from: Directory = this.root): number {
    const place = this.vacancy(task, path, true, from);
    if (typeof place === "number") return place;
    if (place.directory.kind !== "bpffs") return -EROFS;
    const refused = place.directory.permission(task, MAY_WRITE);
    if (refused !== 0) return refused;
    const made = new Directory(place.directory, "bpffs", task.uid, mode, place.name);
    place.directory.entries.set(place.name, made);
    return 0;
  }

  rmdir(task: Task, path: string, from: Directory = this.root): number {
    const place = this.#locate(task, path, from);
    if (typeof place === "number") return place;
    const refused = NO_ENTRY.get(place.name);
    if (refused !== undefined) return refused;
    if (typeof place.node === "number") return place.node;
    if (!(place.node instanceof Directory)) return -ENOTDIR;
    if (isMountPoint(place.directory, place.node)) return -EBUSY;
    if (place.node.entries.size > 0) return -ENOTEMPTY;
    return this.#remove(task, place, place.node);
  }

  unlink(task: Task, path: string, from: Directory = this.root): number {
    const place = this.#locate(task, path, from);
    if (typeof place === "number") return place;
    if (typeof place.node === "number") return place.node;
    if (place.node instanceof Directory) return -EISDIR;
    if (path.endsWith("/")) return -ENOTDIR;
    return this.#remove(task, place, place.node);
  }

  /** Names in a directory, sorted; or a negative errno. */
  readdir(task: Task, path: string): readonly string[] | number {
    const node = this.find(task, path);
    if (typeof node === "number") return node;
    return node instanceof Directory ? this.list(task, node) : -ENOTDIR;
  }

  /** Names in a directory, sorted; or a negative errno. */
  list(task: Task, directory: Directory): readonly string[] | number {
    const refused = directory.permission(task, MAY_READ);
    return refused === 0 ? [...directory.entries.keys()].sort() : refused;
  }

  /** Paths of all files below a directory that the task may read, sorted; or a negative errno. */
  walk(task: Task, path: string): readonly string[] | number {
    const node = this.find(task, path);
    if (typeof node === "number") return node;
    if (!(node instanceof Directory)) return -ENOTDIR;
    const refused = node.permission(task, MAY_READ | MAY_SEARCH);
    if (refused !== 0) return refused;
    return [...filesBelow(task, node, path.replace(/\/+$/, ""))].sort();
  }

  /** What a path leads to, or a negative errno. */
  find(task: Task, path: string, from: Directory = this.root): Node | number {
    const place = this.#locate(task, path, from);
    if (typeof place === "number") return place;
    const { node } = place;
    const isWrong = path.endsWith("/") && typeof node !== "number" && !(node instanceof Directory);
    return isWrong ? -ENOTDIR : node;
  }

  /** Where a new name may be put: the name must not exist, the directory must. */
  vacancy(
    task: Task,
    path: string,
    isDirectory: boolean,
    from: Directory = this.root,
  ): Place | number {
    const place = this.#locate(task, path, from);
    if (typeof place === "number") return place;
    if (typeof place.node !== "number") return -EEXIST;
    // Nothing can be put into a directory that is gone.
    if (place.directory.isRemoved) return -ENOENT;
    if (place.node !== -ENOENT) return place.node;
    return path.endsWith("/") && !isDirectory ? -ENOENT : place;
  }

  #remove(task: Task, { directory, name }: Place, node: Node): number {
    if (directory.kind !== "bpffs") return -EROFS;
    const refused = directory.permission(task, MAY_WRITE);
    if (refused !== 0) return refused;
    const sticky = (directory.mode & 0o1000) !== 0;
    if (sticky && !task.overridesPermissions && ![node.uid, directory.uid].includes(task.uid)) {
      return -EPERM;
    }
    directory.entries.delete(name);
    node.unlinked(task);
    return 0;
  }

  /** Walks a path to its last name; whether that must be a directory is the caller's to know. */
  #locate(task: Task, path: string, from: Directory = this.root): Place | number {
    if (path === "") return -ENOENT;
    // No system call can be given such a path: it would end there.
    if (path.includes("\0")) return -EINVAL;
    if (byteLength(path) >= PATH_MAX) return -ENAMETOOLONG;
    const names = path.split("/").filter((name) => name !== "");
    let place: Place = startingAt(path.startsWith("/") ? this.root : from, "/");
    for (const name of names) {
      const { node } = place;
      if (typeof node === "number") return node;
      if (!(node instanceof Directory)) return -ENOTDIR;
      if (byteLength(name) > NAME_MAX) return -ENAMETOOLONG;
      const refused = node.permission(task, MAY_SEARCH);
      if (refused !== 0) return refused;
      if (name === ".") place = startingAt(node, name);
      else if (name === "..") place = startingAt(node.parent ?? node, name);
      else place = { directory: node, name, node: node.lookup(task, name) };
    }
    return place;
  }
}

function* filesBelow(task: Task, directory: Directory, path: string): Generator<string> {
  for (const [name, node] of directory.entries) {
    if (!(node instanceof Directory)) yield `${path}/${name}`;
    else if (node.permission(task, MAY_READ | MAY_SEARCH) === 0) {
      yield* filesBelow(task, node, `${path}/${name}`);
    }
  }
}

function isMountPoint(parent: Directory, directory: Directory): boolean {
  return directory.kind === "bpffs" && parent.kind !== "bpffs";
}

function startingAt(directory: Directory, name: string): Place {
  return { directory, name, node: directory };
}

/** A character has a byte at least. */
function byteLength(name: string): number {
  return name.length > NAME_MAX / MAX_BYTES_OF_UNIT ? encodeName(name).length : name.length;
}

/** Bytes of UTF-8 that a unit of UTF-16 may have. */
const MAX_BYTES_OF_UNIT = 3;
