/**
 * Arithmetic on pointers: which kinds may be moved, by how much, and what is known afterwards.
 * Analogous to adjust_ptr_min_max_vals() in kernel/bpf/verifier.c.
 */

import { EACCES, EINVAL } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";
import { BPF_MAX_VAR_OFF } from "./region.ts";
import { type Register, UNKNOWN_SCALAR } from "./register.ts";
import { checkSum, maskPointer } from "./speculation.ts";
import * as tnum from "./tnum.ts";
import * as W from "./words.ts";

/** Operations by opcode, as the log writes them. */
const SIGNS: readonly string[] = [
  "+=",
  "-=",
  "*=",
  "/=",
  "|=",
  "&=",
  "<<=",
  ">>=",
  "neg",
  "%=",
  "^=",
  "=",
  "s>>=",
];

/** An operation that pointers don't have. */
export function operationSign(opcode: number): string {
  return SIGNS[I.BPF_OP(opcode) >> 4] ?? "?";
}

function prohibit(text: string): Refusal {
  return new Refusal(EACCES, text);
}

/**
 * What a pointer becomes when a number is added to it or subtracted from it.
 *
 * @param added - the number. @param isReversed - it is the destination and the pointer the source.
 */
export function movePointer(
  env: Environment,
  pointer: Register,
  added: Register,
  isReversed: boolean,
): Register {
  const { opcode, dst } = env.insn;
  const number = added.bounds;
  const operation = I.BPF_OP(opcode);
  const isKnown = number.bits.isConstant;
  // Such a number comes of a dead branch only.
  if (B.isUneven(number)) return UNKNOWN_SCALAR;
  if (I.BPF_CLASS(opcode) !== I.BPF_ALU64) {
    if (operation === I.BPF_SUB && env.subject.perfmon) return UNKNOWN_SCALAR;
    throw prohibit(`R${dst} 32-bit pointer arithmetic prohibited`);
  }
  if (pointer.mayBeNull) {
    const text = `R${dst} pointer arithmetic on ${pointer.type} prohibited, null-check it first`;
    throw new Refusal(EACCES, text);
  }
  if (
    !mayMove(pointer, operation, isKnown ? W.nearSigned(number.sminHigh, number.sminLow) : null)
  ) {
    throw prohibit(`R${dst} pointer arithmetic on ${pointer.type} prohibited`);
  }
  checkOffset(number, added.off, pointer.type);
  checkOffset(pointer.bounds, pointer.off, pointer.type);
  const settle = maskPointer(env, pointer, number, isReversed);
  const moved = shift(env, pointer, number, operation, isReversed);
  checkOffset(moved.bounds, moved.off, pointer.type);
  checkSum(env, moved);
  settle(moved);
  return moved;
}

function mayMove({ type }: Register, operation: number, by: number | null): boolean {
  switch (type) {
    case "ctx":
    case "fp":
    case "pkt":
    case "pkt_meta":
    case "map_value":
    case "map_key":
    case "mem":
    case "func":
      return true;
    case "flow_keys":
      return by !== null;
    case "map_ptr":
      return by === 0 && operation === I.BPF_ADD;
    default:
      return false;
  }
}

/** Analogous to check_reg_sane_offset() in Linux. */
function checkOffset(bounds: Readonly<B.Bounds>, off: number, type: string): void {
  const { bits, sminHigh, sminLow } = bounds;
  const refuse = (text: string): Refusal => new Refusal(EINVAL, text);
  if (bits.isConstant && isFar(bits.valueHigh, bits.valueLow)) {
    const value = W.toSigned(bits.valueHigh, bits.valueLow);
    throw refuse(`math between ${type} pointer and ${value} is not allowed`);
  }
  if (off >= BPF_MAX_VAR_OFF || off <= -BPF_MAX_VAR_OFF) {
    throw refuse(`${type} pointer offset ${off} is not allowed`);
  }
  if (sminHigh === B.S32_MIN && sminLow === 0) {
    const text = `math between ${type} pointer and register with unbounded min value`;
    throw refuse(`${text} is not allowed`);
  }
  if (isFar(sminHigh, sminLow)) {
    throw refuse(`value ${bounds.smin} makes ${type} pointer be out of bounds`);
  }
}

/** Whether an s64 is further from 0 than pointers may get. */
function isFar(high: number, low: number): boolean {
  const value = W.nearSigned(high, low);
  return value >= BPF_MAX_VAR_OFF || value <= -BPF_MAX_VAR_OFF;
}

function shift(
  env: Environment,
  pointer: Register,
  number: Readonly<B.Bounds>,
  operation: number,
  isReversed: boolean,
): Register {
  const { dst } = env.insn;
  switch (operation) {
    case I.BPF_ADD:
      break;
    case I.BPF_SUB:
      if (isReversed) throw prohibit(`R${dst} tried to subtract pointer from scalar`);
      if (pointer.type === "fp")
        throw prohibit(`R${dst} subtraction from stack pointer prohibited`);
      break;
    case I.BPF_AND:
    case I.BPF_OR:
    case I.BPF_XOR:
      throw prohibit(
        `R${dst} bitwise operator ${operationSign(env.insn.opcode)} on pointer prohibited`,
      );
    default: {
      const sign = operationSign(env.insn.opcode);
      throw prohibit(`R${dst} pointer arithmetic with ${sign} operator prohibited`);
    }
  }
  const isAdd = operation === I.BPF_ADD;
  if (number.bits.isConstant) {
    const distance = W.nearSigned(number.sminHigh, number.sminLow);
    const by = pointer.off + (isAdd ? distance : -distance);
    if (by === (by | 0)) {
      const bounds = B.copyBounds(pointer.bounds);
      B.unbound32(bounds);
      B.sync(bounds);
      return pointer.movedTo(by | 0, bounds, pointer.id, pointer.range);
    }
  }
  const bounds = isAdd ? sum(pointer.bounds, number) : difference(pointer.bounds, number);
  if (!pointer.isPacket) return pointer.withBounds(bounds);
  const keepsRange = !isAdd && number.sminHigh >= 0;
  return pointer.movedTo(pointer.off, bounds, env.nextId(), keepsRange ? pointer.range : 0);
}

function sum(pointer: Readonly<B.Bounds>, number: Readonly<B.Bounds>): B.Bounds {
  const bounds = B.unbounded(tnum.add(pointer.bits, number.bits));
  const smin = pointer.smin + number.smin;
  const smax = pointer.smax + number.smax;
  if (smin >= B.S64_MIN && smin <= B.S64_MAX && smax >= B.S64_MIN && smax <= B.S64_MAX) {
    bounds.smin = smin;
    bounds.smax = smax;
  }
  if (pointer.umax + number.umax <= B.U64_MAX) {
    bounds.umin = pointer.umin + number.umin;
    bounds.umax = pointer.umax + number.umax;
  }
  B.sync(bounds);
  return bounds;
}

function difference(pointer: Readonly<B.Bounds>, number: Readonly<B.Bounds>): B.Bounds {
  const bounds = B.unbounded(tnum.sub(pointer.bits, number.bits));
  const smin = pointer.smin - number.smax;
  const smax = pointer.smax - number.smin;
  if (smin >= B.S64_MIN && smin <= B.S64_MAX && smax >= B.S64_MIN && smax <= B.S64_MAX) {
    bounds.smin = smin;
    bounds.smax = smax;
  }
  if (pointer.umin >= number.umax) {
    bounds.umin = pointer.umin - number.umax;
    bounds.umax = pointer.umax - number.umin;
  }
  B.sync(bounds);
  return bounds;
}
