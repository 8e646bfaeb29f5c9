/**
 * The first part of a program: numbers are loaded from a map and made into numbers that are related
 * to each other, in registers and on the stack. Which relations led to a register is kept.
 */

import { BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import * as I from "../../src/abi/insn.ts";
import type { Random } from "../random.ts";
import * as C from "./code.ts";
import { IN, IN_NUMBERS, SEVERAL } from "./maps.ts";

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
const SLOTS = [-16, -24, -32, -40] as const;
export const KEY_SLOT = -48;
export const TOKEN_BELOW = -56;

export const WIDTHS: readonly C.Width[] = [64, 32];
const SIZES: readonly C.Size[] = [1, 2, 4, 8];
const SMALL = [1, 2, 3, 5, 7, 8, 12, 15, 16, 31, 64, 100, 255, 256] as const;
const EDGES = [0x7fff_ffff, -0x8000_0000, 0x7fff_fff0, 0xffff, 0x8000, -0x8000, 128, -128] as const;
const SHIFTS = [1, 2, 4, 8, 16, 24, 28, 31, 32, 33, 40, 48, 56, 60, 63] as const;
const SUMS = [I.BPF_ADD, I.BPF_SUB] as const;

const UNSIGNED_ORDERS = [I.BPF_JGT, I.BPF_JGE, I.BPF_JLT, I.BPF_JLE] as const;
const SIGNED_ORDERS = [I.BPF_JSGT, I.BPF_JSGE, I.BPF_JSLT, I.BPF_JSLE] as const;
const COMPARISONS = [
  ...UNSIGNED_ORDERS,
  ...SIGNED_ORDERS,
  I.BPF_JEQ,
  I.BPF_JNE,
  I.BPF_JSET,
] as const;

/** A number that programs contain: mostly small, sometimes at an edge. */
function immediate(random: Random): number {
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

  /** Adds something that makes a number of numbers. */
  relate(): void {
    this.random.weighted(STEPS)(this);
  }
}

type Step = (body: Body) => void;

const copy: Step = (body) => {
  const src = body.any();
  body.copy(body.target(src), src);
};

const copy32: Step = (body) => {
  const src = body.any();
  const dst = body.target();
  const from = body.tags(src);
  body.add(C.move(32, dst, { reg: src }));
  body.set(dst, from, "copy of 32 bits");
};

/** A copy, and a constant added to it: what Linux keeps as a link with an offset. */
const sum: Step = (body) => {
  const { random } = body;
  const src = body.any();
  let dst = src;
  if (random.chance(80)) {
    dst = body.target(src);
    body.add(C.move(random.chance(80) ? 64 : 32, dst, { reg: src }));
    body.set(dst, body.tags(src), "copy");
  }
  const width = random.pick(WIDTHS);
  const name = width === 64 ? "sum of 64 bits" : "sum of 32 bits";
  const by = immediate(random);
  if (random.chance(85)) body.add(C.alu(width, random.pick(SUMS), dst, by));
  else {
    const constant = body.target(dst, src);
    body.add(C.move(64, constant, by), C.alu(width, random.pick(SUMS), dst, { reg: constant }));
    body.set(constant, new Set());
  }
  body.set(dst, body.tags(dst), name);
};

const sumOfTwo: Step = (body) => {
  const src = body.any();
  const dst = body.anyBut(src);
  const operation = body.random.pick([...SUMS, I.BPF_AND, I.BPF_OR, I.BPF_XOR]);
  body.add(C.alu(body.random.pick(WIDTHS), operation, dst, { reg: src }));
  body.set(dst, new Set([...body.tags(dst), ...body.tags(src)]), "sum of two numbers");
};

/** A place of some bytes in a slot, aligned as the stack wants it. */
function part(random: Random, size: C.Size): number {
  return random.pick(SLOTS) + size * random.below(8 / size);
}

function slotOf(at: number): number {
  return 8 * Math.floor(at / 8);
}

/** Spills of all sizes, and fills that may cover another part of a slot. */
const spillAndFill: Step = (body) => {
  const { random } = body;
  const src = body.any();
  const from = body.tags(src);
  const size = random.chance(50) ? 8 : random.pick(SIZES);
  const at = part(random, size);
  body.add(C.store(size, 10, at, { reg: src }));
  const slot = slotOf(at);
  const old = size === 8 ? new Set<Relation>() : (body.slots.get(slot) ?? new Set<Relation>());
  body.slots.set(slot, new Set([...old, ...from]));
  if (random.once(4)) body.relate();
  fillFrom(body, slot, size, at);
};

function fillFrom(body: Body, slot: number, size: C.Size, at: number): void {
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

const fill: Step = (body) => {
  const slot = body.random.pick(SLOTS);
  fillFrom(body, slot, 8, slot);
};

const moveWithSign: Step = (body) => {
  const src = body.any();
  const from = body.tags(src);
  const dst = body.target();
  const [width, bits] = body.random.pick([
    [64, 8],
    [64, 16],
    [64, 32],
    [64, 32],
    [32, 8],
    [32, 16],
  ] as const);
  body.add(C.moveSigned(width, dst, src, bits));
  body.set(dst, from, "move with a sign");
};

const byteSwap: Step = (body) => {
  const { random } = body;
  const dst = body.any();
  const kind = random.pick(["bswap", "le", "be"] as const);
  const bits = random.pick([16, 32, 64] as const);
  body.add(C.swap(kind, bits, dst));
  if (random.once(4)) body.add(C.swap(kind, bits, dst));
  body.set(dst, body.tags(dst), "byte swap");
};

const shift: Step = (body) => {
  const { random } = body;
  const width = random.pick(WIDTHS);
  const dst = body.any();
  const operation = random.pick([I.BPF_LSH, I.BPF_RSH, I.BPF_ARSH]);
  const count = random.pick(SHIFTS);
  if (width === 32 && count >= 32) return;
  const back = operation === I.BPF_LSH ? random.pick([I.BPF_RSH, I.BPF_ARSH]) : I.BPF_LSH;
  body.add(C.alu(width, operation, dst, count));
  if (random.once(2)) body.add(C.alu(width, back, dst, count));
  else if (random.once(5)) {
    const by = body.anyBut(dst);
    body.add(C.alu(64, I.BPF_AND, by, 31), C.alu(width, operation, dst, { reg: by }));
  }
  body.set(dst, body.tags(dst), "shift");
};

const bits: Step = (body) => {
  const { random } = body;
  const dst = body.any();
  const mask = random.pick([1, 7, 15, 31, 63, 255, 0xffff, -8, -2, 0x7fff_ffff, immediate(random)]);
  const operation = random.pick([I.BPF_AND, I.BPF_AND, I.BPF_AND, I.BPF_OR, I.BPF_XOR]);
  body.add(C.alu(random.pick(WIDTHS), operation, dst, mask));
  body.set(dst, body.tags(dst), "bits");
};

const multiply: Step = (body) => {
  const { random } = body;
  const dst = body.any();
  const width = random.pick(WIDTHS);
  if (random.once(6)) body.add(C.negate(width, dst));
  else {
    const operation = random.pick([I.BPF_MUL, I.BPF_DIV, I.BPF_MOD]);
    const isSigned = operation !== I.BPF_MUL && random.once(3);
    const by = random.pick([1, 2, 3, 4, 7, 8, 10, 64, -1, -3, 0x10000]);
    body.add(C.alu(width, operation, dst, by, isSigned ? 1 : 0));
  }
  body.set(dst, body.tags(dst), "multiplication or division");
};

/** `if (x > c) x = c`, with an order of any sign, and with a copy compared instead at times. */
const clamp: Step = (body) => {
  const { random } = body;
  const dst = body.any();
  const limit = random.chance(80) ? random.pick(SMALL) : immediate(random);
  const end = body.newLabel();
  const order = random.pick([...UNSIGNED_ORDERS, ...SIGNED_ORDERS]);
  const compared = random.chance(70) ? dst : body.any();
  body.add(
    C.jump(random.pick(WIDTHS), order, compared, limit, end),
    C.move(random.pick(WIDTHS), dst, limit),
    C.label(end),
  );
  body.set(dst, new Set([...body.tags(dst), ...body.tags(compared)]), "clamp");
};

const compareTwo: Step = (body) => {
  const { random } = body;
  const first = body.any();
  const second = body.anyBut(first);
  const operation = random.pick(COMPARISONS);
  body.add(C.jump(random.pick(WIDTHS), operation, first, { reg: second }, C.OUT_LABEL));
  const both = new Set([...body.tags(first), ...body.tags(second)]);
  body.set(first, both, "comparison of two numbers");
  body.set(second, both, "comparison of two numbers");
};

/** Two paths that leave different numbers in a register. */
const join: Step = (body) => {
  const { random } = body;
  const compared = body.any();
  const src = body.any();
  const dst = body.target();
  const from = new Set([...body.tags(compared), ...body.tags(src)]);
  const [other, end] = [body.newLabel(), body.newLabel()];
  const by = immediate(random);
  body.add(
    C.jump(random.pick(WIDTHS), random.pick(COMPARISONS), compared, by, other),
    C.move(64, dst, { reg: src }),
    C.goTo(end),
    C.label(other),
    C.move(random.pick(WIDTHS), dst, random.once(2) ? { reg: compared } : random.pick(SMALL)),
    C.label(end),
  );
  body.set(dst, from, "join of two paths");
};

/** One of the arithmetic steps on a register of a function. */
function functionStep(random: Random, dst: number, src: number): C.Line {
  const width = random.pick(WIDTHS);
  switch (random.below(7)) {
    case 0:
      return C.alu(width, random.pick(SUMS), dst, immediate(random));
    case 1:
      return C.move(width, dst, { reg: src });
    case 2:
      return C.moveSigned(64, dst, src, random.pick([8, 16, 32] as const));
    case 3:
      return C.alu(width, I.BPF_AND, dst, random.pick([1, 7, 15, 31, 63, 255]));
    case 4:
      return C.swap(random.pick(["be", "bswap"] as const), random.pick([16, 32, 64] as const), dst);
    case 5:
      return C.alu(width, random.pick([I.BPF_RSH, I.BPF_ARSH]), dst, random.pick([1, 8, 24, 31]));
    default:
      return C.alu(width, random.pick(SUMS), dst, { reg: src });
  }
}

/** A function of two numbers, which often are related; another one stays in r7 or r8. */
const callFunction: Step = (body) => {
  const { random } = body;
  const isGlobal = random.once(4);
  body.kept();
  const [first, second] = passTwo(body);
  const label = body.newLabel();
  const end = body.newLabel();
  const lines: C.Line[] = [C.move(64, 0, { reg: 1 })];
  for (let i = random.below(3); i >= 0; i--)
    lines.push(functionStep(random, 0, random.pick([1, 2])));
  if (random.once(2)) {
    const order = random.pick(COMPARISONS);
    const by = random.once(3) ? { reg: 1 } : immediate(random);
    lines.push(C.jump(random.pick(WIDTHS), order, 2, by, end), functionStep(random, 0, 1));
  }
  lines.push(C.label(end), C.exit());
  body.subprograms.push({ label, isGlobal, lines });
  body.add(C.callFunction(label));
  body.called(new Set([...first, ...second]), isGlobal ? "global function" : "static function");
};

/** Puts two numbers into r1 and r2. */
function passTwo(body: Body): [ReadonlySet<Relation>, ReadonlySet<Relation>] {
  const first = body.any();
  const second = body.any();
  const tags = [body.tags(first), body.tags(second)] as const;
  if (second === 1 && first !== 1) {
    // r1 is written first.
    const free = body.target(1, 2, 7, 8, first, second);
    body.copy(free, second);
    body.add(C.move(64, 1, { reg: first }), C.move(64, 2, { reg: free }));
  } else {
    if (first !== 1) body.add(C.move(64, 1, { reg: first }));
    if (second !== 2) body.add(C.move(64, 2, { reg: second === 1 ? 1 : second }));
  }
  return [...tags];
}

/** A function that is given the address of a slot of its caller. */
const callWithPointer: Step = (body) => {
  const { random } = body;
  const src = body.any();
  const from = body.tags(src);
  const slot = random.pick(SLOTS);
  const label = body.newLabel();
  const size = random.chance(60) ? 8 : random.pick(SIZES);
  body.kept();
  if (src !== 2) body.add(C.move(64, 2, { reg: src }));
  body.add(C.move(64, 1, { reg: 10 }), C.alu(64, I.BPF_ADD, 1, slot), C.callFunction(label));
  const lines = [
    C.load(size, 3, 1, 0),
    functionStep(random, 3, random.pick([2, 3])),
    ...(random.once(2)
      ? [C.store(8, 10, -8, { reg: 3 }), C.load(random.pick(SIZES), 3, 10, -8)]
      : []),
    C.store(random.once(2) ? 8 : size, 1, 0, { reg: random.pick([2, 3]) }),
    C.move(64, 0, { reg: random.pick([2, 3]) }),
    C.exit(),
  ];
  body.subprograms.push({ label, isGlobal: false, lines });
  const all = new Set([...from, ...(body.slots.get(slot) ?? [])]);
  const name = "function that writes its caller's stack";
  body.slots.set(slot, new Set([...all, name]));
  body.called(all, name);
  fillFrom(body, slot, 8, slot);
};

/** bpf_loop, whose callback works on a slot of its caller. */
const loopCallback: Step = (body) => {
  const { random } = body;
  const slot = random.pick(SLOTS);
  const label = body.newLabel();
  const end = body.newLabel();
  body.kept();
  body.add(
    C.move(64, 1, random.below(4)),
    C.functionAddress(2, label),
    C.move(64, 3, { reg: 10 }),
    C.alu(64, I.BPF_ADD, 3, slot),
    C.move(64, 4, 0),
    C.callHelper("loop"),
  );
  const lines = [
    C.load(8, 3, 2, 0),
    ...(random.once(2)
      ? [C.jump(random.pick(WIDTHS), random.pick(COMPARISONS), 3, random.pick(SMALL), end)]
      : []),
    functionStep(random, 3, random.pick([1, 3])),
    C.store(8, 2, 0, { reg: 3 }),
    C.label(end),
    C.move(64, 0, random.once(4) ? 1 : 0),
    C.exit(),
  ];
  body.subprograms.push({ label, isGlobal: false, lines });
  const name = "callback of bpf_loop";
  body.slots.set(slot, new Set([...(body.slots.get(slot) ?? []), name]));
  body.called(new Set(), name);
  body.add(C.load(8, I.BPF_REG_1, 10, slot));
  body.set(I.BPF_REG_1, body.slots.get(slot) ?? new Set());
};

/** bpf_for_each_map_elem, whose callback puts keys or values into a slot of its caller. */
const eachElement: Step = (body) => {
  const { random } = body;
  const slot = random.pick(SLOTS);
  const label = body.newLabel();
  body.kept();
  body.add(
    C.mapAddress(1, SEVERAL, false),
    C.functionAddress(2, label),
    C.move(64, 3, { reg: 10 }),
    C.alu(64, I.BPF_ADD, 3, slot),
    C.move(64, 4, 0),
    C.callHelper("for_each_map_elem"),
  );
  const size = random.pick(SIZES);
  const lines = [
    random.once(2) ? C.load(4, 5, 2, 0) : C.load(size, 5, 3, 0),
    C.load(8, 1, 4, 0),
    functionStep(random, 5, 1),
    C.store(random.once(2) ? 8 : 4, 4, 0, { reg: 5 }),
    C.move(64, 0, random.once(4) ? 1 : 0),
    C.exit(),
  ];
  body.subprograms.push({ label, isGlobal: false, lines });
  const name = "callback of bpf_for_each_map_elem";
  body.slots.set(slot, new Set([...(body.slots.get(slot) ?? []), name]));
  body.called(new Set(), name);
  body.add(C.load(8, I.BPF_REG_1, 10, slot));
  body.set(I.BPF_REG_1, body.slots.get(slot) ?? new Set());
};

const FETCHES = [I.BPF_ADD, I.BPF_AND, I.BPF_OR, I.BPF_XOR].map((code) => code | I.BPF_FETCH);

/** Atomic operations that give the old number back, on a slot. */
const atomicOperation: Step = (body) => {
  const { random } = body;
  const slot = random.pick(SLOTS);
  const size = random.pick([4, 8, 8] as const);
  const old = body.slots.get(slot) ?? new Set<Relation>();
  const register = body.any();
  const from = body.tags(register);
  const name = "atomic operation";
  switch (random.below(5)) {
    case 0:
      body.add(C.atomic(size, I.BPF_STORE_REL, 10, register, slot));
      body.slots.set(slot, new Set([...from, name]));
      fillFrom(body, slot, size, slot);
      return;
    case 1: {
      const dst = body.target();
      body.add(C.atomic(size, I.BPF_LOAD_ACQ, dst, 10, slot));
      body.set(dst, old, name);
      return;
    }
    case 2: {
      const compared = body.any();
      const both = new Set([...from, ...old]);
      if (compared !== 0) body.add(C.move(64, 0, { reg: compared }));
      const src = register === 0 ? (compared === 0 ? 0 : compared) : register;
      body.add(C.atomic(size, I.BPF_CMPXCHG, 10, src, slot));
      body.set(0, both, name);
      break;
    }
    case 3:
      body.add(C.atomic(size, I.BPF_XCHG, 10, register, slot));
      body.set(register, old, name);
      break;
    default:
      body.add(C.atomic(size, random.pick(FETCHES), 10, register, slot));
      body.set(register, old, name);
  }
  body.slots.set(slot, new Set([...from, ...old, name]));
  if (random.once(2)) fillFrom(body, slot, size, slot);
};

/** A counter that goes up to a small constant, and a number that changes with it. */
const countedLoop: Step = (body) => {
  const { random } = body;
  const dst = body.any();
  const counter = body.target(dst);
  const start = body.newLabel();
  const stride = random.pick([1, 1, 2, 3]);
  const width = random.pick(WIDTHS);
  body.add(
    C.move(64, counter, 0),
    C.label(start),
    functionStep(random, dst, random.pick([counter, dst])),
    C.alu(width, I.BPF_ADD, counter, stride),
    C.jump(
      width,
      random.pick([I.BPF_JLT, I.BPF_JSLT, I.BPF_JLE]),
      counter,
      stride * (1 + random.below(5)),
      start,
    ),
  );
  body.set(dst, body.tags(dst), "loop");
  body.set(counter, new Set(), "loop");
};

const STEPS: readonly (readonly [weight: number, step: Step])[] = [
  [10, copy],
  [6, copy32],
  [18, sum],
  [4, sumOfTwo],
  [14, spillAndFill],
  [4, fill],
  [6, moveWithSign],
  [4, byteSwap],
  [7, shift],
  [5, bits],
  [3, multiply],
  [5, clamp],
  [5, compareTwo],
  [4, join],
  [4, callFunction],
  [3, callWithPointer],
  [1, loopCallback],
  [1, eachElement],
  [6, atomicOperation],
  [2, countedLoop],
];
