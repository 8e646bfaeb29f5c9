/**
 * Which numbers a verdict depends on: from the place where a number's value matters backwards over
 * the path that led there, marking it at every checkpoint. Numbers without a mark may be anything
 * when states are compared. Analogous to mark_chain_precision() in kernel/bpf/verifier.c.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import * as I from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { Environment } from "./environment.ts";
import { Marks } from "./marks.ts";
import { logPropagation, PrecisionLog } from "./precision_log.ts";
import type { Checkpoint, Frame, Place, State, Step } from "./state.ts";

/** r1 to r5. */
const ARGUMENTS = 0b11_1110;
/** r0 to r5. */
const CALLER_SAVED = 0b11_1111;

/** Whether the instruction calls a helper that calls back. */
export function callsBack({ opcode, src, imm }: Instruction): boolean {
  if (opcode !== (I.BPF_JMP | I.BPF_CALL) || src !== 0) return false;
  return imm === BPF_FUNC.loop || imm === BPF_FUNC.for_each_map_elem;
}

/** The value of a register matters at the current instruction. */
export function markPrecise(env: Environment, register: number): void {
  const { state } = env;
  // Without CAP_BPF every number matters anyway.
  if (!env.subject.bpfCapable) return;
  if (!state.frame.get(register).isScalar) return;
  const wanted = new Marks();
  wanted.addRegister(state.depth, register);
  trace(env, state, wanted, state.depth, state.history?.before ?? null, env.slot);
}

/** As {@link markPrecise}, for a spilled register. */
export function markSlotPrecise(env: Environment, frame: number, index: number): void {
  const wanted = new Marks();
  wanted.addSlot(frame, index);
  const { state } = env;
  trace(env, state, wanted, state.depth, state.history?.before ?? null, env.slot);
}

/**
 * What matters from an equivalent checkpoint on, matters to a path that is at `slot`.
 *
 * @returns whether something had no mark yet.
 */
export function inheritPrecision(
  env: Environment,
  state: State,
  slot: number,
  equivalent: Checkpoint,
): boolean {
  return traceFrom(env, state, slot, equivalent, true);
}

/** Whether {@link inheritPrecision} would find something without a mark; it gets none. */
export function lacksPrecision(
  env: Environment,
  state: State,
  slot: number,
  equivalent: Checkpoint,
): boolean {
  return traceFrom(env, state, slot, equivalent, false);
}

function traceFrom(
  env: Environment,
  state: State,
  slot: number,
  { precise, frames }: Checkpoint,
  marks: boolean,
): boolean {
  if (precise.isEmpty || !env.subject.bpfCapable) return false;
  if (marks && env.log.isVerbose) logPropagation(env.log, precise, frames.length);
  return trace(env, state, precise.copy(), frames.length - 1, state.history, slot, marks);
}

/** Where the trace is. */
interface Trace {
  readonly env: Environment;
  readonly wanted: Marks;
  frame: number;
  /** null: the log wants no such lines. */
  readonly log: PrecisionLog | null;
}

/**
 * @param frame - the innermost one. @param last - the last step before what wants the marks.
 * @param subsequent - the slot that follows it. @param marks - false: it only looks.
 * @returns whether something had no mark yet.
 */
function trace(
  env: Environment,
  state: State,
  wanted: Marks,
  frame: number,
  last: Step | null,
  subsequent: number,
  marks: boolean = true,
): boolean {
  const log = marks && env.log.isVerbose ? new PrecisionLog(env, wanted) : null;
  const at: Trace = { env, wanted, frame, log };
  const start = startOf(state.frames);
  let next = subsequent;
  let step = last;
  let checkpoint = state.parent;
  let changed = false;
  log?.begin(frame, subsequent, checkpoint?.slot ?? start, -1);
  for (;;) {
    for (; step !== null; step = step.before) {
      if (!goBack(at, step, next)) {
        if (marks) markAllPrecise(env, state);
        return changed || !marks;
      }
      if (wanted.isEmpty) return changed;
      next = step.slot;
    }
    if (checkpoint === null) {
      // Arguments of a function that is verified by itself: Linux has lost its way then.
      if (marks) markAllPrecise(env, state);
      return changed;
    }
    if (!marks && lacksMark(checkpoint, wanted)) return true;
    if (settle(checkpoint, wanted)) changed = true;
    log?.parent(at.frame, checkpoint);
    if (wanted.isEmpty) return changed;
    const { slot, history, parent } = checkpoint;
    log?.begin(at.frame, history?.slot ?? -1, parent?.slot ?? start, slot);
    step = history;
    next = slot;
    // The walk began here, and so did what is wanted.
    if (step === null && parent === null) return changed;
    checkpoint = parent;
  }
}

/** The slot that the walk began at. */
function startOf(frames: readonly Frame[]): number {
  return (frames[0] as Frame).start;
}

/** Whether a number that is wanted has no mark. */
function lacksMark({ frames, precise }: Checkpoint, wanted: Marks): boolean {
  return frames.some((frame, depth) => {
    const registers = wanted.registersOf(depth) & ~precise.registersOf(depth);
    if (frame.registers.some((register, i) => ((registers >> i) & 1) === 1 && register.isScalar)) {
      return true;
    }
    return frame.stack.some(
      ({ spilled }, i) =>
        spilled?.isScalar === true && wanted.hasSlot(depth, i) && !precise.hasSlot(depth, i),
    );
  });
}

/**
 * Marks a checkpoint and drops what needs no tracing further back.
 *
 * @returns whether something had no mark yet.
 */
function settle({ frames, precise }: Checkpoint, wanted: Marks): boolean {
  let changed = false;
  for (let depth = 0; depth < frames.length; depth++) {
    const frame = frames[depth] as Frame;
    let mask = wanted.registersOf(depth);
    for (let register = 0; mask !== 0; register++, mask >>= 1) {
      if ((mask & 1) === 0) continue;
      if (frame.get(register).isScalar && !precise.hasRegister(depth, register)) {
        precise.addRegister(depth, register);
        changed = true;
      } else {
        wanted.dropRegister(depth, register);
      }
    }
    if (!wanted.hasSlots(depth)) continue;
    for (let index = 0; index < 2 * 32; index++) {
      if (!wanted.hasSlot(depth, index)) continue;
      const isNumber = frame.slot(index).spilled?.isScalar === true;
      if (isNumber && !precise.hasSlot(depth, index)) {
        precise.addSlot(depth, index);
        changed = true;
      } else {
        wanted.dropSlot(depth, index);
      }
    }
  }
  return changed;
}

/** The path can't be followed: everything matters. */
export function markAllPrecise(env: Environment, state: State): void {
  const log = env.log.isVerbose ? env.log : null;
  log?.line(`mark_precise: frame${state.depth}: falling back to forcing all scalars precise`);
  for (let at = state.parent; at !== null; at = at.parent) {
    for (const [depth, frame] of at.frames.entries()) {
      for (let register = 0; register < I.BPF_REG_10; register++) {
        if (!frame.get(register).isScalar || at.precise.hasRegister(depth, register)) continue;
        at.precise.addRegister(depth, register);
        log?.line(`force_precise: frame${depth}: forcing r${register} to be precise`);
      }
      for (const [index, slot] of frame.stack.entries()) {
        if (slot.spilled?.isScalar !== true || at.precise.hasSlot(depth, index)) continue;
        at.precise.addSlot(depth, index);
        log?.line(`force_precise: frame${depth}: forcing fp${-8 * (index + 1)} to be precise`);
      }
    }
  }
}

/** Takes one instruction back. @returns false where that can't be done. */
function goBack(at: Trace, step: Step, next: number): boolean {
  const { wanted } = at;
  const insn = at.env.subject.insns[step.slot] as Instruction;
  at.log?.step(at.frame, step.slot);
  spreadToLinked(wanted, step.linked);
  const good = takeBack(at, insn, step, next);
  spreadToLinked(wanted, step.linked);
  return good;
}

/** Numbers that learnt from each other matter together. */
function spreadToLinked(wanted: Marks, linked: readonly Place[] | null): void {
  if (linked === null || !linked.some((place) => isWanted(wanted, place))) return;
  for (const { frame, isSlot, index } of linked) {
    if (isSlot) wanted.addSlot(frame, index);
    else wanted.addRegister(frame, index);
  }
}

function isWanted(wanted: Marks, { frame, isSlot, index }: Place): boolean {
  return isSlot ? wanted.hasSlot(frame, index) : wanted.hasRegister(frame, index);
}

function takeBack(at: Trace, insn: Instruction, step: Step, next: number): boolean {
  const { wanted, frame } = at;
  const { opcode, dst, src, imm } = insn;
  switch (I.BPF_CLASS(opcode)) {
    case I.BPF_ALU:
    case I.BPF_ALU64:
      takeBackAlu(at, insn);
      return true;
    case I.BPF_LDX:
      if (wanted.hasRegister(frame, dst)) takeBackLoad(at, dst, step);
      return true;
    case I.BPF_STX:
      if (I.BPF_MODE(opcode) === I.BPF_ATOMIC && imm === I.BPF_LOAD_ACQ) {
        if (wanted.hasRegister(frame, dst)) takeBackLoad(at, dst, step);
        return true;
      }
      if (I.BPF_MODE(opcode) === I.BPF_ATOMIC && imm !== I.BPF_STORE_REL) {
        return takeBackAtomic(at, insn, step);
      }
      return takeBackStore(at, dst, src, step);
    case I.BPF_ST:
      return takeBackStore(at, dst, null, step);
    case I.BPF_LD:
      if (opcode === I.BPF_LD_IMM64) wanted.dropRegister(frame, dst);
      else if (wanted.hasRegister(frame, I.BPF_REG_0)) return false;
      return true;
    default:
      return takeBackJump(at, insn, step, next);
  }
}

function takeBackAlu({ wanted, frame }: Trace, { opcode, dst, src }: Instruction): void {
  if (!wanted.hasRegister(frame, dst)) return;
  const operation = I.BPF_OP(opcode);
  if (operation === I.BPF_NEG || operation === I.BPF_END) return;
  if (operation === I.BPF_MOV) wanted.dropRegister(frame, dst);
  if (I.BPF_SRC(opcode) === I.BPF_X && src !== I.BPF_REG_10) wanted.addRegister(frame, src);
}

function takeBackLoad({ wanted, frame }: Trace, dst: number, { access }: Step): void {
  wanted.dropRegister(frame, dst);
  if (access !== null) wanted.addSlot(access.frame, access.index);
}

/**
 * Linux 6.18 takes no notice of what an atomic operation fetches: its register stays wanted. Here
 * the number that was spilled to where it comes from is wanted, too.
 */
function takeBackAtomic(
  { wanted, frame }: Trace,
  { dst, src, imm }: Instruction,
  { access }: Step,
): boolean {
  if (wanted.hasRegister(frame, dst)) return false;
  if ((imm & I.BPF_FETCH) === 0 || access === null) return true;
  const fetched = imm === I.BPF_CMPXCHG ? I.BPF_REG_0 : src;
  if (wanted.hasRegister(frame, fetched)) wanted.addSlot(access.frame, access.index);
  return true;
}

/** @param src - null: a constant was stored. @returns false when a number was the address. */
function takeBackStore(
  { wanted, frame }: Trace,
  dst: number,
  src: number | null,
  { access }: Step,
): boolean {
  if (wanted.hasRegister(frame, dst)) return false;
  if (access === null || !wanted.hasSlot(access.frame, access.index)) return true;
  wanted.dropSlot(access.frame, access.index);
  if (src !== null) wanted.addRegister(frame, src);
  return true;
}

function takeBackJump(at: Trace, insn: Instruction, step: Step, next: number): boolean {
  const { wanted, frame } = at;
  const { opcode, dst, src } = insn;
  switch (I.BPF_OP(opcode)) {
    case I.BPF_CALL:
      return takeBackCall(at, insn, step, next);
    case I.BPF_EXIT:
      return takeBackExit(at, next);
    case I.BPF_JA:
    case I.BPF_JCOND:
      return true;
    default:
      if (I.BPF_SRC(opcode) !== I.BPF_X) return true;
      if (!wanted.hasRegister(frame, dst) && !wanted.hasRegister(frame, src)) return true;
      if ((step.stackOperands & 1) === 0) wanted.addRegister(frame, dst);
      if ((step.stackOperands & 2) === 0) wanted.addRegister(frame, src);
      return true;
  }
}

function takeBackCall(at: Trace, insn: Instruction, step: Step, next: number): boolean {
  const { wanted } = at;
  const entered = next !== step.slot + 1;
  if (insn.src === I.BPF_PSEUDO_CALL && entered) {
    // From the first instruction of a function back to its caller: arguments go along.
    const args = wanted.registersOf(at.frame) & ARGUMENTS;
    if (at.frame === 0) return false;
    leave(at);
    wanted.addRegisters(at.frame, args);
    return true;
  }
  if (callsBack(insn) && entered) {
    // Callbacks get their arguments from the helper.
    if (at.frame === 0) return false;
    leave(at);
    return true;
  }
  wanted.dropRegisters(at.frame, CALLER_SAVED);
  // A tail call that came about was the end of the function that it is in.
  if (insn.imm === BPF_FUNC.tail_call && insn.src === 0 && entered) at.frame++;
  return at.frame < I.MAX_CALL_FRAMES;
}

/** Out of a function, backwards over its beginning. */
function leave(at: Trace): void {
  at.wanted.clearFrame(at.frame);
  at.frame--;
}

/** Into a function, backwards over its end. */
function takeBackExit(at: Trace, next: number): boolean {
  const { wanted, env } = at;
  wanted.dropRegisters(at.frame, ARGUMENTS);
  const call = env.subject.insns[next - 1];
  const isCall = call?.opcode === (I.BPF_JMP | I.BPF_CALL) && call.src === I.BPF_PSEUDO_CALL;
  // A callback goes back to the call itself, which has its own r0.
  const after = env.subject.insns[next];
  const fromCallback = after !== undefined && callsBack(after);
  const result = isCall && !fromCallback && wanted.hasRegister(at.frame, I.BPF_REG_0);
  wanted.dropRegister(at.frame, I.BPF_REG_0);
  at.frame++;
  if (at.frame >= I.MAX_CALL_FRAMES) return false;
  if (result) wanted.addRegister(at.frame, I.BPF_REG_0);
  return true;
}
