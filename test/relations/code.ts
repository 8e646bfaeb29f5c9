/**
 * Programs as lines that can be taken out one by one: an instruction, and where it jumps to as a
 * label that stays when the lines around it go.
 */

import { BPF_FUNC } from "../../src/abi/helpers.ts";
import * as I from "../../src/abi/insn.ts";
import { type Instruction, isLoadImm64, loadImm64 } from "../../src/asm/index.ts";

/** A place in a program that lines jump to, or one instruction of one or two slots. */
export interface Line {
  readonly insns: readonly Instruction[];
  /** The label that this line is. */
  readonly label?: number;
  /** The label that its jump, call or address of a function leads to. */
  readonly target?: number;
  /** Lines that narrow a number; the use must be refused without them, or they decided nothing. */
  readonly guard?: true;
}

/** A function of a program besides the main one. */
export interface Subprogram {
  readonly label: number;
  readonly isGlobal: boolean;
  readonly lines: readonly Line[];
}

/** All of a program. */
export interface Source {
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly main: readonly Line[];
  readonly subprograms: readonly Subprogram[];
}

/** A program that can be loaded: maps are named by their index among {@link MAPS}. */
export interface Linked {
  readonly type: number;
  readonly instructions: readonly Instruction[];
  /** First slots of the functions, and whether they are global; the main one first. */
  readonly functions: readonly (readonly [slot: number, isGlobal: boolean])[];
}

/** Where the main function ends in vain. */
export const OUT_LABEL = 0;

function insn(opcode: number, dst: number, src: number, off: number, imm: number): Instruction {
  return { opcode, dst, src, off, imm };
}

/** 64 bits, or the lower 32 with the upper ones made 0. */
export type Width = 64 | 32;
/** Bytes of an access. */
export type Size = 1 | 2 | 4 | 8;

const SIZES: Readonly<Record<Size, number>> = { 1: I.BPF_B, 2: I.BPF_H, 4: I.BPF_W, 8: I.BPF_DW };

/** An operand: a register, or an s32. */
export type Operand = { readonly reg: number } | number;

/** `dst operation= operand`; the operation is BPF_ADD … BPF_ARSH or BPF_MOV. */
export function alu(width: Width, operation: number, dst: number, by: Operand, off = 0): Line {
  const kind = width === 64 ? I.BPF_ALU64 : I.BPF_ALU;
  if (typeof by === "number") {
    return { insns: [insn(kind | operation | I.BPF_K, dst, 0, off, by)] };
  }
  return { insns: [insn(kind | operation | I.BPF_X, dst, by.reg, off, 0)] };
}

export function move(width: Width, dst: number, by: Operand): Line {
  return alu(width, I.BPF_MOV, dst, by);
}

/** `dst = (s8|s16|s32)src`. */
export function moveSigned(width: Width, dst: number, src: number, bits: 8 | 16 | 32): Line {
  return alu(width, I.BPF_MOV, dst, { reg: src }, bits);
}

export function negate(width: Width, dst: number): Line {
  return { insns: [insn((width === 64 ? I.BPF_ALU64 : I.BPF_ALU) | I.BPF_NEG, dst, 0, 0, 0)] };
}

/** Byte order: `bswap` is a class of its own, `le` and `be` are those of 32-bit arithmetic. */
export function swap(kind: "bswap" | "le" | "be", bits: 16 | 32 | 64, dst: number): Line {
  const code = kind === "bswap" ? I.BPF_ALU64 | I.BPF_END : I.BPF_ALU | I.BPF_END;
  return { insns: [insn(code | (kind === "be" ? I.BPF_TO_BE : 0), dst, 0, 0, bits)] };
}

export function load(size: Size, dst: number, base: number, off: number, isSigned = false): Line {
  const mode = isSigned ? I.BPF_MEMSX : I.BPF_MEM;
  return { insns: [insn(I.BPF_LDX | mode | SIZES[size], dst, base, off, 0)] };
}

export function store(size: Size, base: number, off: number, by: Operand): Line {
  if (typeof by === "number") {
    return { insns: [insn(I.BPF_ST | I.BPF_MEM | SIZES[size], base, 0, off, by)] };
  }
  return { insns: [insn(I.BPF_STX | I.BPF_MEM | SIZES[size], base, by.reg, off, 0)] };
}

/** @param operation - BPF_ADD … with BPF_FETCH, BPF_XCHG, BPF_CMPXCHG; or a load or store. */
export function atomic(size: Size, operation: number, dst: number, src: number, off: number): Line {
  return { insns: [insn(I.BPF_STX | I.BPF_ATOMIC | SIZES[size], dst, src, off, operation)] };
}

/** `if dst (operation) operand goto target`. */
export function jump(
  width: Width,
  operation: number,
  dst: number,
  by: Operand,
  target: number,
): Line {
  const kind = width === 64 ? I.BPF_JMP : I.BPF_JMP32;
  const immediate = typeof by === "number";
  const code = kind | operation | (immediate ? I.BPF_K : I.BPF_X);
  return { insns: [insn(code, dst, immediate ? 0 : by.reg, 0, immediate ? by : 0)], target };
}

export function goTo(target: number): Line {
  return { insns: [insn(I.BPF_JMP | I.BPF_JA, 0, 0, 0, 0)], target };
}

export function label(number: number): Line {
  return { insns: [], label: number };
}

export function exit(): Line {
  return { insns: [insn(I.BPF_JMP | I.BPF_EXIT, 0, 0, 0, 0)] };
}

export function callHelper(name: keyof typeof BPF_FUNC): Line {
  return { insns: [insn(I.BPF_JMP | I.BPF_CALL, 0, 0, 0, BPF_FUNC[name])] };
}

export function callFunction(target: number): Line {
  return { insns: [insn(I.BPF_JMP | I.BPF_CALL, 0, I.BPF_PSEUDO_CALL, 0, 0)], target };
}

export function functionAddress(dst: number, target: number): Line {
  return { insns: loadImm64(dst, I.BPF_PSEUDO_FUNC, 0n), target };
}

export function constant(dst: number, value: bigint): Line {
  return { insns: loadImm64(dst, 0, value) };
}

/** A map, by its index, or the start of its only value. */
export function mapAddress(dst: number, map: number, isValue: boolean): Line {
  return {
    insns: loadImm64(dst, isValue ? I.BPF_PSEUDO_MAP_VALUE : I.BPF_PSEUDO_MAP_FD, BigInt(map)),
  };
}

/** Puts functions one behind the other and finds out how far jumps go. */
export function link({ type, main, subprograms }: Source): Linked {
  const parts = [main, ...subprograms.map((sub) => [label(sub.label), ...sub.lines])];
  const lines = parts.flat();
  const slots = new Map<number, number>();
  let slot = 0;
  for (const line of lines) {
    if (line.label !== undefined) slots.set(line.label, slot);
    slot += line.insns.length;
  }
  const instructions: Instruction[] = [];
  for (const line of lines) {
    const [first, ...rest] = line.insns;
    if (first === undefined) continue;
    if (line.target === undefined) instructions.push(first, ...rest);
    else {
      const to = slots.get(line.target);
      if (to === undefined) throw new RangeError(`label ${line.target} is nowhere`);
      const by = to - instructions.length - 1;
      const isJump = jumpsByOffset(first);
      instructions.push(isJump ? { ...first, off: by } : { ...first, imm: by }, ...rest);
    }
  }
  const functions = subprograms.map(
    (sub) => [slots.get(sub.label) ?? 0, sub.isGlobal] as [number, boolean],
  );
  return { type, instructions, functions: [[0, true], ...functions] };
}

function jumpsByOffset(first: Instruction): boolean {
  return !isLoadImm64(first) && I.BPF_OP(first.opcode) !== I.BPF_CALL;
}

/** Number of instructions' slots of lines. */
export function slotsOf(lines: readonly Line[]): number {
  return lines.reduce((sum, { insns }) => sum + insns.length, 0);
}

/** The maps that a program names, by index. */
export function mapsOf({ instructions }: Linked): Set<number> {
  const named = instructions.filter(
    (first) =>
      isLoadImm64(first) &&
      (first.src === I.BPF_PSEUDO_MAP_FD || first.src === I.BPF_PSEUDO_MAP_VALUE),
  );
  return new Set(named.map(({ imm }) => imm));
}
