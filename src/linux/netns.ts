/**
 * Network namespaces of Linux, named where `ip netns` names its own.
 */

import { constants, fstatSync, mkdirSync, statSync } from "node:fs";
import { EBADF, EEXIST, EINVAL, ENOENT, EOPNOTSUPP } from "../abi/errno.ts";
import { isFileName } from "../abi/names.ts";
import type {
  Dissection,
  Frame,
  NetNsCalls,
  NetNsEntry,
  NetNsIdentity,
  NetNsReference,
  OpenObject,
} from "../kernel.ts";
import { linuxDirectories, O_CLOEXEC, O_PATH } from "./directories.ts";
import { dissect, frameOf } from "./dissect.ts";
import { attempt, attemptVoid } from "./files.ts";
import * as libc from "./libc.ts";
import { handleOf, openHandle } from "./netns_handle.ts";
import { namesIn, netnsOf, openObjects, processes } from "./processes.ts";
import { openRoot, rootIsInSight } from "./root.ts";

/** Where `ip netns` keeps a file a name, each with a namespace mounted on it (man ip-netns). */
const NETNS_DIRECTORY = "/run/netns";
const NETNS_DIRECTORY_MODE = 0o755;
/** The calling thread's own; /proc/self would be the main thread's. */
const OWN_NETNS = "/proc/thread-self/ns/net";

// include/uapi/linux/sched.h, nsfs.h, mount.h
const CLONE_NEWNET = 0x4000_0000;
const NS_GET_NSTYPE = 0xb703;
const NS_GET_ID = 0x8008_b70d;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

// include/uapi/asm-generic/socket.h, include/linux/socket.h, net.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

const { O_RDONLY, O_CREAT, O_EXCL, O_DIRECTORY } = constants;

/** The network namespaces of the machine, as the calling thread sees them. */
export class LinuxNetNs implements NetNsCalls {
  create(name: string): number {
    if (!isFileName(name)) return -EINVAL;
    const shared = shareDirectory();
    if (shared < 0) return shared;
    return inDirectory((directory) => {
      const file = libc.openat(directory, name, O_RDONLY | O_CLOEXEC | O_CREAT | O_EXCL);
      if (file < 0) return file;
      // The new namespace has to be some thread's own before it can be mounted anywhere.
      const mounted = comingBack(
        () => libc.unshare(CLONE_NEWNET),
        () => libc.mount(OWN_NETNS, pathOfFd(file), "none", MS_BIND),
      );
      libc.close(file);
      if (mounted < 0) removeEmptyFile(directory, name);
      return mounted;
    });
  }

  remove(name: string): number {
    if (!isFileName(name)) return -EINVAL;
    return inDirectory((directory) => {
      const unmounted = unmountNetns(directory, name);
      return unmounted < 0 ? unmounted : removeEmptyFile(directory, name);
    });
  }

  open(reference: NetNsReference): number {
    const path = pathTo(reference);
    if (path === null) return -EINVAL;
    const fd = libc.open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fd;
    const kind = checkKind(fd);
    if (kind < 0) libc.close(fd);
    return kind < 0 ? kind : fd;
  }

  inode(fd: number): number {
    const kind = checkKind(fd);
    return kind < 0 ? kind : attempt(() => fstatSync(fd).ino);
  }

  identify(fd: number): NetNsIdentity | number {
    const inode = this.inode(fd);
    if (inode < 0) return inode;
    return { inode, cookie: cookieById(fd) ?? cookieBySocket(fd), handle: handleOf(fd) };
  }

  reopen({ inode, cookie, handle }: NetNsIdentity): number {
    if (handle !== null) return openHandle(handle);
    // Without one, somebody who can be seen must have it. Its inode number may be another's now.
    const entry = this.list().find((each) => each.inode === inode);
    const isSame = cookie !== null && entry?.cookie === cookie;
    if (entry === undefined || !isSame) return -EOPNOTSUPP;
    const paths = [
      ...entry.names.map(pathOf),
      ...entry.pids.map((pid) => `/proc/${pid}/ns/net`),
      ...entry.fds.map(({ pid, fd }) => `/proc/${pid}/fd/${fd}`),
    ];
    for (const path of paths.slice(0, MAX_WAYS)) {
      const fd = this.open({ path });
      if (fd < 0) continue;
      const found = cookieById(fd) ?? cookieBySocket(fd);
      if (found === cookie) return fd;
      libc.close(fd);
    }
    return -EOPNOTSUPP;
  }

  /** In ascending order of inodes. */
  list(open: readonly OpenObject[] = openObjects(isNetnsAt)): readonly NetNsEntry[] {
    const found = new Map<number, Found>();
    const entryOf = (inode: number, path: string): Found => {
      const entry = found.get(inode) ?? { names: [], pids: [], fds: [], paths: [] };
      entry.paths.push(path);
      found.set(inode, entry);
      return entry;
    };
    for (const name of [...namesIn(NETNS_DIRECTORY)].sort()) {
      const inode = this.#inodeOf({ name });
      if (inode >= 0) entryOf(inode, pathOf(name)).names.push(name);
    }
    for (const pid of processes()) {
      const inode = netnsOf(pid);
      if (inode !== null) entryOf(inode, `/proc/${pid}/ns/net`).pids.push(pid);
    }
    for (const each of open) {
      if (each.kind === "netns") entryOf(each.id, `/proc/${each.pid}/fd/${each.fd}`).fds.push(each);
    }
    const root = rootIsInSight() ? this.#inodeOfRoot() : -ENOENT;
    return [...found]
      .sort(([a], [b]) => a - b)
      .map(([inode, { paths, ...holders }]) => {
        return { inode, cookie: this.#cookieOf(inode, paths), isRoot: inode === root, ...holders };
      });
  }

  enter<T>(fd: number, call: () => T): { readonly value: T } | { readonly errno: number } {
    // Entering takes CAP_SYS_ADMIN, and being inside doesn't.
    if (isOwn(fd)) return { value: call() };
    let value: { readonly value: T } | undefined;
    const errno = comingBack(
      () => libc.setns(fd, CLONE_NEWNET),
      () => {
        value = { value: call() };
        return 0;
      },
    );
    return value ?? { errno };
  }

  dissect(
    fd: number,
    packet: Uint8Array | Frame,
    flags: number,
    keysBytes?: Uint8Array,
  ): Dissection | number {
    const frame = frameOf(packet);
    if (frame === null) return -EINVAL;
    const root = openRoot(this);
    try {
      return dissect(root < 0 ? [fd] : [root, fd], frame, flags, keysBytes);
    } finally {
      if (root >= 0) libc.close(root);
    }
  }

  #inodeOf(reference: NetNsReference): number {
    const fd = this.open(reference);
    if (fd < 0) return fd;
    const inode = this.inode(fd);
    libc.close(fd);
    return inode;
  }

  #inodeOfRoot(): number {
    const fd = openRoot(this);
    if (fd < 0) return fd;
    const inode = this.inode(fd);
    libc.close(fd);
    return inode;
  }

  /** By the first path that still leads there; null when none does, or the kernel can't say. */
  #cookieOf(inode: number, paths: readonly string[]): bigint | null {
    for (const path of paths.slice(0, MAX_WAYS)) {
      const fd = this.open({ path });
      if (fd < 0) continue;
      try {
        if (this.inode(fd) === inode) return cookieById(fd) ?? cookieBySocket(fd);
      } finally {
        libc.close(fd);
      }
    }
    return null;
  }
}

/** A namespace found, and the paths that led there. */
interface Found {
  readonly names: string[];
  readonly pids: number[];
  readonly fds: OpenObject[];
  readonly paths: string[];
}

/** How many ways to a namespace are tried, should it be about to go. */
const MAX_WAYS = 8;

/** Whether a path leads to a network namespace. */
export function isNetnsAt(path: string): boolean {
  const fd = libc.open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const kind = checkKind(fd);
  libc.close(fd);
  return kind === 0;
}

/** The number by which Linux tells namespaces apart since 6.18: for this kind it is the cookie. */
export function cookieById(fd: number): bigint | null {
  const id = new BigUint64Array(1);
  const address = Number(libc.addressOf(new Uint8Array(id.buffer)));
  return libc.ioctl(fd, NS_GET_ID, address) < 0 ? null : (id[0] ?? null);
}

/** The netns cookie of a socket made inside, which is how it is had since Linux 5.14. */
export function cookieBySocket(fd: number): bigint | null {
  const cookie = new BigUint64Array(1);
  const length = Uint32Array.of(cookie.byteLength);
  const addresses = [cookie, length].map(({ buffer }) =>
    Number(libc.addressOf(new Uint8Array(buffer))),
  );
  const got = comingBack(
    () => libc.setns(fd, CLONE_NEWNET),
    () => {
      const socket = libc.socket(AF_UNIX, SOCK_DGRAM | O_CLOEXEC);
      if (socket < 0) return socket;
      const [value = 0, size = 0] = addresses;
      const got = libc.getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, value, size);
      libc.close(socket);
      return got;
    },
  );
  return got < 0 || length[0] !== cookie.byteLength ? null : (cookie[0] ?? null);
}

/**
 * Leaves the thread's network namespace, does something, and comes back, whatever happens. When
 * the way back is barred the process ends: going on in the wrong namespace would let a program
 * loose on somebody else's packets.
 *
 * @param leave - returns a negative errno when the thread stayed where it was.
 */
function comingBack(leave: () => number, call: () => number): number {
  const home = libc.open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
  if (home < 0) return home;
  try {
    const left = leave();
    if (left < 0) return left;
    try {
      return call();
    } finally {
      if (libc.setns(home, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    libc.close(home);
  }
}

/** Whether the namespace behind an fd is the calling thread's. */
function isOwn(fd: number): boolean {
  // An O_PATH fd names the namespace, too, but does not let anybody enter it.
  if (checkKind(fd) !== 0) return false;
  const [there, here] = [attempt(() => fstatSync(fd)), attempt(() => statSync(OWN_NETNS))];
  if (typeof there === "number" || typeof here === "number") return false;
  return there.ino === here.ino && there.dev === here.dev;
}

/** 0 for a network namespace; EINVAL for any other file, EBADF where there is none to ask. */
function checkKind(fd: number): number {
  const kind = libc.ioctl(fd, NS_GET_NSTYPE, 0);
  if (kind === -EBADF) return kind;
  return kind === CLONE_NEWNET ? 0 : -EINVAL;
}

/** Does something in /run/netns, whose path is looked up once. */
function inDirectory(call: (directory: number) => number): number {
  const directory = libc.open(NETNS_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return directory;
  try {
    return call(directory);
  } finally {
    libc.close(directory);
  }
}

/**
 * Takes a network namespace's mount from its name.
 *
 * @returns 0 also when a file is there that somebody left who was killed before he mounted
 *   anything; EINVAL for whatever else is there.
 */
function unmountNetns(directory: number, name: string): number {
  const found = linuxDirectories.find(directory, name);
  if (found < 0) return found;
  try {
    const status = linuxDirectories.status(found);
    if (typeof status === "number") return status;
    if (status.fileSystem !== "nsfs") return isPlaceholder(found) ? 0 : -EINVAL;
    if (!isNetnsAt(pathOfFd(found))) return -EINVAL;
    return libc.umount2(pathOfFd(found), MNT_DETACH);
  } finally {
    libc.close(found);
  }
}

/** Removes the file that a namespace was mounted on; one with something in it is somebody's. */
function removeEmptyFile(directory: number, name: string): number {
  const found = linuxDirectories.find(directory, name);
  if (found < 0) return found;
  const isEmpty = isPlaceholder(found);
  libc.close(found);
  return isEmpty ? libc.unlinkat(directory, name, 0) : 0;
}

/** An empty file: `ip netns` and this make such to mount on. */
function isPlaceholder(fd: number): boolean {
  const stats = attempt(() => fstatSync(fd));
  if (typeof stats === "number") return false;
  return stats.isFile() && stats.size === 0;
}

function pathOfFd(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

function pathOf(name: string): string {
  return `${NETNS_DIRECTORY}/${name}`;
}

function pathTo(reference: NetNsReference): string | null {
  if (reference === "self") return OWN_NETNS;
  if ("path" in reference) return reference.path;
  if ("pid" in reference) return `/proc/${reference.pid}/ns/net`;
  return isFileName(reference.name) ? pathOf(reference.name) : null;
}

/**
 * Makes /run/netns a shared mount, as `ip netns add` does, so that what is mounted there is seen
 * in other mount namespaces, and taken away there too.
 */
function shareDirectory(): number {
  const made = attemptVoid(() => mkdirSync(NETNS_DIRECTORY, { mode: NETNS_DIRECTORY_MODE }));
  if (made < 0 && made !== -EEXIST) return made;
  const share = (): number => libc.mount("", NETNS_DIRECTORY, "none", MS_SHARED | MS_REC);
  const shared = share();
  if (shared !== -EINVAL) return shared;
  // A directory that nothing is mounted on can't be shared; one that is mounted on itself can.
  const bound = libc.mount(NETNS_DIRECTORY, NETNS_DIRECTORY, "none", MS_BIND | MS_REC);
  return bound < 0 ? bound : share();
}
