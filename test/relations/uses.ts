/**
 * What a program does with its number in the end: an access whose place or size follows from it, at
 * the very edge of what it may touch.
 */

import { BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import * as I from "../../src/abi/insn.ts";
import { type Body, CONTEXT_REGISTER, KEY_SLOT, TOKEN_ABOVE, TOKEN_BELOW, WIDTHS } from "./body.ts";
import * as C from "./code.ts";
import { fitsS32 } from "./guards.ts";
import { BUFFERS, FROZEN, MAPS, OUT, OUT_BYTES, SEVERAL } from "./maps.ts";

/** Ways to use a number. */
export const USES = [
  "map value",
  "stack",
  "stack, then a number that it kept",
  "packet",
  "size for a helper",
  "address for a helper",
  "key that is known",
] as const;
export type Use = (typeof USES)[number];

/** A number, and the values that it is taken to have. */
export interface Aim {
  readonly register: number;
  /** As s64. */
  readonly low: bigint;
  readonly high: bigint;
  /** By how many bytes the access is moved past the edge: mostly 0. */
  readonly past: number;
}

const SIZES: readonly C.Size[] = [1, 2, 4, 8];
/** Accesses to the stack are aligned, which numbers seldom are. */
const STACK_SIZES: readonly C.Size[] = [1, 1, 1, 1, 2, 4, 8];
const STACK_BYTES = 512;
/** Of a slot on the stack, a number less than 8 in it. */
const KEPT_SLOT = -96;
const KEPT_MASK = 7;
const OVERWRITTEN = 0x7f;
/** Offsets that instructions and programs of people have; larger ones are taken off before. */
const LARGE = 2000n;

export function pickUse(body: Body): Use {
  const { random, type } = body;
  const isXdp = type === BPF_PROG_TYPE_XDP;
  return random.weighted<Use>([
    [40, "map value"],
    [14, "stack"],
    [12, "stack, then a number that it kept"],
    [isXdp ? 22 : 0, "packet"],
    [10, "size for a helper"],
    [8, "address for a helper"],
    [6, "key that is known"],
  ]);
}

/** Ends a program with a use. */
export function finish(body: Body, use: Use, aim: Aim): void {
  const left = USERS[use](body, fitted(body, use, aim));
  epilogue(body, left);
}

/** What the use leaves: the register of the number, and whether r0 holds a result. */
interface LeftOver {
  readonly register: number | null;
  readonly hasResult: boolean;
}

/** Takes what uses can't do with off the number: large offsets, and what is below 0, or below 1. */
function fitted(body: Body, use: Use, aim: Aim): Aim {
  const { low, high } = aim;
  const must = use === "packet" || use === "size for a helper" || use === "key that is known";
  const isLarge = low > LARGE || low < -LARGE || high > LARGE;
  if (!must && !isLarge) return aim;
  return normalized(body, aim, use === "size for a helper" ? 1n : 0n);
}

/** Adds a constant to the number, so that it begins at another one. */
export function normalized(body: Body, aim: Aim, start: bigint): Aim {
  const { low, high, register } = aim;
  if (low === start) return aim;
  const by = start - low;
  if (fitsS32(by)) body.add(C.alu(64, I.BPF_ADD, register, Number(by)));
  else {
    const constant = body.target(register);
    body.add(C.constant(constant, BigInt.asUintN(64, by)));
    body.add(C.alu(64, I.BPF_ADD, register, { reg: constant }));
    body.registers.delete(constant);
  }
  return { ...aim, low: start, high: high + by };
}

type User = (body: Body, aim: Aim) => LeftOver;

/** `pointer += number`, with an offset that is added before, between or in the access. */
function point(
  body: Body,
  base: C.Line,
  pointer: number,
  register: number,
  offset: number,
): { readonly at: number; readonly moved: boolean } {
  const { random } = body;
  const add = (dst: number, by: C.Operand): C.Line => C.alu(64, I.BPF_ADD, dst, by);
  switch (random.below(5)) {
    case 0:
      body.add(base, add(register, offset), add(pointer, { reg: register }));
      return { at: 0, moved: true };
    case 1:
      body.add(base, add(pointer, offset), add(pointer, { reg: register }));
      return { at: 0, moved: false };
    case 2:
      body.add(base, add(pointer, { reg: register }), add(pointer, offset));
      return { at: 0, moved: false };
    default:
      body.add(base, add(pointer, { reg: register }));
      return { at: offset, moved: false };
  }
}

/** Reads, writes, or both at once. Whether what was read is in r0. */
function access(body: Body, size: C.Size, pointer: number, at: number, result: number): boolean {
  const { random } = body;
  switch (random.below(4)) {
    case 0:
      body.add(C.store(size, pointer, at, 0x41));
      return false;
    case 1:
      body.add(C.store(size, pointer, at, { reg: 9 }));
      return false;
    default:
      body.add(C.load(size, result, pointer, at));
      return true;
  }
}

const mapValue: User = (body, { register, low, high, past }) => {
  const { random } = body;
  const size = random.pick(SIZES);
  const map = bufferFor(body, Number(high - low) + size);
  const valueSize = MAPS[map]?.valueSize ?? 0;
  const offset = random.once(3) ? -Number(low) - past : valueSize - size - Number(high) + past;
  const pointer = body.target(register);
  const base = C.mapAddress(pointer, map, true);
  const { at } = point(body, base, pointer, register, offset);
  const result = register === 0 ? pointer : 0;
  const isAtomic = size >= 4 && random.once(8);
  if (isAtomic) {
    body.add(C.atomic(size, I.BPF_ADD | I.BPF_FETCH, pointer, 9, at));
    return { register, hasResult: false };
  }
  const wasRead = access(body, size, pointer, at, result);
  return { register, hasResult: wasRead && result === 0 };
};

function bufferFor(body: Body, bytes: number): number {
  const fitting = BUFFERS.filter((map) => (MAPS[map]?.valueSize ?? 0) >= bytes);
  return fitting.length === 0 ? (BUFFERS.at(-1) as number) : body.random.pick(fitting);
}

const stack: User = (body, { register, low, high, past }) => {
  const { random } = body;
  const size = random.pick(STACK_SIZES);
  const pointer = body.target(register);
  const offset = random.once(2) ? -size - Number(high) + past : -STACK_BYTES - Number(low) - past;
  const { at } = point(body, C.move(64, pointer, { reg: 10 }), pointer, register, offset);
  access(body, size, pointer, at, body.target(register, pointer));
  return { register, hasResult: false };
};

/** What the write must have left alone is used as an offset into the smallest map. */
const stackThenKept: User = (body, { register, low, high, past }) => {
  const { random } = body;
  const size = random.pick(STACK_SIZES);
  const other = body.anyBut(register);
  const small = body.target(register);
  body.add(
    C.move(64, small, { reg: other }),
    C.alu(64, I.BPF_AND, small, KEPT_MASK),
    C.store(8, 10, KEPT_SLOT, { reg: small }),
  );
  const pointer = body.target(register);
  const offset = random.once(2)
    ? KEPT_SLOT - size - Number(high) + past
    : KEPT_SLOT + 8 - Number(low) - past;
  const { at } = point(body, C.move(64, pointer, { reg: 10 }), pointer, register, offset);
  body.add(C.store(size, pointer, at, OVERWRITTEN));
  const filled = body.target(register, pointer);
  const [smallest] = BUFFERS as readonly [number];
  body.add(
    C.load(8, filled, 10, KEPT_SLOT),
    C.mapAddress(pointer, smallest, true),
    C.alu(64, I.BPF_ADD, pointer, { reg: filled }),
    C.store(1, pointer, 0, 1),
  );
  return { register, hasResult: false };
};

const packet: User = (body, { register, past }) => {
  const { random } = body;
  const size = random.pick(SIZES);
  const checked = size + random.pick([0, 0, 1, 2, 8]);
  const pointer = body.target(register);
  const end = body.target(register, pointer);
  const limit = body.target(register, pointer, end);
  body.add(
    C.load(4, pointer, CONTEXT_REGISTER, 0),
    C.load(4, end, CONTEXT_REGISTER, 4),
    C.alu(64, I.BPF_ADD, pointer, { reg: register }),
    C.move(64, limit, { reg: pointer }),
    C.alu(64, I.BPF_ADD, limit, checked),
    ...beyond(body, limit, end),
  );
  let used = pointer;
  if (random.once(10)) {
    // Another pointer of the same numbers: nothing is known of it.
    used = limit;
    body.add(C.load(4, used, CONTEXT_REGISTER, 0), C.alu(64, I.BPF_ADD, used, { reg: register }));
  }
  const at = random.once(4) ? 0 : checked - size;
  const result = register === 0 || used === 0 ? end : 0;
  const wasRead = access(body, size, used, at + past, result);
  return { register, hasResult: wasRead && result === 0 };
};

/** Leaves when a packet is too short, in one of the forms that compilers write. */
function beyond({ random }: Body, limit: number, end: number): C.Line[] {
  return random.once(2)
    ? [C.jump(64, I.BPF_JGT, limit, { reg: end }, C.OUT_LABEL)]
    : [C.jump(64, I.BPF_JLT, end, { reg: limit }, C.OUT_LABEL)];
}

/** The arguments of a helper begin with the number, which no other one may overwrite. */
function size(body: Body, aim: Aim): LeftOver {
  const { random, type } = body;
  const { register, high, past } = aim;
  const map = bufferFor(body, Number(high));
  const offset = (MAPS[map]?.valueSize ?? 0) - Number(high) + past;
  const onStack = random.once(3);
  const base = (argument: number): C.Line[] =>
    onStack
      ? [C.move(64, argument, { reg: 10 }), C.alu(64, I.BPF_ADD, argument, past - Number(high))]
      : [C.mapAddress(argument, map, true), C.alu(64, I.BPF_ADD, argument, offset)];
  if (type === BPF_PROG_TYPE_XDP || (random.once(2) && !onStack)) {
    body.add(C.move(64, 2, { reg: register }));
    body.add(...base(1), C.mapAddress(3, FROZEN, true), C.callHelper("strncmp"));
  } else {
    body.add(C.move(64, 4, { reg: register }), C.move(64, 1, { reg: CONTEXT_REGISTER }));
    body.add(C.move(64, 2, random.pick([0, 4, 40])), ...base(3), C.callHelper("skb_load_bytes"));
  }
  body.called(new Set(), "copy");
  return { register: null, hasResult: !onStack };
}

const VALUE_BYTES = 16;

function address(body: Body, { register, low, high, past }: Aim): LeftOver {
  const { random } = body;
  const map = bufferFor(body, Number(high - low) + VALUE_BYTES);
  const valueSize = MAPS[map]?.valueSize ?? 0;
  const offset = random.once(3)
    ? -Number(low) - past
    : valueSize - VALUE_BYTES - Number(high) + past;
  body.add(
    C.store(4, 10, KEY_SLOT, random.below(4)),
    C.move(64, 5, { reg: register }),
    C.mapAddress(3, map, true),
    C.alu(64, I.BPF_ADD, 3, { reg: 5 }),
    C.alu(64, I.BPF_ADD, 3, offset),
    C.move(64, 2, { reg: 10 }),
    C.alu(64, I.BPF_ADD, 2, KEY_SLOT),
    C.mapAddress(1, SEVERAL, false),
    C.move(64, 4, 0),
    C.callHelper("map_update_elem"),
  );
  body.called(new Set(), "copy");
  return { register: null, hasResult: true };
}

/** A key of an array that is known and in it: what is found isn't compared with NULL. */
function key(body: Body, { register, past }: Aim): LeftOver {
  const { random } = body;
  const index = random.below(MAPS[SEVERAL]?.maxEntries ?? 1);
  body.add(C.alu(random.pick(WIDTHS), I.BPF_ADD, register, index + past));
  body.add(C.store(random.pick([4, 8] as const), 10, KEY_SLOT, { reg: register }));
  body.add(
    C.move(64, 2, { reg: 10 }),
    C.alu(64, I.BPF_ADD, 2, KEY_SLOT),
    C.mapAddress(1, SEVERAL, false),
    C.callHelper("map_lookup_elem"),
    C.load(8, 0, 0, 8),
  );
  body.called(new Set(), "copy");
  return { register: null, hasResult: true };
}

const USERS: Readonly<Record<Use, User>> = {
  "map value": mapValue,
  stack,
  "stack, then a number that it kept": stackThenKept,
  packet,
  "size for a helper": size,
  "address for a helper": address,
  "key that is known": key,
};

/** Whether the tokens on the stack have to be there after a use. */
export function keepsStack(use: Use): boolean {
  return use !== "stack" && use !== "stack, then a number that it kept" && !use.includes("size");
}

/** Leaves behind what was kept, then the number. */
function epilogue(body: Body, { register, hasResult }: LeftOver): void {
  const busy = [...(register === null ? [] : [register]), ...(hasResult ? [0] : [])];
  const out = body.target(...busy);
  const kept = body.target(out, ...busy);
  body.add(
    C.mapAddress(out, OUT, true),
    C.store(8, out, OUT_BYTES.register, { reg: 9 }),
    C.load(8, kept, 10, TOKEN_ABOVE),
    C.store(8, out, OUT_BYTES.stackAbove, { reg: kept }),
    C.load(8, kept, 10, TOKEN_BELOW),
    C.store(8, out, OUT_BYTES.stackBelow, { reg: kept }),
    ...(register === null ? [] : [C.store(8, out, OUT_BYTES.used, { reg: register })]),
    ...(hasResult ? [] : [C.move(64, 0, 1)]),
    C.exit(),
  );
  // Linux refuses code that nothing leads to.
  if (!body.lines.some(({ target }) => target === C.OUT_LABEL)) return;
  body.add(C.label(C.OUT_LABEL), C.move(64, 0, 2), C.exit());
}
