/**
 * A task's calls about paths, and about names in directories that it has open.
 */

import { EBADF } from "../abi/errno.ts";
import type { BpffsCalls, DirectoryCalls } from "../kernel.ts";
import { O_PATH } from "./file.ts";
import { BPFFS_MOUNT, type Directory, directoryBehind } from "./fs.ts";
import type { Task } from "./task.ts";

/** {@link BpffsCalls} of a task. */
export function bpffsCalls(task: Task): BpffsCalls {
  const { filesystem } = task.machine;
  return {
    mkdir: (path) => filesystem.mkdir(task, path),
    rmdir: (path) => filesystem.rmdir(task, path),
    unlink: (path) => filesystem.unlink(task, path),
    readdir: (path) => filesystem.readdir(task, path),
    mounts: () => [BPFFS_MOUNT],
    walk: (path) => filesystem.walk(task, path),
  };
}

/** {@link DirectoryCalls} of a task. There are no symbolic links here that could be followed. */
export function directoryCalls(task: Task): DirectoryCalls {
  const { filesystem } = task.machine;

  function within<T>(fd: number, call: (directory: Directory) => T): T | number {
    const directory = directoryBehind(task, fd);
    return typeof directory === "number" ? directory : call(directory);
  }

  return {
    find: (fd, name) => within(fd, (from) => filesystem.open(task, name, O_PATH, from)),
    status: (fd) => task.files.getAny(fd)?.status ?? -EBADF,
    list: (fd) => within(fd, (directory) => filesystem.list(task, directory)),
    mkdir: (fd, name, mode) => within(fd, (from) => filesystem.mkdir(task, name, mode, from)),
    rmdir: (fd, name) => within(fd, (from) => filesystem.rmdir(task, name, from)),
    unlink: (fd, name) => within(fd, (from) => filesystem.unlink(task, name, from)),
  };
}
