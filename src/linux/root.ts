/**
 * The root network namespace, whose flow dissector comes before everybody's own.
 */

import { readFileSync } from "node:fs";
import type { NetNsCalls } from "../kernel.ts";
import { attempt } from "./files.ts";

/** Parent of all kernel threads, which never leave the root namespace. */
const KTHREADD = 2;
const INIT = 1;
/** Where /proc/PID/stat has a task's flags, counted from behind its name; PF_KTHREAD in them. */
const STAT_FLAGS = 6;
const PF_KTHREAD = 0x0020_0000;

/** Whether what {@link openRoot} opens is the root namespace for sure: not in a container. */
export function rootIsInSight(): boolean {
  return isKernelThread(KTHREADD);
}

/**
 * Opens the root network namespace.
 *
 * A kernel thread is the surest way to it: pid 1 may have more rights than we do and then hides
 * its namespace (EACCES), and in a container pid 1 is the container's. There the namespace that
 * this finds is the container's too, since no other is in sight.
 *
 * @returns an fd, or a negative errno.
 */
export function openRoot(netns: NetNsCalls): number {
  const fd = rootIsInSight() ? netns.open({ pid: KTHREADD }) : -1;
  return fd >= 0 ? fd : netns.open({ pid: INIT });
}

function isKernelThread(pid: number): boolean {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return typeof stat !== "number" && isKernelThreadStat(stat);
}

/** @param stat - what /proc/PID/stat says of a task. */
export function isKernelThreadStat(stat: string): boolean {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[STAT_FLAGS]) & PF_KTHREAD) !== 0;
}
