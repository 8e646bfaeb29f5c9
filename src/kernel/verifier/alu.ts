/**
 * Arithmetic and moves, from the instruction to what its destination then holds. Analogous to
 * check_alu_op() in kernel/bpf/verifier.c.
 */

import { EACCES, ENOMEM } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import * as B from "./bounds.ts";
import { type Environment, withId } from "./environment.ts";
import { fitsSigned, signExtend32, signExtend64, zeroExtend } from "./extension.ts";
import { distance, isLinkable } from "./links.ts";
import { movePointer, operationSign } from "./pointer_alu.ts";
import { markPrecise } from "./precision.ts";
import { Refusal } from "./refusal.ts";
import { immediate, known, NOT_INIT, type Register, scalar, UNKNOWN_SCALAR } from "./register.ts";
import { arithmetic, reorder } from "./scalar_alu.ts";
import { maskNumbers } from "./speculation.ts";
import * as tnum from "./tnum.ts";

/** What a register holds. @throws {Refusal} when nothing was put there. */
export function readRegister(env: Environment, register: number): Register {
  const contents = env.state.frame.get(register);
  if (contents.type !== "?") return contents;
  throw new Refusal(EACCES, `R${register} !read_ok`);
}

/** Whether the contents must not get where the program's user could see them. */
export function isSecret(env: Environment, contents: Register): boolean {
  return contents.isPointer && !env.subject.perfmon;
}

/** One instruction of class BPF_ALU or BPF_ALU64. */
export function alu(env: Environment): void {
  const { opcode, dst, src, imm } = env.insn;
  const { frame } = env.state;
  const is64 = I.BPF_CLASS(opcode) === I.BPF_ALU64;
  const operation = I.BPF_OP(opcode);
  if (operation === I.BPF_NEG || operation === I.BPF_END) {
    unary(env);
    return;
  }
  if (operation === I.BPF_MOV) {
    if (I.BPF_SRC(opcode) === I.BPF_X) moveRegister(env, is64);
    else frame.set(dst, scalar(B.exactlyWords(is64 ? imm >> 31 : 0, imm)));
    return;
  }
  const source = I.BPF_SRC(opcode) === I.BPF_X ? readRegister(env, src) : immediate(imm);
  const target = fork(env, readRegister(env, dst), source);
  frame.set(dst, binary(env, target, source, is64));
}

/**
 * A number that masks another, all of its bits or none: a path for each. Analogous to
 * maybe_fork_scalars() in Linux.
 *
 * @returns the target on this path, where all bits are set.
 */
function fork(env: Environment, target: Register, source: Register): Register {
  const operation = I.BPF_OP(env.insn.opcode);
  if (operation !== I.BPF_AND && operation !== I.BPF_OR) return target;
  if (!target.isScalar || !source.isScalar || !source.bounds.bits.isConstant) return target;
  const { smin, smax, s32min, s32max } = target.bounds;
  const isWide = smin === -1n && smax === 0n;
  if (!isWide && (s32min !== -1 || s32max !== 0)) return target;
  const other = env.branch(env.slot, ENOMEM);
  if (isWide) {
    other.frame.set(env.insn.dst, known(0n));
    return known(-1n);
  }
  other.frame.set(env.insn.dst, target.withBounds(withLowWord(target.bounds, 0)));
  return target.withBounds(withLowWord(target.bounds, -1));
}

/** The number with a known lower half. */
function withLowWord(bounds: Readonly<B.Bounds>, low: number): B.Bounds {
  const b = B.copyBounds(bounds);
  b.bits = tnum.withLowHalf(b.bits, tnum.constantWords(0, low));
  b.s32min = b.s32max = low;
  b.u32minWord = b.u32maxWord = low;
  return b;
}

function unary(env: Environment): void {
  const { dst } = env.insn;
  const target = readRegister(env, dst);
  if (isSecret(env, target)) {
    throw new Refusal(EACCES, `R${dst} pointer arithmetic prohibited`);
  }
  env.state.frame.set(dst, target.isScalar ? changedNumber(env, target) : UNKNOWN_SCALAR);
}

function changedNumber(env: Environment, target: Register): Register {
  const bounds = changed(env, target.bounds);
  return keepsValue(env.insn) ? target.withBounds(bounds) : scalar(bounds);
}

/** le64 changes nothing on a little-endian machine: the number stays equal to its copies. */
function keepsValue({ opcode, imm }: Instruction): boolean {
  return opcode === (I.BPF_ALU | I.BPF_END | I.BPF_TO_LE) && imm === 64;
}

/** The negative of a number, or its bytes in another order. */
function changed({ insn }: Environment, before: Readonly<B.Bounds>): B.Bounds {
  const { opcode, imm } = insn;
  const is64 = I.BPF_CLASS(opcode) === I.BPF_ALU64;
  if (I.BPF_OP(opcode) === I.BPF_NEG) return arithmetic(I.BPF_NEG, before, before, is64);
  const swaps = is64 || I.BPF_SRC(opcode) === I.BPF_TO_BE;
  return reorder(before, imm / 8, swaps);
}

function moveRegister(env: Environment, is64: boolean): void {
  const { dst, src, off } = env.insn;
  const { frame } = env.state;
  const source = readRegister(env, src);
  if (is64 && off === 0) {
    const copied = withId(env, source);
    frame.set(src, copied);
    frame.set(dst, copied);
    return;
  }
  if (isSecret(env, source)) {
    const what = is64 ? "sign-extension part" : "partial copy";
    throw new Refusal(EACCES, `R${src} ${what} of pointer`);
  }
  if (!source.isScalar) {
    const bounds = B.unbounded();
    if (!is64) zeroExtend(bounds);
    B.sync(bounds);
    frame.set(dst, scalar(bounds));
    return;
  }
  // The copy is equal to the source, and may learn with it, when nothing is cut off.
  const isSame = off === 0 ? B.widthOf(source.bounds) <= 32 : fitsSigned(source.bounds, off / 8);
  let copied = source;
  if (isSame) {
    copied = withId(env, source);
    frame.set(src, copied);
  }
  const bounds = cut(copied.bounds, off / 8, is64);
  frame.set(dst, isSame ? copied.withBounds(bounds) : scalar(bounds));
}

function cut(before: Readonly<B.Bounds>, size: number, is64: boolean): B.Bounds {
  if (is64) return signExtend64(before, size);
  const bounds = size === 0 ? B.copyBounds(before) : signExtend32(before, size);
  zeroExtend(bounds);
  B.sync(bounds);
  return bounds;
}

/** Analogous to adjust_reg_min_max_vals() in Linux. */
function binary(env: Environment, target: Register, source: Register, is64: boolean): Register {
  const { opcode, dst, src } = env.insn;
  const operation = I.BPF_OP(opcode);
  const isSum = operation === I.BPF_ADD || operation === I.BPF_SUB;
  if (target.isPointer && source.isPointer) {
    env.ranges.noteNumbers(env.slot);
    if (operation === I.BPF_SUB && env.subject.perfmon) return UNKNOWN_SCALAR;
    const text = `R${dst} pointer ${operationSign(opcode)} pointer prohibited`;
    throw new Refusal(EACCES, text);
  }
  if (source.isPointer) {
    markPrecise(env, dst);
    noteSum(env, dst, target, true);
    return movePointer(env, source, target, true);
  }
  if (target.isPointer) {
    if (I.BPF_SRC(opcode) === I.BPF_X) {
      markPrecise(env, src);
      noteSum(env, src, source, false);
    }
    return movePointer(env, target, source, false);
  }
  if (isSum && !env.state.speculative) env.ranges.noteNumbers(env.slot);
  maskNumbers(env);
  let bounds = arithmetic(operation, target.bounds, source.bounds, is64);
  if (B.isContradictory(bounds)) bounds = B.unbounded();
  const isLinked = env.subject.bpfCapable && isLinkable(target, is64);
  const by = isLinked ? distance(env.insn, source.bounds, is64) : null;
  if (by === null) return scalar(bounds);
  return target.sumOf(by, is64 ? 64 : 32, bounds);
}

/** Notes the number that is added to a pointer: no run takes a path that is only guessed. */
function noteSum(env: Environment, register: number, number: Register, isReversed: boolean): void {
  // Contradictory bounds are those of a dead branch.
  if (env.state.speculative || B.isContradictory(number.bounds)) return;
  env.ranges.noteSum(env.slot, register, number.bounds, isReversed);
}

/** r0 to r5 hold nothing after a call. */
export function clearCallerSaved(env: Environment): void {
  for (let i = I.BPF_REG_0; i <= I.BPF_REG_5; i++) env.state.frame.set(i, NOT_INIT);
}
