/**
 * No instruction is out of reach, and none is entered in its middle. Mirrors check_cfg() in
 * kernel/bpf/verifier.c; loops are allowed, as they are to everyone with CAP_BPF.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32 } from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";
import type { VerifierLog } from "./log.ts";
import { namesFunction } from "./subprograms.ts";

/** 0 or a negative errno. Jump and call targets lie within the program already. */
export function checkReachability(insns: readonly Instruction[], log: VerifierLog): number {
  const reached = reachedSlots(insns);
  for (let slot = 0; slot < insns.length; slot++) {
    if (reached[slot] === 0) return log.refuse(EINVAL, `unreachable insn ${slot}`);
    if (!isLoadImm64(insns[slot] as Instruction)) continue;
    if (reached[slot + 1] === 1) {
      return log.refuse(EINVAL, `jump into the middle of ldimm64 insn ${slot}`);
    }
    slot++;
  }
  return 0;
}

function reachedSlots(insns: readonly Instruction[]): Uint8Array {
  const reached = new Uint8Array(insns.length);
  const waiting = [0];
  for (let slot = waiting.pop(); slot !== undefined; slot = waiting.pop()) {
    const insn = insns[slot];
    if (insn === undefined || reached[slot] === 1) continue;
    reached[slot] = 1;
    addSuccessors(waiting, insn, slot);
  }
  return reached;
}

/** Adds where control may go from an instruction, calls included. */
function addSuccessors(slots: number[], insn: Instruction, slot: number): void {
  const { opcode } = insn;
  if (opcode === (BPF_JMP | BPF_EXIT)) return;
  const isGoto = opcode === (BPF_JMP | BPF_JA) || opcode === (BPF_JMP32 | BPF_JA);
  if (!isGoto) slots.push(slot + (isLoadImm64(insn) ? 2 : 1));
  const offset = namesFunction(insn) ? insn.imm : jumpOffset(insn);
  if (offset !== undefined) slots.push(slot + offset + 1);
}
