/**
 * Keys and values on their way between a caller's memory and the kernel's.
 */

import { EFAULT, ENOMEM } from "../../../abi/errno.ts";
import type { Task } from "../../task.ts";

/**
 * Lends out room in linear memory for the time of a call.
 *
 * @param use - gets the room's address.
 * @returns what `use` returned; -ENOMEM when there is no room.
 */
export function withScratch(
  task: Task,
  sizeBytes: number,
  use: (address: number) => number,
): number {
  const { memory } = task.machine;
  const address = memory.alloc(sizeBytes);
  if (address === 0) return -ENOMEM;
  try {
    return use(address);
  } finally {
    memory.free(address);
  }
}

/** Copies from the caller to linear memory. 0, or -EFAULT. */
export function copyFromUser(task: Task, to: number, from: bigint, size: number): number {
  const bytes = task.memory.read(from, size);
  if (bytes === null) return -EFAULT;
  task.machine.memory.bytes.set(bytes, to);
  return 0;
}

/** Copies from linear memory to the caller. 0, or -EFAULT. */
export function copyToUser(task: Task, to: bigint, from: number, size: number): number {
  const { bytes } = task.machine.memory;
  return task.memory.write(to, bytes.subarray(from, from + size)) ? 0 : -EFAULT;
}
