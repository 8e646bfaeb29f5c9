/**
 * The JIT, as an engine: programs are compiled when they are first run.
 */

import type { Prog } from "../bpf/prog.ts";
import type {
  BatchRequest,
  CompiledSize,
  Engine,
  Invocation,
  KeysTemplate,
  Outcome,
  ProgramEngine,
  RunOptions,
} from "../engine.ts";
import { RunFault } from "../interpreter/fault.ts";
import { recordFault } from "../interpreter/fault_log.ts";
import { interpret, repeatInterpreted } from "../interpreter.ts";
import type { Machine } from "../machine.ts";
import type { Dissector } from "../net/dissector.ts";
import { PacketArea } from "../net/packet_area.ts";
import { reasonOfTrap } from "./assumed.ts";
import { type BatchExports, type BatchOptions, batchModule } from "./batch.ts";
import { type DissectorEngine, JitDissector } from "./dissector.ts";
import { IMPORT_MODULE } from "./module.ts";
import { type CompileOptions, compileOptionsOf, compileProgram } from "./program.ts";
import type { HelperCall } from "./replica.ts";
import { type Callback, type Caller, JitRun } from "./run.ts";
import { STACK_MASK } from "./run_state.ts";
import { Spread, type Stop } from "./spread.ts";
import { tailCallThrough } from "./tail_call.ts";
import { makeTrampolines, type Trampolines } from "./trampoline.ts";
import { type Trap, trapOf } from "./trap.ts";
import { slotOfTrap } from "./trap_slot.ts";

/** What a program's module exports; see program.ts. */
interface ProgramExports {
  readonly main: CallableFunction;
  readonly run: (r1: number, r2: number, frame: number) => number;
  readonly repeat: (
    r1: number,
    frame: number,
    times: number,
    template: number,
    keys: number,
  ) => number;
}

/** A program that was compiled. */
interface CompiledProgram extends Caller {
  readonly module: WebAssembly.Module;
  readonly exports: ProgramExports;
  readonly size: CompiledSize;
}

/** A program that the interpreter has to run, and why. */
interface RefusedProgram {
  readonly prog: Prog;
  readonly refused: string;
}

type LoadedProgram = CompiledProgram | RefusedProgram;

/** The same modules for all machines, by how they are made. */
const compiledBatches: Map<string, WebAssembly.Module> = new Map();

function batchProgram(options: BatchOptions): WebAssembly.Module {
  const key = `${options.hardened} ${options.counted} ${options.shared}`;
  const compiled = compiledBatches.get(key) ?? new WebAssembly.Module(batchModule(options));
  compiledBatches.set(key, compiled);
  return compiled;
}

/** Entries that a table begins with; the first one stands for no program. */
const FIRST_ENTRIES = 16;

/** Compiles the programs of a machine, and runs them. */
export class JitEngine implements Engine, DissectorEngine {
  readonly name = "jit" as const;
  readonly #machine: Machine;
  readonly #hardened: boolean;
  readonly #shared: boolean;
  /** How programs are compiled. */
  readonly #compileOptions: Omit<CompileOptions, "marks">;
  readonly #counted: boolean;
  readonly #table: WebAssembly.Table;
  readonly #tail: CallableFunction;
  readonly #loaded: Map<Prog, LoadedProgram> = new Map();
  readonly #trampolines: Trampolines;
  /** Programs by their place in the table, and places that nobody has. */
  readonly #placed: Map<number, Prog> = new Map();
  readonly #freeEntries: number[] = [];
  /** All runs, by address of their state, and the one that was last asked for. */
  readonly #runs: Map<number, JitRun> = new Map();
  #lastRun: JitRun | null = null;
  /** Those that wait to be used again. */
  readonly #idle: JitRun[] = [];
  /** Runs of other threads, by CPU. */
  readonly #spread: JitRun[] = [];
  #packets: BatchExports | null = null;

  constructor(machine: Machine, hardened: boolean) {
    this.#machine = machine;
    this.#hardened = hardened;
    this.#shared = machine.options.sharedMemory ?? false;
    this.#counted = machine.options.instructionLimit !== undefined;
    this.#compileOptions = compileOptionsOf(machine.options);
    this.#table = new WebAssembly.Table({ element: "anyfunc", initial: FIRST_ENTRIES });
    this.#tail = tailCallThrough(this.#table);
    const imports = {
      memory: machine.memory.memory,
      tail: this.#tail,
      translate: (entry: number): void => this.#translate(entry),
      interpret: (entry: number, frame: number): void => this.#interpret(entry, frame),
    };
    this.#trampolines = makeTrampolines(imports, this.#shared);
    for (let entry = FIRST_ENTRIES - 1; entry > 0; entry--) this.#freeEntries.push(entry);
  }

  run(prog: Prog, invocation: Invocation, options: RunOptions = {}): Outcome | null {
    const loaded = this.#load(prog);
    if ("refused" in loaded || options.onInstruction !== undefined) {
      return interpret(this.#machine, prog, invocation, options);
    }
    const r2 = Number(options.r2 ?? 0n);
    const { instructionLimit: limit } = options;
    return this.#within(loaded, invocation, (run) => {
      const enter = (): number => loaded.exports.run(invocation.context, r2, run.top);
      return limit === undefined ? enter() : run.withLimit(limit, enter);
    });
  }

  repeat(
    prog: Prog,
    invocation: Invocation,
    times: number,
    keys: KeysTemplate | null,
  ): Outcome | null {
    const loaded = this.#load(prog);
    if ("refused" in loaded) {
      return repeatInterpreted(this.#machine, prog, invocation, times, keys);
    }
    const { template, keys: target } = keys ?? { template: 0, keys: 0 };
    return this.#within(loaded, invocation, (run) =>
      loaded.exports.repeat(invocation.context, run.top, times, template, target),
    );
  }

  dissector(): Dissector | null {
    const run = this.#idle.pop() ?? this.#makeRun();
    if (run === null) return null;
    const area = PacketArea.create(this.#machine);
    if (area === null) {
      this.#idle.push(run);
      return null;
    }
    this.#packets ??= this.#loadBatch();
    return new JitDissector(this, run, area, this.#packets.dissect);
  }

  dissectBatch(request: BatchRequest): boolean {
    const run = this.#idle.pop() ?? this.#makeRun();
    if (run === null) return false;
    this.#packets ??= this.#loadBatch();
    try {
      const { batch } = request;
      const { context, count } = batch;
      for (let index = 0; index < count; index = run.packet + 1) {
        run.beginBatch(request, index);
        this.#meet(run, request);
        const descriptor = batch.descriptor(index);
        try {
          this.#packets.batch(
            run.cell,
            context,
            run.top,
            descriptor,
            batch.record(index),
            count - index,
          );
          break;
        } catch (error) {
          // It is logged; the packets that follow have nothing to do with it.
          const fault = this.faultOf(error, run.met ?? run.prog, run);
          if (!batch.setFault(run.packet, fault)) break;
        }
      }
    } finally {
      this.#idle.push(run);
      run.endBatch();
    }
    return true;
  }

  /** Looks which program the next packet of a batch meets. */
  #meet(run: JitRun, batch: BatchRequest): void {
    const now = batch.attached();
    if (now === null) run.meet(null, 0);
    else if (now !== run.met) run.meet(now, this.entryOf(now));
  }

  spread(prog: Prog | null, threads: number): Spread | string {
    if (!this.#shared) return "the kernel's memory was not made to be shared";
    if (this.#hardened) return "a hardened kernel checks accesses on its own thread";
    const attached = prog === null ? 0 : this.entryOf(prog);
    const programs: { entry: number; module: WebAssembly.Module }[] = [];
    const progs = new Map<number, Prog>();
    for (const [entry, each] of this.#placed) {
      const loaded = this.#load(each);
      if ("refused" in loaded) return `program ${each.facts.name}: ${loaded.refused}`;
      programs.push({ entry, module: loaded.module });
      progs.set(entry, each);
    }
    while (this.#spread.length < threads) {
      const run = this.#makeRun(this.#spread.length);
      if (run === null) return "there is no memory for their stacks";
      this.#spread.push(run);
    }
    const runs = this.#spread.slice(0, threads);
    const { memory } = this.#machine.memory;
    const frames = runs.map(({ top }) => top);
    const image = {
      memory,
      batch: batchProgram({ hardened: false, counted: this.#counted, shared: true }),
      programs,
      attached,
      frames,
    };
    return new Spread(image, runs, progs, {
      callHelper: (...call) => this.#callFor(...call),
      note: (stop) => {
        if (prog !== null) recordFault(this.#machine, this.#faultOfStop(stop, prog));
      },
      noteMisses: (misses) => this.#machine.tailCallLedger?.add(misses),
    });
  }

  /** Calls a helper for a run on another thread, which waits. */
  #callFor(prog: Prog, run: JitRun, invocation: Invocation, call: HelperCall): RunFault | null {
    const loaded = this.#load(prog);
    if ("refused" in loaded) throw new TypeError(`program ${prog.id} is not compiled`);
    try {
      run.prepare(prog, invocation, false);
      run.callHelper(loaded, call.id, call.frame, call.slot);
      return null;
    } catch (error) {
      return this.#explain(error, prog, run);
    }
  }

  #faultOfStop(stop: Stop, prog: Prog): RunFault {
    return stop instanceof RunFault ? stop : this.#faultOfTrap(stop, prog);
  }

  entryOf(prog: Prog): number {
    if (prog.entry === 0) {
      prog.entry = this.#freeEntries.pop() ?? this.#growTable();
      this.#placed.set(prog.entry, prog);
      // It may never be called: most packets meet few of the programs of a prog array.
      this.#table.set(prog.entry, this.#trampolines.untranslated);
    }
    return prog.entry;
  }

  forget(prog: Prog): void {
    this.#loaded.delete(prog);
    const { entry } = prog;
    if (entry === 0) return;
    prog.entry = 0;
    this.#placed.delete(entry);
    this.#table.set(entry, null);
    this.#freeEntries.push(entry);
  }

  describe(prog: Prog): ProgramEngine {
    const loaded = this.#load(prog);
    if ("refused" in loaded) return { engine: "interpreter", reason: loaded.refused, code: null };
    return { engine: "jit", reason: null, code: loaded.size };
  }

  #loadBatch(): BatchExports {
    const { memory } = this.#machine.memory;
    const imports = { [IMPORT_MODULE]: { memory, table: this.#table } };
    const module = batchProgram({
      hardened: this.#hardened,
      counted: this.#counted,
      shared: this.#shared,
    });
    const { exports } = new WebAssembly.Instance(module, imports);
    return exports as unknown as BatchExports;
  }

  /** @returns the first of the new entries; the others are free. */
  #growTable(): number {
    const first = this.#table.grow(this.#table.length);
    for (let entry = this.#table.length - 1; entry > first; entry--) this.#freeEntries.push(entry);
    return first;
  }

  #load(prog: Prog): LoadedProgram {
    let loaded = this.#loaded.get(prog);
    if (loaded === undefined) {
      loaded = this.#compile(prog);
      this.#loaded.set(prog, loaded);
    }
    return loaded;
  }

  #compile(prog: Prog): LoadedProgram {
    const compiled = compileProgram(prog, { ...this.#compileOptions, marks: false });
    if ("refused" in compiled) return { prog, refused: compiled.refused };
    const callbacks = new Map<number, Callback>();
    const caller: Caller = { prog, callbacks };
    const imports = {
      memory: this.#machine.memory.memory,
      tail: this.#tail,
      // Addresses come as s32.
      helper: (id: number, frame: number, slot: number): void => {
        const run = this.#runAt(frame);
        run.callHelper(caller, id, frame >>> 0, slot);
        if (run.batch !== null) this.#meet(run, run.batch);
      },
      check: (a: number, size: number, write: number, frame: number, slot: number): void => {
        this.#runAt(frame).check(caller, a >>> 0, size, write, frame >>> 0, slot);
      },
    };
    const module = this.#moduleOf(compiled.bytes);
    if (typeof module === "string") return { prog, refused: module };
    const { exports } = new WebAssembly.Instance(module, { [IMPORT_MODULE]: imports });
    for (const start of compiled.callbacks) {
      callbacks.set(start, exports[`callback_${start}`] as Callback);
    }
    return {
      prog,
      module,
      callbacks,
      exports: exports as unknown as ProgramExports,
      size: {
        functions: compiled.functions.length,
        dispatched: compiled.functions.filter(({ flow }) => flow === "dispatched").length,
        bytes: compiled.bytes.length,
      },
    };
  }

  /** A module, or why the engine takes none: some have limits of their own. */
  #moduleOf(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module | string {
    try {
      return new WebAssembly.Module(bytes);
    } catch (error) {
      if (error instanceof WebAssembly.CompileError || error instanceof RangeError) {
        return error.message;
      }
      throw error;
    }
  }

  #makeRun(cpu: number = 0): JitRun | null {
    const run = JitRun.create(this.#machine, cpu);
    if (run !== null) this.#runs.set(run.state, run);
    return run;
  }

  /** The run that a frame is of. @param frame - an address, as an s32 or a u32. */
  #runAt(frame: number): JitRun {
    const state = ((frame | STACK_MASK) + 1) >>> 0;
    if (this.#lastRun?.state === state) return this.#lastRun;
    const run = this.#runs.get(state);
    if (run === undefined) throw new RangeError(`frame: there is no run at ${frame}`);
    this.#lastRun = run;
    return run;
  }

  /** Puts what is to be called for a program into its place, which a trampoline has kept so far. */
  #translate(entry: number): void {
    const loaded = this.#load(this.#progAt(entry));
    const target = "refused" in loaded ? this.#trampolines.interpreted : loaded.exports.main;
    this.#table.set(entry, target);
  }

  /** Goes on in a program that only the interpreter runs. */
  #interpret(entry: number, frame: number): void {
    const prog = this.#progAt(entry);
    const run = this.#runAt(frame);
    const limit = this.#counted ? { instructionLimit: run.budget } : {};
    const options = { tailCalls: run.tailCalls, ...limit };
    const outcome = interpret(this.#machine, prog, run.invoked, options);
    if (this.#counted && outcome !== null) run.spend(outcome.instructions);
    if (outcome === null) throw new RunFault(prog.id, 0, "finds no memory for a stack");
    // It is logged already.
    if (outcome.fault !== null) throw new HandledFault(outcome.fault);
    run.setR0(Number(outcome.r0 & 0xffff_ffffn), Number(outcome.r0 >> 32n));
    if (run.batch !== null) this.#meet(run, run.batch);
  }

  #progAt(entry: number): Prog {
    const prog = this.#placed.get(entry);
    if (prog === undefined) throw new RangeError(`entry: there is no program ${entry}`);
    return prog;
  }

  /** Enters compiled code, and makes of how it is left an outcome. */
  #within(
    { prog }: CompiledProgram,
    invocation: Invocation,
    enter: (run: JitRun) => number,
  ): Outcome | null {
    const run = this.#idle.pop() ?? this.#makeRun();
    if (run === null) return null;
    try {
      run.prepare(prog, invocation, this.#hardened);
      const retval = enter(run) >>> 0;
      const [low, high] = run.r0;
      return new JitOutcome(retval, [low, high], this.#counted ? run.executed : 0);
    } catch (error) {
      const fault = this.faultOf(error, prog, run);
      return { r0: 0n, retval: 0, instructions: 0, fault };
    } finally {
      this.#idle.push(run);
    }
  }

  #faultOfTrap({ places, message }: Trap, prog: Prog): RunFault {
    const slot = slotOfTrap(places, prog, this.#compileOptions);
    return new RunFault(prog.id, slot, reasonOfTrap(prog, slot, message));
  }

  faultOf(error: unknown, prog: Prog, run: JitRun): RunFault {
    if (error instanceof HandledFault) return error.fault;
    const fault = this.#explain(error, prog, run);
    recordFault(this.#machine, fault);
    return fault;
  }

  /** Why a run was stopped. */
  #explain(error: unknown, prog: Prog, { tailCalls }: JitRun): RunFault {
    if (error instanceof RunFault) return error;
    const trap = trapOf(error, tailCalls);
    if (trap === null) throw error;
    return this.#faultOfTrap(trap, prog);
  }
}

/** A fault that the interpreter has recorded, on its way through compiled code. */
class HandledFault extends Error {
  override readonly name: string = "HandledFault";
  readonly fault: RunFault;

  constructor(fault: RunFault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** An outcome that makes a bigint of r0 only for those who ask. */
class JitOutcome implements Outcome {
  readonly retval: number;
  readonly instructions: number;
  readonly fault: RunFault | null = null;
  readonly #low: number;
  readonly #high: number;

  constructor(retval: number, [low, high]: readonly [number, number], instructions: number) {
    this.retval = retval;
    this.instructions = instructions;
    this.#low = low;
    this.#high = high;
  }

  get r0(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }
}
