/**
 * A machine, programs and maps for tests of what runs programs: without PROG_LOAD, which would
 * refuse some of the programs that these tests are about.
 */
import { test } from "vitest";
import { BPF_PROG_TYPE_SOCKET_FILTER } from "../../../src/abi/bpf.ts";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../../../src/abi/insn.ts";
import {
  assemble,
  decodeInstructions,
  type Instruction,
  isLoadImm64,
} from "../../../src/asm/index.ts";
import { ArrayMap, arrayBlockSize } from "../../../src/kernel/bpf/map/array.ts";
import { HashMap, hashBlockSize } from "../../../src/kernel/bpf/map/hash.ts";
import type { BpfMap, MapFacts } from "../../../src/kernel/bpf/map/map.ts";
import { ProgArray } from "../../../src/kernel/bpf/map/prog_array.ts";
import { Prog } from "../../../src/kernel/bpf/prog.ts";
import type { EngineName, Outcome, RunOptions } from "../../../src/kernel/engine.ts";
import { Machine } from "../../../src/kernel/machine.ts";
import { ALL_CAPABILITIES, type Task } from "../../../src/kernel/task.ts";
import { BufferMemory } from "../../../src/kernel/user_memory.ts";
import { ManualScheduler } from "../../../src/kernel/workqueue.ts";

/** A machine under test and what it told the world. */
export interface Bench {
  readonly machine: Machine;
  readonly task: Task;
  readonly memory: BufferMemory;
  /** Lines of bpf_trace_printk. */
  readonly traced: string[];
  /** What the clock shows, in ns; each reading adds `tick`. */
  now: bigint;
  tick: bigint;
}

/** How a machine under test differs from a usual one. */
export interface BootOptions {
  readonly memoryLimitBytes?: number;
  readonly engine?: EngineName;
  readonly hardened?: boolean;
  readonly sharedMemory?: boolean;
  readonly instructionLimit?: number;
  readonly countTailCallMisses?: boolean;
}

/** Engines that programs must not be able to tell apart, by what they are booted with. */
export const ENGINES: Readonly<Record<string, BootOptions>> = {
  interpreter: { engine: "interpreter" },
  jit: { engine: "jit" },
  "hardened jit": { engine: "jit", hardened: true },
  "jit on shared memory": { engine: "jit", sharedMemory: true },
};

/** Whether an engine checks each access: the plain JIT trusts the verifier. */
export function isChecked({ engine, hardened }: BootOptions): boolean {
  return engine === "interpreter" || hardened === true;
}

/** Registers a test where `reason` is null; elsewhere it is skipped, with the reason printed. */
export function testUnless(reason: string | null, title: string, body: () => void): void {
  if (reason !== null) console.warn(`skipped: ${title}: ${reason}`);
  test.skipIf(reason !== null)(title, body);
}

export function boot({
  memoryLimitBytes = 1 << 26,
  engine = "interpreter",
  hardened = false,
  sharedMemory = false,
  instructionLimit,
  countTailCallMisses = false,
}: BootOptions = {}): Bench {
  const memory = new BufferMemory();
  const traced: string[] = [];
  const machine = new Machine({
    clock: {
      monotonicNs: () => {
        bench.now += bench.tick;
        return bench.now;
      },
    },
    random: () => 0x9abcdef0,
    scheduler: new ManualScheduler(),
    possibleCpus: 2,
    memoryLimitBytes,
    preempt: () => {},
    trace: (line) => traced.push(line),
    engine,
    hardened,
    sharedMemory,
    instructionLimit,
    countTailCallMisses,
  });
  const task = machine.spawn({
    netns: machine.namespaces.init,
    capabilities: ALL_CAPABILITIES,
    uid: 0,
    openFilesLimit: 64,
    memory,
  });
  const bench: Bench = { machine, task, memory, traced, now: 1_000_000_000n, tick: 0n };
  return bench;
}

/** What a program is made of, besides its text. */
export interface ProgramOptions {
  readonly type?: number;
  readonly expectedAttachType?: number;
  /** By the name that `map_fd[…]` and `map_value[…]` use. */
  readonly maps?: Readonly<Record<string, BpfMap>>;
}

/** A program, from assembly or bytes, with nothing checked. */
export function program(
  machine: Machine,
  source: string | Uint8Array,
  { type = BPF_PROG_TYPE_SOCKET_FILTER, expectedAttachType = 0, maps = {} }: ProgramOptions = {},
): Prog {
  const names = Object.keys(maps);
  const constants = Object.fromEntries(names.map((name, index) => [name, index]));
  const bytes = typeof source === "string" ? assemble(source, { constants }) : source;
  const instructions = relocate(decodeInstructions(bytes), Object.values(maps));
  return new Prog(machine, {
    type,
    expectedAttachType,
    name: "test",
    tag: new Uint8Array(8),
    gplCompatible: true,
    instructions,
    xlated: bytes,
    maps: Object.values(maps),
    loadTimeNs: 0n,
    uid: 0,
    verifiedInsns: instructions.length,
  } as ConstructorParameters<typeof Prog>[1]);
}

/** Puts the addresses of maps and of their first values where their indices were. */
function relocate(insns: readonly Instruction[], maps: readonly BpfMap[]): Instruction[] {
  return insns.map((insn, slot) => {
    const previous = insns[slot - 1];
    if (previous !== undefined && isLoadImm64(previous) && previous.src !== 0) {
      return previous.src === BPF_PSEUDO_MAP_VALUE ? { ...insn, imm: 0 } : insn;
    }
    if (!isLoadImm64(insn)) return insn;
    const map = maps[insn.imm];
    if (insn.src === BPF_PSEUDO_MAP_FD && map !== undefined) return { ...insn, imm: map.address };
    if (insn.src === BPF_PSEUDO_MAP_VALUE && map instanceof ArrayMap) {
      return { ...insn, imm: map.directValueAddress(insns[slot + 1]?.imm ?? 0) };
    }
    return insn;
  });
}

/** Runs a program with a context of zeros that it may not touch, and no packet. */
export function run(machine: Machine, prog: Prog, options: RunOptions = {}): Outcome {
  const invocation = { context: EMPTY_CONTEXT, layout: null, regions: [], skb: null };
  const outcome = machine.engine.run(prog, invocation, options);
  if (outcome === null) throw new RangeError("the machine has no memory for a stack");
  return outcome;
}

/** An address where nothing is. */
export const EMPTY_CONTEXT = 0x1000;

/** Assembles and runs a program that has nothing but its stack; r0 at the end. */
export function evaluate(machine: Machine, text: string): bigint {
  const { r0, fault } = run(machine, program(machine, text));
  if (fault !== null) throw fault;
  return r0;
}

function facts(values: Partial<MapFacts>): MapFacts {
  return { type: 2, keySize: 4, valueSize: 8, maxEntries: 4, flags: 0, name: "", ...values };
}

export function arrayMap(machine: Machine, values: Partial<MapFacts> = {}): ArrayMap {
  const all = facts({ type: 2, ...values });
  const size = arrayBlockSize(all, machine.options.possibleCpus);
  return new ArrayMap(machine, all, machine.memory.alloc(size));
}

export function hashMap(machine: Machine, values: Partial<MapFacts> = {}): HashMap {
  const all = facts({ type: 1, ...values });
  const size = hashBlockSize(all, machine.options.possibleCpus);
  return new HashMap(machine, all, machine.memory.alloc(size));
}

export function progArray(machine: Machine, maxEntries: number = 4): ProgArray {
  const all = facts({ type: 3, valueSize: 4, maxEntries });
  const size = arrayBlockSize(all, machine.options.possibleCpus);
  return new ProgArray(machine, all, machine.memory.alloc(size));
}
