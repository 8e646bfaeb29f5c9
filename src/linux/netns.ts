/**
 * Network namespaces of Linux, named where `ip netns` names its own.
 */

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  unlinkSync,
} from "node:fs";
import { EBADF, EEXIST, EINVAL } from "../abi/errno.ts";
import type { Dissection, Frame, NetNsCalls, NetNsEntry, NetNsReference } from "../kernel.ts";
import { dissect } from "./dissect.ts";
import { attempt, attemptVoid } from "./files.ts";
import * as libc from "./libc.ts";
import { openRoot } from "./root.ts";

/** Where `ip netns` keeps a file a name, each with a namespace mounted on it (man ip-netns). */
const NETNS_DIRECTORY = "/run/netns";
const NETNS_DIRECTORY_MODE = 0o755;
/** The calling thread's own; /proc/self would be the main thread's. */
const OWN_NETNS = "/proc/thread-self/ns/net";

// include/uapi/linux/sched.h, nsfs.h, mount.h
const CLONE_NEWNET = 0x4000_0000;
const NS_GET_NSTYPE = 0xb703;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

const { O_RDONLY, O_CREAT, O_EXCL } = constants;
// Node has no constant for it (include/uapi/asm-generic/fcntl.h).
const O_CLOEXEC = 0o2000000;

/** The network namespaces of the machine, as the calling thread sees them. */
export class LinuxNetNs implements NetNsCalls {
  create(name: string): number {
    if (!isName(name)) return -EINVAL;
    const shared = shareDirectory();
    if (shared < 0) return shared;
    const path = pathOf(name);
    const file = libc.open(path, O_RDONLY | O_CLOEXEC | O_CREAT | O_EXCL);
    if (file < 0) return file;
    libc.close(file);
    // The new namespace has to be some thread's own before it can be mounted anywhere.
    const mounted = comingBack(
      () => libc.unshare(CLONE_NEWNET),
      () => libc.mount(OWN_NETNS, path, "none", MS_BIND),
    );
    if (mounted < 0) attemptVoid(() => unlinkSync(path));
    return mounted;
  }

  remove(name: string): number {
    if (!isName(name)) return -EINVAL;
    // A file that nothing is mounted on is a name too, left by somebody who was killed: EINVAL
    // here, and the file goes. Any other refusal comes back from unlink.
    libc.umount2(pathOf(name), MNT_DETACH);
    return attemptVoid(() => unlinkSync(pathOf(name)));
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

  /** In ascending order of inodes. Namespaces that only open fds or sockets hold are not found. */
  list(): readonly NetNsEntry[] {
    const found = new Map<number, { names: string[]; pids: number[] }>();
    const entryOf = (inode: number): { names: string[]; pids: number[] } => {
      const entry = found.get(inode) ?? { names: [], pids: [] };
      found.set(inode, entry);
      return entry;
    };
    for (const name of namesIn(NETNS_DIRECTORY).sort()) {
      const inode = this.#inodeOfName(name);
      if (inode >= 0) entryOf(inode).names.push(name);
    }
    for (const pid of processes()) {
      const inode = inodeOfProcess(pid);
      if (inode !== null) entryOf(inode).pids.push(pid);
    }
    return [...found]
      .sort(([a], [b]) => a - b)
      .map(([inode, { names, pids }]) => ({ inode, names, pids }));
  }

  enter<T>(fd: number, call: () => T): { readonly value: T } | { readonly errno: number } {
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

  dissect(fd: number, frame: Frame, flags: number): Dissection | number {
    const root = openRoot(this);
    try {
      return dissect(root < 0 ? [fd] : [root, fd], frame, flags);
    } finally {
      if (root >= 0) libc.close(root);
    }
  }

  #inodeOfName(name: string): number {
    const fd = this.open({ name });
    if (fd < 0) return fd;
    const inode = fstatSync(fd).ino;
    closeSync(fd);
    return inode;
  }
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

/** 0 for a network namespace; EINVAL for any other file, EBADF where there is none to ask. */
function checkKind(fd: number): number {
  const kind = libc.ioctl(fd, NS_GET_NSTYPE, 0);
  if (kind === -EBADF) return kind;
  return kind === CLONE_NEWNET ? 0 : -EINVAL;
}

function isName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/");
}

function pathOf(name: string): string {
  return `${NETNS_DIRECTORY}/${name}`;
}

function pathTo(reference: NetNsReference): string | null {
  if (reference === "self") return OWN_NETNS;
  if ("path" in reference) return reference.path;
  if ("pid" in reference) return `/proc/${reference.pid}/ns/net`;
  return isName(reference.name) ? pathOf(reference.name) : null;
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

function namesIn(directory: string): string[] {
  const names = attempt(() => readdirSync(directory));
  return typeof names === "number" ? [] : names;
}

/** Pids of all processes, in ascending order. */
function processes(): number[] {
  return namesIn("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Null when the process is gone, or not ours to look into. */
function inodeOfProcess(pid: number): number | null {
  const target = attempt(() => readlinkSync(`/proc/${pid}/ns/net`));
  const inode = typeof target === "number" ? null : /^net:\[([0-9]+)\]$/.exec(target)?.[1];
  return inode == null ? null : Number(inode);
}
