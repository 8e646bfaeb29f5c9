/**
 * Real Linux behind the seam: the calling thread is the task.
 */

import { readFileSync } from "node:fs";
import type { BpffsCalls, DirectoryCalls, Kernel, NetNsCalls, OpenObject } from "../kernel.ts";
import { linuxBpffs } from "./bpffs.ts";
import { linuxDirectories, O_CLOEXEC } from "./directories.ts";
import { attempt, readLink, readText } from "./files.ts";
import * as libc from "./libc.ts";
import { isNetnsAt, LinuxNetNs } from "./netns.ts";
import { openObjects, unseenProcesses } from "./processes.ts";
import { BpfSyscall } from "./system_calls.ts";

// include/uapi/linux/fcntl.h
const F_DUPFD_CLOEXEC = 1030;

/**
 * The kernel of this machine.
 *
 * All fds are close-on-exec, those from `dup` and `open` too: a child that inherits one without
 * knowing would keep a link alive. What was opened stays open when this is disposed of, since the
 * fds are the process's, not this object's.
 */
export class LinuxKernel implements Kernel {
  readonly name = "linux";
  readonly possibleCpus: number = countCpus(
    readFileSync("/sys/devices/system/cpu/possible", "latin1"),
  );
  readonly netns: NetNsCalls = new LinuxNetNs();
  readonly bpffs: BpffsCalls = linuxBpffs;
  readonly directories: DirectoryCalls = linuxDirectories;
  readonly #syscall: BpfSyscall = new BpfSyscall();

  bpf(cmd: number, attr: Uint8Array | null, size?: number): number {
    return this.#syscall.call(cmd, attr, size);
  }

  addressOf(buffer: Uint8Array): bigint {
    return this.#syscall.addressOf(buffer);
  }

  open(path: string, flags: number = 0): number {
    return libc.open(path, flags | O_CLOEXEC);
  }

  close(fd: number): number {
    return libc.close(fd);
  }

  dup(fd: number): number {
    return libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  }

  fdinfo(fd: number): string {
    const text = attempt(() => readFileSync(`/proc/thread-self/fdinfo/${fd}`, "latin1"));
    return typeof text === "number" ? "" : text;
  }

  fdname(fd: number): string {
    const target = readLink(`/proc/thread-self/fd/${fd}`);
    return typeof target === "number" ? "" : target;
  }

  readText(path: string): string | number {
    return readText(path);
  }

  openObjects(): readonly OpenObject[] {
    return openObjects(isNetnsAt);
  }

  unseenProcesses(): number {
    return unseenProcesses();
  }

  [Symbol.dispose](): void {}
}

/** CPUs in a list such as "0-3,8\n". */
function countCpus(list: string): number {
  let count = 0;
  for (const range of list.trim().split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    count += last - first + 1;
  }
  return count;
}
