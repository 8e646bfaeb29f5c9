/**
 * BPF tokens, which lend capabilities to whoever holds one. The embedded kernel makes none
 * (BPF_TOKEN_CREATE is not there), so no fd is one.
 */

import { EBADF, EINVAL } from "../../abi/errno.ts";
import type { Task } from "../task.ts";

/** The call names a token. */
export const BPF_F_TOKEN_FD: number = 1 << 16;

/**
 * Checks a call's flags and its token.
 *
 * @param known - the flags that the call knows beside BPF_F_TOKEN_FD.
 * @returns 0 when no token is named; -EINVAL for an unknown flag or a file that is no token, -EBADF
 *   for a closed fd.
 */
export function checkToken(task: Task, flags: number, known: number, tokenFd: number): number {
  if ((flags & ~(known | BPF_F_TOKEN_FD)) !== 0) return -EINVAL;
  if ((flags & BPF_F_TOKEN_FD) === 0) return 0;
  return task.files.get(tokenFd) === null ? -EBADF : -EINVAL;
}
