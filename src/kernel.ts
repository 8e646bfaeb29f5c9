/**
 * The seam: what a kernel answers, whichever kernel it is. Everything above is written once.
 */

import type { FlowKeys } from "./abi/flow_keys.ts";

/** What became of a packet in a network namespace. It is whoever asked for it's to keep. */
export interface Dissection {
  /** Who dissected: an attached program, or Linux's own dissector (nothing attached, CONTINUE). */
  readonly by: "bpf" | "linux";
  /** `ok`: BPF_OK; `continue`: handed to Linux's own dissector; `drop`: any other return value. */
  readonly verdict: "ok" | "drop" | "continue";
  /** What the program returned, a u32; null when none ran, or none to its end. */
  readonly retval: number | null;
  /** Flow keys; null when no program filled them in, or when Linux's own dissector has them. */
  readonly keys: FlowKeys | null;
  /** Id of the program that ran; null when none did. */
  readonly programId: number | null;
}

/** A packet as it reaches a network stack. */
export interface Frame {
  /** The bytes that the program may read, `data` to `data_end`. */
  readonly data: Uint8Array;
  /** Where the network header begins in `data`, in bytes: 14 after an Ethernet header. */
  readonly networkOffset: number;
  /** EtherType of the network header, host order. */
  readonly protocol: number;
}

/** How to name a network namespace. */
export type NetNsReference =
  | "self"
  | { readonly name: string }
  | { readonly path: string }
  | { readonly pid: number };

/** An fd of a process on a BPF object or on a network namespace. */
export interface OpenObject {
  readonly pid: number;
  /** The process's name, /proc/PID/comm. */
  readonly command: string;
  readonly fd: number;
  readonly kind: "link" | "program" | "map" | "netns";
  /** Id of the BPF object; inode number of the namespace. */
  readonly id: number;
}

/** A network namespace that can be found, once however many ways lead to it. */
export interface NetNsEntry {
  /** Inode number, as links report it in `netns_ino`. Numbers are used again. */
  readonly inode: number;
  /**
   * Its netns cookie (NS_GET_ID, SO_NETNS_COOKIE): never used again while the kernel runs. Null
   * where the kernel is older than Linux 5.14, or doesn't let us near.
   */
  readonly cookie: bigint | null;
  /** Whether it is the root namespace; in a container, where that is out of sight, none is. */
  readonly isRoot: boolean;
  /** Names under /run/netns. */
  readonly names: readonly string[];
  /** Processes whose network namespace it is, in ascending order. */
  readonly pids: readonly number[];
  /** Fds that hold it open, O_PATH ones too. */
  readonly fds: readonly OpenObject[];
}

/**
 * What tells a network namespace from all others, past and to come. It is data: it doesn't keep the
 * namespace alive.
 */
export interface NetNsIdentity {
  /** As in {@link NetNsEntry}. */
  readonly inode: number;
  readonly cookie: bigint | null;
  /** Linux's file handle of it (name_to_handle_at, Linux 6.18); null where there is none. */
  readonly handle: Uint8Array | null;
}

/** Calls about network namespaces. All return 0 or more, or a negative errno. */
export interface NetNsCalls {
  /** Creates a namespace and names it, as `ip netns add` does: EEXIST when the name is taken. */
  create(name: string): number;
  /**
   * Takes a name away, as `ip netns del` does: ENOENT when there is none. EINVAL for what is no
   * network namespace, which stays; an empty file, as `ip netns add` leaves it when it is killed,
   * goes.
   */
  remove(name: string): number;
  /**
   * Opens a namespace and returns an fd: EINVAL for a name that is no file name and for a path that
   * leads to something else, ENOENT when there is nothing.
   */
  open(reference: NetNsReference): number;
  /** The inode number of the namespace behind an fd. */
  inode(fd: number): number;
  /** Who the namespace behind an fd is, or a negative errno. */
  identify(fd: number): NetNsIdentity | number;
  /**
   * Opens a namespace that lives, by its identity: an fd. ENOENT when it is dead; EOPNOTSUPP when
   * it isn't found, and this kernel can't tell, or not this task, whether something that can't be
   * seen keeps it alive.
   */
  reopen(identity: NetNsIdentity): number;
  /**
   * Every namespace that has a name, a process or an fd. One that only sockets, threads or mounts
   * elsewhere hold is not found.
   *
   * @param open - what {@link Kernel.openObjects} found, for a caller who has looked already.
   */
  list(open?: readonly OpenObject[]): readonly NetNsEntry[];
  /**
   * Runs a synchronous function inside a namespace and comes back, whatever happens. Into another
   * one than the task's own it takes CAP_SYS_ADMIN.
   *
   * @returns what `call` returned, or a negative errno in `errno` when the way in was refused.
   */
  enter<T>(fd: number, call: () => T): { readonly value: T } | { readonly errno: number };
  /**
   * What a packet arriving in the namespace behind `fd` meets: the root namespace's program, else
   * its own, else Linux's dissector.
   *
   * @param packet - with its Ethernet header, 14 bytes at least; or a frame that says where its
   *   network header is.
   * @param flags - input flags for the dissector, BPF_FLOW_DISSECTOR_F_….
   * @param keysBytes - takes the keys, if there are any: 56 bytes of `struct bpf_flow_keys`.
   * @returns the outcome, or a negative errno.
   */
  dissect(
    fd: number,
    packet: Uint8Array | Frame,
    flags: number,
    keysBytes?: Uint8Array | undefined,
  ): Dissection | number;
}

/** Calls about the BPF file system. All return 0 or a negative errno. */
export interface BpffsCalls {
  /** Makes a directory that is its owner's alone (mode 0700). */
  mkdir(path: string): number;
  rmdir(path: string): number;
  unlink(path: string): number;
  /** Names in a directory, sorted; or a negative errno. */
  readdir(path: string): readonly string[] | number;
  /** Where BPF file systems are mounted, each once, as far as this task can see. */
  mounts(): readonly string[];
  /**
   * Paths of all files below a directory, sorted; or a negative errno. Directories that the task
   * may not read are passed over.
   */
  walk(path: string): readonly string[] | number;
}

/** What a file is, and where. */
export interface FileStatus {
  readonly type:
    | "regular file"
    | "directory"
    | "symbolic link"
    | "character device"
    | "block device"
    | "FIFO"
    | "socket";
  /** `bpf`: a BPF file system. `nsfs`: a namespace. */
  readonly fileSystem: "bpf" | "nsfs" | "other";
  /** Its owner. */
  readonly uid: number;
  /** Permission bits, with set-user-id, set-group-id and sticky. */
  readonly mode: number;
}

/**
 * Calls about names in a directory that is open, so that a path is looked up once, and what was
 * checked is what is changed. For a directory an O_PATH fd will do. All return 0 or more, or a
 * negative errno.
 */
export interface DirectoryCalls {
  /**
   * openat(2) with O_PATH and O_NOFOLLOW: an fd that holds what bears the name, and be it a
   * symbolic link.
   */
  find(directory: number, name: string): number;
  /** What an fd is open on, O_PATH ones too (fstat(2), fstatfs(2)). */
  status(fd: number): FileStatus | number;
  /** Names in the directory, sorted. */
  list(directory: number): readonly string[] | number;
  /** mkdirat(2). @param mode - permission bits, and 0o1000 for sticky. */
  mkdir(directory: number, name: string, mode: number): number;
  rmdir(directory: number, name: string): number;
  unlink(directory: number, name: string): number;
}

/** A kernel, as one task sees it: the system calls this project is written against. */
export interface Kernel extends Disposable {
  readonly name: "linux" | "embedded";
  /** CPUs that per-CPU maps hold a value for. */
  readonly possibleCpus: number;
  /**
   * bpf(2). The result, or a negative errno. Output fields of `attr` are written in place.
   *
   * @param attr - `union bpf_attr`, or null for the address 0.
   * @param size - what the call says its size is; by default, and at most, the length of `attr`.
   */
  bpf(cmd: number, attr: Uint8Array | null, size?: number): number;
  /**
   * The address by which a pointer field of `attr` reaches `buffer`. A buffer has the same address
   * each time. The kernel keeps the buffer alive, and reaches it there, until the next
   * {@link Kernel.bpf} of this object has returned, and no longer: for another call, ask again. A
   * call that is made in the middle of another one (by a hook) has buffers of its own.
   */
  addressOf(buffer: Uint8Array): bigint;
  /** open(2), with the flags of Linux (O_PATH, O_DIRECTORY, …): an fd, or a negative errno. */
  open(path: string, flags?: number): number;
  close(fd: number): number;
  dup(fd: number): number;
  /** /proc/self/fdinfo/FD, or "" when the fd is not open. */
  fdinfo(fd: number): string;
  /** What /proc/self/fd/FD points to, or "" when the fd is not open. */
  fdname(fd: number): string;
  /**
   * The text of a file of /proc or /sys, as the calling thread reads it, or a negative errno. The
   * embedded kernel has those about capabilities, limits and BPF's sysctls.
   */
  readText(path: string): string | number;
  /**
   * What processes hold open of BPF and of network namespaces (/proc/PID/fd, /proc/PID/fdinfo), by
   * pid and fd. Processes that this task may not look into are left out, and so is what no fd
   * shows: fds on their way through a socket, O_PATH fds on pins.
   */
  openObjects(): readonly OpenObject[];
  /** How many processes this task may not look into; {@link Kernel.openObjects} leaves them out. */
  unseenProcesses(): number;
  readonly netns: NetNsCalls;
  readonly bpffs: BpffsCalls;
  readonly directories: DirectoryCalls;
}
