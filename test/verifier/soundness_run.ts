/**
 * Programs that the verifier accepts, run with every register and stack slot held against what it
 * believed.
 */

import { TEST_RUN } from "../../src/abi/attr.ts";
import { BPF_PROG_TEST_RUN, BPF_PROG_TYPE_SK_LOOKUP } from "../../src/abi/bpf.ts";
import { EIO } from "../../src/abi/errno.ts";
import { BPF_REG_6, BPF_REG_10, MAX_BPF_STACK } from "../../src/abi/insn.ts";
import { encode } from "../../src/abi/layout.ts";
import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
import type { Registers } from "../../src/kernel/interpreter/registers.ts";
import { Run } from "../../src/kernel/interpreter/run.ts";
import { copyBounds, sameBounds, sync } from "../../src/kernel/verifier/bounds.ts";
import { findFlow } from "../../src/kernel/verifier/flow.ts";
import { liveRegisters } from "../../src/kernel/verifier/live_registers.ts";
import type { Register } from "../../src/kernel/verifier/register.ts";
import type { State } from "../../src/kernel/verifier/state.ts";
import { Random } from "../random.ts";
import { type Anchors, Beliefs } from "./beliefs.ts";
import { generate } from "./generate.ts";
import type { Rights, TestProgram } from "./program.ts";
import { type EmbeddedWorld, embeddedWorld } from "./world.ts";

/** Programs that are tried for each seed until one is accepted. */
const MAX_TRIES = 6;
/** From a seed to those of its other programs, far from its neighbours. */
const STRIDE = 0x9e3779b1;
/** Packets or contexts that each program is run on. */
const RUNS = 4;
const SHORTEST = 14;
const LONGEST = 80;
/** An instruction is looked at so often in one run, and then not any more. */
const MAX_LOOKS = 64;
/** A run is ended after so many instructions: some loops that the verifier lets in never end. */
const MAX_INSTRUCTIONS = 200_000;
const AF_INET = 2;
const SK_LOOKUP_SIZE = 72;

let beliefs: Beliefs | null = null;

/** Numbers in states that sync() would change, which no proof of sync() shows; the first few. */
const unsettled: string[] = [];
const MAX_UNSETTLED = 10;
let settled = 0;

/** What the verifier is to call with every state. */
export function observer(slot: number, state: State): void {
  beliefs?.record(slot, state);
  for (const { registers, stack } of state.frames) {
    for (const register of registers) checkSettled(slot, register);
    for (const { spilled } of stack) if (spilled !== null) checkSettled(slot, spilled);
  }
}

/** Each number in a state is a fixed point of sync(). */
function checkSettled(slot: number, { isScalar, bounds }: Register): void {
  if (!isScalar || unsettled.length >= MAX_UNSETTLED) return;
  const again = copyBounds(bounds);
  sync(again);
  if (sameBounds(again, bounds)) settled++;
  else unsettled.push(`slot ${slot}: ${JSON.stringify(bounds)} -> ${JSON.stringify(again)}`);
}

/** What came of it. */
export interface Soundness {
  readonly accepted: number;
  readonly runs: number;
  /** Instructions at which registers and stack were held against the verifier's beliefs. */
  readonly looks: number;
  /** What a run did or found that it should not have; empty when the verifier is sound. */
  readonly violations: readonly string[];
  /** How many numbers in states were fixed points of sync(), and which were not. */
  readonly settled: number;
  readonly unsettled: readonly string[];
}

/**
 * Looks at programs until one run proves the verifier wrong.
 *
 * @param rights - of whoever loads them; by default by chance.
 */
export function checkSoundness(seed: number, programs: number, rights?: Rights): Soundness {
  using world = embeddedWorld(2);
  const total = { accepted: 0, runs: 0, looks: 0, violations: [] as string[] };
  for (let i = 0; i < programs && total.violations.length === 0; i++) {
    const { program, fd, found } = candidate(world, seed + i, rights);
    if (fd < 0) continue;
    total.accepted++;
    const believed = found.isIncomplete ? null : found;
    beliefs = null;
    const random = new Random(seed + i);
    for (let j = 0; j < RUNS; j++) {
      const watched = watch(program, believed, () => run(world, fd, program, random));
      total.runs++;
      total.looks += watched.looks;
      const objection = watched.result === -EIO ? faultOf(world, fd) : watched.objection;
      if (objection === null) continue;
      const text = disassemble(encodeInstructions(program.instructions));
      total.violations.push(`seed ${seed + i} (${program.origin}): ${objection}\n${text}`);
      break;
    }
    world.kernel.close(fd);
  }
  beliefs = null;
  const counted = settled;
  settled = 0;
  return { ...total, settled: counted, unsettled: unsettled.splice(0) };
}

/**
 * The first program of a seed that is accepted: without what runs, nothing is held against what
 * the verifier believed.
 */
function candidate(
  world: EmbeddedWorld,
  seed: number,
  rights: Rights | undefined,
): { program: TestProgram; fd: number; found: Beliefs } {
  for (let tries = 1; ; tries++) {
    const program = generate(tries === 1 ? seed : (seed ^ (tries * STRIDE)) >>> 0, rights);
    const found = new Beliefs();
    beliefs = found;
    const fd = world.load(program);
    if (fd >= 0 || tries === MAX_TRIES) return { program, fd, found };
  }
}

/** What a run did wrong, unless it only took too long. */
function faultOf({ kernel }: EmbeddedWorld, fd: number): string | null {
  const description = kernel.describeProgram(fd);
  const lastFault = typeof description === "number" ? null : description.lastFault;
  const isLong = lastFault?.includes("takes more instructions than a run may") === true;
  return isLong ? null : `a fault: ${lastFault}`;
}

interface Watched {
  readonly result: number;
  readonly looks: number;
  readonly objection: string | null;
}

/** Runs a program with an eye on each instruction. */
function watch(program: TestProgram, believed: Beliefs | null, call: () => number): Watched {
  const live = liveRegisters(program.instructions, findFlow(program.instructions));
  const counts = new Uint32Array(program.instructions.length);
  const anchors: Anchors = new Map();
  const calls = new Calls();
  let looks = 0;
  let objection: string | null = null;
  const { execute } = Run.prototype;
  Run.prototype.execute = function watched(this: Run, prog, invocation, options) {
    execute.call(this, prog, invocation, {
      ...options,
      instructionLimit: MAX_INSTRUCTIONS,
      onInstruction: (slot, registers, current) => {
        if (current !== prog) return;
        calls.follow(registers);
        const count = (counts[slot] ?? 0) + 1;
        counts[slot] = count;
        if (believed === null || objection !== null || count > MAX_LOOKS) return;
        looks++;
        const { callers } = calls;
        const found = { registers, callers, memory: this.bytes, anchors };
        objection = believed.objection(slot, found, live);
      },
    });
  };
  try {
    return { result: call(), looks, objection };
  } finally {
    Run.prototype.execute = execute;
  }
}

/** The calls that a run is in, by its stack pointer. */
class Calls {
  #top: bigint | null = null;
  #depth: number = 0;
  /** r6 to r9 before the last instruction in each frame: of callers, those before the call. */
  readonly #kept: BigUint64Array[] = [];

  follow({ u64 }: Registers): void {
    const pointer = u64[BPF_REG_10] as bigint;
    this.#top ??= pointer;
    this.#depth = Number(this.#top - pointer) / MAX_BPF_STACK;
    this.#kept[this.#depth] ??= new BigUint64Array(BPF_REG_10);
    const kept = this.#kept[this.#depth] as BigUint64Array;
    for (let i = BPF_REG_6; i < BPF_REG_10; i++) kept[i] = u64[i] as bigint;
  }

  /** The registers of the frames around the current one, the outermost first. */
  get callers(): { readonly get: (register: number) => bigint }[] {
    return this.#kept.slice(0, this.#depth).map((kept) => ({ get: (i) => kept[i] as bigint }));
  }
}

function run({ kernel }: EmbeddedWorld, fd: number, { type }: TestProgram, random: Random): number {
  const input = type === BPF_PROG_TYPE_SK_LOOKUP ? lookup(random) : packet(random);
  const address = kernel.addressOf(input);
  const given =
    type === BPF_PROG_TYPE_SK_LOOKUP
      ? { ctx_in: address, ctx_size_in: input.length }
      : { data_in: address, data_size_in: input.length };
  return kernel.bpf(BPF_PROG_TEST_RUN, encode(TEST_RUN, { prog_fd: fd, ...given }));
}

function packet(random: Random): Uint8Array {
  const bytes = new Uint8Array(SHORTEST + random.below(LONGEST - SHORTEST));
  return bytes.map(() => (random.chance(50) ? random.below(256) : 0));
}

/** struct bpf_sk_lookup of a connection that comes in. */
function lookup(random: Random): Uint8Array {
  const context = new DataView(new ArrayBuffer(SK_LOOKUP_SIZE));
  context.setUint32(8, AF_INET, true);
  context.setUint32(12, random.pick([6, 17]), true);
  context.setUint32(16, random.u32(), true);
  context.setUint16(36, random.below(0x10000), true);
  context.setUint32(40, random.u32(), true);
  context.setUint32(60, random.below(0x10000), true);
  return new Uint8Array(context.buffer);
}
