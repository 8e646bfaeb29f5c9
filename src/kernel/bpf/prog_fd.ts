/**
 * From an fd to a program and back.
 */

import { EBADF, EINVAL } from "../../abi/errno.ts";
import type { Task } from "../task.ts";
import { type Prog, ProgFile } from "./prog.ts";

/**
 * The program behind an fd; the fd's reference serves for the call.
 *
 * @param type - BPF_PROG_TYPE_… that it must have; any when left out.
 * @returns -EBADF when the fd is not open, -EINVAL when it is something else.
 */
export function progFromFd(task: Task, fd: number, type?: number): Prog | number {
  const file = task.files.get(fd);
  // Asked here and not in Task.file(): `instanceof` is quick where the class is known.
  if (!(file instanceof ProgFile)) return file === null ? -EBADF : -EINVAL;
  return type === undefined || file.prog.type === type ? file.prog : -EINVAL;
}

/** A new fd on a program. @param prog - the fd takes the caller's reference over. */
export function newProgFd(task: Task, prog: Prog): number {
  return task.files.add(new ProgFile(prog));
}
