/**
 * Where states are compared: at jumps, where jumps lead, and around calls. Analogous to what
 * check_cfg() in kernel/bpf/verifier.c marks.
 */

import * as I from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";
import { callsBack } from "./precision.ts";
import { namesFunction } from "./subprograms.ts";

/** States are compared here. */
export const COMPARE = 1;
/** Control comes here not only from the instruction before. */
export const JOIN = 2;
/** A checkpoint is left here every time: loops that the verifier has to see converge. */
export const FORCE = 4;

/** By slot: COMPARE, JOIN, FORCE. */
export function findPoints(insns: readonly Instruction[]): Uint8Array {
  const points = new Uint8Array(insns.length);
  const mark = (slot: number, point: number): void => {
    if (slot < points.length) points[slot] = (points[slot] as number) | point;
  };
  for (let slot = 0; slot < insns.length; slot++) {
    const insn = insns[slot] as Instruction;
    const jumpClass = I.BPF_CLASS(insn.opcode);
    const isCall = insn.opcode === (I.BPF_JMP | I.BPF_CALL);
    if (isCall || (isLoadImm64(insn) && namesFunction(insn))) {
      mark(slot + (isCall ? 1 : 2), COMPARE | JOIN);
      if (callsBack(insn)) mark(slot, COMPARE | JOIN | FORCE);
      if (namesFunction(insn)) {
        mark(slot, COMPARE);
        mark(slot + insn.imm + 1, COMPARE | JOIN);
      }
      continue;
    }
    if (jumpClass !== I.BPF_JMP && jumpClass !== I.BPF_JMP32) continue;
    const offset = jumpOffset(insn);
    if (offset === undefined) continue;
    mark(slot + offset + 1, COMPARE | JOIN);
    if (I.BPF_OP(insn.opcode) === I.BPF_JA) continue;
    mark(slot, I.BPF_OP(insn.opcode) === I.BPF_JCOND ? COMPARE | FORCE : COMPARE);
  }
  return points;
}
