/**
 * What a processor may do on a way that it only guesses: for loaders without CAP_PERFMON, ways that
 * are never taken are walked too, and sums with pointers are masked at run time, to a limit that
 * must be the same on every path. A fault on a way that is only guessed doesn't refuse the program:
 * a barrier is put before the instruction, and no guess gets further. Analogous to the sanitize
 * functions in kernel/bpf/verifier.c.
 */

import { EACCES, EFAULT, EINVAL, ENOMEM, EPERM } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import type { Bounds } from "./bounds.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";
import { checkValueRegion } from "./region.ts";
import { type Register, UNKNOWN_SCALAR } from "./register.ts";
import * as S from "./stack.ts";
import * as tnum from "./tnum.ts";

/** Where a path goes on when it is at its end. */
const END = -1;
/** Faults that a barrier helps against. */
const RECOVERABLE: ReadonlySet<number> = new Set([EPERM, EACCES, EINVAL]);
/** Sums of numbers are masked, too: only so that they can't be sums with pointers elsewhere. */
const NUMBERS = "numbers";

const nothing = (): void => {};

/** How a sum is masked at run time. */
interface Mask {
  /** Which operand, in which direction. */
  readonly kind: string;
  /** u32 */
  readonly limit: number;
}

/** What is known of instructions for the sake of guesses, by slot. */
export class Speculation {
  /** No guess gets here. */
  readonly barriers: Set<number> = new Set();
  /** No guess gets further than this store. */
  readonly barriersBehind: Set<number> = new Set();
  readonly masks: Map<number, Mask> = new Map();
  /** Numbers decide about masks: states are only compared as they are. */
  exploresLimits: boolean = false;
}

/** No guess gets to the instruction that is looked at. */
export function isBarred({ slot, speculation }: Environment): boolean {
  return speculation.barriers.has(slot);
}

/** Executes an instruction on a way that is only guessed. @returns as `execute`, or END. */
export function speculate(env: Environment, execute: (env: Environment) => number): number {
  const { slot, speculation } = env;
  const { barriers, barriersBehind, masks } = speculation;
  try {
    const next = execute(env);
    return barriersBehind.has(slot) ? END : next;
  } catch (error) {
    if (!(error instanceof Refusal) || !RECOVERABLE.has(error.errno)) throw error;
    env.log.line(error.message);
    barriers.add(slot);
    masks.delete(slot);
    return END;
  }
}

/** The way that a jump doesn't take may be guessed; nothing is known of its operands then. */
export function guessOtherWay(env: Environment, slot: number): void {
  if (env.subject.perfmon) return;
  const { opcode, dst, src } = env.insn;
  const guess = env.branch(slot, EFAULT);
  guess.speculative = true;
  guess.frame.set(dst, UNKNOWN_SCALAR);
  if (I.BPF_SRC(opcode) === I.BPF_X) guess.frame.set(src, UNKNOWN_SCALAR);
}

function isMasked({ insn, subject, slot, speculation }: Environment): boolean {
  const operation = I.BPF_OP(insn.opcode);
  if (operation !== I.BPF_ADD && operation !== I.BPF_SUB) return false;
  const isConstant = I.BPF_SRC(insn.opcode) === I.BPF_K;
  return !subject.perfmon && !isConstant && !speculation.barriers.has(slot);
}

/** Refuses arithmetic for what a register is. */
function refuse(register: number, text: string): Refusal {
  const why = `${text}, pointer arithmetic with it prohibited for !root`;
  return new Refusal(EACCES, `R${register} ${why}`);
}

/** Whoever comes here on another path must be masked in the same way. */
function settleMask(env: Environment, mask: Mask): void {
  const { masks } = env.speculation;
  const before = masks.get(env.slot);
  if (before !== undefined && (before.kind !== mask.kind || before.limit !== mask.limit)) {
    const verb = I.BPF_OP(env.insn.opcode) === I.BPF_ADD ? "add" : "sub";
    const text = `tried to ${verb} from different maps, paths or scalars`;
    throw refuse(env.insn.dst, text);
  }
  masks.set(env.slot, mask);
}

/** A sum of two numbers. Analogous to sanitize_val_alu() in Linux. */
export function maskNumbers(env: Environment): void {
  if (isMasked(env)) settleMask(env, { kind: NUMBERS, limit: 0 });
}

/**
 * Begins to mask a sum with a pointer; what is returned is called with the sum. Analogous to
 * sanitize_ptr_alu() in Linux.
 *
 * @param isReversed - the number is the destination and the pointer the source.
 */
export function maskPointer(
  env: Environment,
  pointer: Register,
  number: Readonly<Bounds>,
  isReversed: boolean,
): (moved: Register) => void {
  if (!isMasked(env)) return nothing;
  const { opcode, dst, src } = env.insn;
  const isKnown = number.bits.mask === 0n;
  if (env.state.speculative) {
    if (!isKnown) guessUnmoved(env, pointer);
    return nothing;
  }
  const isNegative = number.smin < 0n;
  if (!isKnown && isNegative !== number.smax < 0n) {
    throw refuse(isReversed ? dst : src, "has unknown scalar with mixed signed bounds");
  }
  const toLeft = (I.BPF_OP(opcode) === I.BPF_ADD) === isNegative;
  const holder = isReversed ? src : dst;
  const limit = limitOf(env, holder, pointer, toLeft);
  const kind = `${isNegative} ${isKnown} ${isReversed}`;
  if (!isKnown) {
    env.speculation.exploresLimits = true;
    guessUnmoved(env, pointer);
  }
  return (moved) => {
    settleMask(env, { kind, limit: Math.abs(limit - limitOf(env, holder, moved, toLeft)) });
  };
}

/** A number out of bounds is masked to 0. */
function guessUnmoved(env: Environment, pointer: Register): void {
  const guess = env.branch(env.slot + 1, ENOMEM);
  guess.speculative = true;
  guess.frame.set(env.insn.dst, pointer);
}

/** How far a pointer may be moved in one direction. Analogous to retrieve_ptr_limit(). */
function limitOf(
  { insn }: Environment,
  register: number,
  { type, bounds, off, map }: Register,
  toLeft: boolean,
): number {
  let limit: bigint;
  let max: number;
  if (type === "fp") {
    limit = -(bounds.bits.value + BigInt(off));
    max = I.MAX_BPF_STACK + (toLeft ? 1 : 0);
  } else if (type === "map_value" && map !== null) {
    limit = (toLeft ? bounds.smin : bounds.umax) + BigInt(off);
    max = map.facts.valueSize;
  } else {
    throw refuse(register, "has pointer with unsupported alu operation");
  }
  const found = Number(BigInt.asUintN(32, limit));
  if (found < max) return found;
  const verb = I.BPF_OP(insn.opcode) === I.BPF_ADD ? "add" : "sub";
  throw refuse(insn.dst, `tried to ${verb} beyond pointer bounds`);
}

/** A sum must not leave what the pointer points into. Analogous to sanitize_check_bounds(). */
export function checkSum(env: Environment, moved: Register): void {
  if (env.subject.perfmon) return;
  const { type, bounds, off, map } = moved;
  const { bits } = bounds;
  const { dst } = env.insn;
  if (type === "fp") {
    const at = off + Number(BigInt.asIntN(64, bits.value));
    if (bits.mask !== 0n) {
      const where = `var_off=${tnum.format(bits)} off=${at}`;
      throw new Refusal(EACCES, `R${dst} variable stack access prohibited for !root, ${where}`);
    }
    if (at < 0 && at >= -I.MAX_BPF_STACK) return;
    const text = "stack pointer arithmetic goes out of range, prohibited for !root";
    throw new Refusal(EACCES, `R${dst} ${text}; off=${at}`);
  }
  if (type !== "map_value" || map === null) return;
  try {
    checkValueRegion(dst, moved, off, 1);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const text = "pointer arithmetic of map value goes out of range, prohibited for !root";
    throw new Refusal(EACCES, `${error.message}\nR${dst} ${text}`);
  }
}

/** A store that a guess must not get past: what was there might be loaded instead. */
export function noteStore(
  env: Environment,
  before: S.Slot,
  off: number,
  size: number,
  isPointer: boolean,
): void {
  if (env.subject.perfmon) return;
  let leaks = isPointer;
  for (let i = 0; i < size; i++) {
    const kind = S.kindAt(before, S.byteIndex(off + i));
    if (kind !== S.MISC && kind !== S.ZERO_BYTE) leaks = true;
  }
  if (leaks) env.speculation.barriersBehind.add(env.slot);
}
