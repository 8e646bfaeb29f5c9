/**
 * Spills of all sizes, fills of parts of them, variable offsets, helpers that read and write there.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { bound, shape } from "./numbers.ts";
import { CONDITIONS, Writer } from "./writer.ts";

const BYTES: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

/** An offset within 24 bytes below the frame pointer, for an access of a size. */
function place(w: Writer, size: string): number {
  const bytes = BYTES[size.replace("s", "u")] as number;
  const at = 24 - bytes * w.between(0, 24 / bytes - 1);
  return w.chance(3) ? at + 1 : Math.max(at, bytes);
}

function store(w: Writer): void {
  const size = w.size();
  const at = place(w, size);
  switch (w.between(0, 5)) {
    case 0:
      w.line(`*(${size} *)(r10 - ${at}) = ${w.pick(0, 0, 1, -1, 255)}`);
      break;
    case 1:
      w.line("r1 = 0", `*(${size} *)(r10 - ${at}) = r1`);
      break;
    case 2:
      w.line(`*(u64 *)(r10 - ${8 * w.between(1, 3)}) = ${w.pick("r9", "r6", "r10", "r9")}`);
      break;
    case 3:
      w.line("r1 = r10", `r1 += -${at}`, `*(${size} *)(r1 + 0) = ${w.pick("r7", "r8")}`);
      break;
    default:
      w.line(`*(${size} *)(r10 - ${at}) = ${w.pick("r7", "r8")}`);
  }
}

function load(w: Writer): void {
  const size = w.pick("u8", "u16", "u32", "u64", "u64", "s8", "s32");
  w.line(`${w.pick("r7", "r8", "r0")} = *(${size} *)(r10 - ${place(w, size)})`);
}

/** A place that only its bounds tell. */
function variable(w: Writer): void {
  w.line("r1 = r8");
  bound(w, "r1", w.pick(7, 8, 15, 16, 23));
  w.line("r2 = r10", "r2 += -24", "r2 += r1");
  const size = w.pick("u8", "u8", "u8", "u16", "u64");
  if (w.chance(50)) w.line(`*(${size} *)(r2 + 0) = ${w.pick("0", "r7", "1")}`);
  else w.line(`r7 = *(${size} *)(r2 + 0)`);
}

function helper(w: Writer): void {
  const at = w.between(1, 28);
  switch (w.between(0, 3)) {
    case 0:
      w.line("r1 = r10", `r1 += -${at}`, `r2 = ${w.between(1, at + 1)}`, "call bpf_trace_printk");
      break;
    case 1:
      w.line("r1 = map_fd[hash]", "r2 = r10", `r2 += -${w.pick(8, 16, 24, at)}`);
      w.line("call bpf_map_lookup_elem");
      if (w.chance(60)) w.line("if r0 == 0 goto out", "r0 = *(u64 *)(r0 + 40)");
      break;
    case 2:
      if (!w.hasSkb) return;
      w.line("r1 = r6", "r2 = 0", "r3 = r10", `r3 += -${at}`, `r4 = ${w.between(1, at)}`);
      w.line("call bpf_skb_load_bytes");
      break;
    default:
      w.line("r1 = map_fd[lru]", "r2 = r10", "r2 += -8", "r3 = r10");
      w.line(`r3 += -${w.pick(24, 24, 32, 16)}`, "r4 = 0", "call bpf_map_update_elem");
  }
}

/** What came through the stack decides about an access. */
function use(w: Writer): void {
  w.line("r9 = map_value[data][0]", `r9 += ${w.pick("r7", "r8")}`);
  w.line(`r0 = *(u8 *)(r9 + ${w.pick(0, 1, 8, 60, 63)})`);
}

export function spills(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.number("r8");
  if (w.chance(50)) w.value("r9");
  else w.line("r9 = map_value[data][8]");
  const count = w.between(3, 12);
  for (let i = 0; i < count; i++) {
    const choice = w.between(0, 11);
    if (choice < 4) store(w);
    else if (choice < 8) load(w);
    else if (choice === 8) variable(w);
    else if (choice === 9) helper(w);
    else if (choice === 10) shape(w, w.pick("r7", "r8"), w.pick("r7", "r8"));
    else bound(w, w.pick("r7", "r8"), w.pick(0, 1, 7, 15, 63));
  }
  if (w.chance(60)) use(w);
  return w.finish("spills");
}

/** Paths that meet again with different things on the stack: what pruning must tell apart. */
export function joins(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.number("r8");
  w.line("r9 = map_value[data][0]");
  if (w.chance(60)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
  const joints = w.between(1, 4);
  for (let i = 0; i < joints; i++) {
    const [other, end] = [w.label(), w.label()];
    const test = w.pick("r7", "w7", "r8");
    w.line(`if ${test} ${w.random.pick(CONDITIONS)} ${w.pick(0, 1, 8, 64, -1)} goto ${other}`);
    half(w);
    w.line(`goto ${end}`, `${other}:`);
    half(w);
    w.line(`${end}:`);
  }
  const register = w.pick("r7", "r8", "r1");
  if (register === "r1") w.line(`r1 = *(u64 *)(r10 - ${w.pick(8, 16)})`);
  if (w.chance(60)) {
    w.line(`r9 += ${register}`, `r0 = *(u8 *)(r9 + ${w.pick(0, 1, 48, 63)})`);
  } else {
    w.line("r2 = r10", "r2 += -16", `r2 += ${register}`, "r0 = *(u8 *)(r2 + 0)");
  }
  return w.finish("joins");
}

/** What one way does otherwise than the other. */
function half(w: Writer): void {
  switch (w.between(0, 7)) {
    case 0:
      w.line(`r7 = ${w.pick(0, 1, 8, 16, 63, 64)}`);
      break;
    case 1:
      w.line(`*(u64 *)(r10 - ${w.pick(8, 16)}) = ${w.pick(0, 1, 8, 63, 64)}`);
      break;
    case 2:
      w.line(`*(u64 *)(r10 - ${w.pick(8, 16)}) = ${w.pick("r7", "r8", "r9")}`);
      break;
    case 3:
      w.line(`r8 = ${w.pick("r7", "r9", "0", "5")}`);
      break;
    case 4:
      bound(w, w.pick("r7", "r8"), w.pick(0, 7, 15, 63));
      break;
    case 5:
      w.line(`r7 = *(u64 *)(r10 - ${w.pick(8, 16)})`);
      break;
    case 6:
      w.line(`*(${w.pick("u8", "u32")} *)(r10 - ${w.pick(8, 12, 16)}) = ${w.pick(0, 1)}`);
      break;
    default:
      shape(w, "r7", "r8");
  }
}
