/**
 * The embedded kernel behind the seam: one object a task, all on one machine.
 */

import { EBADF } from "../abi/errno.ts";
import type { BpffsCalls, DirectoryCalls, Kernel, NetNsCalls, OpenObject } from "../kernel.ts";
import { progFromFd } from "./bpf/prog_fd.ts";
import type { EngineName, ProgramEngine } from "./engine.ts";
import { faultLog } from "./interpreter/fault_log.ts";
import { listProgram, type ProgramListing } from "./jit/listing.ts";
import { compileOptionsOf } from "./jit/program.ts";
import type { Spread } from "./jit/spread.ts";
import { type Clock, Machine, type UnprivilegedBpf } from "./machine.ts";
import { DEFAULT_MEMORY_LIMIT } from "./memory.ts";
import { dissectBatch } from "./net/dissect_batch.ts";
import { PacketBatch } from "./net/packet_batch.ts";
import { type Net, NetnsFile } from "./net_namespace.ts";
import { EmbeddedNetNs } from "./netns_calls.ts";
import { openObjects, unseenProcesses } from "./open_objects.ts";
import { bpffsCalls, directoryCalls } from "./path_calls.ts";
import { readProcText } from "./proc.ts";
import { bpf } from "./syscall.ts";
import type { TailCallMissReport } from "./tail_call_misses.ts";
import { ALL_CAPABILITIES, type Capability, type Task } from "./task.ts";
import { BufferMemory, type Mapping, type UserMemory } from "./user_memory.ts";
import { microtaskScheduler, type Scheduler } from "./workqueue.ts";

/** Linux's ceiling for RLIMIT_NOFILE (fs.nr_open). */
const DEFAULT_OPEN_FILES = 1 << 20;

/** What a kernel is booted with; everything has a default. */
export interface BootOptions {
  /** Time; by default the platform's monotonic clock. */
  readonly clock?: Clock;
  /** A random u32; by default the platform's generator. */
  readonly random?: () => number;
  /** When deferred work runs; by default soon after the call. */
  readonly scheduler?: Scheduler;
  /** CPUs that per-CPU maps have values for; by default 1. */
  readonly possibleCpus?: number;
  /** How much memory programs and maps may take, in bytes; by default 1 GiB. */
  readonly memoryLimitBytes?: number;
  /** How many fds a task may have; by default 1,048,576. */
  readonly openFilesLimit?: number;
  /** Called where on Linux another CPU could come in between; for tests. */
  readonly preempt?: (point: string) => void;
  /** Takes the lines that programs write with bpf_trace_printk. */
  readonly trace?: (line: string) => void;
  /**
   * What runs programs: the JIT, which translates them to WebAssembly and trusts that they were
   * verified, or the interpreter, which checks every step. By default the JIT; where the platform's
   * WebAssembly lacks what it needs, the interpreter stands in, and
   * {@link EmbeddedKernel.describeProgram} says why.
   */
  readonly engine?: EngineName;
  /** Makes compiled programs check each access to memory as well; by default they don't. */
  readonly hardened?: boolean;
  /**
   * How many instructions a run may take before it is stopped as a fault, those of tail-called
   * programs, functions and callbacks included. With a limit compiled code counts as well, which
   * costs up to 0.9 of most runs' time, and more for loops of few instructions (`bench engine`).
   * Without one the interpreter stops a run after 2^36 instructions, a hardened kernel after
   * 2^32 - 1 rounds of loops, and other compiled code doesn't count. Linux has no such limit, and
   * its rules let programs in that run for years: two nested bpf_loop are 2^46 rounds.
   */
  readonly instructionLimit?: number;
  /**
   * Counts tail calls that miss, for {@link EmbeddedKernel.takeTailCallMisses}. Those that succeed
   * cost no more for it. By default nothing is counted.
   */
  readonly countTailCallMisses?: boolean;
  /**
   * Puts the kernel into memory that other threads can be given, with atomic instructions that are
   * so among threads: see {@link EmbeddedKernel.spread}. By default its memory is its own.
   */
  readonly sharedMemory?: boolean;
  /**
   * The sysctl kernel.unprivileged_bpf_disabled. With 0, tasks without CAP_BPF may load socket
   * filters and make maps of the plain kinds, within the limits that Linux has for them; with 1 and
   * 2, neither. By default 2, as on Linux.
   */
  readonly unprivilegedBpfDisabled?: UnprivilegedBpf;
}

/** What {@link EmbeddedKernel.describeProgram} tells of a program. */
export interface ProgramDescription extends ProgramEngine {
  /** Runs that were stopped since it did what a verifier should have refused. */
  readonly faults: number;
  /** What the last of them did, in words; null when there was none. */
  readonly lastFault: string | null;
}

/** What stopped a run. */
export interface FaultDescription {
  /** Id of the program that did it: maybe one that was tail-called. */
  readonly programId: number;
  /** Of its instruction; -1 where that isn't known. */
  readonly slot: number;
  readonly reason: string;
}

/** What another task of the same kernel is given; by default what this task has. */
export interface SpawnOptions {
  /** An fd of this task on the new task's network namespace. */
  readonly netns?: number;
  readonly capabilities?: Iterable<Capability>;
  readonly uid?: number;
  readonly openFilesLimit?: number;
  /** Its name, as /proc/PID/comm has it; the first task's is "init". */
  readonly command?: string;
  /** The memory its addresses lie in; by default that of this process's buffers. */
  readonly memory?: UserMemory;
}

/**
 * A kernel in this process: Linux's behaviour without Linux and without root.
 *
 * An object of this class is one task's view; {@link EmbeddedKernel.boot} gives the first task,
 * which is root in the initial network namespace, and {@link EmbeddedKernel.task} gives others.
 *
 * ```ts
 * import { EmbeddedKernel } from "nslink/embedded";
 *
 * using kernel = EmbeddedKernel.boot();
 * kernel.netns.create("blue");
 * const fd = kernel.netns.open({ name: "blue" });
 * console.log(kernel.netns.inode(fd));
 * ```
 */
export class EmbeddedKernel implements Kernel {
  readonly name = "embedded" as const;
  readonly netns: NetNsCalls;
  readonly bpffs: BpffsCalls;
  readonly directories: DirectoryCalls;
  readonly #task: Task;
  readonly #buffers: BufferMemory;
  /** Buffers whose addresses were given out for the next call. */
  #mapped: Mapping[] = [];

  private constructor(task: Task, buffers: BufferMemory) {
    this.#task = task;
    this.#buffers = buffers;
    this.netns = new EmbeddedNetNs(task);
    this.bpffs = bpffsCalls(task);
    this.directories = directoryCalls(task);
  }

  /**
   * Starts a kernel and returns its first task.
   *
   * @throws {RangeError} for a limit that can't be one.
   */
  static boot(options: BootOptions = {}): EmbeddedKernel {
    const { instructionLimit: limit } = options;
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
      throw new RangeError(`instructionLimit must be a whole number from 1 on, not ${limit}`);
    }
    const machine = new Machine({
      clock: options.clock ?? platformClock(),
      random: options.random ?? platformRandom,
      scheduler: options.scheduler ?? microtaskScheduler,
      possibleCpus: options.possibleCpus ?? 1,
      memoryLimitBytes: options.memoryLimitBytes ?? DEFAULT_MEMORY_LIMIT,
      preempt: options.preempt ?? (() => {}),
      trace: options.trace ?? (() => {}),
      engine: options.engine ?? "jit",
      hardened: options.hardened ?? false,
      instructionLimit: options.instructionLimit,
      countTailCallMisses: options.countTailCallMisses ?? false,
      sharedMemory: options.sharedMemory ?? false,
      unprivilegedBpfDisabled: options.unprivilegedBpfDisabled ?? 2,
    });
    const buffers = new BufferMemory();
    const task = machine.spawn({
      netns: machine.namespaces.init,
      capabilities: ALL_CAPABILITIES,
      uid: 0,
      openFilesLimit: options.openFilesLimit ?? DEFAULT_OPEN_FILES,
      command: "init",
      memory: buffers,
    });
    return new EmbeddedKernel(task, buffers);
  }

  get possibleCpus(): number {
    return this.#task.machine.options.possibleCpus;
  }

  /** The task's number. */
  get pid(): number {
    return this.#task.pid;
  }

  /**
   * Starts another task of this kernel: its own fds, its own namespace and capabilities.
   *
   * @throws {RangeError} when `netns` is not an fd on a network namespace.
   */
  task(options: SpawnOptions = {}): EmbeddedKernel {
    const parent = this.#task;
    const task = parent.machine.spawn({
      netns: options.netns === undefined ? parent.netns : this.#net(options.netns),
      capabilities: options.capabilities ?? ALL_CAPABILITIES,
      uid: options.uid ?? parent.uid,
      openFilesLimit: options.openFilesLimit ?? parent.files.limit,
      command: options.command ?? parent.command,
      memory: options.memory ?? this.#buffers,
    });
    return new EmbeddedKernel(task, this.#buffers);
  }

  /**
   * Gives another task an fd on the same file, as a message over a Unix socket does.
   *
   * @returns the fd over there, or a negative errno.
   */
  passFd(fd: number, to: EmbeddedKernel): number {
    const file = this.#task.files.getAny(fd);
    return file === null ? -EBADF : to.#task.files.add(file.get());
  }

  /**
   * What runs a program here, what it was compiled to or why it wasn't, and how often it was
   * stopped.
   *
   * @param fd - on the program. @returns or a negative errno.
   */
  describeProgram(fd: number): ProgramDescription | number {
    const prog = progFromFd(this.#task, fd);
    if (typeof prog === "number") return prog;
    const { count, last } = prog.faults;
    const { engine } = this.#task.machine;
    return { ...engine.describe(prog), faults: count, lastFault: last?.message ?? null };
  }

  /** What stopped a run last, of any program; null when none was stopped. */
  get lastFault(): FaultDescription | null {
    const { last } = faultLog(this.#task.machine);
    if (last === null) return null;
    const { progId: programId, slot, reason } = last;
    return { programId, slot, reason };
  }

  /**
   * Tail calls that missed since this was last asked, by map and slot; none unless the kernel was
   * booted with `countTailCallMisses`.
   */
  takeTailCallMisses(): TailCallMissReport {
    return this.#task.machine.tailCallLedger?.take() ?? { slots: [], others: 0 };
  }

  /**
   * The code that the JIT makes of a program, whichever engine runs it here.
   *
   * @param fd - on the program. @returns or a negative errno.
   */
  listProgram(fd: number): ProgramListing | number {
    const prog = progFromFd(this.#task, fd);
    if (typeof prog === "number") return prog;
    return listProgram(prog, compileOptionsOf(this.#task.machine.options));
  }

  /**
   * Room for packets that are to be dissected together.
   *
   * @param packets - how many. @param bytes - of all of them.
   * @throws {RangeError} when the kernel's memory has no room for them.
   */
  packetBatch(packets: number, bytes: number): PacketBatch {
    const batch = PacketBatch.create(this.#task.machine, packets, bytes);
    if (batch !== null) return batch;
    throw new RangeError(`no memory for ${packets} packets of ${bytes} bytes in all`);
  }

  /**
   * What the packets of a batch meet on arrival in a namespace, one after the other: the same as
   * `netns.dissect` of each, in one go. What came of them stands in the batch.
   *
   * @param fd - on the namespace.
   * @returns 0 or a negative errno.
   */
  dissectBatch(fd: number, batch: PacketBatch): number {
    const file = this.#task.file(fd, NetnsFile);
    return typeof file === "number" ? file : dissectBatch(this.#task.machine, file.net, batch);
  }

  /**
   * Lets other threads dissect packets as well, on this kernel's memory and with its maps: each is
   * given {@link Spread.image} and makes a {@link DissectorReplica} of it, which dissects batches
   * that this thread has filled. Each is a CPU of its own; helpers that are JavaScript are called
   * here, by {@link Spread.call}, and what stopped a program is noted here, by {@link Spread.note}.
   *
   * The programs are those of now: an update of the link, or of a prog array, counts for the next
   * spread only.
   *
   * @param fd - on the namespace whose packets they are. @param threads - `possibleCpus` at most.
   * @returns or a negative errno, or why it can't be: the kernel was booted without
   *   `sharedMemory`, or a program is not compiled.
   */
  spread(fd: number, threads: number): Spread | string | number {
    const file = this.#task.file(fd, NetnsFile);
    if (typeof file === "number") return file;
    const { machine } = this.#task;
    const { possibleCpus } = machine.options;
    if (threads > possibleCpus) {
      return `the kernel has ${possibleCpus === 1 ? "one CPU" : `${possibleCpus} CPUs`}`;
    }
    return machine.engine.spread(machine.packets.attached(file.net), threads);
  }

  bpf(cmd: number, attr: Uint8Array | null, size: number = attr?.length ?? 0): number {
    if (attr !== null && size > attr.length) {
      throw new RangeError(`size is ${size}, but attr has only ${attr.length} bytes`);
    }
    // They are this call's alone: one that is made in its middle has others.
    const mapped = this.#mapped;
    if (mapped.length > 0) this.#mapped = [];
    try {
      return bpf(this.#task, cmd, attr, size);
    } finally {
      for (const mapping of mapped) this.#buffers.unmap(mapping);
    }
  }

  addressOf(buffer: Uint8Array): bigint {
    const mapping = this.#buffers.map(buffer.buffer);
    this.#mapped.push(mapping);
    return BigInt(mapping.base + buffer.byteOffset);
  }

  open(path: string, flags: number = 0): number {
    return this.#task.machine.filesystem.open(this.#task, path, flags);
  }

  close(fd: number): number {
    return this.#task.files.close(fd);
  }

  dup(fd: number): number {
    return this.#task.files.dup(fd);
  }

  fdinfo(fd: number): string {
    const file = this.#task.files.getAny(fd);
    if (file === null) return "";
    return `pos:\t0\nflags:\t0${file.flags.toString(8)}\nmnt_id:\t1\nino:\t1\n${file.fdinfo()}`;
  }

  fdname(fd: number): string {
    return this.#task.files.getAny(fd)?.name ?? "";
  }

  readText(path: string): string | number {
    return readProcText(this.#task, path);
  }

  openObjects(): readonly OpenObject[] {
    return openObjects(this.#task);
  }

  unseenProcesses(): number {
    return unseenProcesses(this.#task);
  }

  /** Ends the task: its fds are closed, and what nobody else holds goes. */
  [Symbol.dispose](): void {
    this.#task.exit();
  }

  #net(fd: number): Net {
    const file = this.#task.file(fd, NetnsFile);
    if (typeof file !== "number") return file.net;
    throw new RangeError(`netns: fd ${fd} is not open on a network namespace`);
  }
}

function platformClock(): Clock {
  const start = performance.now();
  return { monotonicNs: () => BigInt(Math.round((performance.now() - start) * 1e6)) };
}

function platformRandom(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
