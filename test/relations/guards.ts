/**
 * Comparisons that narrow a number to a few values, chosen among those that it had in trial runs;
 * what is known of its relatives has to follow from them.
 */

import * as I from "../../src/abi/insn.ts";
import { type Body, type Relation, WIDTHS } from "./body.ts";
import * as C from "./code.ts";
import type { Input } from "./inputs.ts";

/** Registers of a trial run where it came to the place that was asked for. */
export interface Sample {
  readonly input: Input;
  readonly registers: readonly bigint[];
}

const SLACK = [0, 0, 1, 3, 7, 7, 15, 60] as const;
const S32_MIN = -0x8000_0000n;
const S32_MAX = 0x7fff_ffffn;

export function fitsS32(value: bigint): boolean {
  return value >= S32_MIN && value <= S32_MAX;
}

/** What a number is compared with: as an immediate where it fits, else in a register of its own. */
function operand(
  body: Body,
  lines: C.Line[],
  width: C.Width,
  value: bigint,
  busy: readonly number[],
): C.Operand {
  const signed = BigInt.asIntN(width, value);
  if (fitsS32(signed) && !body.random.once(8)) return Number(signed);
  const register = body.target(...busy);
  lines.push(C.constant(register, BigInt.asIntN(64, value)));
  body.registers.delete(register);
  return { reg: register };
}

/** Orders by whether they are signed: above, at or above, below, at or below. */
const ORDERS = {
  signed: [I.BPF_JSGT, I.BPF_JSGE, I.BPF_JSLT, I.BPF_JSLE],
  unsigned: [I.BPF_JGT, I.BPF_JGE, I.BPF_JLT, I.BPF_JLE],
} as const;

/** Lines that lead to `out` unless a register is between two numbers. */
function range(
  body: Body,
  register: number,
  [width, isSigned]: readonly [C.Width, boolean],
  [low, high]: readonly [bigint, bigint],
  out: number,
): C.Line[] {
  const { random } = body;
  const lines: C.Line[] = [];
  const names = isSigned !== random.once(25) ? ORDERS.signed : ORDERS.unsigned;
  const [above, atLeast, below, atMost] = names;
  const compare = (operation: number, value: bigint): void => {
    const by = operand(body, lines, width, value, [register]);
    lines.push(C.jump(width, operation, register, by, out));
  };
  const least = isSigned ? -(1n << BigInt(width - 1)) : 0n;
  const most = isSigned ? -least - 1n : (1n << BigInt(width)) - 1n;
  const [first, second] = [
    (): void => {
      if (high >= most) return;
      if (random.once(3)) compare(atLeast, high + 1n);
      else compare(above, high);
    },
    (): void => {
      if (low <= least) return;
      if (random.once(3)) compare(atMost, low - 1n);
      else compare(below, low);
    },
  ];
  if (random.once(2)) {
    first();
    second();
  } else {
    second();
    first();
  }
  return lines;
}

/** A comparison of any kind after which a register has the value of a trial run, or one near it. */
function narrowing(body: Body, register: number, value: bigint, out: number): C.Line[] {
  const { random } = body;
  const width = random.pick(WIDTHS);
  const isSigned = random.once(3);
  const seen = isSigned ? BigInt.asIntN(width, value) : BigInt.asUintN(width, value);
  const lines: C.Line[] = [];
  switch (random.below(8)) {
    case 0: {
      const by = operand(body, lines, width, seen, [register]);
      return [...lines, C.jump(width, I.BPF_JNE, register, by, out)];
    }
    case 1: {
      // No bit but the lowest few.
      const kept = random.pick([1, 3, 7, 15, 63]);
      return [C.jump(width, I.BPF_JSET, register, ~kept, out)];
    }
    default: {
      const low = seen - BigInt(random.pick(SLACK));
      const high = seen + BigInt(random.pick(SLACK));
      const bounds = [isSigned || low > 0n ? low : 0n, high] as const;
      return range(body, register, [width, isSigned], bounds, out);
    }
  }
}

/** The same with the jump turned round. */
function turned(body: Body, lines: readonly C.Line[]): C.Line[] {
  const last = lines.at(-1);
  const first = last?.insns[0];
  const inverse = first === undefined ? undefined : INVERSES.get(I.BPF_OP(first.opcode));
  if (last === undefined || first === undefined || inverse === undefined) return [...lines];
  const end = body.newLabel();
  const opcode = (first.opcode & ~0xf0) | inverse;
  return [
    ...lines.slice(0, -1),
    { insns: [{ ...first, opcode }], target: end },
    C.goTo(last.target ?? C.OUT_LABEL),
    C.label(end),
  ];
}

const PAIRS = [
  [I.BPF_JGT, I.BPF_JLE],
  [I.BPF_JGE, I.BPF_JLT],
  [I.BPF_JSGT, I.BPF_JSLE],
  [I.BPF_JSGE, I.BPF_JSLT],
  [I.BPF_JEQ, I.BPF_JNE],
] as const;
const INVERSES: ReadonlyMap<number, number> = new Map(
  PAIRS.flatMap(([a, b]) => [
    [a, b],
    [b, a],
  ]),
);

/** Marks lines; labels stay where they are. */
function marked(lines: readonly C.Line[]): C.Line[] {
  return lines.map((line) => (line.label === undefined ? { ...line, guard: true } : line));
}

/** Narrows a number, here or in a function that it is given to. */
export function guard(body: Body, samples: readonly Sample[]): void {
  const { random } = body;
  const register = body.any();
  const value = nearZero(
    body,
    samples.map(({ registers }) => registers[register] ?? 0n),
  );
  if (random.once(7)) {
    guardInFunction(body, register, value);
    return;
  }
  const lines = narrowing(body, register, value, C.OUT_LABEL);
  body.add(...marked(random.once(5) ? turned(body, lines) : lines));
}

/** Values near 0 are more often of use. */
function nearZero({ random }: Body, values: readonly bigint[]): bigint {
  const size = (value: bigint): bigint => {
    const signed = BigInt.asIntN(64, value);
    return signed < 0n ? -signed : signed;
  };
  const [first, second] = [random.pick(values), random.pick(values)];
  return size(second) < size(first) ? second : first;
}

const NAME: Relation = "comparison in a function";

function guardInFunction(body: Body, register: number, value: bigint): void {
  const { random } = body;
  // What stays is a relative of what is given, if the program has one.
  const given = body.tags(register);
  if (register !== 7 && register !== 8 && random.chance(70))
    body.copy(random.pick([7, 8]), register);
  if (register !== 1) body.add(C.move(64, 1, { reg: register }));
  body.set(1, given, NAME);
  const [sub, bad] = [body.newLabel(), body.newLabel()];
  const known = new Map(body.registers);
  const checks = narrowing(body, 1, value, bad);
  body.registers.clear();
  for (const [kept, tags] of known) body.set(kept, tags, NAME);
  const lines = [...checks, C.move(64, 0, 0), C.exit(), C.label(bad), C.move(64, 0, 1), C.exit()];
  body.subprograms.push({ label: sub, isGlobal: false, lines });
  body.add(C.callFunction(sub));
  body.called(given, NAME);
  body.add({ ...C.jump(64, I.BPF_JNE, 0, 0, C.OUT_LABEL), guard: true });
}
