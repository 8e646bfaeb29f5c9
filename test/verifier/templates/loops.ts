/**
 * Loops: counted ones, may_goto, and helpers that call back.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { bound, shape } from "./numbers.ts";
import { CONDITIONS, Writer } from "./writer.ts";

/** What a round does to r7 and r8 and to the stack. */
function body(w: Writer, counter: string): void {
  const count = w.pick(0, 1, 1, 2, 2, 3);
  for (let i = 0; i < count; i++) {
    switch (w.between(0, 8)) {
      case 0:
        w.line(`r8 += ${w.pick(counter, "1", "r7")}`);
        break;
      case 1:
        w.line(`*(u64 *)(r10 - 8) = ${w.pick(counter, "r8", "r7")}`);
        break;
      case 2:
        w.line("r8 = *(u64 *)(r10 - 8)");
        break;
      case 3: {
        const past = w.label();
        w.line(`if r8 ${w.random.pick(CONDITIONS)} ${w.between(0, 20)} goto ${past}`);
        w.line(`r8 = ${w.pick(0, 1)}`, `${past}:`);
        break;
      }
      case 4:
        w.line("r1 = map_value[data][0]", `r1 += ${counter}`, "r2 = *(u8 *)(r1 + 0)");
        break;
      case 5:
        w.line("call bpf_get_prandom_u32", `if r0 ${w.pick("==", ">")} 7 goto out`);
        break;
      case 6:
        w.line(`r8 ${w.pick("^=", "&=", "|=", "<<=")} ${w.between(1, 7)}`);
        break;
      case 7: {
        const off = w.pick(8, 16);
        w.line(`r1 = *(u64 *)(r10 - ${off})`, `r1 += ${w.pick("1", "r7")}`);
        w.line(`*(u64 *)(r10 - ${off}) = r1`);
        break;
      }
      default:
        if (w.chance(30)) shape(w, "r8", "r7");
    }
  }
}

export function counted(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.line(`r8 = ${w.pick(0, 1)}`);
  if (w.chance(50)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
  const limit = w.pick(1, 2, 3, 8, 17, 63, 64, 65);
  const [again, end] = [w.label(), w.label()];
  const down = w.chance(25);
  const low = w.chance(25);
  const name = low ? "w9" : "r9";
  w.line(`r9 = ${down ? limit : 0}`);
  const byNumber = w.chance(20);
  if (byNumber) bound(w, "r7", limit);
  const test = down
    ? `${name} ${w.pick("!=", "s>", ">")} 0`
    : `${name} ${w.pick("<", "!=", "s<", "<=")} ${byNumber ? (low ? "w7" : "r7") : limit}`;
  const atTop = w.chance(40);
  if (atTop) {
    const past = w.label();
    w.line(`${again}:`, `if ${test} goto ${past}`, `goto ${end}`, `${past}:`);
  } else {
    w.line(`${again}:`);
  }
  body(w, "r9");
  w.line(`${name} += ${down ? -1 : w.chance(98) ? 1 : w.pick(2, 3, 0)}`);
  w.line(atTop ? `goto ${again}` : `if ${test} goto ${again}`, `${end}:`);
  if (w.chance(50)) {
    w.line("r1 = map_value[data][0]", `r1 += ${w.pick("r9", "r8")}`);
    w.line(`r0 = *(u8 *)(r1 - ${w.pick(0, 1, 2)})`);
  }
  return w.finish("counted loop");
}

export function mayGoto(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.line("r8 = 0", "r9 = 0");
  if (w.chance(60)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
  const [again, end] = [w.label(), w.label()];
  w.line(`${again}:`, `may_goto ${end}`);
  body(w, "r9");
  if (w.chance(70)) w.line("r9 += 1");
  if (w.chance(50)) w.line(`if r9 ${w.pick(">", ">=", "==")} ${w.pick(5, 60, 64)} goto ${end}`);
  w.line(`goto ${again}`, `${end}:`);
  if (w.chance(50)) {
    bound(w, "r9", w.pick(63, 64));
    w.line("r1 = map_value[data][0]", "r1 += r9", "r0 = *(u8 *)(r1 + 0)");
  }
  return w.finish("may_goto loop");
}

/** What a callback does; its arguments are in r1 and on. @param ctx - where the context is. */
function callback(w: Writer, context: string, kind: "loop" | "each"): void {
  if (kind === "each" && w.chance(60)) {
    const size = w.size();
    const pointer = w.pick("r2", "r3", "r3");
    const at = w.pick(0, 0, 4, 8, 40, 47, 56);
    w.line(
      w.chance(60)
        ? `r0 = *(${size} *)(${pointer} + ${at})`
        : `*(${size} *)(${pointer} + ${at}) = 1`,
    );
  }
  if (w.chance(50)) {
    const at = w.pick(0, 0, 0, -8, 8);
    const place = at < 0 ? `${context} - ${-at}` : `${context} + ${at}`;
    const size = w.pick("u64", "u64", "u32");
    w.line(`r0 = *(${size} *)(${place})`);
    w.line(`r0 += ${w.pick("1", "r1", "r0")}`);
    if (w.chance(80)) w.line(`*(${size} *)(${place}) = ${w.pick("r0", "r0", "1", "r1")}`);
  }
  if (kind === "loop" && w.chance(40)) {
    w.line("r2 = map_value[data][0]");
    bound1(w);
    w.line("r2 += r1", "r3 = *(u8 *)(r2 + 0)");
  }
  w.line(w.chance(85) ? `r0 = ${w.pick(0, 0, 1, 2)}` : "r0 = r1", "exit");
}

/** As bound(), where there is no label `out` in this function. */
function bound1(w: Writer): void {
  w.line(w.pick("r1 &= 63", "w1 &= 31", "r1 &= 127", "r1 >>= 58"));
}

export function callbacks(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.line("r8 = 0", `*(u64 *)(r10 - 8) = ${w.pick(0, 1, 5)}`);
  if (w.chance(50)) w.line("*(u64 *)(r10 - 16) = r7");
  const isLoop = w.chance(60);
  const kind = w.chance(97) ? "static" : "number";
  const name = w.define(kind, () => callback(w, isLoop ? "r2" : "r4", isLoop ? "loop" : "each"));
  const context = w.chance(80)
    ? ["r3 = r10", `r3 += -${w.pick(8, 8, 16)}`]
    : [`r3 = ${w.pick("0", "0", "r8", "r7")}`];
  if (isLoop) {
    const rounds = w.pick("1", "2", "10", "100", "r7", "0", "9000000");
    if (rounds === "r7" && w.chance(50)) bound(w, "r7", 8);
    w.line(
      `r1 = ${rounds}`,
      `r2 = func[${name}]`,
      ...context,
      `r4 = ${w.pick("0", "0", "0", "1")}`,
    );
    w.line("call bpf_loop");
  } else {
    w.line(`r1 = map_fd[${w.pick("array", "hash", "percpu", "lru", w.progs)}]`);
    w.line(`r2 = func[${name}]`, ...context, "r4 = 0", "call bpf_for_each_map_elem");
  }
  if (w.chance(50)) {
    w.line("r7 = *(u64 *)(r10 - 8)");
    if (w.chance(70)) bound(w, "r7", w.pick(63, 64));
    w.line("r9 = map_value[data][0]", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
  }
  return w.finish("callbacks");
}
