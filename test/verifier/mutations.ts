/**
 * Programs with a few instructions changed: what a compiler wrote, or another generator, and then
 * almost right.
 */

import * as I from "../../src/abi/insn.ts";
import { type Instruction, isLoadImm64 } from "../../src/asm/index.ts";
import type { Random } from "../random.ts";
import { FUNCTION_BTF } from "./functions.ts";
import { FIRST_OBJECT_MAP } from "./maps.ts";
import { type CompiledProgram, compiledPrograms } from "./objects.ts";
import { programOf, type TestProgram } from "./program.ts";

const MAX_MUTATIONS = 4;

let compiled: readonly TestProgram[] | null = null;

function asTest(program: CompiledProgram): TestProgram {
  const { name, type, attachType, functions, object } = program;
  return programOf({
    type,
    attachType,
    origin: name,
    instructions: program.instructions.map((insn) =>
      isLoadImm64(insn) && insn.src !== 0 ? { ...insn, imm: insn.imm + FIRST_OBJECT_MAP } : insn,
    ),
    debug: functions.length === 0 ? null : { btf: FUNCTION_BTF + 1 + object, functions },
  });
}

/** The compiled programs as they are. */
export function compiledTests(): readonly TestProgram[] {
  compiled ??= compiledPrograms().map(asTest);
  return compiled;
}

/** A compiled program with something changed. */
export function mutatedProgram(random: Random): TestProgram {
  const program = random.pick(compiledTests());
  // Their rounds take a verifier long: others are tried more often.
  const isLoop = LOOPS.test(program.origin) && random.chance(80);
  return mutate(random, isLoop ? random.pick(compiledTests()) : program);
}

const LOOPS = /csum|fnv|xxh|muldiv|maparr|maphash/;

/** The program with a few instructions changed, none added and none taken away. */
export function mutate(random: Random, program: TestProgram): TestProgram {
  const insns = [...program.instructions];
  const count = 1 + random.below(MAX_MUTATIONS);
  for (let i = 0; i < count; i++) {
    const slot = random.below(insns.length);
    const insn = insns[slot] as Instruction;
    const isSecondHalf = slot > 0 && isLoadImm64(insns[slot - 1] as Instruction);
    if (isSecondHalf || isLoadImm64(insn)) continue;
    insns[slot] = changed(random, insn, insns);
  }
  return { ...program, instructions: insns, origin: `mutated ${program.origin}` };
}

// biome-ignore format: a list of numbers reads best filled
const STEPS = [-1, 1, -1, 1, -2, 2, -4, 4, -8, 8, 16, -16];

function changed(random: Random, insn: Instruction, insns: readonly Instruction[]): Instruction {
  switch (random.below(12)) {
    case 0:
      // Nothing at all.
      return { opcode: I.BPF_JMP | I.BPF_JA, dst: 0, src: 0, off: 0, imm: 0 };
    case 1:
    case 2:
      return { ...insn, imm: (insn.imm + random.pick(STEPS)) | 0 };
    case 3:
    case 4:
      return { ...insn, off: Math.max(-0x8000, Math.min(0x7fff, insn.off + random.pick(STEPS))) };
    case 5:
      return { ...insn, dst: random.below(I.MAX_BPF_REG) };
    case 6:
      return { ...insn, src: random.below(I.MAX_BPF_REG) };
    case 7:
      return other(random, insn);
    case 8:
      return sized(random, insn);
    case 9:
      return withClass(random, insn);
    case 10: {
      const copy = random.pick(insns);
      return isLoadImm64(copy) || copy.opcode === 0 ? insn : copy;
    }
    default:
      return { ...insn, imm: random.chance(50) ? -insn.imm | 0 : random.u32() | 0 };
  }
}

function isJump({ opcode }: Instruction): boolean {
  const of = I.BPF_CLASS(opcode);
  return of === I.BPF_JMP || of === I.BPF_JMP32;
}

function isAlu({ opcode }: Instruction): boolean {
  const of = I.BPF_CLASS(opcode);
  return of === I.BPF_ALU || of === I.BPF_ALU64;
}

/** Another operation or condition, or the other kind of operand. */
function other(random: Random, insn: Instruction): Instruction {
  if (!isJump(insn) && !isAlu(insn)) return insn;
  const operation = I.BPF_OP(insn.opcode);
  const fixed = operation === I.BPF_CALL || operation === I.BPF_EXIT || operation === I.BPF_JA;
  if (isJump(insn) && fixed) return insn;
  const next = (1 + random.below(isJump(insn) ? 0xd : 0xc)) << 4;
  const skips = isJump(insn) && (next === I.BPF_CALL || next === I.BPF_EXIT);
  return skips ? insn : { ...insn, opcode: (insn.opcode & 0xf) | next };
}

/** An access of another size or sign. */
function sized(random: Random, insn: Instruction): Instruction {
  if (isJump(insn) || isAlu(insn)) return insn;
  const size = random.pick([I.BPF_B, I.BPF_H, I.BPF_W, I.BPF_DW]);
  const isLoad = I.BPF_CLASS(insn.opcode) === I.BPF_LDX && random.chance(20);
  const mode = isLoad ? I.BPF_MEMSX : I.BPF_MODE(insn.opcode);
  return { ...insn, opcode: I.BPF_CLASS(insn.opcode) | mode | size };
}

/** 32 bits instead of 64, or the other way round. */
function withClass(random: Random, insn: Instruction): Instruction {
  const { opcode } = insn;
  if (isAlu(insn)) return { ...insn, opcode: opcode ^ I.BPF_ALU ^ I.BPF_ALU64 };
  const operation = I.BPF_OP(opcode);
  const fixed = operation === I.BPF_CALL || operation === I.BPF_EXIT;
  if (isJump(insn) && !fixed) return { ...insn, opcode: opcode ^ I.BPF_JMP ^ I.BPF_JMP32 };
  return sized(random, insn);
}
