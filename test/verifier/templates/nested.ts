/**
 * Functions, loops and callbacks within each other, and numbers and pointers handed through them.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { CONDITIONS, Writer } from "./writer.ts";

/** Goes on with r7 and r8, and perhaps with a pointer into the main function's stack in r9. */
type Piece = (w: Writer, depth: number) => void;

const COUNT_PIECES = 3;

function pieces(w: Writer, depth: number): void {
  const count = w.between(1, COUNT_PIECES);
  for (let i = 0; i < count; i++) {
    const choices: Piece[] = [change, decide, share, ...(depth > 0 ? [loop, call, callBack] : [])];
    w.random.pick(choices)(w, depth);
  }
}

function change(w: Writer): void {
  const place = `*(u64 *)(r10 - ${w.pick(8, 16)})`;
  w.line(
    w.pick(
      "r7 += 1",
      "w7 &= 63",
      "r7 = r8",
      "r8 = r7",
      "r8 &= 7",
      "r7 += r8",
      `${place} = r7`,
      `${place} = r8`,
      `${place} = 0`,
      `r8 = ${place}`,
    ),
  );
}

function decide(w: Writer): void {
  const past = w.label();
  w.line(
    `if ${w.pick("r7", "w7", "r8")} ${w.random.pick(CONDITIONS)} ${w.between(0, 9)} goto ${past}`,
  );
  change(w);
  w.line(`${past}:`);
}

/** Reads or writes where r9 points to, which is in another frame or in a map. */
function share(w: Writer): void {
  const size = w.pick("u64", "u64", "u32", "u8");
  w.line(
    w.pick(
      `r8 = *(${size} *)(r9 + 0)`,
      `*(${size} *)(r9 + 0) = r7`,
      `*(${size} *)(r9 + 0) = 0`,
      `*(u64 *)(r9 + ${w.pick(0, 8, -8)}) = r8`.replace("+ -", "- "),
    ),
  );
}

function loop(w: Writer, depth: number): void {
  const [again, end] = [w.label(), w.label()];
  const open = w.chance(30);
  w.line("r6 = 0", `${again}:`);
  if (open) w.line(`may_goto ${end}`);
  pieces(w, depth - 1);
  w.line("r6 += 1", `if r6 ${w.pick("<", "!=", "s<")} ${w.between(1, 5)} goto ${again}`, `${end}:`);
}

function call(w: Writer, depth: number): void {
  const name = w.define(w.chance(85) ? "static" : "numbers", () => {
    w.line("r7 = r1", "r8 = r2", w.chance(85) ? "r9 = r3" : "r9 = map_value[data][0]");
    if (w.chance(70)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
    pieces(w, depth - 1);
    w.line(`r0 = ${w.pick("r7", "r8", "0", "1")}`, "exit");
  });
  w.line("r1 = r7", "r2 = r8", `r3 = ${w.pick("r9", "r9", "r10")}`);
  w.line("r3 += 0", `call ${name}`, `${w.pick("r7", "r8")} = r0`);
}

function callBack(w: Writer, depth: number): void {
  const name = w.define("static", () => {
    w.line("r7 = r1", "r8 = 0", "r9 = r2", "*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
    pieces(w, depth - 1);
    w.line(`r0 = ${w.pick("0", "0", "1")}`, "exit");
  });
  w.line(`r1 = ${w.pick("2", "5", "r7", "1000")}`, `r2 = func[${name}]`);
  w.line(`r3 = ${w.pick("r9", "r10")}`);
  if (w.chance(80)) w.line("r3 = r10", "r3 += -8");
  w.line("r4 = 0", "call bpf_loop");
}

export function nested(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.line("r7 &= 31", "r8 = 0", "*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
  w.line("r9 = r10", "r9 += -8");
  pieces(w, w.pick(1, 2, 2, 3));
  w.line(w.pick("r7 &= 63", "if r7 > 63 goto out", "r7 = *(u64 *)(r10 - 8)", "r7 = r8"));
  w.line("r1 = map_value[data][0]", "r1 += r7", "r0 = *(u8 *)(r1 + 0)");
  return w.finish("nested loops");
}
