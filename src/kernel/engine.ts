/**
 * What runs programs: the interpreter or the JIT. A machine has one of them.
 */

import type { ContextLayout } from "./bpf/context.ts";
import type { Prog } from "./bpf/prog.ts";
import type { Skb } from "./helpers/helper.ts";
import type { RunFault } from "./interpreter/fault.ts";
import type { Registers } from "./interpreter/registers.ts";
import type { Spread } from "./jit/spread.ts";
import type { Dissector } from "./net/dissector.ts";
import type { PacketBatch } from "./net/packet_batch.ts";

/** Engines by name. */
export type EngineName = "interpreter" | "jit";

/**
 * How many instructions a run on the interpreter may execute when nothing else is asked for: far
 * more than anyone waits for, and than a verified program takes whose loops Linux bounds, such as
 * bpf_loop with 2^23 rounds. It ends what a verifier let slip through.
 */
export const DEFAULT_INSTRUCTION_LIMIT: number = 2 ** 36;

/** Memory that a program may touch besides its stack, its context and its maps. */
export interface Region {
  /** Address of the first byte. */
  readonly start: number;
  /** Address after the last byte. */
  readonly end: number;
  readonly writable: boolean;
}

/** What a program is run on. */
export interface Invocation {
  /** r1: where the context lies in linear memory. */
  readonly context: number;
  /** Which of its fields may be touched; null when they are in `regions`. */
  readonly layout: ContextLayout | null;
  /** Packet, flow keys. */
  readonly regions: readonly Region[];
  /** What packet helpers and LD_ABS read; null in a run without a socket buffer. */
  readonly skb: Skb | null;
}

/** Sees every instruction before it is executed. */
export type InstructionObserver = (slot: number, registers: Registers, prog: Prog) => void;

/** How to run. */
export interface RunOptions {
  /**
   * More instructions than this are a fault. Compiled code counts them where the machine has a
   * limit; otherwise, if it is hardened, it counts rounds of loops: more rounds are a fault there.
   */
  readonly instructionLimit?: number;
  /** A run that is observed is always the interpreter's. */
  readonly onInstruction?: InstructionObserver | undefined;
  /** r2 at entry; Linux leaves it undefined, the conformance cases find a length there. */
  readonly r2?: bigint;
  /** How many tail calls led here already. */
  readonly tailCalls?: number;
}

/** What a run came to. */
export interface Outcome {
  /** r0 at the end, as u64; 0 after a fault. */
  readonly r0: bigint;
  /** The lower half of r0: what programs return. */
  readonly retval: number;
  /**
   * Instructions executed, those of tail called programs and callbacks included; 0 on the JIT
   * where it doesn't count.
   */
  readonly instructions: number;
  /** Why the run was stopped; null when it came to its end. */
  readonly fault: RunFault | null;
}

/** Flow keys that are put back before each of several runs. */
export interface KeysTemplate {
  /** Addresses of BPF_FLOW_KEYS_SIZE bytes each: what is kept, and what the program gets. */
  readonly template: number;
  readonly keys: number;
}

/** How a program is run. */
export interface ProgramEngine {
  readonly engine: EngineName;
  /** Why it wasn't compiled; null when it was, or when nobody asked for that. */
  readonly reason: string | null;
  /** What it was compiled to; null when it wasn't. */
  readonly code: CompiledSize | null;
}

/** What a program was compiled to. */
export interface CompiledSize {
  readonly functions: number;
  /** Functions whose control flow goes through a dispatcher, since their loops have two entries. */
  readonly dispatched: number;
  /** Bytes of the WebAssembly module. */
  readonly bytes: number;
}

/** A batch of packets for flow dissectors. */
export interface BatchRequest {
  readonly batch: PacketBatch;
  /** The program that is attached at the moment: it may change from packet to packet. */
  readonly attached: () => Prog | null;
  /** What the program of a packet is run on. */
  readonly invocation: (index: number) => Invocation;
}

/** Runs the programs of one machine. */
export interface Engine {
  readonly name: EngineName;

  /** Runs a program. Null when there is no memory for its stack. */
  run(prog: Prog, invocation: Invocation, options?: RunOptions): Outcome | null;

  /**
   * Runs a program several times on the same invocation.
   *
   * @param times - 1 or more.
   * @returns the outcome of the last run, or of the first that was stopped by a fault, with the
   *   instructions of all; null when there is no memory for its stack.
   */
  repeat(
    prog: Prog,
    invocation: Invocation,
    times: number,
    keys: KeysTemplate | null,
  ): Outcome | null;

  /** Runs flow dissectors on one packet at a time. Null when there is no memory for that. */
  dissector(): Dissector | null;

  /** Runs all packets of a batch. False when there is no memory for a stack. */
  dissectBatch(request: BatchRequest): boolean;

  /**
   * Makes a program ready to run on other threads of this process as well, with those that it may
   * tail-call now. They have to stay loaded as long as threads run them.
   *
   * @param prog - what packets meet; null when nothing is attached.
   * @param threads - how many; each counts as a CPU.
   * @returns why that can't be, in words.
   */
  spread(prog: Prog | null, threads: number): Spread | string;

  /** What a prog array keeps beside a program's id, for tail calls; 0 where that isn't needed. */
  entryOf(prog: Prog): number;

  /** A program is gone. */
  forget(prog: Prog): void;

  /** How a program is run. It is compiled for that, if it wasn't yet. */
  describe(prog: Prog): ProgramEngine;
}
