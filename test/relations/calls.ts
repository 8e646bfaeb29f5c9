/**
 * Steps in which a program calls functions of its own or helpers that call back, or goes round:
 * numbers come back changed, or are changed in the caller's stack.
 */

import * as I from "../../src/abi/insn.ts";
import type { Random } from "../random.ts";
import {
  type Body,
  COMPARISONS,
  fillFrom,
  immediate,
  type Relation,
  SIZES,
  SLOTS,
  SMALL,
  type Step,
  SUMS,
  WIDTHS,
} from "./body.ts";
import * as C from "./code.ts";
import { SEVERAL } from "./maps.ts";

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
export const callFunction: Step = (body) => {
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
export const callWithPointer: Step = (body) => {
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
export const loopCallback: Step = (body) => {
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
export const eachElement: Step = (body) => {
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

/** A counter that goes up to a small constant, and a number that changes with it. */
export const countedLoop: Step = (body) => {
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
