/**
 * Steps by which one number is made of others, and how often each is taken.
 */

import * as I from "../../src/abi/insn.ts";
import type { Random } from "../random.ts";
import {
  type Body,
  COMPARISONS,
  fillFrom,
  immediate,
  type Relation,
  SHIFTS,
  SIGNED_ORDERS,
  SIZES,
  SLOTS,
  SMALL,
  type Step,
  SUMS,
  UNSIGNED_ORDERS,
  WIDTHS,
} from "./body.ts";
import { callFunction, callWithPointer, countedLoop, eachElement, loopCallback } from "./calls.ts";
import * as C from "./code.ts";

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
  if (random.once(4)) relate(body);
  fillFrom(body, slot, size, at);
};

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

/** Adds something that makes a number of numbers. */
export function relate(body: Body): void {
  body.random.weighted(STEPS)(body);
}
