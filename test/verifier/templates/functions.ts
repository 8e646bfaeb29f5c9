/**
 * Functions that call each other: static ones, which are followed, and global ones, which are
 * verified by themselves.
 */

import type { Random } from "../../random.ts";
import type { FunctionKind } from "../functions.ts";
import type { TestProgram } from "../program.ts";
import { bound } from "./numbers.ts";
import { Writer } from "./writer.ts";

/** An access that the first argument decides about; ends the function. */
function useNumber(w: Writer): void {
  w.line(w.pick("r1 &= 63", "w1 &= 31", "r1 >>= 58", "r0 = 0", "r1 &= 64"));
  w.line("r2 = map_value[data][0]", "r2 += r1", "r0 = *(u8 *)(r2 + 0)");
}

function useStack(w: Writer): void {
  const size = w.size();
  const at = w.pick(8, 16, 64, 256, 480, 504, 512);
  w.line(`*(${size} *)(r10 - ${at}) = ${w.pick("r1", "0", "r10")}`);
  if (w.chance(50)) w.line(`r0 = *(${size} *)(r10 - ${at})`);
}

/** Reads and writes where the first argument points to. */
function usePointer(w: Writer): void {
  if (w.chance(85)) w.line("if r1 != 0 goto +2", "r0 = 0", "exit");
  const size = w.size();
  const at = w.pick(0, 0, 0, 4, 8, 12);
  if (w.chance(60)) w.line(`r0 = *(${size} *)(r1 + ${at})`);
  else w.line(`*(${size} *)(r1 + ${at}) = ${w.pick("1", "r1", "r10")}`);
}

function end(w: Writer): void {
  if (w.chance(85)) w.line(`r0 = ${w.pick("0", "1", "0", "2")}`);
  else if (w.chance(40)) w.line(`r0 = ${w.pick("r10", "r1")}`);
  w.line("exit");
}

/** A static function. @param depth - how many more calls may follow. */
function staticFunction(w: Writer, depth: number): string {
  const inner = depth > 0 && w.chance(60) ? staticFunction(w, depth - 1) : null;
  return w.define(w.chance(95) ? "static" : "static void", () => {
    const count = w.between(0, 2);
    for (let i = 0; i < count; i++) {
      switch (w.between(0, 4)) {
        case 0:
          useNumber(w);
          w.line(`r1 = ${w.pick("0", "1", "r10")}`);
          break;
        case 1:
          useStack(w);
          break;
        case 2:
          usePointer(w);
          break;
        case 3:
          w.line("r6 = 5", "r0 = r6", `r9 = ${w.pick("r10", "3")}`);
          break;
        default:
          w.line(`*(u64 *)(r10 - 8) = 0`, `*(u8 *)(r10 - ${w.pick(1, 8, 9)}) = 7`);
      }
    }
    if (inner !== null) w.line(`call ${inner}`);
    if (w.chance(6)) w.line("r2 = 0", `r2 = map_fd[${w.progs}]`, "r3 = 1", "call bpf_tail_call");
    end(w);
  });
}

export function staticCalls(random: Random): TestProgram {
  const w = new Writer(random);
  const name = staticFunction(w, w.pick(0, 1, 2, 3, 8));
  w.number("r7");
  w.number("r8");
  if (w.chance(60)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = r8");
  const calls = w.between(1, 3);
  for (let i = 0; i < calls; i++) {
    if (w.chance(50)) bound(w, "r7", w.pick(7, 63, 64));
    passPointer(w);
    w.line(`call ${name}`);
    if (w.chance(30)) w.line(`r8 = ${w.pick("r0", "r6", "r9")}`);
  }
  if (w.chance(50)) {
    w.line(w.pick("r7 = *(u64 *)(r10 - 8)", "r7 = r0", "r7 = r8", "r7 = *(u8 *)(r10 - 8)"));
    bound(w, "r7", w.pick(63, 64));
    w.line("r9 = map_value[data][0]", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
  }
  return w.finish("static functions");
}

/** Puts something into r1 and r2 that a function may make something of. */
function passPointer(w: Writer): void {
  switch (w.between(0, 8)) {
    case 0:
      w.line("r1 = r10", `r1 += -${w.pick(4, 8, 16, 12)}`);
      break;
    case 1:
      w.line(`r1 = map_value[data][${w.pick(0, 48, 56, 60)}]`);
      break;
    case 2:
      w.line("r1 = r6");
      break;
    case 3:
      w.line(`r1 = ${w.pick(0, 1, -1)}`);
      break;
    case 4:
      w.line("r1 = map_fd[array]", "*(u32 *)(r10 - 4) = 1", "r2 = r10", "r2 += -4");
      w.line("call bpf_map_lookup_elem", "r1 = r0");
      break;
    case 5:
      w.line(`r1 = map_value[${w.pick("rodata", "wronly", "rdonly")}][0]`);
      break;
    case 6:
      if (!w.hasPacket) {
        w.line("r1 = r8");
        break;
      }
      w.packet("r1", "r3");
      w.line("r4 = r1", `r4 += ${w.pick(4, 8, 16)}`, "if r4 > r3 goto out");
      break;
    default:
      w.line(`r1 = ${w.pick("r7", "r8")}`);
  }
  w.line(`r2 = ${w.pick("r7", "r8", "3")}`);
  if (w.chance(3)) w.line("r2 = r10");
}

const NUMBERS: readonly FunctionKind[] = ["number", "numbers", "nothing", "returns a byte"];
const CONTEXTS: readonly FunctionKind[] = ["context", "context and number"];
const POINTERS: readonly FunctionKind[] = ["int *", "long *", "pair *", "const int *"];
const ODD: readonly FunctionKind[] = [
  "returns void",
  "returns a pointer",
  "void *",
  "struct by value",
];

export function globalCalls(random: Random): TestProgram {
  const w = new Writer(random);
  const kind = w.random.pick(
    w.random.pick([NUMBERS, NUMBERS, CONTEXTS, POINTERS, POINTERS, POINTERS, ODD]),
  );
  const inner = w.chance(25) ? w.define("number", () => innerBody(w)) : null;
  const name = w.define(kind, () => {
    if (POINTERS.includes(kind)) usePointer(w);
    else if (CONTEXTS.includes(kind)) useContext(w);
    else if (w.chance(60)) useNumber(w);
    if (w.chance(30)) useStack(w);
    if (inner !== null) w.line(`r1 = ${w.between(0, 9)}`, `call ${inner}`);
    end(w);
  });
  w.number("r7");
  w.number("r8");
  if (w.chance(60)) w.line("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 16) = 0");
  if (CONTEXTS.includes(kind) && w.chance(85)) w.line("r1 = r6", "r2 = 1");
  else if (NUMBERS.includes(kind) && w.chance(85)) w.line("r1 = r7", "r2 = r8");
  else passPointer(w);
  w.line(`call ${name}`);
  if (w.chance(50)) {
    w.line("r7 = r0");
    bound(w, "r7", w.pick(63, 64));
    w.line("r9 = map_value[data][0]", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
  }
  return w.finish("global functions");
}

function innerBody(w: Writer): void {
  if (w.chance(50)) useNumber(w);
  if (w.chance(50)) useStack(w);
  end(w);
}

function useContext(w: Writer): void {
  const at = w.pick(0, 4, 8, 12, 76, 48);
  w.line(`r0 = *(${w.pick("u32", "u32", "u64", "u8")} *)(r1 + ${at})`);
}

/** Tail calls, from everywhere. */
export function tailCalls(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  if (w.chance(40)) {
    const name = w.define(w.pick("static", "number", "static void"), () => {
      if (w.chance(50)) useStack(w);
      if (w.chance(30)) w.line("r9 = 7", "*(u64 *)(r10 - 16) = r1", "r6 = r1");
      if (w.chance(30)) w.line("if r1 == 0 goto +0");
      w.line("r1 = r1", `r2 = map_fd[${w.progs}]`, "r3 = 0", "call bpf_tail_call");
      end(w);
    });
    if (w.hasPacket) w.packet("r8", "r9");
    if (w.chance(50)) w.line("*(u64 *)(r10 - 8) = 5");
    w.line(`r1 = ${w.pick("r6", "r6", "r7")}`, `call ${name}`);
    if (w.hasPacket && w.chance(50))
      w.line("r8 += 8", "if r8 > r9 goto out", "r0 = *(u8 *)(r8 - 1)");
    if (w.chance(50)) {
      w.line(`r7 = ${w.pick("r0", "*(u64 *)(r10 - 8)")}`);
      bound(w, "r7", w.pick(63, 64));
      w.line("r9 = map_value[data][0]", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
    }
  } else {
    if (w.hasPacket) w.packet("r8", "r9");
    w.line(`r1 = ${w.chance(95) ? "r6" : "r7"}`);
    w.line(`r2 = map_fd[${w.chance(90) ? w.progs : w.pick("array", "hash")}]`);
    w.line(`r3 = ${w.pick("0", "3", "4", "r7", "-1")}`, "call bpf_tail_call");
    if (w.chance(50)) w.line(`r0 = ${w.pick("r0", "r8", "r7", "r3")}`);
    if (w.hasPacket && w.chance(30)) w.line("r8 += 1", "r0 = *(u8 *)(r8 + 0)");
  }
  if (w.chance(5)) w.line(`r1 = map_fd[${w.progs}]`, "r0 = *(u64 *)(r1 + 0)");
  return w.finish("tail calls");
}
