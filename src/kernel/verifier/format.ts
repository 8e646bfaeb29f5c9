/**
 * States as the log writes them. Analogous to print_verifier_state() in kernel/bpf/log.c.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";
import * as B from "./bounds.ts";
import type { Register } from "./register.ts";
import * as S from "./stack.ts";
import type { Frame, State } from "./state.ts";
import * as tnum from "./tnum.ts";

/** Letters for the kinds of bytes. */
const LETTERS = "?m0s";

/** Numbers further from 0 are written in hexadecimal. */
const MAX_DECIMAL = 0xffffn;
const MAX_SIGNED_DECIMAL = 0x7fffn;

function isDecimal(value: bigint, signed: boolean): boolean {
  const most = signed ? MAX_SIGNED_DECIMAL : MAX_DECIMAL;
  return value <= most && value >= -most - 1n;
}

function formatNumber(value: bigint, signed: boolean): string {
  if (isDecimal(value, signed)) return String(value);
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** One end of a range; without a value when it says nothing. */
interface RangeEnd {
  readonly name: string;
  readonly value: bigint;
  readonly says: boolean;
}

function endsOf(b: Readonly<B.Bounds>): RangeEnd[] {
  const end = (name: string, value: bigint | number, least: bigint | number): RangeEnd => ({
    name,
    value: BigInt(value),
    says: value !== least,
  });
  return [
    end("smin", b.smin, B.S64_MIN),
    end("smax", b.smax, B.S64_MAX),
    end("umin", b.umin, 0n),
    end("umax", b.umax, B.U64_MAX),
    { ...end("smin32", b.s32min, B.S32_MIN), value: shownS32(b.s32min) },
    { ...end("smax32", b.s32max, B.S32_MAX), value: shownS32(b.s32max) },
    end("umin32", b.u32min, 0),
    end("umax32", b.u32max, B.U32_MAX),
  ];
}

/** Numbers that aren't written in decimal are shown with the 32 bits that they have. */
function shownS32(value: number): bigint {
  const wide = BigInt(value);
  return isDecimal(wide, true) ? wide : BigInt.asUintN(32, wide);
}

/** The ends of the ranges: lower ones with the same value together, and upper ones. */
function rangesOf(b: Readonly<B.Bounds>): string[] {
  const parts: string[] = [];
  let left = endsOf(b).filter(({ says }) => says);
  for (let first = left[0]; first !== undefined; first = left[0]) {
    const { name, value } = first;
    const isLower = name.includes("min");
    const same = left.filter((end) => end.value === value && end.name.includes("min") === isLower);
    const names = same.map((end) => `${end.name}=`).join("");
    parts.push(names + formatNumber(value, name.startsWith("s")));
    left = left.filter((end) => !same.includes(end));
  }
  if (b.bits.mask !== B.U64_MAX) parts.push(`var_off=${tnum.format(b.bits)}`);
  return parts;
}

/** How contents are seen. */
interface View {
  /** From which frame. */
  readonly depth: number;
  /** Before each number. */
  readonly mark: Mark;
}

/** "P" where it is known that the verdict depends on every number. */
export type Mark = "P" | "";

/** A register's contents. */
function formatRegister(register: Register, { depth, mark }: View): string {
  const { type, bounds, off, id, range, map, frame } = register;
  const isFixed = bounds.bits.isConstant;
  if (type === "scalar" && isFixed) return mark + formatNumber(bounds.smin, true);
  const parts: string[] = [];
  if (id !== 0)
    parts.push(register.sumWidth === 0 ? `id=${id}` : `id=${id}${off < 0 ? "" : "+"}${off}`);
  if (register.reference !== 0) parts.push(`ref_obj_id=${register.reference}`);
  if (map !== null) {
    const { name, keySize, valueSize } = map.facts;
    if (name !== "") parts.push(`map=${name}`);
    parts.push(`ks=${keySize}`, `vs=${valueSize}`);
  }
  if (type !== "scalar" && off !== 0) parts.push(`off=${off}`);
  if (register.isPacket) parts.push(`r=${range}`);
  if (!isFixed) parts.push(...rangesOf(bounds));
  const name = type === "fp" && frame !== depth ? `fp[${frame}]` : type;
  if (type === "fp" && isFixed) return `${name}${off}`;
  return `${type === "scalar" ? mark : ""}${name}(${parts.join(",")})`;
}

function formatSlot(slot: S.Slot, index: number, view: View): string {
  const name = `fp${-S.SLOT_BYTES * (index + 1)}`;
  if (slot.spilled !== null) return `${name}=${formatRegister(slot.spilled, view)}`;
  const bytes = Array.from({ length: S.SLOT_BYTES }, (_, i) => LETTERS[S.kindAt(slot, 7 - i)]);
  return `${name}=${bytes.join("")}`;
}

/** A frame, by default the innermost: registers that hold something, and stack. */
export function formatFrame(state: State, mark: Mark, depth: number = state.depth): string {
  const frame = state.frames[depth] as Frame;
  return formatContents(frame, { depth, mark }, [], []) + formatReferences(state);
}

/** What of the innermost frame is not as it was. */
export function formatChanges(
  state: State,
  mark: Mark,
  registers: readonly Register[],
  stack: readonly S.Slot[],
): string {
  const { frame, depth } = state;
  const changes = formatContents(frame, { depth, mark }, registers, stack);
  return changes === "" ? "" : changes + formatReferences(state);
}

function formatReferences({ references }: State): string {
  return references.length === 0 ? "" : ` refs=${references.map(({ id }) => id).join(",")}`;
}

function formatContents(
  frame: Frame,
  view: View,
  registers: readonly Register[],
  stack: readonly S.Slot[],
): string {
  const parts: string[] = [];
  for (let i = 0; i < MAX_BPF_REG; i++) {
    const register = frame.get(i);
    if (register.type === "?" || register === registers[i]) continue;
    parts.push(`R${i}=${formatRegister(register, view)}`);
  }
  for (const [index, slot] of frame.stack.entries()) {
    if (slot.kinds === 0 || slot === stack[index]) continue;
    parts.push(formatSlot(slot, index, view));
  }
  if (parts.length > 0 && view.depth > 0) parts.unshift(`frame${view.depth}:`);
  return parts.join(" ");
}
