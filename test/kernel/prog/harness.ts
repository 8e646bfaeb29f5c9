/**
 * A machine and a task, and PROG_LOAD, BTF_LOAD and MAP_CREATE by the fields of their attrs.
 */
import { BPF_ATTR_SIZE, BTF_LOAD, MAP_CREATE, PROG_LOAD } from "../../../src/abi/attr.ts";
import {
  BPF_BTF_LOAD,
  BPF_MAP_CREATE,
  BPF_PROG_LOAD,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
} from "../../../src/abi/bpf.ts";
import { decode, encode, type Values } from "../../../src/abi/layout.ts";
import { assemble, encodeInstructions, type Instruction } from "../../../src/asm/index.ts";
import { type Prog, ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { Machine } from "../../../src/kernel/machine.ts";
import { bpf } from "../../../src/kernel/syscall.ts";
import { ALL_CAPABILITIES, type Capability, type Task } from "../../../src/kernel/task.ts";
import { BufferMemory } from "../../../src/kernel/user_memory.ts";
import { microtaskScheduler } from "../../../src/kernel/workqueue.ts";

/** What came of a load. */
export interface Loaded {
  /** An fd, or a negative errno. */
  readonly result: number;
  readonly log: string;
  readonly logTrueSize: number;
  /** The attr as it came back. */
  readonly attr: Values<typeof PROG_LOAD>;
}

export const LOG_SIZE = 65_536;
const SK_LOOKUP_ATTACH = 36;

/** r0 = 0; exit */
export const OK: Uint8Array = assemble("r0 = 0\nexit");

/** Hexadecimal digits as bytes. */
export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** One machine with one task. */
export class Bench {
  readonly machine: Machine = new Machine({
    clock: { monotonicNs: () => 12_345n },
    random: () => 4,
    scheduler: microtaskScheduler,
    possibleCpus: 2,
    memoryLimitBytes: 1 << 26,
    preempt: () => {},
    trace: () => {},
  });
  readonly memory: BufferMemory = new BufferMemory();
  readonly task: Task = this.spawn(ALL_CAPABILITIES);

  spawn(capabilities: readonly Capability[], openFilesLimit: number = 256): Task {
    return this.machine.spawn({
      netns: this.machine.namespaces.init,
      capabilities,
      uid: 1000,
      openFilesLimit,
      memory: this.memory,
    });
  }

  /** BPF_PROG_LOAD with a log of level 1 unless `fields` says otherwise. */
  load(
    code: Uint8Array | readonly Instruction[],
    fields: Partial<Values<typeof PROG_LOAD>> = {},
    { task = this.task, license = "GPL" }: { task?: Task; license?: string } = {},
  ): Loaded {
    const insns = code instanceof Uint8Array ? code : encodeInstructions(code);
    const licenseBytes = new TextEncoder().encode(`${license}\0`);
    const log = new Uint8Array(LOG_SIZE);
    const type = fields.prog_type ?? BPF_PROG_TYPE_FLOW_DISSECTOR;
    const logged =
      fields.log_level === undefined
        ? { log_level: 1, log_size: LOG_SIZE, log_buf: this.memory.addressOf(log) }
        : {};
    const user = encode(
      PROG_LOAD,
      {
        prog_type: type,
        insn_cnt: insns.length / 8,
        insns: this.memory.addressOf(insns),
        license: this.memory.addressOf(licenseBytes),
        expected_attach_type: type === BPF_PROG_TYPE_SK_LOOKUP ? SK_LOOKUP_ATTACH : 0,
        ...logged,
        ...fields,
      },
      BPF_ATTR_SIZE,
    );
    const result = bpf(task, BPF_PROG_LOAD, user, user.length);
    const attr = decode(PROG_LOAD, user);
    const text = String.fromCharCode(...log.subarray(0, log.indexOf(0)));
    return { result, log: text, logTrueSize: attr.log_true_size, attr };
  }

  /** BPF_BTF_LOAD, an fd or a negative errno. */
  loadBtf(btf: Uint8Array): number {
    const user = encode(
      BTF_LOAD,
      { btf: this.memory.addressOf(btf), btf_size: btf.length },
      BPF_ATTR_SIZE,
    );
    return bpf(this.task, BPF_BTF_LOAD, user, user.length);
  }

  /** BPF_MAP_CREATE, an fd. */
  map(
    type: number,
    valueSize: number,
    maxEntries: number,
    fields: Partial<Values<typeof MAP_CREATE>> = {},
  ): number {
    const user = encode(
      MAP_CREATE,
      { map_type: type, key_size: 4, value_size: valueSize, max_entries: maxEntries, ...fields },
      BPF_ATTR_SIZE,
    );
    const fd = bpf(this.task, BPF_MAP_CREATE, user, user.length);
    if (fd < 0) throw new RangeError(`a map of type ${type} was refused: ${fd}`);
    return fd;
  }

  /** The program behind an fd. */
  prog(fd: number): Prog {
    const file = this.task.file(fd, ProgFile);
    if (typeof file === "number") throw new TypeError(`fd ${fd} is no program: ${file}`);
    return file.prog;
  }
}
