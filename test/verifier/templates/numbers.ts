/**
 * Numbers that are bounded in all the ways there are, and then used where a bound counts.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { CONDITIONS, Writer, wide } from "./writer.ts";

// biome-ignore format: a list of numbers reads best filled
const EDGES = [
  0, 1, 2, 7, 8, 15, 16, 31, 32, 47, 48, 56, 60, 63, 64, 127, 128, 255, 256, 511, 512, 0x7fff,
  0xffff, 0x10000, 0x1fffffff, 0x20000000, 0x7fffffff, -1, -2, -7, -8, -64, -512, -0x80000000,
];
// biome-ignore format: a list of numbers reads best filled
const WIDE_EDGES = [
  "0x7fffffffffffffff", "0x8000000000000000", "0xffffffff", "0x100000000", "0xffffffff00000000",
  "0x7fffffff", "0x80000000", "0xffffffff80000000", "0x1ffffffff",
];
const ALU = ["+=", "-=", "&=", "|=", "^=", "*="];

/** Does something to a number. */
export function shape(w: Writer, register: string, other: string): void {
  const low = wide(register);
  const name = w.pick(register, register, low);
  const edge = w.random.pick(EDGES);
  switch (w.between(0, 15)) {
    case 0:
    case 1:
      w.line(`${name} &= ${w.random.pick(EDGES)}`);
      break;
    case 2:
    case 3:
    case 4:
      w.line(`if ${name} ${w.random.pick(CONDITIONS)} ${edge} goto out`);
      break;
    case 5:
      w.line(`${name} ${w.random.pick(ALU)} ${edge}`);
      break;
    case 6: {
      const by = w.pick(1, 8, 16, 24, 31, name === low ? 30 : 32, name === low ? 29 : 56);
      w.line(`${name} ${w.pick("<<=", ">>=", "s>>=")} ${by}`);
      break;
    }
    case 7:
      w.line(`${register} <<= 32`, `${register} ${w.pick(">>=", "s>>=")} 32`);
      break;
    case 8:
      w.line(w.pick(`${low} = ${low}`, `${register} = (s32)${register}`));
      break;
    case 9:
      w.line(w.pick(`${register} = (s8)${register}`, `${low} = (s16)${low}`));
      break;
    case 10:
      w.line(`${name} = -${name}`);
      break;
    case 11: {
      const names = name === low ? [low, wide(other)] : [register, other];
      w.line(`if ${names[0]} ${w.random.pick(CONDITIONS)} ${names[1]} goto out`);
      break;
    }
    case 12: {
      const names = name === low ? [low, wide(other)] : [register, other];
      w.line(`${names[0]} ${w.random.pick([...ALU, "<<=", ">>=", "%=", "/="])} ${names[1]}`);
      break;
    }
    case 13:
      linked(w, register, other);
      break;
    case 14:
      throughStack(w, register);
      break;
    default:
      w.line(
        `r1 = ${w.random.pick(WIDE_EDGES)} ll`,
        w.chance(60)
          ? `if ${register} ${w.random.pick(CONDITIONS)} r1 goto out`
          : `${register} ${w.pick("&=", "+=", "-=", "|=", "^=")} r1`,
      );
  }
}

/** A copy is compared instead, perhaps with something added. */
function linked(w: Writer, register: string, other: string): void {
  w.line(w.pick(`${other} = ${register}`, `${wide(other)} = ${wide(register)}`));
  if (w.chance(50)) w.line(`${w.pick(register, other)} += ${w.pick(1, 4, -1, 8, 100)}`);
  const name = w.pick(register, other);
  const used = w.pick(name, name, wide(name));
  w.line(`if ${used} ${w.random.pick(CONDITIONS)} ${w.random.pick(EDGES)} goto out`);
}

/** Out to the stack and back, in the same size or another. */
export function throughStack(w: Writer, register: string): void {
  const at = -16 - 8 * w.between(0, 2);
  const size = w.pick("u8", "u16", "u32", "u64", "u64");
  const shift = w.pick(0, 0, 0, 1, 2, 4);
  const aligned =
    size === "u64" ? 0 : size === "u32" ? shift & 4 : size === "u16" ? shift & 6 : shift;
  w.line(`*(${size} *)(r10 - ${-at - aligned}) = ${register}`);
  if (w.chance(30)) w.line(`if ${register} > ${w.random.pick(EDGES)} goto out`);
  const back = w.pick(size, size, "u8", "u16", "u32", "s8", "s16", "s32");
  const from = w.chance(80) ? aligned : w.pick(0, 4);
  w.line(`${register} = *(${back} *)(r10 - ${-at - from})`);
}

/** Makes sure that a number is at most `max` and not negative, in one of the ways compilers do. */
export function bound(w: Writer, register: string, max: number): void {
  const low = wide(register);
  const mask = 2 ** Math.ceil(Math.log2(max + 1)) - 1;
  switch (w.between(0, 8)) {
    case 0:
      w.line(`${register} &= ${w.chance(70) ? mask : max}`);
      break;
    case 1:
      w.line(`${low} &= ${w.chance(70) ? mask : max}`);
      break;
    case 2:
      w.line(`if ${register} > ${max} goto out`);
      break;
    case 3:
      w.line(`if ${register} >= ${max + 1} goto out`);
      break;
    case 4:
      w.line(`if ${low} > ${max} goto out`);
      if (w.chance(60)) w.line(`${low} = ${low}`);
      break;
    case 5:
      w.line(`if ${register} s> ${max} goto out`);
      if (w.chance(85)) w.line(`if ${register} s< 0 goto out`);
      break;
    case 6:
      w.line(`if ${low} s> ${max} goto out`);
      if (w.chance(85)) w.line(`if ${low} s< 0 goto out`);
      if (w.chance(60)) w.line(`${low} = ${low}`);
      break;
    case 7:
      w.line(`r1 = ${max}`, `if ${register} > r1 goto out`);
      break;
    default: {
      const next = w.label();
      w.line(`if ${register} < ${max + 1} goto ${next}`, "goto out", `${next}:`);
    }
  }
}

const BYTES: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

/** An access at an offset that is bounded, at the edge of what is there. */
export function boundary(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.number("r8");
  const shapes = w.between(0, 3);
  for (let i = 0; i < shapes; i++) shape(w, "r7", "r8");
  const max = w.pick(0, 1, 3, 7, 8, 15, 16, 31, 32, 40, 47, 48, 55, 56, 60, 63);
  bound(w, "r7", max);
  let most = max;
  if (w.chance(30)) {
    const by = w.between(-4, 8);
    w.line(`r7 += ${by}`);
    most += by;
  }
  if (w.chance(15)) {
    w.line("r7 <<= 1");
    most *= 2;
  }
  if (w.chance(15)) shape(w, "r7", "r8");
  if (w.chance(20)) throughStack(w, "r7");
  sink(w, most);
  return w.finish("boundary");
}

/** Uses r7, which is at most `most`, where one more or less counts. */
function sink(w: Writer, most: number): void {
  const size = w.size();
  const slack = w.pick(0, 0, 0, 0, 1, -1, 2, 8, -8);
  const last = 64 - (BYTES[size] as number) - most + slack;
  const write = w.chance(40);
  const access = (pointer: string, off: number): void => {
    const at = off < 0 ? `- ${-off}` : `+ ${off}`;
    w.line(write ? `*(${size} *)(${pointer} ${at}) = r8` : `r0 = *(${size} *)(${pointer} ${at})`);
  };
  switch (w.between(0, 7)) {
    case 0:
    case 1:
      w.value("r9");
      w.line("r9 += r7");
      access("r9", last);
      break;
    case 2:
      w.line("r9 = map_value[data][0]", "r9 += r7");
      access("r9", last);
      break;
    case 3: {
      // Below the frame pointer, on the initialized part of the stack or not.
      if (w.chance(70)) for (let at = 8; at <= 72; at += 8) w.line(`*(u64 *)(r10 - ${at}) = 0`);
      w.line("r9 = r10", "r9 += r7");
      access("r9", last - 64);
      break;
    }
    case 4:
      w.line("r9 = r10", "r9 += -64", w.chance(80) ? "r9 += r7" : "r9 -= r7");
      access("r9", last);
      break;
    case 5:
      helperSize(w, most + slack);
      break;
    case 6:
      if (!w.hasPacket) return;
      w.packet("r2", "r3");
      w.line("r2 += r7", "r4 = r2", `r4 += ${w.between(1, 16)}`, "if r4 > r3 goto out");
      w.line(`r0 = *(${size} *)(r2 + ${w.between(0, 15)})`);
      break;
    default:
      w.line("r0 = r7", "exit");
  }
}

/** A size that a helper gets. */
function helperSize(w: Writer, most: number): void {
  const at = w.pick(64, Math.max(1, most), Math.max(1, most - 1), 512);
  if (w.chance(50)) w.line("r7 += 1");
  if (w.hasSkb && w.chance(60)) {
    w.line("r1 = r6", "r2 = 0", "r3 = r10", `r3 += -${at}`, "r4 = r7");
    w.line("call bpf_skb_load_bytes");
    if (w.chance(40)) w.line(`r0 = *(u8 *)(r10 - ${w.between(1, at)})`);
    return;
  }
  if (w.chance(70)) for (let i = 8; i <= 64; i += 8) w.line(`*(u64 *)(r10 - ${i}) = 0`);
  w.line("r1 = r10", `r1 += -${at}`, "r2 = r7", "call bpf_trace_printk");
}

/** Nothing but operations on numbers, and an access that their bounds decide about. */
export function arithmetic(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.number("r8");
  const shapes = w.between(2, 8);
  for (let i = 0; i < shapes; i++) {
    if (w.chance(80)) shape(w, "r7", "r8");
    else shape(w, "r8", "r7");
  }
  if (w.chance(60)) {
    w.line("r9 = map_value[data][0]", "r9 += r7");
    w.line(`r0 = *(${w.size()} *)(r9 + ${w.between(0, 60)})`);
  } else {
    // The way that can't be taken would be refused.
    const test = `${w.pick("r7", "w7", "r8", "w8")} ${w.random.pick(CONDITIONS)}`;
    const past = w.label();
    w.line(`if ${test} ${w.random.pick(EDGES)} goto ${past}`, "r0 = *(u64 *)(r10 + 0)", `${past}:`);
  }
  return w.finish("arithmetic");
}
