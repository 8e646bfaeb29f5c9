/**
 * Calls about names in directories that are open: openat(2) and the like.
 */

import { constants, fstatSync, type Stats } from "node:fs";
import type { DirectoryCalls, FileStatus } from "../kernel.ts";
import { attempt, readNames } from "./files.ts";
import * as libc from "./libc.ts";

const { O_NOFOLLOW } = constants;
// include/uapi/asm-generic/fcntl.h, include/uapi/linux/fcntl.h
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
const AT_REMOVEDIR = 0x200;
/** Permission bits, set-user-id, set-group-id, sticky. */
const MODE_BITS = 0o7777;

/** f_type, the first word of `struct statfs` (include/uapi/linux/magic.h). */
const FILE_SYSTEMS: ReadonlyMap<number, FileStatus["fileSystem"]> = new Map([
  [0xcafe4a11, "bpf"],
  [0x6e736673, "nsfs"],
]);
/** More than a `struct statfs` on 64 bits. */
const statfs: Uint32Array = new Uint32Array(64);
const statfsAddress: number = Number(libc.addressOf(new Uint8Array(statfs.buffer)));

export const linuxDirectories: DirectoryCalls = {
  find(directory, name) {
    return libc.openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  },
  status(fd) {
    const stats = attempt(() => fstatSync(fd));
    if (typeof stats === "number") return stats;
    const result = libc.fstatfs(fd, statfsAddress);
    if (result < 0) return result;
    const fileSystem = FILE_SYSTEMS.get(statfs[0] ?? 0) ?? "other";
    return { type: typeOf(stats), fileSystem, uid: stats.uid, mode: stats.mode & MODE_BITS };
  },
  list: (directory) => readNames(`/proc/self/fd/${directory}`),
  mkdir: (directory, name, mode) => libc.mkdirat(directory, name, mode),
  rmdir: (directory, name) => libc.unlinkat(directory, name, AT_REMOVEDIR),
  unlink: (directory, name) => libc.unlinkat(directory, name, 0),
};

function typeOf(stats: Stats): FileStatus["type"] {
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symbolic link";
  if (stats.isCharacterDevice()) return "character device";
  if (stats.isBlockDevice()) return "block device";
  if (stats.isFIFO()) return "FIFO";
  return stats.isSocket() ? "socket" : "regular file";
}
