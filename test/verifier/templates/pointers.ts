/**
 * Pointers: into packets, to sockets, map values, constants, the context; and where they may go.
 */

import * as BPF from "../../../src/abi/bpf.ts";
import type { Random } from "../../random.ts";
import type { TestProgram } from "../program.ts";
import { bound, shape } from "./numbers.ts";
import { CONDITIONS, Writer } from "./writer.ts";

const BYTES: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };
const ORDERS = [">", ">=", "<", "<="];
const PACKET_TYPES = [BPF.BPF_PROG_TYPE_XDP, BPF.BPF_PROG_TYPE_FLOW_DISSECTOR];

/** Packet pointers compared with the end in every form, and read at the edge. */
export function packets(random: Random): TestProgram {
  const w = new Writer(random, PACKET_TYPES);
  w.number("r9");
  w.packet("r7", "r8");
  if (w.type === BPF.BPF_PROG_TYPE_XDP && w.chance(15)) {
    w.line("r8 = r7", "r7 = *(u32 *)(r6 + 8)");
  }
  const rounds = w.between(1, 3);
  for (let i = 0; i < rounds; i++) {
    if (w.chance(35)) {
      w.line("r1 = r9");
      bound(w, "r1", w.pick(15, 60, 255, 0xffff, 0x7fff));
      w.line(w.pick("r7 += r1", "r7 += r1", "r1 += r7", "r7 -= r1"));
      if (w.chance(10)) w.line("r7 = r1");
    }
    check(w);
  }
  return w.finish("packets");
}

function check(w: Writer): void {
  const count = w.between(1, 24);
  const probe = w.pick("r2", "r2", "r7");
  if (probe === "r2") w.line("r2 = r7");
  if (w.chance(90)) w.line(`${probe} += ${count}`);
  if (w.chance(10)) w.line(`${probe} += ${w.between(-8, 8)}`);
  const past = w.label();
  const order = w.random.pick(w.chance(95) ? ORDERS : CONDITIONS);
  const [a, b] = w.chance(60) ? [probe, "r8"] : ["r8", probe];
  const leaves = w.chance(70);
  w.line(`if ${a} ${order} ${b} goto ${leaves ? "out" : past}`);
  if (!leaves) w.line(w.chance(50) ? "goto out" : `r9 = *(u8 *)(${probe} - 1)`, `${past}:`);
  const size = w.size();
  const base = probe === "r7" ? -count : 0;
  const at = base + count - (BYTES[size] as number) + w.pick(0, 0, 0, 1, -1);
  const place = at < 0 ? `- ${-at}` : `+ ${at}`;
  if (w.chance(80)) w.line(`r3 = *(${size} *)(r7 ${place})`);
  else w.line(`*(${size} *)(r7 ${place}) = r9`);
  if (w.chance(15)) {
    w.line("r1 = map_fd[hash]", "r2 = r7", "call bpf_map_lookup_elem");
  }
}

/** Fields of struct bpf_sock, around its edges. */
const SOCKET_OFFSETS = [0, 4, 8, 12, 16, 20, 24, 28, 40, 44, 46, 48, 50, 52, 56, 68, 72, 76, 80, 5];

export function sockets(random: Random): TestProgram {
  const w = new Writer(random, [BPF.BPF_PROG_TYPE_SK_LOOKUP, BPF.BPF_PROG_TYPE_SOCKET_FILTER]);
  const at = w.type === BPF.BPF_PROG_TYPE_SK_LOOKUP ? 0 : 168;
  w.line(`r7 = *(u64 *)(r6 + ${at})`, "r8 = r7");
  if (w.chance(30)) w.line(`r8 = *(u64 *)(r6 + ${at})`);
  if (w.chance(20)) w.line("*(u64 *)(r10 - 8) = r7", "r8 = *(u64 *)(r10 - 8)");
  if (w.chance(85)) {
    const tested = w.pick("r7", "r7", "r8");
    w.line(
      w.pick(
        `if ${tested} == 0 goto out`,
        `if ${tested} == 0 goto out`,
        `if ${tested} != 0 goto out`,
      ),
    );
  }
  if (w.chance(10)) w.line(`r7 += ${w.pick(0, 4)}`);
  const count = w.between(1, 3);
  for (let i = 0; i < count; i++) {
    const size = w.pick("u32", "u32", "u16", "u8", "u64");
    const field = w.random.pick(SOCKET_OFFSETS);
    if (w.chance(92)) w.line(`r0 = *(${size} *)(${w.pick("r7", "r7", "r8")} + ${field})`);
    else w.line(`*(${size} *)(r7 + ${field}) = 0`);
  }
  if (w.chance(20)) {
    w.line("r1 = r6", `r2 = ${w.pick("r7", "0", "r8")}`, "r3 = 0", "call bpf_sk_assign");
  }
  if (w.chance(5)) w.line("r1 = r7", "call bpf_sk_release");
  if (w.chance(15)) w.line("r0 = r7", "exit");
  if (w.chance(15)) w.line("if r7 == r8 goto out", "r0 = *(u32 *)(r7 + 4)");
  return w.finish("sockets");
}

/** Constants of a frozen map, and maps that may only be read or only be written. */
export function constants(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r9");
  const map = w.pick("rodata", "rodata", "rodata", "rdonly", "wronly", "data");
  w.line(`r7 = map_value[${map}][${w.pick(0, 0, 1, 4, 16, 60, 63)}]`);
  if (w.chance(15)) w.line("r1 = r9", "r1 &= 7", "r7 += r1");
  const size = w.pick("u8", "u8", "u16", "u32", "u64", "s8", "s16", "s32");
  w.line(`r8 = *(${size} *)(r7 + ${w.between(0, 15)})`);
  if (w.chance(10)) w.line(`*(u8 *)(r7 + ${w.between(0, 3)}) = 1`);
  if (w.chance(30)) shape(w, "r8", "r9");
  const [past, other] = [w.label(), w.label()];
  switch (w.between(0, 4)) {
    case 0:
      // Dead when the constant is known: refused where it isn't.
      w.line(`if r8 ${w.random.pick(CONDITIONS)} ${w.between(0, 70)} goto ${past}`);
      w.line("r0 = *(u64 *)(r10 + 8)", `${past}:`);
      break;
    case 1:
      w.line("r1 = map_value[data][0]", "r1 += r8", "r0 = *(u8 *)(r1 + 0)");
      break;
    case 2:
      w.line(`if r8 == ${w.between(0, 9)} goto ${past}`, "r1 = 0", `goto ${other}`);
      w.line(`${past}:`, "r1 = 64", `${other}:`);
      w.line("r2 = map_value[data][0]", "r2 += r1", "r0 = *(u8 *)(r2 + 0)");
      break;
    case 3:
      w.line("*(u64 *)(r10 - 8) = r8", "*(u64 *)(r10 - 16) = 0", "r1 = r10", "r1 += -16");
      w.line("r2 = r8", "call bpf_trace_printk");
      break;
    default:
      w.line("r1 = r10", "r1 += -8", "*(u64 *)(r10 - 8) = 0", "r2 = 8");
      w.line(`r3 = map_value[${map}][${w.pick(0, 5, 60)}]`, "call bpf_strncmp");
  }
  return w.finish("constants");
}

/** Values of maps: keys that are known, null or not, and their copies. */
export function lookups(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r9");
  const map = w.pick("array", "array", "data", "percpu", "hash", "lru");
  const key = w.pick("0", "1", "3", "4", "5", "-1", "r9");
  const width = w.pick("u32", "u32", "u64");
  w.line(`*(${width} *)(r10 - 8) = ${key}`);
  if (w.chance(15)) w.line(`*(u8 *)(r10 - ${w.between(5, 8)}) = 0`);
  w.line("r2 = r10", "r2 += -8", `r1 = map_fd[${map}]`, "call bpf_map_lookup_elem");
  w.line("r7 = r0", "r8 = r0");
  if (w.chance(30)) w.line("*(u64 *)(r10 - 16) = r0", "r8 = *(u64 *)(r10 - 16)");
  if (w.chance(20)) w.line(`r8 += ${w.pick(0, 8)}`);
  if (w.chance(60)) w.line(`if ${w.pick("r0", "r7", "r8")} ${w.pick("==", "==", "!=")} 0 goto out`);
  if (w.chance(10)) w.line(`if r7 ${w.random.pick(CONDITIONS)} ${w.pick("r8", "r0")} goto out`);
  const size = w.size();
  const at = w.pick(0, 8, 15, 16, 40, 47, 56, 60, 63);
  w.line(w.chance(60) ? `r0 = *(${size} *)(r7 + ${at})` : `*(${size} *)(r8 + ${at}) = r9`);
  return w.finish("lookups");
}

/** Atomic operations, on all kinds of memory. */
export function atomics(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r7");
  w.number("r8");
  w.line("r9 = map_value[data][0]");
  if (w.chance(70)) w.line("*(u64 *)(r10 - 8) = r7", "*(u64 *)(r10 - 16) = 0");
  const count = w.between(1, 4);
  for (let i = 0; i < count; i++) {
    if (w.hasPacket && w.chance(8)) {
      w.packet("r9", "r3");
      w.line("r4 = r9", "r4 += 16", "if r4 > r3 goto out");
    }
    const pointer = w.pick("r10", "r10", "r9", "r6");
    const at = pointer === "r10" ? -w.pick(8, 16, 8, 12, 4) : w.pick(0, 8, 56, 60, 64, 4);
    const place = at < 0 ? `${pointer} - ${-at}` : `${pointer} + ${at}`;
    const name = w.pick("r7", "r8", "r9", "r7", "r10");
    const low = name.replace("r", "w");
    const size = w.pick("u64", "u64", "u32", "u16", "u8");
    const half = w.chance(30);
    switch (w.between(0, 5)) {
      case 0:
        w.line(half ? `lock *(u32 *)(${place}) += ${low}` : `lock *(u64 *)(${place}) |= ${name}`);
        break;
      case 1:
        w.line(
          half
            ? `${low} = atomic_fetch_add((u32 *)(${place}), ${low})`
            : `${name} = atomic_fetch_xor((u64 *)(${place}), ${name})`,
        );
        break;
      case 2:
        w.line(
          half ? `${low} = xchg32_32(${place}, ${low})` : `${name} = xchg_64(${place}, ${name})`,
        );
        break;
      case 3:
        if (w.chance(85)) w.line(`r0 = ${w.pick("0", "r7", "r10")}`);
        w.line(
          half
            ? `w0 = cmpxchg32_32(${place}, w0, ${low})`
            : `r0 = cmpxchg_64(${place}, r0, ${name})`,
        );
        break;
      case 4:
        w.line(
          size === "u64"
            ? `r8 = load_acquire((u64 *)(${place}))`
            : `w8 = load_acquire((${size} *)(${place}))`,
        );
        break;
      default:
        w.line(`store_release((${size} *)(${place}), ${size === "u64" ? name : low})`);
    }
  }
  const end = w.between(0, 2);
  if (end === 0) {
    w.line("r1 = map_value[data][0]");
    bound(w, "r7", 63);
    w.line("r1 += r7", "r0 = *(u8 *)(r1 + 0)");
  } else if (end === 1) {
    w.line(`r7 = *(${w.size()} *)(r10 - 8)`, "r7 &= 63", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
  }
  return w.finish("atomics");
}

/** Loads from the packet as classic BPF has them. */
export function legacy(random: Random): TestProgram {
  const w = new Writer(random, [
    BPF.BPF_PROG_TYPE_SOCKET_FILTER,
    BPF.BPF_PROG_TYPE_SOCKET_FILTER,
    BPF.BPF_PROG_TYPE_SOCKET_FILTER,
    BPF.BPF_PROG_TYPE_XDP,
  ]);
  w.number("r7");
  if (w.chance(20)) w.line("r1 = 1", "r2 = 2");
  if (w.chance(8)) w.line(w.pick("r6 += 4", "r6 = r7", "r6 = 0"));
  const size = w.pick("u8", "u16", "u32");
  const at = w.pick("14", "-5", "r7", "r7 + 2", "0");
  w.line(`r0 = *(${size} *)skb[${at}]`);
  if (w.chance(30)) w.line(`r8 = ${w.pick("r1", "r2", "r0", "r7")}`);
  w.line("r7 = r0");
  if (w.chance(60)) bound(w, "r7", w.pick(7, 63, 64));
  if (w.chance(60)) w.line("r9 = map_value[data][0]", "r9 += r7", "r0 = *(u8 *)(r9 + 0)");
  if (w.chance(15)) {
    const name = w.define(w.pick("static", "static", "static void", "number"), () => {
      w.line("r6 = r1", "r0 = *(u8 *)skb[0]", "exit");
    });
    w.line("r1 = r6", `call ${name}`);
  }
  return w.finish("legacy");
}

/** Pointers where they might be seen by the program's user, and arithmetic with them. */
export function leaks(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r9");
  pointer(w, "r7");
  w.line("r8 = map_value[data][0]");
  const register = "r7";
  switch (w.between(0, 13)) {
    case 0:
      w.line(`r0 = ${register}`, "exit");
      break;
    case 1:
      w.line(`*(u64 *)(r8 + 0) = ${register}`);
      break;
    case 2:
      w.line(
        `r0 = ${register}`,
        `r0 ${w.pick("-=", "+=", "&=", "^=")} ${w.pick("r8", "r10", "r7", "r9")}`,
      );
      w.line("*(u64 *)(r8 + 0) = r9");
      break;
    case 3:
      w.line(`if r7 ${w.random.pick(CONDITIONS)} ${w.pick("r8", "0", "5", "r9", "r10")} goto out`);
      break;
    case 4:
      w.line(w.pick("w7 = w7", "r7 = -r7", "r7 = be16 r7", "w7 += 1", "r7 = (s32)r7", "r7 &= -8"));
      break;
    case 5:
      w.line(`*(u64 *)(r10 - 8) = ${register}`);
      w.line(`r0 = *(${w.pick("u32", "u64", "u8")} *)(r10 - ${w.pick(8, 8, 4)})`);
      break;
    case 6:
      w.line(`*(u64 *)(r10 - 8) = ${register}`, `*(${w.pick("u8", "u32")} *)(r10 - 8) = 0`);
      w.line("r0 = *(u64 *)(r10 - 8)");
      break;
    case 7:
      w.line(`*(u64 *)(r10 - 8) = ${register}`, "r1 = map_fd[hash]", "r2 = r10", "r2 += -8");
      w.line("call bpf_map_lookup_elem");
      break;
    case 8:
      w.line(`r0 = ${w.pick("xchg_64(r8 + 0, r7)", "xchg_64(r10 - 8, r7)")}`.replace("r0", "r7"));
      break;
    case 9:
      w.line(`lock *(u64 *)(${w.pick("r8 + 0", "r10 - 8")}) += r7`);
      break;
    case 10:
      w.line(`r1 = ${register}`, "r2 = map_fd[hash]", "r3 = r10", "call bpf_ktime_get_ns");
      w.line("r1 = map_fd[lru]", "r2 = r10", "r2 += -8", "r3 = r8", "r4 = r7");
      w.line("*(u64 *)(r10 - 8) = 0", "call bpf_map_update_elem");
      break;
    case 11:
      bound(w, "r9", w.pick(7, 63));
      w.line(`r7 ${w.pick("+=", "-=")} r9`, `r0 = *(${w.size()} *)(r7 + 0)`);
      break;
    case 12:
      w.line(`r7 += ${w.pick(0, 1, 8, -8, 0x10000000, 0x20000000, 536870911)}`);
      w.line(`r0 = *(${w.size()} *)(r7 + ${w.pick(0, 8)})`);
      break;
    default:
      w.line(`r0 = *(u8 *)(r10 - ${w.pick(1, 8)})`);
  }
  return w.finish("leaks");
}

function pointer(w: Writer, register: string): void {
  switch (w.between(0, 6)) {
    case 0:
      w.line(`${register} = r10`, `${register} += -16`);
      if (w.chance(60)) w.line("*(u64 *)(r10 - 16) = 0", "*(u64 *)(r10 - 8) = 0");
      break;
    case 1:
      w.line(`${register} = r6`);
      break;
    case 2:
      w.value(register);
      break;
    case 3:
      w.line(`${register} = map_fd[array]`);
      break;
    case 4:
      if (w.hasPacket) {
        w.packet(register, "r2");
        if (w.chance(70)) w.line(`r3 = ${register}`, "r3 += 16", "if r3 > r2 goto out");
      } else {
        w.line(`${register} = map_value[rodata][0]`);
      }
      break;
    case 5:
      w.line("*(u32 *)(r10 - 4) = 1", "r2 = r10", "r2 += -4", "r1 = map_fd[array]");
      w.line("call bpf_map_lookup_elem", `${register} = r0`);
      break;
    default:
      w.line(`${register} = map_value[data][0]`);
  }
}

/** The context: every offset and size, read and written, and the flow keys behind it. */
export function contexts(random: Random): TestProgram {
  const w = new Writer(random);
  w.number("r9");
  const size = w.pick("u8", "u16", "u32", "u32", "u64");
  const bytes = BYTES[size] as number;
  const at = bytes * w.between(0, Math.floor(200 / bytes));
  if (w.chance(10)) w.line(`r6 += ${w.pick(0, 4, 8, -4)}`);
  if (w.chance(5)) w.line("r1 = r9", "r1 &= 4", "r6 += r1");
  if (w.chance(75)) w.line(`r7 = *(${size} *)(r6 + ${at})`);
  else w.line(`*(${size} *)(r6 + ${at}) = ${w.pick("r9", "0", "r10")}`);
  if (w.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR && w.chance(60)) {
    w.line("r8 = *(u64 *)(r6 + 144)");
    if (w.chance(20)) w.line(`r8 += ${w.pick("8", "16", "r9", "48")}`);
    const keySize = w.size();
    const off = w.between(0, 58);
    w.line(
      w.chance(50) ? `r7 = *(${keySize} *)(r8 + ${off})` : `*(${keySize} *)(r8 + ${off}) = r9`,
    );
  }
  if (w.chance(30)) w.line("r0 = r7", "exit");
  return w.finish("contexts");
}
