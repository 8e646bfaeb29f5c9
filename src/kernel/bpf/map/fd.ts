/**
 * From an fd to a map and back.
 */

import { BPF_F_RDONLY, BPF_F_WRONLY } from "../../../abi/bpf.ts";
import { O_CLOEXEC, O_RDONLY, O_RDWR, O_WRONLY } from "../../file.ts";
import type { Task } from "../../task.ts";
import { type BpfMap, MapFile } from "./map.ts";

/**
 * The open file behind a map's fd.
 *
 * @returns -EBADF when the fd is not open, -EINVAL when it is something else.
 */
export function mapFileFromFd(task: Task, fd: number): MapFile | number {
  return task.file(fd, MapFile);
}

/** The map behind an fd, whose reference serves for the call; errnos as {@link mapFileFromFd}. */
export function mapFromFd(task: Task, fd: number): BpfMap | number {
  const file = mapFileFromFd(task, fd);
  return typeof file === "number" ? file : file.map;
}

/**
 * A new fd on a map, or -EMFILE.
 *
 * @param map - the fd takes the caller's reference over.
 * @param flags - BPF_F_RDONLY or BPF_F_WRONLY narrow what it may be used for; others are ignored.
 */
export function newMapFd(task: Task, map: BpfMap, flags: number): number {
  let mode = O_RDWR;
  if ((flags & BPF_F_RDONLY) !== 0) mode = O_RDONLY;
  else if ((flags & BPF_F_WRONLY) !== 0) mode = O_WRONLY;
  return task.files.add(new MapFile(map, mode | O_CLOEXEC));
}
