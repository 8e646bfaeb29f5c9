/**
 * States as the log writes them. Analogous to print_verifier_state() in kernel/bpf/log.c.
 *
 * A register in a state is never changed, so that its text is made once: most are written by one
 * instruction and read by others.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import type { Register } from "./register.ts";
import * as S from "./stack.ts";
import type { Frame, Reference } from "./state.ts";
import type * as tnum from "./tnum.ts";
import * as W from "./words.ts";

/** Letters for the kinds of bytes. */
const LETTERS = "?m0r";

/** Numbers further from 0 are written in hexadecimal. */
const MAX_DECIMAL = 0xffff;
const MAX_SIGNED_DECIMAL = 0x7fff;

function hex(high: number, low: number): string {
  const lower = (low >>> 0).toString(16);
  return high === 0 ? `0x${lower}` : `0x${(high >>> 0).toString(16)}${lower.padStart(8, "0")}`;
}

function unsigned(high: number, low: number): string {
  return high === 0 && low >= 0 && low <= MAX_DECIMAL ? String(low) : hex(high, low);
}

function signed(high: number, low: number): string {
  return high === low >> 31 && isSmall(low) ? String(low) : hex(high, low);
}

function isSmall(low: number): boolean {
  return low <= MAX_SIGNED_DECIMAL && low >= -MAX_SIGNED_DECIMAL - 1;
}

/** A range's ends, lower and upper in turns, as Linux lists them. */
const NAMES = ["smin", "smax", "umin", "umax", "smin32", "smax32", "umin32", "umax32"];
const SIGNED = [true, true, false, false, true, true, false, false];
// The words of the ends of one register, and whether each says something.
const highs = new Int32Array(NAMES.length);
const lows = new Int32Array(NAMES.length);
const says: boolean[] = NAMES.map(() => false);

function setEnd(i: number, high: number, low: number, isKnown: boolean): void {
  highs[i] = high;
  lows[i] = low;
  says[i] = isKnown;
}

function setEnds(b: Readonly<B.Bounds>): void {
  setEnd(0, b.sminHigh, b.sminLow, b.sminHigh !== B.S32_MIN || b.sminLow !== 0);
  setEnd(1, b.smaxHigh, b.smaxLow, b.smaxHigh !== B.S32_MAX || b.smaxLow !== -1);
  setEnd(2, b.uminHigh, b.uminLow, (b.uminHigh | b.uminLow) !== 0);
  setEnd(3, b.umaxHigh, b.umaxLow, (b.umaxHigh & b.umaxLow) !== -1);
  // What is not written in decimal has 32 bits, as a u32 has.
  setEnd(4, isSmall(b.s32min) ? b.s32min >> 31 : 0, b.s32min, b.s32min !== B.S32_MIN);
  setEnd(5, isSmall(b.s32max) ? b.s32max >> 31 : 0, b.s32max, b.s32max !== B.S32_MAX);
  setEnd(6, 0, b.u32minWord, b.u32minWord !== 0);
  setEnd(7, 0, b.u32maxWord, b.u32maxWord !== -1);
}

function isNegative(i: number): boolean {
  return SIGNED[i] === true && (highs[i] as number) < 0;
}

/** Two ends of 64 bits and two of 32 that are the same number are told once. */
function rangesOf(b: Readonly<B.Bounds>): string {
  setEnds(b);
  let text = "";
  for (let i = 0; i < NAMES.length; i++) {
    if (says[i] !== true) continue;
    text += `,${NAMES[i]}=`;
    for (let j = i + 2; j < NAMES.length; j += 2) {
      if (says[j] !== true || highs[j] !== highs[i] || lows[j] !== lows[i]) continue;
      if (isNegative(i) !== isNegative(j)) continue;
      says[j] = false;
      text += `${NAMES[j]}=`;
    }
    text += endText(i);
  }
  const { maskHigh, maskLow } = b.bits;
  if ((maskHigh & maskLow) !== -1) text += `,var_off=${formatTnum(b.bits)}`;
  return text;
}

function endText(i: number): string {
  const [high, low] = [highs[i] as number, lows[i] as number];
  return SIGNED[i] === true ? signed(high, low) : unsigned(high, low);
}

function formatTnum({ valueHigh, valueLow, maskHigh, maskLow }: tnum.Tnum): string {
  return `(${hex(valueHigh, valueLow)}; ${hex(maskHigh, maskLow)})`;
}

/** Texts of registers, as seen from frame 0 and from others, where that matters. */
const texts: WeakMap<Register, string> = new WeakMap();

/** A register's contents, seen from a frame. @param isPrecise - its number matters: a "P". */
export function formatRegister(register: Register, depth: number, isPrecise: boolean): string {
  if (register.type === "fp") return formatStackPointer(register, depth);
  let text = texts.get(register);
  if (text === undefined) {
    text = textOf(register);
    texts.set(register, text);
  }
  return isPrecise && register.isScalar ? `P${text}` : text;
}

function formatStackPointer(register: Register, depth: number): string {
  const { bounds, off, frame } = register;
  const name = frame === depth ? "fp" : `fp[${frame}]`;
  if (!bounds.bits.isConstant) return `${name}(${attributesOf(register)})`;
  const at = W.nearSigned(bounds.bits.valueHigh, bounds.bits.valueLow) + off;
  return `${name}${signed(W.highOf(at), at | 0)}`;
}

function textOf(register: Register): string {
  const { type, bounds } = register;
  const { bits } = bounds;
  if (register.isScalar && bits.isConstant) return signed(bits.valueHigh, bits.valueLow);
  return `${type}(${attributesOf(register)})`;
}

function attributesOf(register: Register): string {
  const { type, bounds, off, id, range, map, size, sumWidth, reference } = register;
  let text = "";
  if (id !== 0) text += `,id=${id}`;
  if (id !== 0 && sumWidth !== 0) text += off < 0 ? off : `+${off}`;
  if (reference !== 0) text += `,ref_obj_id=${reference}`;
  if (map !== null) {
    const { name, keySize, valueSize } = map.facts;
    if (name !== "") text += `,map=${name}`;
    text += `,ks=${keySize},vs=${valueSize}`;
  }
  if (!register.isScalar && off !== 0) text += `,off=${signed(off >> 31, off)}`;
  if (register.isPacket) text += `,r=${unsigned(range >> 31, range)}`;
  if (type === "mem" || type === "mem_or_null") text += `,sz=${unsigned(0, size)}`;
  const { bits } = bounds;
  if (!bits.isConstant) text += rangesOf(bounds);
  else if (!bits.isZero) text += `,imm=${signed(bits.valueHigh, bits.valueLow)}`;
  return text.slice(1);
}

/** Whether the number in a register, or in a stack slot, matters to the verdict. */
export interface Precision {
  hasRegister(frame: number, register: number): boolean;
  hasSlot(frame: number, index: number): boolean;
}

/** Without CAP_BPF Linux takes every number for one that matters. */
export const ALL_PRECISE: Precision = { hasRegister: () => true, hasSlot: () => true };

/** Which registers (a bit each) and stack slots (bits 0 to 31, and 32 to 63) are wanted. */
export interface Wanted {
  readonly registers: number;
  readonly low: number;
  readonly high: number;
}

export const EVERYTHING: Wanted = { registers: -1, low: -1, high: -1 };

/** What is written of: a state or a checkpoint. */
export interface Shown {
  readonly frames: readonly Frame[];
  readonly references: readonly Reference[];
}

/** A frame: registers and slots that hold something; begins with a space. */
export function formatFrame(
  { frames, references }: Shown,
  depth: number,
  { registers, low, high }: Wanted,
  precise: Precision | null,
): string {
  const frame = frames[depth] as Frame;
  let text = depth > 0 ? ` frame${depth}:` : "";
  for (let i = 0; i < MAX_BPF_REG; i++) {
    const register = frame.get(i);
    if (register.type === "?" || ((registers >> i) & 1) === 0) continue;
    const isPrecise = precise?.hasRegister(depth, i) === true;
    text += ` R${i}=${formatRegister(register, depth, isPrecise)}`;
  }
  const { stack } = frame;
  for (let i = 0; i < stack.length; i++) {
    if ((((i < 32 ? low : high) >>> (i & 31)) & 1) === 0) continue;
    const slot = stack[i] as S.Slot;
    if (slot.kinds === 0) continue;
    const isPrecise = precise?.hasSlot(depth, i) === true;
    text += ` fp${-S.SLOT_BYTES * (i + 1)}=${formatSlot(slot, depth, isPrecise)}`;
  }
  for (let i = 0; i < references.length; i++) {
    text += `${i === 0 ? " refs=" : ","}${(references[i] as Reference).id}`;
  }
  return frame.isCallback ? `${text} cb` : text;
}

/** A spilled register with the bytes above it, or all bytes. */
function formatSlot(slot: S.Slot, depth: number, isPrecise: boolean): string {
  let bytes = "";
  const { spilled } = slot;
  for (let i = S.SLOT_BYTES - 1; i >= 0; i--) {
    const kind = S.kindAt(slot, i);
    if (spilled !== null && kind === S.SPILL) break;
    bytes += LETTERS[kind];
  }
  return spilled === null ? bytes : bytes + formatRegister(spilled, depth, isPrecise);
}
