/**
 * Everything that all tasks of one kernel share.
 */

import { AttrStack } from "./attr.ts";
import type { Btf } from "./bpf/btf.ts";
import type { BpfLink } from "./bpf/link.ts";
import type { BpfMap } from "./bpf/map/map.ts";
import { netnsBpfOperations } from "./bpf/net_namespace.ts";
import type { Prog } from "./bpf/prog.ts";
import type { Engine, EngineName, RunOptions } from "./engine.ts";
import { Filesystem } from "./fs.ts";
import { Idr } from "./idr.ts";
import { InterpreterEngine } from "./interpreter.ts";
import { JitEngine } from "./jit/engine.ts";
import { missingFeature } from "./jit/features.ts";
import { LinearMemory } from "./memory.ts";
import { PacketWay } from "./net/packet_way.ts";
import { NetNamespaces } from "./net_namespace.ts";
import { TailCallLedger } from "./tail_call_misses.ts";
import { Task, type TaskOptions } from "./task.ts";
import { type Scheduler, Workqueue } from "./workqueue.ts";

/** Time, as the kernel's clocks show it. */
export interface Clock {
  /** Nanoseconds since boot, never going back. */
  monotonicNs(): bigint;
}

/** What a kernel gets from outside, so that a run can be replayed. */
export interface MachineOptions {
  readonly clock: Clock;
  /** A random u32. */
  readonly random: () => number;
  readonly scheduler: Scheduler;
  readonly possibleCpus: number;
  readonly memoryLimitBytes: number;
  /** Called where, on Linux, another CPU could come in between; the point is named. */
  readonly preempt: (point: string) => void;
  /** Takes a line that a program wrote with bpf_trace_printk. */
  readonly trace: (line: string) => void;
  /** What runs programs; the JIT, where it can be, when nothing else is asked for. */
  readonly engine?: EngineName;
  /** Whether compiled programs check each access; the interpreter always does. */
  readonly hardened?: boolean;
  /** For runs that are given none of their own: see {@link RunOptions.instructionLimit}. */
  readonly instructionLimit?: number | undefined;
  /** Whether tail calls that miss are counted. */
  readonly countTailCallMisses?: boolean;
  /** Whether other threads may run programs in its memory. */
  readonly sharedMemory?: boolean;
  /** Whether tasks without CAP_BPF are kept out; by default for now (2). */
  readonly unprivilegedBpfDisabled?: UnprivilegedBpf;
}

/** kernel.unprivileged_bpf_disabled: 0 open to everybody, 1 closed for good, 2 closed for now. */
export type UnprivilegedBpf = 0 | 1 | 2;

/** The kernel's global state. */
export class Machine {
  readonly options: MachineOptions;
  readonly memory: LinearMemory;
  readonly engine: Engine;
  readonly workqueue: Workqueue;
  readonly namespaces: NetNamespaces;
  readonly packets: PacketWay;
  readonly filesystem: Filesystem;
  readonly progs: Idr<Prog> = new Idr();
  readonly maps: Idr<BpfMap> = new Idr();
  readonly links: Idr<BpfLink> = new Idr();
  readonly btfs: Idr<Btf> = new Idr();
  readonly attrs: AttrStack = new AttrStack();
  readonly mapsByAddress: Map<number, BpfMap> = new Map();
  /** Null where nobody asked for it. */
  readonly tailCallLedger: TailCallLedger | null;
  /** By pid. */
  readonly tasks: Map<number, Task> = new Map();
  #nextPid: number = 1;

  constructor(options: MachineOptions) {
    this.options = options;
    this.memory = new LinearMemory(options.memoryLimitBytes, options.sharedMemory);
    this.tailCallLedger = options.countTailCallMisses === true ? new TailCallLedger(this) : null;
    this.engine = this.#chooseEngine();
    this.workqueue = new Workqueue(options.scheduler);
    this.namespaces = new NetNamespaces(this.workqueue, [netnsBpfOperations]);
    this.packets = new PacketWay(this.engine, this.namespaces);
    this.filesystem = new Filesystem(this);
  }

  #chooseEngine(): Engine {
    const { engine, hardened = false } = this.options;
    if (engine === "interpreter") return new InterpreterEngine(this);
    const missing = missingFeature();
    if (missing === null) return new JitEngine(this, hardened);
    return new InterpreterEngine(this, `this platform's WebAssembly has no ${missing}`);
  }

  spawn(options: TaskOptions): Task {
    const task = new Task(this, this.#nextPid++, options);
    this.tasks.set(task.pid, task);
    return task;
  }
}
