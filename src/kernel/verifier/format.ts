/**
 * States as the log writes them. Analogous to print_verifier_state() in kernel/bpf/log.c.
 */

import { BPF_REG_10, MAX_BPF_REG } from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import type { Register } from "./register.ts";
import * as S from "./stack.ts";
import type { State } from "./state.ts";
import * as tnum from "./tnum.ts";

/** Letters for the kinds of bytes. */
const LETTERS = "?m0s";

function rangesOf(b: Readonly<B.Bounds>): string[] {
  const parts: string[] = [];
  const add = (name: string, value: bigint | number, trivial: bigint | number): void => {
    if (value !== trivial) parts.push(`${name}=${value}`);
  };
  add("smin", b.smin, B.S64_MIN);
  add("smax", b.smax, B.S64_MAX);
  add("umin", b.umin, 0n);
  add("umax", b.umax, B.U64_MAX);
  if (b.bits.mask !== B.U64_MAX) parts.push(`var_off=${tnum.format(b.bits)}`);
  add("smin32", b.s32min, B.S32_MIN);
  add("smax32", b.s32max, B.S32_MAX);
  add("umin32", b.u32min, 0);
  add("umax32", b.u32max, B.U32_MAX);
  return parts;
}

/** A register's contents. */
export function formatRegister(register: Register): string {
  const { type, bounds, off, id, range, map, frame } = register;
  const isFixed = bounds.bits.mask === 0n;
  if (type === "scalar" && isFixed) return String(bounds.smin);
  const parts: string[] = [];
  if (id !== 0) parts.push(register.isSum ? `id=${id}+${off}` : `id=${id}`);
  if (type !== "scalar" && off !== 0) parts.push(`off=${off}`);
  if (register.isPacket) parts.push(`r=${range}`);
  if (map !== null) parts.push(`map=${map.facts.name}`, `vs=${map.facts.valueSize}`);
  if (!isFixed) parts.push(...rangesOf(bounds));
  const name = type === "fp" && frame > 0 ? `fp[${frame}]` : type;
  if (type === "fp" && parts.length === 1 && off !== 0) return `${name}${off}`;
  return `${name}(${parts.join(",")})`;
}

/** The innermost frame: registers that hold something, and stack. */
export function formatFrame(state: State): string {
  const { frame, depth } = state;
  const parts = depth > 0 ? [`frame${depth}:`] : [];
  for (let i = 0; i < MAX_BPF_REG; i++) {
    const register = frame.get(i);
    if (register.type === "?") continue;
    parts.push(i === BPF_REG_10 ? `R10=fp0` : `R${i}=${formatRegister(register)}`);
  }
  for (const [index, slot] of frame.stack.entries()) {
    if (slot.kinds === 0) continue;
    const name = `fp${-S.SLOT_BYTES * (index + 1)}`;
    if (slot.spilled !== null) {
      parts.push(`${name}=${formatRegister(slot.spilled)}`);
      continue;
    }
    const bytes = Array.from({ length: S.SLOT_BYTES }, (_, i) => LETTERS[S.kindAt(slot, 7 - i)]);
    parts.push(`${name}=${bytes.join("")}`);
  }
  return parts.join(" ");
}
