/**
 * References: sockets that are looked up, checked, copied, spilled, passed on and released; now and
 * then one step too many or too few.
 */

import * as BPF from "../../../src/abi/bpf.ts";
import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { Writer } from "./writer.ts";

/** Where a tuple lies, and slots that sockets are spilled to, from the frame pointer. */
const TUPLE = 40;
const SLOTS = [8, 16, 24];
const HOLDERS = ["r7", "r8", "r9"];
/** Fields of struct bpf_sock that all kinds of sockets have, that full ones have, and none. */
const OFFSETS = [4, 24, 44, 48, 72, 4, 24, 8, 16, 46, 50, 80, 76, 5];
/** So often in 100 something is left out or done once more. */
const SLIP = 3;
/** Sockets within each other. */
const MAX_DEPTH = 3;

const LOOKUPS = ["bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"];

/** Looks a socket up: it is in r0 then. @param context - where the context is. */
function lookup(w: Writer, context: string): void {
  if (w.chance(70)) w.line(`*(u64 *)(r10 - ${TUPLE}) = 0`, `*(u64 *)(r10 - ${TUPLE - 8}) = 0`);
  w.line(`r1 = ${context}`, "r2 = r10", `r2 += -${TUPLE}`, `r3 = ${w.chance(98) ? 12 : 0}`);
  w.line(`r4 = ${w.pick(-1, 0, 7)}`, `r5 = ${w.pick(0, 0, 1)}`, `call ${w.random.pick(LOOKUPS)}`);
}

function read(w: Writer, pointer: string): void {
  const size = w.pick("u32", "u32", "u32", "u16", "u8", w.chance(8) ? "u64" : "u32");
  const at = w.random.pick(w.chance(85) ? OFFSETS.slice(0, 7) : OFFSETS);
  if (w.chance(98)) w.line(`r0 = *(${size} *)(${pointer} + ${at})`);
  else w.line(`*(${size} *)(${pointer} + ${at}) = 0`);
}

function release(w: Writer, pointer: string): void {
  if (w.chance(SLIP)) return;
  w.line(`r1 = ${pointer}`, "call bpf_sk_release");
  if (w.chance(SLIP)) w.line(`r1 = ${w.chance(50) ? pointer : "r0"}`, "call bpf_sk_release");
}

/** Compares with null. @returns the label to go on at without a socket. */
function check(w: Writer, pointer: string): string {
  const without = w.label();
  if (w.chance(SLIP)) return without;
  if (w.chance(25)) {
    const found = w.label();
    w.line(`if ${pointer} != 0 goto ${found}`, `goto ${without}`, `${found}:`);
  } else {
    w.line(`if ${pointer} ${w.chance(98) ? "==" : "!="} 0 goto ${without}`);
  }
  return without;
}

/** One socket from lookup to release, in a register of its own. */
function hold(w: Writer, free: readonly string[], depth: number): void {
  const holder = w.random.pick(free);
  const others = free.filter((register) => register !== holder);
  const slot = w.random.pick(SLOTS);
  lookup(w, "r6");
  w.line(`${holder} = r0`);
  if (w.chance(25)) w.line(`*(u64 *)(r10 - ${slot}) = r0`);
  const without = check(w, w.pick(holder, holder, "r0"));
  const steps = w.between(0, 3);
  for (let i = 0; i < steps; i++) use(w, holder, others, depth);
  settle(w, holder, slot);
  w.line(`${without}:`);
  if (w.chance(SLIP)) read(w, holder);
}

function use(w: Writer, holder: string, others: readonly string[], depth: number): void {
  const other = others.length > 0 ? w.random.pick(others) : "r2";
  switch (w.between(0, 9)) {
    case 0:
      w.line(`${other} = ${holder}`);
      if (w.chance(50)) read(w, other);
      break;
    case 1: {
      const slot = w.random.pick(SLOTS);
      w.line(`*(u64 *)(r10 - ${slot}) = ${holder}`);
      if (w.chance(SLIP)) w.line(`*(u8 *)(r10 - ${slot}) = 1`);
      w.line(`${other} = *(u64 *)(r10 - ${slot})`);
      if (w.chance(60)) read(w, other);
      break;
    }
    case 2:
      if (depth < MAX_DEPTH && others.length > 0) hold(w, others, depth + 1);
      break;
    case 3:
      calls(w, holder);
      break;
    case 4:
      loops(w, others);
      break;
    case 5: {
      const past = w.label();
      w.line(`if ${holder} ${w.pick("==", "!=")} ${w.pick(other, "0", "0")} goto ${past}`);
      w.line("r0 = 0", `${past}:`);
      break;
    }
    case 6:
      odd(w, holder);
      break;
    default:
      read(w, holder);
  }
}

/** What is mostly refused. */
function odd(w: Writer, holder: string): void {
  if (!w.chance(15)) return;
  switch (w.between(0, 4)) {
    case 0:
      w.line("r1 = r6", `r2 = map_fd[${w.progs}]`, "r3 = 0", "call bpf_tail_call");
      break;
    case 1:
      w.line(`${holder} += ${w.pick(0, 4)}`);
      break;
    case 2:
      w.line("call bpf_get_prandom_u32", "if r0 > 7 goto out");
      break;
    case 3:
      w.line("r1 = map_value[data][0]", `*(u64 *)(r1 + 0) = ${holder}`);
      break;
    default:
      w.line(`r1 = r6`, `r2 = ${holder}`, "r3 = 0", "call bpf_sk_assign");
  }
}

/** Gives the socket back, on one way or on two, itself or by a copy. */
function settle(w: Writer, holder: string, slot: number): void {
  switch (w.between(0, 5)) {
    case 0: {
      const [past, end] = [w.label(), w.label()];
      w.line("call bpf_get_prandom_u32", `if r0 > 7 goto ${past}`);
      release(w, holder);
      w.line(`goto ${end}`, `${past}:`);
      release(w, holder);
      w.line(`${end}:`);
      break;
    }
    case 1:
      w.line(`*(u64 *)(r10 - ${slot}) = ${holder}`, `r1 = *(u64 *)(r10 - ${slot})`);
      w.line("call bpf_sk_release");
      if (w.chance(SLIP)) release(w, holder);
      break;
    case 2: {
      const name = w.define(w.chance(97) ? "static" : "number", () => {
        if (w.chance(30)) w.line("r0 = *(u32 *)(r1 + 4)");
        if (!w.chance(SLIP)) w.line("call bpf_sk_release");
        w.line("r0 = 0", "exit");
      });
      w.line(`r1 = ${holder}`, `call ${name}`);
      if (w.chance(SLIP)) release(w, holder);
      break;
    }
    default:
      release(w, holder);
  }
}

/** A function that looks a socket up and returns it, or that knows nothing of sockets. */
function calls(w: Writer, holder: string): void {
  if (w.chance(40)) {
    const name = w.define(w.pick("number", "static"), () => {
      if (w.chance(20)) w.line("r6 = 1", "r7 = 2");
      w.line("r0 = 1", "exit");
    });
    w.line("r1 = 1", `call ${name}`);
    return;
  }
  const name = w.define("static", () => {
    w.line("r6 = r1");
    lookup(w, "r6");
    if (w.chance(20)) tailCall(w);
    w.line("exit");
  });
  w.line("r1 = r6", `call ${name}`);
  const without = check(w, "r0");
  if (w.chance(30)) read(w, holder);
  if (w.chance(30)) w.line(`*(u64 *)(r10 - ${w.random.pick(SLOTS)}) = r0`);
  release(w, "r0");
  w.line(`${without}:`);
}

function tailCall(w: Writer): void {
  w.line(
    "r7 = r0",
    "r1 = r6",
    `r2 = map_fd[${w.progs}]`,
    "r3 = 0",
    "call bpf_tail_call",
    "r0 = r7",
  );
}

/** A loop in whose rounds sockets come and go. */
function loops(w: Writer, others: readonly string[]): void {
  const counter = others[0];
  if (counter === undefined) return;
  if (w.chance(45)) {
    const [again, end] = [w.label(), w.label()];
    const isCounted = w.chance(60);
    w.line(`${counter} = 0`, `${again}:`);
    if (!isCounted) w.line(`may_goto ${end}`);
    round(w, "r6");
    if (isCounted) w.line(`${counter} += 1`, `if ${counter} < ${w.pick(2, 3, 8)} goto ${again}`);
    else w.line(`goto ${again}`);
    w.line(`${end}:`);
    return;
  }
  const slot = w.random.pick(SLOTS);
  const name = w.define("static", () => {
    w.line("r6 = r2");
    if (w.chance(15)) {
      w.line("r1 = *(u64 *)(r6 + 0)", "call bpf_sk_release");
    } else if (w.chance(30)) {
      w.line("r1 = *(u64 *)(r6 + 0)", "r0 = *(u32 *)(r1 + 4)");
    }
    if (w.chance(10)) w.line("*(u64 *)(r6 + 0) = 0");
    w.line(`r0 = ${w.pick(0, 1)}`, "exit");
  });
  if (w.chance(60)) w.line(`*(u64 *)(r10 - ${slot}) = ${w.random.pick(HOLDERS)}`);
  w.line(`r1 = ${w.pick(0, 1, 5)}`, `r2 = func[${name}]`, "r3 = r10", `r3 += -${slot}`, "r4 = 0");
  w.line("call bpf_loop");
}

function round(w: Writer, context: string): void {
  lookup(w, context);
  const without = check(w, "r0");
  if (w.chance(40)) read(w, "r0");
  release(w, "r0");
  w.line(`${without}:`);
}

/** A callback that looks sockets up by itself. */
function callback(w: Writer): void {
  const name = w.define("static", () => {
    w.line("r6 = *(u64 *)(r2 + 0)");
    round(w, "r6");
    w.line(`r0 = ${w.pick(0, 0, 1)}`, "exit");
  });
  w.line("*(u64 *)(r10 - 48) = r6", `r1 = ${w.pick(0, 1, 5)}`, `r2 = func[${name}]`);
  w.line("r3 = r10", "r3 += -48", "r4 = 0", "call bpf_loop");
}

export function references(random: Random): TestProgram {
  const w = new Writer(random, [BPF.BPF_PROG_TYPE_XDP]);
  w.line(`*(u64 *)(r10 - ${TUPLE}) = 0`, `*(u64 *)(r10 - ${TUPLE - 8}) = 0`);
  for (const holder of HOLDERS) w.line(`${holder} = 0`);
  if (w.chance(50)) for (const slot of SLOTS) w.line(`*(u64 *)(r10 - ${slot}) = 0`);
  const count = w.between(1, 2);
  for (let i = 0; i < count; i++) {
    if (w.chance(15)) callback(w);
    hold(w, HOLDERS, 1);
  }
  return w.finish("references");
}
