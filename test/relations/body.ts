/**
 * The first part of a program: numbers are loaded from a map and made into numbers that are related
 * to each other, in registers and on the stack. Which relations led to a register is kept.
 */

import { BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import * as I from "../../src/abi/insn.ts";
import type { Random } from "../random.ts";
import * as C from "./code.ts";
import { IN, IN_NUMBERS } from "./maps.ts";

/** Kinds of relations between numbers. */
export const RELATIONS = [
  "copy",
  "copy of 32 bits",
  "sum of 64 bits",
  "sum of 32 bits",
  "sum of two numbers",
  "spill and fill",
  "fill of a part",
  "fill with a sign",
  "move with a sign",
  "byte swap",
  "shift",
  "bits",
  "multiplication or division",
  "clamp",
  "comparison of two numbers",
  "join of two paths",
  "static function",
  "global function",
  "function that writes its caller's stack",
  "callback of bpf_loop",
  "callback of bpf_for_each_map_elem",
  "atomic operation",
  "loop",
  "comparison in a function",
] as const;
export type Relation = (typeof RELATIONS)[number];

/** Registers that hold numbers; r6 holds the context, r9 a token, r10 the frame. */
const NUMBER_REGISTERS = [0, 1, 2, 3, 4, 5, 7, 8] as const;
/** Those that calls leave alone. */
const KEPT_REGISTERS = [7, 8] as const;
export const CONTEXT_REGISTER = 6;
const TOKEN_REGISTER = 9;

// The main function's stack: a token, slots of 8 bytes with numbers, a key, another token.
export const TOKEN_ABOVE = -8;
export const SLOTS = [-16, -24, -32, -40] as const;
export const KEY_SLOT = -48;
export const TOKEN_BELOW = -56;

export const WIDTHS: readonly C.Width[] = [64, 32];
export const SIZES: readonly C.Size[] = [1, 2, 4, 8];
export const SMALL = [1, 2, 3, 5, 7, 8, 12, 15, 16, 31, 64, 100, 255, 256] as const;
const EDGES = [0x7fff_ffff, -0x8000_0000, 0x7fff_fff0, 0xffff, 0x8000, -0x8000, 128, -128] as const;
export const SHIFTS = [1, 2, 4, 8, 16, 24, 28, 31, 32, 33, 40, 48, 56, 60, 63] as const;
export const SUMS = [I.BPF_ADD, I.BPF_SUB] as const;

export const UNSIGNED_ORDERS = [I.BPF_JGT, I.BPF_JGE, I.BPF_JLT, I.BPF_JLE] as const;
export const SIGNED_ORDERS = [I.BPF_JSGT, I.BPF_JSGE, I.BPF_JSLT, I.BPF_JSLE] as const;
export const COMPARISONS = [
  ...UNSIGNED_ORDERS,
  ...SIGNED_ORDERS,
  I.BPF_JEQ,
  I.BPF_JNE,
  I.BPF_JSET,
] as const;

/** A number that programs contain: mostly small, sometimes at an edge. */
export function immediate(random: Random): number {
  const value = random.once(6) ? random.pick(EDGES) : random.pick(SMALL);
  return random.once(3) && value > -0x8000_0000 ? -value : value;
}

/** A program that grows. */
export class Body {
  readonly random: Random;
  readonly type: number;
  readonly lines: C.Line[] = [];
  readonly subprograms: C.Subprogram[] = [];
  /** What led to the numbers in registers, and in slots by offset. */
  readonly registers: Map<number, ReadonlySet<Relation>> = new Map();
  readonly slots: Map<number, ReadonlySet<Relation>> = new Map();
  #labels: number = C.OUT_LABEL + 1;

  constructor(random: Random) {
    this.random = random;
    this.type = random.chance(65) ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SOCKET_FILTER;
    this.#begin();
  }

  newLabel(): number {
    return this.#labels++;
  }

  add(...lines: readonly C.Line[]): void {
    this.lines.push(...lines);
  }

  /** A register with a number. */
  any(): number {
    return this.random.pick([...this.registers.keys()]);
  }

  /** One besides some. */
  anyBut(...others: readonly number[]): number {
    const left = [...this.registers.keys()].filter((register) => !others.includes(register));
    return left.length === 0 ? this.any() : this.random.pick(left);
  }

  /** A register to write, which isn't one of some. */
  target(...kept: readonly number[]): number {
    return this.random.pick(NUMBER_REGISTERS.filter((register) => !kept.includes(register)));
  }

  /** A register that outlives calls, filled with a number when there is none in it. */
  kept(): number {
    const register = this.random.pick(KEPT_REGISTERS);
    if (!this.registers.has(register)) this.copy(register, this.any());
    return register;
  }

  copy(dst: number, src: number): void {
    this.add(C.move(64, dst, { reg: src }));
    this.set(dst, this.tags(src), "copy");
  }

  tags(register: number): ReadonlySet<Relation> {
    return this.registers.get(register) ?? new Set();
  }

  /** Notes that a register holds a number that came of another one. */
  set(register: number, from: ReadonlySet<Relation>, ...by: readonly Relation[]): void {
    this.registers.set(register, new Set([...from, ...by]));
  }

  /** r0 is what a call returned; r1 to r5 are nothing any more. */
  called(from: ReadonlySet<Relation>, by: Relation): void {
    for (const register of [1, 2, 3, 4, 5]) this.registers.delete(register);
    this.set(I.BPF_REG_0, from, by);
  }

  #begin(): void {
    const { random } = this;
    this.add(
      C.move(64, CONTEXT_REGISTER, { reg: 1 }),
      C.mapAddress(1, IN, true),
      C.load(8, TOKEN_REGISTER, 1, 0),
      C.store(8, 10, TOKEN_ABOVE, { reg: TOKEN_REGISTER }),
      C.store(8, 10, TOKEN_BELOW, { reg: TOKEN_REGISTER }),
    );
    const roots = 1 + random.below(IN_NUMBERS - 1);
    for (let i = 1; i <= roots; i++) {
      const register = this.target(1, ...this.registers.keys());
      const size = random.chance(70) ? 8 : random.pick([1, 2, 4] as const);
      const isSigned = size < 8 && random.once(2);
      const at = 8 * i + (size === 4 && random.once(3) ? 4 : 0);
      this.add(C.load(size, register, 1, at, isSigned));
      this.registers.set(register, new Set());
    }
    for (const at of SLOTS) {
      const register = random.once(2) ? this.any() : null;
      this.add(C.store(8, 10, at, register === null ? 0 : { reg: register }));
      this.slots.set(at, register === null ? new Set() : this.tags(register));
    }
  }
}

/** Adds something to a program. */
export type Step = (body: Body) => void;

/** Fills a register from a slot: as it was stored, or another part of it. */
export function fillFrom(body: Body, slot: number, size: C.Size, at: number): void {
  const { random } = body;
  const dst = body.target();
  const from = body.slots.get(slot) ?? new Set<Relation>();
  if (random.chance(45)) {
    body.add(C.load(size, dst, 10, at));
    body.set(dst, from, "spill and fill");
    return;
  }
  const filled = random.pick(SIZES);
  const isSigned = filled < 8 && random.once(3);
  const place = slot + filled * random.below(8 / filled);
  body.add(C.load(filled, dst, 10, place, isSigned));
  body.set(dst, from, isSigned ? "fill with a sign" : "fill of a part");
}
