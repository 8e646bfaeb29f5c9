/**
 * Programs by seed: relations between numbers, comparisons, and a use at the edge. The comparisons
 * and the place of the use come of trial runs: a program is right as far as these tell, or takes
 * its number to be within what only some of them saw, and then no verifier may accept it.
 */

import * as I from "../../src/abi/insn.ts";
import { Random } from "../random.ts";
import { Body, KEY_SLOT, type Relation } from "./body.ts";
import * as C from "./code.ts";
import { guard, type Sample } from "./guards.ts";
import { constantsOf, type Input, neighbours, randomInputs } from "./inputs.ts";
import { relate } from "./steps.ts";
import type { Subject } from "./subject.ts";
import { type Aim, finish, keepsStack, normalized, pickUse, type Use } from "./uses.ts";

/** A program and what to run it on. */
export interface Program {
  readonly seed: number;
  readonly source: C.Source;
  readonly inputs: readonly Input[];
  readonly use: Use;
  /** Whether trial runs say that it is wrong. */
  readonly isWrong: boolean;
  /** What the number that it uses came of. */
  readonly relations: ReadonlySet<Relation>;
  readonly keepsStack: boolean;
  /** The same with a comparison more, after which it should be accepted; null for wrong ones. */
  readonly repaired: (() => Program) | null;
}

const TRIALS = 14;
const NEIGHBOURS = 12;
const MAX_STEPS = 9;
/** More values than this are no narrow number. */
const NARROW = 3000n;
/** In percent: programs that take something for granted which isn't so, or step past the edge. */
const WRONG = 20;
const PAST = 6;
const PERTURBED = 12;

/** Makes the program of a seed. @param subject - for trial runs, which leave nothing behind. */
export function makeProgram(seed: number, subject: Subject): Program {
  const random = new Random(Math.imul(seed + 1, 0x9e3779b1));
  const body = new Body(random);
  for (let steps = 1 + random.below(MAX_STEPS); steps > 0; steps--) relate(body);
  const constants = constantsOf({ instructions: body.lines.flatMap(({ insns }) => insns) });
  const first = randomInputs(random, TRIALS, constants);
  const samples = tryOut(body, subject, first);
  if (samples.length > 0) {
    const guards = random.weighted([
      [4, 1],
      [4, 2],
      [1, 3],
      [1, 0],
    ] as const);
    for (let i = 0; i < guards; i++) guard(body, samples);
    if (random.once(3)) relate(body);
    if (random.chance(PERTURBED)) perturb(body);
  }
  const known = samples.map(({ input }) => input);
  const inputs = [...first, ...neighbours(random, known, NEIGHBOURS, first.length)];
  const reached = tryOut(body, subject, inputs);
  const { aim, isWrong } = takeAim(body, reached);
  const use = pickUse(body);
  const near = neighbours(
    random,
    reached.map(({ input }) => input),
    NEIGHBOURS,
    inputs.length,
  );
  const begun = body.lines.length;
  const given = new Map(body.registers);
  const made = (last: Aim, repaired: (() => Program) | null): Program => {
    const numbers = body.tags(last.register);
    finish(body, use, last);
    return {
      seed,
      source: { type: body.type, main: [...body.lines], subprograms: [...body.subprograms] },
      inputs: [...inputs, ...near],
      use,
      isWrong,
      relations: numbers,
      keepsStack: keepsStack(use),
      repaired,
    };
  };
  const repaired = (): Program => {
    body.lines.length = begun;
    body.registers.clear();
    for (const [register, tags] of given) body.registers.set(register, tags);
    return made(repair(body, aim), null);
  };
  return made(aim, isWrong ? null : repaired);
}

/** Compares the number, or a relative that the verifier surely knows, with what it may be. */
function repair(body: Body, aim: Aim): Aim {
  const { random } = body;
  const { register, low, high } = normalized(body, aim, 0n);
  const check = (compared: number, width: C.Width = 64): void => {
    const line = C.jump(width, I.BPF_JGT, compared, Number(high), C.OUT_LABEL);
    body.add({ ...line, guard: true });
  };
  const other = body.target(register);
  switch (random.below(5)) {
    case 0:
      body.copy(other, register);
      check(other);
      break;
    case 1:
      // The check is of what was spilled, the use of what is filled.
      body.add(C.store(8, 10, KEY_SLOT, { reg: register }));
      check(register);
      body.add(C.load(8, other, 10, KEY_SLOT));
      body.set(other, body.tags(register), "spill and fill");
      return { ...aim, register: other, low, high };
    case 2:
      body.add(C.move(32, other, { reg: register }));
      check(other, 32);
      body.set(other, body.tags(register), "copy of 32 bits");
      return { ...aim, register: other, low, high };
    case 3: {
      const by = random.below(100) + 1;
      body.copy(other, register);
      body.add(C.alu(64, I.BPF_ADD, other, by));
      body.set(other, body.tags(register), "sum of 64 bits");
      body.add({ ...C.jump(64, I.BPF_JGT, other, Number(high) + by, C.OUT_LABEL), guard: true });
      body.add({ ...C.jump(64, I.BPF_JLT, other, Number(low) + by, C.OUT_LABEL), guard: true });
      body.set(register, body.tags(register), "sum of 64 bits");
      break;
    }
    default:
      check(register);
  }
  return { ...aim, low, high };
}

/** Runs what there is so far; the registers at its end, of those runs that come there. */
function tryOut(body: Body, subject: Subject, inputs: readonly Input[]): Sample[] {
  const slot = C.slotsOf(body.lines);
  const end = [C.move(64, 0, 0), C.exit(), C.label(C.OUT_LABEL), C.move(64, 0, 0), C.exit()];
  const main = [...body.lines, ...end];
  const program = C.link({ type: body.type, main, subprograms: body.subprograms });
  return subject.probe(program, slot, inputs).flatMap((registers, i) => {
    const input = inputs[i];
    return registers === null || input === undefined ? [] : [{ input, registers }];
  });
}

/** Changes one constant, width, order or sign of what there is. */
function perturb(body: Body): void {
  const { random } = body;
  const at = random.below(body.lines.length);
  const line = body.lines[at];
  const [insn, ...rest] = line?.insns ?? [];
  if (line === undefined || insn === undefined || rest.length > 0) return;
  const kind = I.BPF_CLASS(insn.opcode);
  const isArithmetic = kind === I.BPF_ALU || kind === I.BPF_ALU64;
  const isJump = kind === I.BPF_JMP || kind === I.BPF_JMP32;
  const operation = I.BPF_OP(insn.opcode);
  if (!(isArithmetic || isJump) || operation === I.BPF_CALL || operation === I.BPF_EXIT) return;
  if (operation === I.BPF_JA || operation === I.BPF_END || insn.off !== 0) return;
  // Pointers are left alone.
  if (insn.dst === 10 || insn.src === 10 || insn.dst === 6) return;
  const hasImmediate = I.BPF_SRC(insn.opcode) === I.BPF_K && operation !== I.BPF_NEG;
  const changed =
    hasImmediate && random.once(2)
      ? { ...insn, imm: (insn.imm + random.pick([1, -1])) | 0 }
      : { ...insn, opcode: insn.opcode ^ (isArithmetic ? I.BPF_ALU ^ I.BPF_ALU64 : 3) };
  body.lines[at] = { ...line, insns: [changed] };
}

interface Values {
  readonly register: number;
  readonly values: readonly bigint[];
  readonly low: bigint;
  readonly high: bigint;
}

function least([first = 0n, ...rest]: readonly bigint[]): bigint {
  let found = first;
  for (const value of rest) if (value < found) found = value;
  return found;
}

function most([first = 0n, ...rest]: readonly bigint[]): bigint {
  let found = first;
  for (const value of rest) if (value > found) found = value;
  return found;
}

function valuesOf(register: number, samples: readonly Sample[]): Values {
  const values = samples.map(({ registers }) => BigInt.asIntN(64, registers[register] ?? 0n));
  return { register, values, low: least(values), high: most(values) };
}

/** Trial runs that a wrong program believes: one half or sign of a number, or no extremes. */
function believed(random: Random, samples: readonly Sample[], register: number): Sample[] {
  const which = 1 + random.below(3);
  const given = ({ input }: Sample): bigint => input.numbers[which] ?? 0n;
  const value = ({ registers }: Sample): bigint => BigInt.asIntN(64, registers[register] ?? 0n);
  const { low, high } = valuesOf(register, samples);
  const keep = random.pick<(sample: Sample) => boolean>([
    (sample) => given(sample) >> 32n === 0n,
    (sample) => given(sample) >> 31n === 0n,
    (sample) => given(sample) < 64n,
    (sample) => value(sample) >= 0n && value(sample) < 64n,
    (sample) => value(sample) >> 32n === 0n,
    (sample) => value(sample) < high,
    (sample) => value(sample) > low,
  ]);
  return samples.filter(keep);
}

/** Chooses a number of few values, or makes one. */
function takeAim(body: Body, samples: readonly Sample[]): { aim: Aim; isWrong: boolean } {
  const { random } = body;
  const registers = [...body.registers.keys()];
  if (samples.length === 0) {
    return { aim: { register: body.any(), low: 0n, high: 7n, past: 0 }, isWrong: false };
  }
  const past = random.chance(PAST) ? random.pick([1, 1, 2]) : 0;
  if (random.chance(WRONG)) {
    const aim = wrongAim(body, samples, registers);
    if (aim !== null) return { aim, isWrong: true };
  }
  const narrow = registers
    .map((register) => valuesOf(register, samples))
    .filter(({ low, high }) => high - low <= NARROW);
  const varying = narrow.filter(({ low, high }) => high > low);
  const related = varying.filter(({ register }) => body.tags(register).size > 0);
  const choices = [related, related, varying, narrow].find((list) => list.length > 0);
  if (choices !== undefined) {
    const { register, low, high } = random.pick(choices);
    return { aim: { register, low, high, past }, isWrong: past > 0 };
  }
  return { aim: { ...narrowed(body, samples), past }, isWrong: past > 0 };
}

function wrongAim(
  body: Body,
  samples: readonly Sample[],
  registers: readonly number[],
): Aim | null {
  const tries = registers.map((register) => {
    const some = believed(body.random, samples, register);
    return { all: valuesOf(register, samples), some: valuesOf(register, some), any: some.length };
  });
  const fitting = tries.filter(
    ({ all, some, any }) =>
      any > 0 && some.high - some.low <= NARROW && (all.low < some.low || all.high > some.high),
  );
  if (fitting.length === 0) return null;
  const { register, low, high } = body.random.pick(fitting).some;
  return { register, low, high, past: 0 };
}

/** Cuts a number down, and says to what. */
function narrowed(body: Body, samples: readonly Sample[]): Omit<Aim, "past"> {
  const { random } = body;
  const register = body.any();
  const { values } = valuesOf(register, samples);
  const shift = random.pick([32, 48, 56, 60, 61]);
  const mask = random.pick([1, 7, 31, 63, 255, 1023]);
  const isShift = random.once(3);
  body.add(
    isShift
      ? C.alu(64, I.BPF_RSH, register, shift)
      : C.alu(random.once(2) ? 64 : 32, I.BPF_AND, register, mask),
  );
  body.set(register, body.tags(register), isShift ? "shift" : "bits");
  const cut = values.map((value) =>
    isShift ? BigInt.asUintN(64, value) >> BigInt(shift) : value & BigInt(mask),
  );
  const high = most(cut);
  if (high > NARROW) {
    body.add(C.alu(64, I.BPF_AND, register, mask));
    return { register, low: 0n, high: BigInt(mask) };
  }
  return { register, low: 0n, high: random.once(2) || isShift ? high : BigInt(mask) };
}
