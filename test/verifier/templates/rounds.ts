/**
 * Rounds that change too little to be told apart, around callbacks, calls and may_goto and within
 * them: whether a verifier sees that they have no end.
 */

import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { CONDITIONS, Writer } from "./writer.ts";

/** How deep rounds and functions are within each other. */
const MAX_DEPTH = 2;
const MOST_STEPS = 3;

/** A round goes on with r7 and r8, and with a pointer into a stack in r9. */
function round(w: Writer, depth: number): void {
  const count = w.between(1, MOST_STEPS);
  for (let i = 0; i < count; i++) {
    switch (w.between(0, depth > 0 ? 8 : 4)) {
      case 0:
        w.line(w.pick("r1 = r7", "r7 = r8", "r8 = r7", "r7 &= 7", "r8 += 1", "r8 = 0"));
        break;
      case 1:
        w.line(`*(${w.pick("u64", "u32", "u8")} *)(r9 + 0) = ${w.pick("0", "r7", "r8")}`);
        break;
      case 2:
        w.line(`r8 = *(${w.pick("u64", "u32")} *)(r9 + 0)`);
        break;
      case 3: {
        const past = w.label();
        w.line(`if ${w.pick("r7", "r8", "w7")} ${w.random.pick(CONDITIONS)} 3 goto ${past}`);
        w.line(w.pick("r7 = 1", "r8 = r7", "r1 = 5"), `${past}:`);
        break;
      }
      case 4:
        w.line(`*(u64 *)(r10 - ${w.pick(8, 16)}) = ${w.pick("0", "r7")}`);
        break;
      case 5:
        helper(w, depth - 1);
        break;
      case 6:
        call(w, depth - 1);
        break;
      default:
        rounds(w, depth - 1);
    }
  }
}

/** Chance ends them when the program runs, so that none runs for ever. */
function rounds(w: Writer, depth: number): void {
  const [again, end] = [w.label(), w.label()];
  w.line(`r6 = ${w.pick(0, 0, 3)}`, `${again}:`);
  if (w.chance(35)) w.line(`may_goto ${end}`);
  round(w, depth);
  w.line("call bpf_get_prandom_u32", `if r0 ${w.pick("&", "&", ">")} 1 goto ${end}`);
  if (w.chance(60)) w.line(`r6 ${w.pick("+= 1", "+= 1", "&= 3", "+= 0")}`);
  const condition = w.pick("r6 <", "r6 <", "r6 !=", "r7 !=", "r8 <", "r0 ==", "r0 <");
  w.line(w.chance(15) ? `goto ${again}` : `if ${condition} ${w.between(0, 5)} goto ${again}`);
  w.line(`${end}:`);
}

/** What a function begins with, called or called back. @param context - of r9. */
function enter(w: Writer, context: string): void {
  w.line("r7 = r1", "r8 = 0", `r9 = ${context}`);
  if (w.chance(60)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
}

function helper(w: Writer, depth: number): void {
  const isLoop = w.chance(75);
  const name = w.define("static", () => {
    enter(w, isLoop ? "r2" : "r4");
    round(w, depth);
    w.line("r0 = 0", "exit");
  });
  const first = isLoop ? w.pick("2", "100", "r7") : `map_fd[${w.pick("array", "hash")}]`;
  w.line(`r1 = ${first}`, `r2 = func[${name}]`, "r3 = r9", "r4 = 0");
  w.line(`call ${isLoop ? "bpf_loop" : "bpf_for_each_map_elem"}`);
}

function call(w: Writer, depth: number): void {
  const name = w.define("static", () => {
    enter(w, "r2");
    round(w, depth);
    w.line(`r0 = ${w.pick("r7", "r8", "0")}`, "exit");
  });
  w.line(`r1 = ${w.pick("r7", "r8")}`, "r2 = r9", `call ${name}`);
  if (w.chance(50)) w.line(`${w.pick("r7", "r8")} = r0`);
}

export function roundsWithoutEnd(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.line("r8 = 0", "*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = r7", "r9 = r10", "r9 += -8");
  rounds(w, w.between(1, MAX_DEPTH));
  return w.finish("rounds: loops with callbacks");
}
