/**
 * A caller: its fds, its network namespace, its capabilities, its memory.
 */

import { EBADF, EINVAL } from "../abi/errno.ts";
import { FdTable, type File, OtherFile } from "./file.ts";
import type { Machine } from "./machine.ts";
import type { Net } from "./net_namespace.ts";
import type { UserMemory } from "./user_memory.ts";

/** The capabilities that bpf(2) asks about. */
export type Capability =
  | "CAP_BPF"
  | "CAP_NET_ADMIN"
  | "CAP_PERFMON"
  | "CAP_SYS_ADMIN"
  | "CAP_SYS_PTRACE"
  | "CAP_DAC_OVERRIDE";

/** What root has. */
export const ALL_CAPABILITIES: readonly Capability[] = [
  "CAP_BPF",
  "CAP_NET_ADMIN",
  "CAP_PERFMON",
  "CAP_SYS_ADMIN",
  "CAP_SYS_PTRACE",
  "CAP_DAC_OVERRIDE",
];

/** What makes a task. */
export interface TaskOptions {
  /** Its current network namespace; the task takes a reference of its own. */
  readonly netns: Net;
  readonly capabilities: Iterable<Capability>;
  readonly uid: number;
  /** How many fds it may have. */
  readonly openFilesLimit: number;
  /** Its name, as /proc/PID/comm has it. */
  readonly command?: string;
  readonly memory: UserMemory;
}

/** Standard input, output and error are open, as a process finds them. */
const STANDARD_FILES = 3;

/** A task of the embedded kernel. */
export class Task {
  readonly machine: Machine;
  readonly pid: number;
  readonly uid: number;
  readonly command: string;
  readonly files: FdTable;
  readonly memory: UserMemory;
  /** Those that it was given; {@link Task.capable} says what it may. */
  readonly capabilities: ReadonlySet<Capability>;
  #netns: Net;
  #alive: boolean = true;

  constructor(machine: Machine, pid: number, options: TaskOptions) {
    this.machine = machine;
    this.pid = pid;
    this.uid = options.uid;
    this.command = options.command ?? "init";
    this.memory = options.memory;
    this.capabilities = new Set(options.capabilities);
    this.#netns = options.netns.get();
    this.files = new FdTable(options.openFilesLimit);
    for (let i = 0; i < STANDARD_FILES; i++) this.files.add(new OtherFile("/dev/null"));
  }

  /** Its current network namespace. */
  get netns(): Net {
    return this.#netns;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /**
   * The file behind an fd, when it is of the kind asked for.
   *
   * @returns -EBADF for an fd that is closed or O_PATH, -EINVAL for a file of another kind.
   */
  file<F extends File>(fd: number, kind: abstract new (...args: never[]) => F): F | number {
    const file = this.files.get(fd);
    if (file === null) return -EBADF;
    return file instanceof kind ? file : -EINVAL;
  }

  /** setns(2): moves the task, which holds the new namespace from now on instead of the old. */
  setNetns(netns: Net): void {
    const left = this.#netns;
    this.#netns = netns.get();
    left.put();
  }

  /** Whether it may, CAP_SYS_ADMIN standing in for the narrower ones as in Linux. */
  capable(capability: Capability): boolean {
    return this.capabilities.has(capability) || this.capabilities.has("CAP_SYS_ADMIN");
  }

  /** Whether it may make programs and maps at all: the sysctl kernel.unprivileged_bpf_disabled. */
  get mayMakeBpf(): boolean {
    return this.capable("CAP_BPF") || this.machine.options.unprivilegedBpfDisabled === 0;
  }

  /** Whether file permissions bind it. */
  get overridesPermissions(): boolean {
    return this.capabilities.has("CAP_DAC_OVERRIDE");
  }

  /**
   * Whether it may see what another task holds, in /proc/PID/fd: ptrace_may_access() in Linux, and
   * the permissions of that directory.
   */
  mayLookInto(other: Task): boolean {
    if (other === this || this.capabilities.has("CAP_SYS_PTRACE")) {
      return other.uid === this.uid || this.overridesPermissions;
    }
    if (other.uid !== this.uid) return false;
    for (const capability of other.capabilities) {
      if (!this.capabilities.has(capability)) return false;
    }
    return true;
  }

  /** Ends it: every fd is closed, the namespace let go. */
  exit(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.files.closeAll();
    this.#netns.put();
    this.machine.tasks.delete(this.pid);
  }
}
