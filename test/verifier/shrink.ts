/**
 * From a program that two verifiers judge differently to a short one that they still do.
 */

import * as I from "../../src/abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../src/asm/index.ts";
import type { TestProgram } from "./program.ts";

/** As often as one program is tried to be made shorter. */
const MAX_ATTEMPTS = 1500;
/** The same when each try may take seconds. */
const MAX_SLOW_ATTEMPTS = 40;

/**
 * The shortest program found for which `shows` still holds.
 *
 * @param slow - the program keeps a verifier busy up to its limit.
 */
export function shrink(
  program: TestProgram,
  slow: boolean,
  shows: (candidate: TestProgram) => boolean,
): TestProgram {
  const limit = slow ? MAX_SLOW_ATTEMPTS : MAX_ATTEMPTS;
  let attempts = 0;
  let best = program;
  const attempt = (candidate: TestProgram | null): boolean => {
    if (candidate === null || attempts >= limit) return false;
    attempts++;
    if (!shows(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let size = best.instructions.length >> 1; size >= 1; size >>= 1) {
    for (let at = best.instructions.length - size; at >= 0; at -= size) {
      attempt(without(best, at, size));
    }
  }
  for (let at = best.instructions.length - 1; at >= 0; at--) attempt(without(best, at, 1));
  for (let at = 0; at < best.instructions.length; at++) {
    for (const simpler of simplifications(best.instructions[at] as Instruction)) {
      attempt({ ...best, instructions: best.instructions.with(at, simpler) });
    }
  }
  return best;
}

/** The program without some slots, jumps over them made shorter; null where that can't be. */
function without(program: TestProgram, at: number, count: number): TestProgram | null {
  const { instructions, debug } = program;
  const end = at + count;
  if (at < 0 || end > instructions.length) return null;
  const cutsHalf = (slot: number): boolean => {
    const before = instructions[slot - 1];
    return before !== undefined && isLoadImm64(before);
  };
  if (cutsHalf(at) || cutsHalf(end)) return null;
  const moved = (slot: number): number => (slot <= at ? slot : slot >= end ? slot - count : at);
  const kept: Instruction[] = [];
  for (const [slot, insn] of instructions.entries()) {
    if (slot >= at && slot < end) continue;
    kept.push(retarget(insn, slot, moved));
  }
  if (debug === null) return { ...program, instructions: kept };
  const functions = debug.functions
    .filter(([slot]) => slot < at || slot >= end)
    .map(([slot, typeId]) => [moved(slot), typeId] as const);
  return { ...program, instructions: kept, debug: { ...debug, functions } };
}

function retarget(insn: Instruction, slot: number, moved: (slot: number) => number): Instruction {
  const from = moved(slot) + 1;
  const namesFunction =
    (insn.opcode === (I.BPF_JMP | I.BPF_CALL) && insn.src === I.BPF_PSEUDO_CALL) ||
    (isLoadImm64(insn) && insn.src === I.BPF_PSEUDO_FUNC);
  if (namesFunction) return { ...insn, imm: moved(slot + insn.imm + 1) - from };
  const offset = jumpOffset(insn);
  if (offset === undefined) return insn;
  const next = moved(slot + offset + 1) - from;
  return insn.opcode === (I.BPF_JMP32 | I.BPF_JA) ? { ...insn, imm: next } : { ...insn, off: next };
}

function* simplifications(insn: Instruction): Generator<Instruction> {
  if (insn.opcode === 0) return;
  if (insn.imm !== 0 && I.BPF_CLASS(insn.opcode) !== I.BPF_JMP) yield { ...insn, imm: 0 };
  if (insn.src !== 0 && I.BPF_SRC(insn.opcode) === I.BPF_X) yield { ...insn, src: 0 };
}
