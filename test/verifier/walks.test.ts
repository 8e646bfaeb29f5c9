/**
 * A verification counts or keeps states of another function's walk if this breaks. Linux is asked
 * as well where it can be.
 */

import { expect, test } from "vitest";
import { BTF_LOAD, PROG_LOAD } from "../../src/abi/attr.ts";
import {
  BPF_BTF_LOAD,
  BPF_F_TEST_STATE_FREQ,
  BPF_PROG_LOAD,
  BPF_PROG_TYPE_XDP,
} from "../../src/abi/bpf.ts";
import { encode } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { FUNCTION_IDS, functionBtf } from "./table/function_types.ts";

const SLOTS = 64;
/** Where the functions begin, and where each has a point that two states come to. */
const STATIC = { start: 6, point: 20, end: 24 };
const GLOBAL = { start: 25, point: 42, end: 63 };
const CALL_SITE = 1;
const BPF_LOG_STATS = 4;

function nothing(count: number): readonly string[] {
  return Array.from({ length: count }, () => "r4 = 0");
}

/** A function with two states at its point that aren't covered by each other. */
function twoStates({ start, point, end }: typeof STATIC): readonly string[] {
  const before = ["call bpf_ktime_get_ns", "r3 = 0", "if r0 > 5 goto +1", "r3 = 1"];
  const after = ["if r0 == 7 goto +0", "r2 = r10", "r2 += r3", "r0 = 0"];
  return [
    ...nothing(point - start - before.length),
    ...before,
    ...after,
    ...nothing(end - point - after.length),
    "exit",
  ];
}

/**
 * States are found by slot and call site modulo the program's length. Of the static function's
 * point, called from slot 1, and the global function's they are the same.
 */
const PROGRAM: readonly string[] = [
  ...["r1 = 1", "call f", "r1 = 1", "call g", "r0 = 0", "exit"],
  ...["f:", ...twoStates(STATIC)],
  ...["g:", ...twoStates(GLOBAL)],
];

/** What the log's last line says of states. */
function figures(kernel: Kernel): string | undefined {
  const types = functionBtf();
  const given = { btf: kernel.addressOf(types), btf_size: types.length };
  const btf = kernel.bpf(BPF_BTF_LOAD, encode(BTF_LOAD, given));
  const insns = assemble(PROGRAM.join("\n"));
  const functions = Uint32Array.of(
    ...[0, FUNCTION_IDS.main],
    ...[STATIC.start, FUNCTION_IDS.static],
    ...[GLOBAL.start, FUNCTION_IDS["int f(int)"]],
  );
  const records = new Uint8Array(functions.buffer);
  const log = new Uint8Array(4096);
  const program = kernel.bpf(
    BPF_PROG_LOAD,
    encode(PROG_LOAD, {
      prog_type: BPF_PROG_TYPE_XDP,
      prog_flags: BPF_F_TEST_STATE_FREQ,
      insns: kernel.addressOf(insns),
      insn_cnt: SLOTS,
      license: kernel.addressOf(new TextEncoder().encode("GPL\0")),
      log_level: BPF_LOG_STATS,
      log_size: log.length,
      log_buf: kernel.addressOf(log),
      prog_btf_fd: btf,
      func_info: kernel.addressOf(records),
      func_info_rec_size: 8,
      func_info_cnt: records.length / 8,
    }),
  );
  kernel.close(btf);
  const text = new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
  expect(program, text).toBeGreaterThanOrEqual(0);
  kernel.close(program);
  return /max_states_per_insn.*peak_states \d+/.exec(text)?.[0];
}

const EXPECTED = "max_states_per_insn 1 total_states 18 peak_states 18";

test("the program's functions have a bucket of states in common", () => {
  const bucket = ({ point }: typeof STATIC, callSite: number): number =>
    ((point ^ callSite) >>> 0) % SLOTS;
  expect(bucket(STATIC, CALL_SITE)).toBe(bucket(GLOBAL, -1));
});

test("states of one walk aren't counted in the next function's", () => {
  using kernel = EmbeddedKernel.boot();
  expect(figures(kernel)).toBe(EXPECTED);
});

await describeOnLinux("Linux's verifier", () => {
  test("counts them so, too", async () => {
    using kernel = await openLinuxKernel();
    expect(figures(kernel)).toBe(EXPECTED);
  });
});
