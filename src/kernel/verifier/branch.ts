/**
 * Conditional jumps: both ways are walked unless one is known to be taken, each with what the
 * condition tells. Analogous to check_cond_jmp_op() in kernel/bpf/verifier.c.
 */

import { EACCES, EFAULT } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { isSecret, readRegister } from "./alu.ts";
import * as B from "./bounds.ts";
import {
  flip,
  isOneValue,
  type Learnt,
  learn,
  learnOfItself,
  outcome,
  type Pair,
} from "./compare.ts";
import type { Environment } from "./environment.ts";
import { zeroExtend } from "./extension.ts";
import { learnPacketEnd, packetOutcome } from "./packet_compare.ts";
import { markPrecise } from "./precision.ts";
import { drop } from "./references.ts";
import { Refusal } from "./refusal.ts";
import { immediate, known, notNull, type Register } from "./register.ts";
import { addRanges } from "./scalar_alu.ts";
import { guessOtherWay } from "./speculation.ts";
import type { Place, State } from "./state.ts";
import * as tnum from "./tnum.ts";

/** The most numbers that learn from each other at one jump. */
const MAX_LINKED = 6;

/** Walks a conditional jump. @returns the slot to go on at. */
export function conditionalJump(env: Environment): number {
  const { insn, slot, state } = env;
  const { opcode, dst, src, off, imm } = insn;
  const operation = I.BPF_OP(opcode);
  const is32 = I.BPF_CLASS(opcode) === I.BPF_JMP32;
  const byRegister = I.BPF_SRC(opcode) === I.BPF_X;
  const a = readRegister(env, dst);
  const b = byRegister ? readRegister(env, src) : immediate(imm);
  if (byRegister && !(a.isPacketOrEnd && b.isPacketOrEnd) && isSecret(env, b)) {
    throw prohibited(src);
  }
  env.step.stackOperands = (a.type === "fp" ? 1 : 0) | (b.type === "fp" ? 2 : 0);
  const target = slot + off + 1;
  const foretold = predict(a, b, operation, is32);
  const learns = foretold === null && a.isScalar && b.isScalar;
  const learnt = learns ? learnFrom(env.insn, a, b) : null;
  const isTaken = foretold ?? onlyWay(learnt);
  if (isTaken !== null) {
    markPrecise(env, dst);
    if (byRegister) markPrecise(env, src);
    guessOtherWay(env, isTaken ? slot + 1 : target);
    env.trace?.change(slot);
    return isTaken ? target : slot + 1;
  }
  const linked: Place[] = [];
  // Twice where both operands are copies of one number, which takes twice the places, as in Linux.
  if (byRegister) collectLinked(env, src, linked);
  collectLinked(env, dst, linked);
  if (linked.length > 1) env.noteLinked(linked);
  const taken = env.branch(target, EFAULT);
  refineNumbers(taken, learnt?.taken ?? null, dst, byRegister ? src : null);
  refineNumbers(state, learnt?.passed ?? null, dst, byRegister ? src : null);
  // Both ways learn before what they learnt is spread.
  for (const way of [state, taken]) {
    if (byRegister) spread(way, src, linked);
    spread(way, dst, linked);
  }
  comparePointers(env, taken, a, b, byRegister);
  env.trace?.change(slot);
  return slot + 1;
}

function learnFrom({ opcode, dst, src }: Instruction, a: Register, b: Register): Learnt {
  const operation = I.BPF_OP(opcode);
  const is32 = I.BPF_CLASS(opcode) === I.BPF_JMP32;
  const isItself = I.BPF_SRC(opcode) === I.BPF_X && dst === src;
  if (isItself) return learnOfItself(a.bounds, operation, is32);
  return learn(a.bounds, b.bounds, operation, is32);
}

/** A way on which an operand could have no value is never taken. */
function onlyWay(learnt: Learnt | null): boolean | null {
  if (learnt === null) return null;
  if (learnt.passed === null) return true;
  return learnt.taken === null ? false : null;
}

function prohibited(register: number): Refusal {
  return new Refusal(EACCES, `R${register} pointer comparison prohibited`);
}

/** Analogous to is_branch_taken() in Linux. */
function predict(a: Register, b: Register, operation: number, is32: boolean): boolean | null {
  if (a.isPacketOrEnd && b.isPacketOrEnd && !is32) return packetOutcome(a, b, operation);
  if (!a.isPointer && !b.isPointer) return outcome(a.bounds, b.bounds, operation, is32);
  const isConstant = (register: Register): boolean =>
    register.isScalar && isOneValue(register.bounds, is32);
  if (!isConstant(b)) return isConstant(a) ? predict(b, a, flip(operation), is32) : null;
  if (!isNeverNull(a)) return null;
  const value = is32 ? B.u32(b.bounds.bits.value) : b.bounds.bits.value;
  if (Number(value) !== 0) return null;
  return operation === I.BPF_JEQ ? false : operation === I.BPF_JNE ? true : null;
}

/** Pointers that Linux knows not to be null; it could know so of more. */
function isNeverNull({ type }: Register): boolean {
  return (
    type === "sock" ||
    type === "sock_common" ||
    type === "map_value" ||
    type === "map_key" ||
    type === "mem" ||
    type === "map_ptr"
  );
}

/**
 * Adds the places of numbers that share an id with a register, the innermost frame first. Analogous
 * to collect_linked_regs() in Linux.
 */
function collectLinked({ state, live, slot }: Environment, register: number, found: Place[]): void {
  const { isScalar, id } = state.frame.get(register);
  if (!isScalar || id === 0) return;
  for (let frame = state.depth; frame >= 0; frame--) {
    const asked = live[state.frames[frame + 1]?.callSite ?? slot] as number;
    collect(state, frame, asked, id, found);
  }
}

/** @param asked - a mask of the registers that are read later on: others needn't learn. */
function collect(state: State, frame: number, asked: number, id: number, found: Place[]): void {
  const { registers, stack } = state.frames[frame] as State["frame"];
  const visit = (register: Register | null, place: Place): void => {
    if (register?.isScalar !== true || register.id !== id) return;
    // Those that are too many learn nothing, so they must not be taken for equal later on.
    if (found.length < MAX_LINKED) found.push(place);
    else state.put(place, register.unlinked());
  };
  for (let index = 0; index < I.BPF_REG_10; index++) {
    if (((asked >> index) & 1) === 0) continue;
    visit(registers[index] as Register, { frame, isSlot: false, index });
  }
  for (let index = 0; index < stack.length; index++) {
    visit(stack[index]?.spilled ?? null, { frame, isSlot: true, index });
  }
}

function refineNumbers(
  { frame }: State,
  learnt: Pair | null,
  dst: number,
  src: number | null,
): void {
  if (learnt === null) return;
  frame.set(dst, frame.get(dst).withBounds(learnt[0]));
  if (src !== null) frame.set(src, frame.get(src).withBounds(learnt[1]));
}

/** What was learnt of a register holds for the numbers linked to it. */
function spread(state: State, register: number, linked: readonly Place[]): void {
  const source = state.frame.get(register);
  if (!source.isScalar || source.id === 0) return;
  for (const place of linked) {
    const target = state.at(place);
    if (target?.isScalar !== true || target.id !== source.id || target === source) continue;
    // The distance of sums of different widths is unknown.
    const width = target.sumWidth || source.sumWidth;
    if (source.sumWidth !== 0 && source.sumWidth !== width) continue;
    if (width === 0 || target.off === source.off) {
      state.put(place, source);
      continue;
    }
    const bounds = B.copyBounds(source.bounds);
    const distance = B.exactly(BigInt(target.off) - BigInt(source.off));
    addRanges(bounds, distance);
    bounds.bits = tnum.add(bounds.bits, distance.bits);
    if (width === 32) zeroExtend(bounds);
    B.sync(bounds);
    state.put(place, target.withBounds(bounds));
  }
}

function comparePointers(
  env: Environment,
  taken: State,
  a: Register,
  b: Register,
  byRegister: boolean,
): void {
  const { insn, state } = env;
  const { opcode, dst, src, imm } = insn;
  const operation = I.BPF_OP(opcode);
  const isWide = I.BPF_CLASS(opcode) === I.BPF_JMP;
  const isEquality = operation === I.BPF_JEQ || operation === I.BPF_JNE;
  const equal = operation === I.BPF_JEQ ? taken : state;
  if (isWide && byRegister && isEquality && a.isPointer && b.isPointer) {
    // Equal to a pointer that is not null.
    const nullable = a.mayBeNull ? dst : src;
    if (a.mayBeNull !== b.mayBeNull) {
      equal.frame.set(nullable, notNull(equal.frame.get(nullable)));
    }
  }
  if (isWide && !byRegister && imm === 0 && isEquality && a.mayBeNull) {
    settleNull(taken, a, operation === I.BPF_JEQ);
    settleNull(state, a, operation === I.BPF_JNE);
    return;
  }
  if (isWide && byRegister && learnPacketEnd({ taken, passed: state }, insn)) return;
  if (isSecret(env, a)) throw prohibited(dst);
}

/** All copies of a pointer are null, or none is. With null there is nothing to give back. */
function settleNull(state: State, { id, reference }: Register, isNull: boolean): void {
  if (isNull && reference !== 0 && reference === id) drop(state, reference);
  state.update((register) => {
    if (!register.mayBeNull || register.id !== id) return register;
    return isNull ? known(0n) : notNull(register);
  });
}
