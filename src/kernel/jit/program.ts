/**
 * A BPF program as a WebAssembly module. It imports the kernel's memory, what tail calls go through
 * (tail_call.ts) and what helpers are called by; it exports:
 *
 * - `main(r1, r2, frame) -> r0`: what goes into the table; r0 is an i64.
 * - `run(r1, r2, frame) -> r0`: the lower half of r0, all of which is left in the state.
 * - `repeat(r1, frame, times, template, keys) -> r0`: the same, many times over, each time with
 *   flow keys copied from a template before (not when `keys` is 0).
 * - `callback_<slot>(frame)`: calls a function with arguments from the state.
 */

import { BPF_FLOW_KEYS_SIZE } from "../../abi/flow_keys.ts";
import type { Instruction } from "../../asm/index.ts";
import { type ContextLayout, contextOf } from "../bpf/context.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import type { Prog } from "../bpf/prog.ts";
import type { MachineOptions } from "../machine.ts";
import type { Assumptions } from "../verifier/assumptions.ts";
import { OVER_LIMIT } from "./calls.ts";
import { CHECK_LOCALS, checkCode } from "./check.ts";
import { Code } from "./code.ts";
import { type Entry, FunctionWriter, type Mark, stateField } from "./function.ts";
import { packetAddressCode } from "./legacy_packet.ts";
import { HASH_LOOKUP_LOCALS, hashLookupCode } from "./maps.ts";
import { ModuleBuilder } from "./module.ts";
import { STACK_MASK } from "./run_state.ts";
import { TAIL_PARAMETERS } from "./tail_call.ts";
import { I32, I64 } from "./wasm.ts";

/**
 * The longest body of a function, in bytes. Engines take up to 7,654,321, but the time and memory
 * that their optimizers need grow faster than the function.
 */
export const MAX_FUNCTION_BYTES: number = 1 << 20;

/** How to compile. */
export interface CompileOptions {
  /** Check each access and, where instructions aren't counted, count rounds of loops. */
  readonly hardened: boolean;
  /** Count instructions, and stop a run that takes more than it may; by default they aren't. */
  readonly counted?: boolean;
  /** Tell of tail calls that miss; by default nobody is told. */
  readonly misses?: boolean;
  /** Note where the code of each instruction begins. */
  readonly marks: boolean;
  /** The memory is shared among threads, each of which is a CPU; by default it isn't. */
  readonly shared?: boolean;
}

/** How the programs of a machine are compiled. */
export function compileOptionsOf(machine: MachineOptions): Omit<CompileOptions, "marks"> {
  const { hardened = false, sharedMemory: shared = false, instructionLimit } = machine;
  const { countTailCallMisses: misses = false } = machine;
  return { hardened, shared, misses, counted: instructionLimit !== undefined };
}

/** What became of one function of a program. */
export interface CompiledFunction {
  /** Its first slot. */
  readonly start: number;
  /** Its index in the module. */
  readonly index: number;
  readonly flow: "structured" | "dispatched";
  /** Where its instructions begin in the module, and their size, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** From the start of its instructions; empty unless asked for. */
  readonly marks: readonly Mark[];
}

/** A module, or why there is none. */
export type Compiled =
  | {
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly functions: readonly CompiledFunction[];
      /** First slots of functions that helpers may call. */
      readonly callbacks: readonly number[];
    }
  | { readonly refused: string };

/** Compiles a program that was verified, or is to be hardened. */
export function compileProgram(prog: Prog, options: CompileOptions): Compiled {
  return new ProgramWriter(prog, options).compile();
}

/** A function that was asked for. */
interface Wanted {
  readonly start: number;
  readonly index: number;
  readonly entry: Entry;
}

/** Writes a module; function writers ask it for what else they need. */
export class ProgramWriter {
  readonly insns: readonly Instruction[];
  readonly maps: readonly BpfMap[];
  readonly layout: ContextLayout | null;
  readonly assumptions: Assumptions | null;
  readonly hardened: boolean;
  readonly counted: boolean;
  readonly misses: boolean;
  readonly shared: boolean;
  readonly wantsMarks: boolean;
  readonly #module: ModuleBuilder = new ModuleBuilder();
  /** Types: (r1, r2, frame) -> r0 and (r1 … r5, frame) -> r0. */
  readonly programType: number;
  readonly #functionType: number;
  /** Imported functions: (helper, frame, slot) and (address, size, write, frame, slot). */
  readonly helper: number;
  readonly #checkInKernel: number;
  /** Imported: (r1, frame, entry) -> r0, where tail calls go. */
  readonly tail: number;
  readonly #functions: Map<number, number> = new Map();
  readonly #callbacks: Set<number> = new Set();
  readonly #lookups: Map<BpfMap, number> = new Map();
  readonly #wanted: Wanted[] = [];
  #packetAddress: number = -1;
  #check: number = -1;

  constructor({ facts }: Prog, options: CompileOptions) {
    const { hardened, marks, counted = false, misses = false, shared = false } = options;
    this.insns = facts.instructions;
    this.maps = facts.maps;
    this.layout = contextOf(facts.type, facts.expectedAttachType) ?? null;
    this.assumptions = facts.assumptions ?? null;
    this.hardened = hardened;
    this.counted = counted;
    this.misses = misses;
    this.shared = shared;
    this.wantsMarks = marks;
    const module = this.#module;
    this.programType = module.type([I32, I32, I32], [I64]);
    this.#functionType = module.type([I64, I64, I64, I64, I64, I32], [I64]);
    module.importMemory("memory", shared);
    this.helper = module.importFunction("helper", module.type([I32, I32, I32], []));
    this.#checkInKernel = module.importFunction(
      "check",
      module.type([I32, I32, I32, I32, I32], []),
    );
    this.tail = module.importFunction("tail", module.type(TAIL_PARAMETERS, [I64]));
  }

  compile(): Compiled {
    const module = this.#module;
    const main = this.#want(0, "program");
    const functions: Omit<CompiledFunction, "offset">[] = [];
    for (let next = this.#wanted.pop(); next !== undefined; next = this.#wanted.pop()) {
      const { start, index, entry } = next;
      const written = new FunctionWriter(this, entry).write(start);
      if (written === null) return { refused: `function at ${start}: too many jumps into loops` };
      const { code, locals, flow, marks } = written;
      if (code.length > MAX_FUNCTION_BYTES) {
        return { refused: `function at ${start}: ${code.length} bytes of code` };
      }
      module.define(index, locals, code);
      functions.push({ start, index, flow, size: code.length, marks });
    }
    module.export("main", main);
    module.export("run", this.#addRun(main));
    module.export("repeat", this.#addRepeat(main));
    for (const start of this.#callbacks) {
      module.export(`callback_${start}`, this.#addCallback(this.function(start)));
    }
    const { bytes, instructions } = module.build();
    const placed = functions.map((each) => ({
      ...each,
      offset: instructions.get(each.index) ?? 0,
    }));
    return { bytes, functions: placed, callbacks: [...this.#callbacks] };
  }

  /** The function that begins at a slot; its code is written in time. */
  function(start: number): number {
    let index = this.#functions.get(start);
    if (index === undefined) {
      index = this.#want(start, "function");
      this.#functions.set(start, index);
    }
    return index;
  }

  /** Makes a function one that helpers may call. */
  callback(start: number): void {
    this.#callbacks.add(start);
    this.function(start);
  }

  /** The function (key address) -> value address of a hash map. */
  lookup(map: BpfMap): number {
    let index = this.#lookups.get(map);
    if (index === undefined) {
      const type = this.#module.type([I32], [I32]);
      index = this.#module.add(type, HASH_LOOKUP_LOCALS, hashLookupCode(map));
      this.#lookups.set(map, index);
    }
    return index;
  }

  /** The function that {@link packetAddressCode} is the code of. */
  packetAddress(): number {
    if (this.#packetAddress < 0) {
      const type = this.#module.type([I32, I32, I32], [I32]);
      const locals = [{ count: 1, type: I32 }];
      this.#packetAddress = this.#module.add(type, locals, packetAddressCode());
    }
    return this.#packetAddress;
  }

  /** The function that {@link checkCode} is the code of. */
  check(): number {
    if (this.#check < 0) {
      const type = this.#module.type([I32, I32, I32, I32, I32], []);
      this.#check = this.#module.add(type, CHECK_LOCALS, checkCode(this.maps, this.#checkInKernel));
    }
    return this.#check;
  }

  /** Takes a round of a loop from those that are left; the last one traps. */
  writeRound(writer: FunctionWriter): void {
    const { code, address } = writer;
    writer.stateBase();
    code.tee(address);
    code.get(address);
    code.access("i32.load", stateField("rounds"));
    code.i32(1);
    code.op("i32.sub");
    code.access("i32.store", stateField("rounds"));
    code.get(address);
    code.access("i32.load", stateField("rounds"));
    code.op("i32.eqz");
    code.open("if");
    code.op("unreachable");
    code.end();
  }

  /**
   * Takes instructions that come next from those that are left. When there are fewer, the run is
   * stopped before any of them is executed.
   */
  writeCount(writer: FunctionWriter, count: number): void {
    const { code, address, wide } = writer;
    writer.stateBase();
    code.tee(address);
    code.get(address);
    code.access("i64.load", stateField("budget"));
    code.i64(count);
    code.op("i64.sub");
    code.tee(wide);
    code.access("i64.store", stateField("budget"));
    code.get(wide);
    code.i64(0);
    code.op("i64.lt_s");
    code.open("if");
    code.i32(OVER_LIMIT);
    code.get(writer.frame);
    code.i32(writer.slot);
    code.call(this.helper);
    code.op("unreachable");
    code.end();
  }

  #want(start: number, entry: Entry): number {
    const type = entry === "program" ? this.programType : this.#functionType;
    const index = this.#module.declare(type);
    this.#wanted.push({ start, index, entry });
    return index;
  }

  #addRun(main: number): number {
    const code = new Code();
    const [r1, r2, frame, state, r0] = [0, 1, 2, 3, 4];
    startRun(code, { frame, state, counted: this.counted });
    code.get(state);
    code.get(r1);
    code.get(r2);
    code.get(frame);
    code.call(main);
    code.tee(r0);
    leaveRun(code, r0);
    return this.#module.add(this.#module.type([I32, I32, I32], [I32]), RUN_LOCALS, code);
  }

  #addRepeat(main: number): number {
    const code = new Code();
    const [r1, frame, times, template, keys, state, r0] = [0, 1, 2, 3, 4, 5, 6];
    const again = code.open("loop");
    startRun(code, { frame, state, counted: this.counted });
    code.get(keys);
    code.open("if");
    for (let at = 0; at < BPF_FLOW_KEYS_SIZE; at += 8) {
      code.get(keys);
      code.get(template);
      code.access("i64.load", at);
      code.access("i64.store", at);
    }
    code.end();
    code.get(r1);
    code.i32(0);
    code.get(frame);
    code.call(main);
    code.set(r0);
    code.get(times);
    code.i32(1);
    code.op("i32.sub");
    code.tee(times);
    code.branch("br_if", again);
    code.end();
    code.get(state);
    code.get(r0);
    leaveRun(code, r0);
    return this.#module.add(this.#module.type([I32, I32, I32, I32, I32], [I32]), RUN_LOCALS, code);
  }

  #addCallback(target: number): number {
    const code = new Code();
    const [frame, state] = [0, 1];
    code.get(frame);
    code.i32(STACK_MASK);
    code.op("i32.or");
    code.tee(state);
    for (let i = 0; i < 5; i++) {
      code.get(state);
      code.access("i64.load", stateField("arguments") + 8 * i);
    }
    code.get(frame);
    code.call(target);
    code.access("i64.store", stateField("r0"));
    const locals = [{ count: 1, type: I32 }];
    return this.#module.add(this.#module.type([I32], []), locals, code);
  }
}

/** Locals of a run: `state` (i32) and `r0` (i64), behind the parameters. */
const RUN_LOCALS = [
  { count: 1, type: I32 },
  { count: 1, type: I64 },
] as const;

/** Stores r0, which lies above the address of the state, and leaves its lower half: the result. */
function leaveRun(code: Code, r0: number): void {
  code.access("i64.store", stateField("r0"));
  code.get(r0);
  code.op("i32.wrap_i64");
}

/** Locals that say where a run's state is, and whether its instructions are counted. */
export interface RunStart {
  readonly frame: number;
  readonly state: number;
  readonly counted: boolean;
}

/** What is counted anew for each run. */
export function startRun(code: Code, { frame, state, counted }: RunStart): void {
  code.get(frame);
  code.i32(STACK_MASK);
  code.op("i32.or");
  code.tee(state);
  code.i32(0);
  code.access("i32.store", stateField("tail_calls"));
  code.get(state);
  code.get(state);
  code.access("i32.load", stateField("max_rounds"));
  code.access("i32.store", stateField("rounds"));
  if (!counted) return;
  code.get(state);
  code.get(state);
  code.access("i64.load", stateField("max_budget"));
  code.access("i64.store", stateField("budget"));
}
