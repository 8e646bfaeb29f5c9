/**
 * What one verification works on and counts: the program, what its loader may do, the states that
 * wait. Analogous to struct bpf_verifier_env in Linux.
 */

import type { Instruction } from "../../asm/index.ts";
import type { Btf } from "../bpf/btf.ts";
import type { ContextLayout } from "../bpf/context.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { RangeCollector } from "./assumptions.ts";
import type { Flow } from "./flow.ts";
import type { InstructionFault } from "./instructions.ts";
import { liveRegisters } from "./live_registers.ts";
import type { VerifierLog } from "./log.ts";
import { Refusal } from "./refusal.ts";
import type { Register } from "./register.ts";
import { Speculation } from "./speculation.ts";
import type { State, Step } from "./state.ts";
import type { Subprogram } from "./subprograms.ts";
import { Trace } from "./trace.ts";

/** BPF_JMP | BPF_CALL */
const HELPER_CALL = 0x85;
/** The most states that may wait (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
const MAX_WAITING = 8192;

/** What a two-slot load of a map stands for. */
export interface MapReference {
  readonly map: BpfMap;
  /** Bytes into the map's only value; null for the map itself. */
  readonly valueOffset: number | null;
}

/** A program that holds together, and who loads it. */
export interface Subject {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly layout: ContextLayout;
  readonly insns: readonly Instruction[];
  readonly subprograms: readonly Subprogram[];
  /** By slot of a two-slot load. */
  readonly references: ReadonlyMap<number, MapReference>;
  /** The FUNC of each subprogram, when the loader told. */
  readonly functions: { readonly btf: Btf; readonly typeIds: readonly number[] } | null;
  /** The instructions as the log writes them: with addresses of maps. */
  readonly shown: readonly Instruction[];
  /** By slot: its source line and place, "i = 0; @ a.c:7". Empty when the log wants none. */
  readonly lines: readonly string[];
  /** What is wrong with one instruction by itself; null when nothing is. */
  readonly faultOf: (slot: number) => InstructionFault | null;
  /** The loader has CAP_BPF: without it loops and functions are refused, and less is tracked. */
  readonly bpfCapable: boolean;
  /** The loader has CAP_PERFMON. */
  readonly perfmon: boolean;
  readonly strictAlignment: boolean;
  /** A checkpoint at every point, as BPF_F_TEST_STATE_FREQ asks for. */
  readonly everyCheckpoint: boolean;
  readonly possibleCpus: number;
  /** Sees every state before its instruction is looked at: what is believed there, for tests. */
  readonly observer?: (slot: number, state: State) => void;
  /** For the figures that a log may have. */
  readonly monotonicNs: () => bigint;
}

/** A state that waits for its turn. */
export interface Waiting {
  readonly state: State;
  readonly slot: number;
  readonly from: number;
  /** How long the log was. */
  readonly logged: number;
}

/** One verification. */
export class Environment {
  readonly subject: Subject;
  readonly log: VerifierLog;
  /** Writes steps into the log; null when none are wanted. */
  readonly trace: Trace | null;
  state: State;
  /** The instruction that is looked at, and the one before it on the path, or -1. */
  slot: number = 0;
  previous: number = -1;
  readonly waiting: Waiting[] = [];
  processed: number = 0;
  jumps: number = 0;
  totalStates: number = 0;
  peakStates: number = 0;
  /** Checkpoints that are compared; thrown away, but still needed; paths that came round. */
  explored: number = 0;
  evicted: number = 0;
  backedges: number = 0;
  maxStatesPerInsn: number = 0;
  /** Kinds of pointers that loads and stores were seen with, by slot. */
  readonly pointerTypes: (string | undefined)[];
  /** First slots of the global functions that are called; each is verified by itself. */
  readonly globals: Set<number> = new Set();
  /** First slots of static functions that were called with what their BTF doesn't take. */
  readonly mistyped: Set<number> = new Set();
  /** First slots of functions whose address was taken. */
  readonly named: Set<number> = new Set();
  /** First slots of the callbacks that are called by bpf_loop(), by slot of the call. */
  readonly inlined: Map<number, number> = new Map();
  /** Maps that tail calls go through, by slot. */
  readonly tailCalls: Map<number, Set<BpfMap>> = new Map();
  /** By slot: 1 where a path led that is more than a guess. */
  readonly seen: Uint8Array;
  readonly flow: Flow;
  /** By slot: a mask of the registers that are read from there on. */
  readonly live: Uint16Array;
  /** Bytes of stack that functions take, by first slot. */
  readonly stackDepths: Map<number, number> = new Map();
  readonly speculation: Speculation = new Speculation();
  /** What the program's runs are held to. */
  readonly ranges: RangeCollector;
  /** A path was cut short at a helper that calls back before all was known that mattered to it. */
  isDoubtful: boolean = false;
  /** The stack slot that this instruction writes as a whole: its frame, or -1, and its index. */
  writtenFrame: number = -1;
  writtenIndex: number = 0;
  #ids: number = 0;

  constructor(subject: Subject, flow: Flow, log: VerifierLog, state: State) {
    this.subject = subject;
    this.flow = flow;
    this.live = liveRegisters(subject.insns, flow, (slot) => {
      const { opcode } = subject.insns[slot] as Instruction;
      if (opcode !== HELPER_CALL) return false;
      return subject.faultOf(slot)?.text.includes("cannot use helper") === true;
    });
    this.seen = new Uint8Array(subject.insns.length);
    this.pointerTypes = new Array(subject.insns.length);
    this.ranges = new RangeCollector(subject.insns.length);
    this.log = log;
    this.state = state;
    this.trace = log.hasPaths ? new Trace(this) : null;
  }

  /** A number that no register has as its id. */
  nextId(): number {
    this.#ids++;
    return this.#ids;
  }

  /** Something was kept, or let go. update_peak_states() in Linux. */
  updatePeak(): void {
    const kept = this.explored + this.evicted + this.backedges;
    if (kept > this.peakStates) this.peakStates = kept;
  }

  get insn(): Instruction {
    return this.subject.insns[this.slot] as Instruction;
  }

  /** The step of the instruction that is looked at. */
  get step(): Step {
    return this.state.history as Step;
  }

  /** Notes that this instruction reads a stack slot. */
  noteRead(frame: number, index: number): void {
    this.state.frame.use.read(this.slot, frame, index);
  }

  /** Notes that this instruction writes a whole stack slot. */
  noteWrite(frame: number, index: number): void {
    this.writtenFrame = frame;
    this.writtenIndex = index;
  }

  /** Notes which stack slot holds the register that this instruction spills or fills. */
  noteAccess(frame: number, index: number): void {
    const { step } = this;
    step.access = { frame, index };
    this.#count(step);
  }

  #count(step: Step): void {
    if (step.counted) return;
    step.counted = true;
    this.state.historyLength++;
  }

  /** Notes numbers that this jump makes learn from each other. */
  noteLinked(linked: Step["linked"]): void {
    this.step.linked = linked;
    this.#count(this.step);
  }

  /**
   * Lets a copy of the state wait, to go on elsewhere. Analogous to push_stack() in Linux.
   *
   * @param errno - what it is to too many that wait, which differs by who asks.
   */
  branch(slot: number, errno: number): State {
    const state = this.state.copy();
    this.waiting.push({ state, slot, from: this.slot, logged: this.log.length });
    if (state.parent !== null) state.parent.branches++;
    if (this.waiting.length > MAX_WAITING) {
      const text = `The sequence of ${this.waiting.length} jumps is too complex.`;
      throw new Refusal(errno, text);
    }
    return state;
  }
}

/** The register, with an id when it has none: it is about to be copied. */
export function withId(env: Environment, register: Register): Register {
  if (!register.isScalar) return register;
  const plain = register.sumWidth === 0 ? register : register.unlinked();
  if (plain.bounds.bits.isConstant || plain.id !== 0) return plain;
  return plain.withId(env.nextId());
}
