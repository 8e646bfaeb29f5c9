/**
 * Copies and sums of one number in registers, in the stack and in callers' frames, one of which is
 * compared; then another one is used where a bound counts.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { CONDITIONS, Writer, wide } from "./writer.ts";

const REGISTERS = ["r7", "r8", "r9"];
const MOST_SLOTS = 6;
// biome-ignore format: a list of numbers reads best filled
const DISTANCES = [
  0, 1, 3, 4, 8, 60, 64, 100, -1, -3, -8, -64, 0x7fffffff, -0x7fffffff, -0x80000000,
];
// biome-ignore format: a list of numbers reads best filled
const LIMITS = [0, 1, 3, 5, 7, 8, 10, 12, 31, 59, 60, 63, 64, 67, 127, 255, 0x7fffffff, -1, -3, -8];

/** One number, many times. */
export function links(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  if (w.chance(40)) w.line(w.pick("w7 = w7", "r7 &= 0x7fffffff", "r7 &= 255", "r7 >>= 31"));
  w.line("r8 = r7", "r9 = r7");
  const slots = w.between(0, MOST_SLOTS);
  for (let i = 1; i <= slots; i++) spill(w, i);
  const changes = w.between(1, 3);
  for (let i = 0; i < changes; i++) change(w);
  if (w.chance(15)) {
    const name = w.define("static", () => {
      w.line("r6 = r1");
      if (w.chance(50)) w.line(`${w.pick("r6", "w6")} += ${w.random.pick(DISTANCES)}`);
      // Its own end is not the caller's: what isn't so loops, and is refused or goes on.
      const past = w.label();
      w.line(`if ${w.pick("r1", "r6", "w6")} > ${w.random.pick(LIMITS)} goto ${past}`);
      w.line("r0 = 0", "exit", `${past}:`, "r0 = 1", "exit");
    });
    w.line(`r1 = ${w.random.pick(REGISTERS)}`, `call ${name}`, "if r0 != 0 goto out");
  }
  const comparisons = w.between(1, 3);
  for (let i = 0; i < comparisons; i++) compare(w, slots);
  use(w, slots);
  return w.finish("links");
}

function spill(w: Writer, slot: number): void {
  const size = w.pick("u64", "u64", "u64", "u32", "u8");
  w.line(`*(${size} *)(r10 - ${8 * slot}) = ${w.random.pick(REGISTERS)}`);
}

function fill(w: Writer, register: string, slots: number): void {
  const size = w.pick("u64", "u64", "u64", "u32", "s32", "u8", "s8");
  if (slots > 0) w.line(`${register} = *(${size} *)(r10 - ${8 * w.between(1, slots)})`);
}

function change(w: Writer): void {
  const register = w.random.pick(REGISTERS);
  const low = wide(register);
  const by = w.random.pick(DISTANCES);
  switch (w.between(0, 7)) {
    case 0:
    case 1:
      w.line(`${register} ${w.pick("+=", "+=", "-=")} ${by}`);
      break;
    case 2:
    case 3:
      w.line(`${low} ${w.pick("+=", "+=", "-=")} ${by}`);
      break;
    case 4:
      w.line(`r1 = ${by}`, w.chance(50) ? `${register} += r1` : `${low} += w1`);
      break;
    case 5:
      w.line(`${register} = ${w.pick("le64", "le32", "be16")} ${register}`);
      break;
    case 6:
      w.line(w.pick(`${low} = ${low}`, `${register} = (s32)${register}`, `${low} = (s8)${low}`));
      break;
    default:
      w.line(`${register} = ${w.random.pick(REGISTERS)}`);
  }
}

function compare(w: Writer, slots: number): void {
  const [a, b] = [w.random.pick(REGISTERS), w.random.pick(REGISTERS)];
  const narrow = w.chance(25);
  const name = narrow ? wide(a) : a;
  if (w.chance(15)) fill(w, a, slots);
  if (w.chance(15)) {
    w.line(`if ${name} ${w.random.pick(CONDITIONS)} ${narrow ? wide(b) : b} goto out`);
  } else if (w.chance(50)) {
    w.line(`if ${name} ${w.pick(">", ">=", "!=", "!=")} ${w.random.pick(LIMITS)} goto out`);
  } else {
    w.line(`if ${name} ${w.random.pick(CONDITIONS)} ${w.random.pick(LIMITS)} goto out`);
  }
}

function use(w: Writer, slots: number): void {
  const register = w.random.pick(REGISTERS);
  if (w.chance(35)) fill(w, register, slots);
  if (w.chance(20)) w.line(`${register} >>= ${w.pick(32, 32, 8, 58)}`);
  if (w.chance(20)) w.line(`${register} += ${w.pick(1, -1, 3, 8)}`);
  w.line("r1 = map_value[data][0]", `r1 += ${register}`);
  w.line(`r0 = *(${w.size()} *)(r1 + ${w.pick(0, 0, 0, 1, 8, 55, 56)})`);
  // Whichever are read later on have a place among those that learn.
  for (const other of REGISTERS) if (w.chance(40)) w.line(`r2 = ${other}`);
}
