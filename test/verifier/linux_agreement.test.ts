/**
 * Breaks when the embedded verifier and Linux's give a random program different verdicts. A program
 * that Linux refuses must never be accepted. NSLINK_VERIFIER_PROGRAMS says how many are tried,
 * NSLINK_VERIFIER_SEED where to begin.
 */

import { expect, test } from "vitest";
import { BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH } from "../../src/abi/bpf.ts";
import { BPF_PSEUDO_MAP_FD } from "../../src/abi/insn.ts";
import { encodeInstructions, isLoadImm64 } from "../../src/asm/index.ts";
import { BpfMap } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { load } from "./load.ts";
import { Random } from "./random.ts";
import { type RandomProgram, randomProgram } from "./random_program.ts";

const PROGRAMS = Number(process.env.NSLINK_VERIFIER_PROGRAMS ?? 2000);
const SEED = Number(process.env.NSLINK_VERIFIER_SEED ?? 1);
/** In a thousand programs. */
const WANTED_AGREEMENT = 995;

function makeMaps(kernel: Kernel): BpfMap[] {
  const array = { type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 64, maxEntries: 4 };
  const hash = { type: BPF_MAP_TYPE_HASH, keySize: 8, valueSize: 48, maxEntries: 4 };
  return [BpfMap.create(kernel, array), BpfMap.create(kernel, hash)];
}

function verdict(kernel: Kernel, maps: readonly BpfMap[], program: RandomProgram): number {
  const insns = program.instructions.map((insn) =>
    isLoadImm64(insn) && insn.src === BPF_PSEUDO_MAP_FD
      ? { ...insn, imm: maps[insn.imm]?.fd ?? -1 }
      : insn,
  );
  return load(kernel, program, encodeInstructions(insns));
}

await describeOnLinux("verdicts on random programs", () => {
  test(`are Linux's (${PROGRAMS} programs from seed ${SEED} on)`, async () => {
    using linux = await openLinuxKernel();
    using embedded = EmbeddedKernel.boot({ possibleCpus: 2 });
    const linuxMaps = makeMaps(linux);
    const embeddedMaps = makeMaps(embedded);
    const unsafe: string[] = [];
    const different: string[] = [];
    for (let i = 0; i < PROGRAMS; i++) {
      const program = randomProgram(new Random(SEED + i));
      const theirs = verdict(linux, linuxMaps, program);
      const ours = verdict(embedded, embeddedMaps, program);
      if (ours === 0 && theirs !== 0) unsafe.push(`seed ${SEED + i}: Linux says ${theirs}`);
      if (ours !== theirs) different.push(`seed ${SEED + i}: ${ours}, Linux says ${theirs}`);
    }
    for (const map of [...linuxMaps, ...embeddedMaps]) map[Symbol.dispose]();
    console.info(`verifier: ${different.length} of ${PROGRAMS} verdicts differ`, different);
    expect(unsafe).toEqual([]);
    expect(PROGRAMS - different.length).toBeGreaterThanOrEqual(
      (PROGRAMS * WANTED_AGREEMENT) / 1000,
    );
  }, 600_000);
});
