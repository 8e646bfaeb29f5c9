/**
 * Pins: names in the BPF file system that hold an object. Mirrors kernel/bpf/inode.c in Linux.
 */

import { OBJ } from "../../abi/attr.ts";
import { BPF_F_PATH_FD, BPF_F_RDONLY, BPF_F_WRONLY } from "../../abi/bpf.ts";
import { EACCES, EINVAL, EIO, ENOENT, EPERM } from "../../abi/errno.ts";
import { decodeName } from "../../abi/names.ts";
import type { FileStatus } from "../../kernel.ts";
import type { Attr } from "../attr.ts";
import { File, O_PATH } from "../file.ts";
import { type Directory, directoryBehind, MAY_READ, MAY_WRITE, Node, PATH_MAX } from "../fs.ts";
import type { Task } from "../task.ts";
import { readCString } from "../user_memory.ts";
import { BpfLink, LinkFile, newLinkFd, putLinkDeferred } from "./link.ts";
import { newMapFd } from "./map/fd.ts";
import { BpfMap, MapFile } from "./map/map.ts";
import { type Prog, ProgFile } from "./prog.ts";
import { newProgFd } from "./prog_fd.ts";

/** What can be pinned. */
type Pinnable = Prog | BpfMap | BpfLink;

/** Pins are the owner's to read and write. */
const PIN_MODE = 0o600;

/** A pinned object; the name holds it, and so does each O_PATH fd. */
class Pin extends Node {
  readonly object: Pinnable;
  readonly #directory: Directory;
  readonly #name: string;
  #references: number = 1;

  /** @param object - the pin takes the caller's reference over. */
  constructor(object: Pinnable, uid: number, directory: Directory, name: string) {
    super(uid, PIN_MODE);
    this.object = object;
    this.#directory = directory;
    this.#name = name;
  }

  get path(): string {
    return this.#directory.pathOf(this.#name, this);
  }

  /** Objects are had by BPF_OBJ_GET. */
  open(): number {
    return -EIO;
  }

  openPath(task: Task): File {
    this.#references++;
    return new PinFile(task, this);
  }

  override unlinked(task: Task): void {
    this.put(task);
  }

  /** The object is let go after a grace period, and there nobody may sleep. */
  put(task: Task): void {
    this.#references--;
    if (this.#references > 0) return;
    const { object } = this;
    // biome-ignore lint/correctness/useYield: a piece of work may have no more than one step
    task.machine.workqueue.queue("bpf_free_inode", function* () {
      putObject(task, object);
    });
  }
}

class PinFile extends File {
  readonly #task: Task;
  readonly #pin: Pin;

  constructor(task: Task, pin: Pin) {
    super("", O_PATH);
    this.#task = task;
    this.#pin = pin;
  }

  override get name(): string {
    return this.#pin.path;
  }

  override get status(): FileStatus {
    const { uid, mode } = this.#pin;
    return { type: "regular file", fileSystem: "bpf", uid, mode };
  }

  protected release(): void {
    this.#pin.put(this.#task);
  }
}

/** BPF_OBJ_PIN */
export function objPin(task: Task, attr: Attr): number {
  const flags = attr.u32(OBJ.file_flags);
  if ((flags & ~BPF_F_PATH_FD) !== 0 || !namesDirectoryRightly(attr)) return -EINVAL;
  const object = objectFromFd(task, attr.u32(OBJ.bpf_fd));
  if (object === null) return -EINVAL;

  const path = pathOf(task, attr);
  if (typeof path === "number") return path;
  const place = task.machine.filesystem.vacancy(task, path.path, false, path.from);
  if (typeof place === "number") return place;
  const { directory } = place;
  if (directory.kind !== "bpffs") return -EPERM;
  const refused = directory.permission(task, MAY_WRITE);
  if (refused !== 0) return refused;
  getObject(object);
  const pin = new Pin(object, task.uid, directory, place.name);
  directory.entries.set(place.name, pin);
  return 0;
}

/** BPF_OBJ_GET */
export function objGet(task: Task, attr: Attr): number {
  const flags = attr.u32(OBJ.file_flags);
  const known = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_PATH_FD;
  if (attr.u32(OBJ.bpf_fd) !== 0 || (flags & ~known) !== 0) return -EINVAL;
  if (!namesDirectoryRightly(attr)) return -EINVAL;
  const mode = flags & (BPF_F_RDONLY | BPF_F_WRONLY);
  if (mode === (BPF_F_RDONLY | BPF_F_WRONLY)) return -EINVAL;

  const path = pathOf(task, attr);
  if (typeof path === "number") return path;
  const node = task.machine.filesystem.find(task, path.path, path.from);
  if (typeof node === "number") return node;
  const refused = node.permission(task, accessMask(mode));
  if (refused !== 0) return refused;
  if (!(node instanceof Pin)) return -EACCES;
  const { object } = node;
  if (object instanceof BpfLink) return mode === 0 ? newLinkFd(task, object.get()) : -EINVAL;
  if (object instanceof BpfMap) return newMapFd(task, object.get(), mode);
  return newProgFd(task, object.get());
}

/** A directory fd may be given only with the flag that says so. */
function namesDirectoryRightly(attr: Attr): boolean {
  return (attr.u32(OBJ.file_flags) & BPF_F_PATH_FD) !== 0 || attr.s32(OBJ.path_fd) === 0;
}

function accessMask(mode: number): number {
  if (mode === BPF_F_RDONLY) return MAY_READ;
  return mode === BPF_F_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE;
}

/** The path in the attr, and the directory it starts from. */
function pathOf(
  task: Task,
  attr: Attr,
): { readonly path: string; readonly from: Directory } | number {
  const bytes = readCString(task.memory, attr.u64(OBJ.pathname), PATH_MAX);
  if (typeof bytes === "number") return bytes;
  // A path of nothing is refused before anybody looks where it starts.
  if (bytes.length === 0) return -ENOENT;
  const path = decodeName(bytes);
  const { root } = task.machine.filesystem;
  if ((attr.u32(OBJ.file_flags) & BPF_F_PATH_FD) === 0 || path.startsWith("/")) {
    return { path, from: root };
  }
  const fd = attr.s32(OBJ.path_fd);
  if (fd === AT_FDCWD) return { path, from: root };
  const from = directoryBehind(task, fd);
  return typeof from === "number" ? from : { path, from };
}

/** "The current directory", where a directory's fd is expected. */
const AT_FDCWD = -100;

/** Analogous to bpf_fd_probe_obj() in Linux. */
function objectFromFd(task: Task, fd: number): Pinnable | null {
  const file = task.files.get(fd);
  if (file instanceof ProgFile) return file.prog;
  if (file instanceof MapFile) return file.map;
  return file instanceof LinkFile ? file.link : null;
}

/** Analogous to bpf_any_get() in Linux. */
function getObject(object: Pinnable): void {
  if (object instanceof BpfMap) object.getUser();
  else object.get();
}

/** Analogous to bpf_any_put() in Linux. */
function putObject(task: Task, object: Pinnable): void {
  if (object instanceof BpfLink) putLinkDeferred(task, object);
  else if (object instanceof BpfMap) object.putUser();
  else object.put();
}
