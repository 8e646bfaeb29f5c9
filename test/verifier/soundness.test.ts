/**
 * Breaks when a program that the verifier accepted does, on the interpreter that checks every
 * access, what it must not. Needs no Linux.
 */

import { expect, test } from "vitest";
import { TEST_RUN } from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { BPF_PSEUDO_MAP_FD } from "../../src/abi/insn.ts";
import { encode } from "../../src/abi/layout.ts";
import { encodeInstructions, isLoadImm64 } from "../../src/asm/index.ts";
import { faultLog } from "../../src/kernel/interpreter.ts";
import { bpf } from "../../src/kernel/syscall.ts";
import { Bench } from "../kernel/prog/harness.ts";
import { Random } from "./random.ts";
import { type RandomProgram, randomProgram } from "./random_program.ts";

const PROGRAMS = Number(process.env.NSLINK_VERIFIER_PROGRAMS ?? 2000);
const SEED = Number(process.env.NSLINK_VERIFIER_SEED ?? 1);
/** Packets that each program is run on. */
const RUNS = 4;
const SHORTEST = 14;
const LONGEST = 80;

function load(bench: Bench, maps: readonly number[], made: RandomProgram): number {
  const insns = made.instructions.map((insn) =>
    isLoadImm64(insn) && insn.src === BPF_PSEUDO_MAP_FD
      ? { ...insn, imm: maps[insn.imm] ?? -1 }
      : insn,
  );
  return bench.load(encodeInstructions(insns), { prog_type: made.type, log_level: 0 }).result;
}

function packet(random: Random): Uint8Array {
  const bytes = new Uint8Array(SHORTEST + random.below(LONGEST - SHORTEST));
  return bytes.map(() => (random.chance(50) ? random.below(256) : 0));
}

function run(bench: Bench, fd: number, data: Uint8Array): number {
  const attr = encode(TEST_RUN, {
    prog_fd: fd,
    data_in: bench.memory.addressOf(data),
    data_size_in: data.length,
  });
  return bpf(bench.task, BPF.BPF_PROG_TEST_RUN, attr, attr.length);
}

test(`accepted programs run without a fault (${PROGRAMS} from seed ${SEED} on)`, () => {
  const bench = new Bench();
  const array = bench.map(BPF.BPF_MAP_TYPE_ARRAY, 64, 4);
  const hash = bench.map(BPF.BPF_MAP_TYPE_HASH, 48, 4, { key_size: 8 });
  let runs = 0;
  for (let i = 0; i < PROGRAMS; i++) {
    const random = new Random(SEED + i);
    const made = randomProgram(random);
    // No packet leads to a run of these.
    if (made.type === BPF.BPF_PROG_TYPE_SK_LOOKUP) continue;
    const fd = load(bench, [array, hash], made);
    if (fd < 0) continue;
    for (let j = 0; j < RUNS; j++) if (run(bench, fd, packet(random)) === 0) runs++;
    expect(faultLog(bench.machine).last, `seed ${SEED + i}`).toBeNull();
    bench.task.files.close(fd);
  }
  expect(runs).toBeGreaterThan(PROGRAMS);
}, 300_000);
