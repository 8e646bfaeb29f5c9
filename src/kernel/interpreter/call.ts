/**
 * Calls of helpers and functions, and exit: RFC 9669, section 4.3.1 and 4.3.2.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import {
  BPF_CALL,
  BPF_CLASS,
  BPF_EXIT,
  BPF_JMP,
  BPF_OP,
  BPF_PSEUDO_CALL,
  BPF_REG_0,
  BPF_SRC,
  BPF_X,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { HELPERS } from "../helpers/index.ts";
import type { Run } from "./run.ts";
import type { Step } from "./step.ts";

/** A step for a call or an exit; null when the instruction is none. */
export function decodeCall(insn: Instruction, slot: number): Step | null {
  const { opcode, dst, src, imm } = insn;
  if (BPF_CLASS(opcode) !== BPF_JMP) return null;
  const next = slot + 1;
  if (BPF_OP(opcode) === BPF_EXIT) return (run) => run.leave();
  if (BPF_OP(opcode) !== BPF_CALL) return null;
  // Linux refuses to load `callx`; the instruction set has it, and it means a helper by number.
  if (BPF_SRC(opcode) === BPF_X) return (run) => callHelper(run, run.registers.low(dst), next);
  if (src === BPF_PSEUDO_CALL) {
    const target = next + imm;
    return (run) => run.call(target, next);
  }
  if (src !== 0) return null;
  return (run) => callHelper(run, imm, next);
}

function callHelper(run: Run, id: number, next: number): number {
  if (id === BPF_FUNC.tail_call) return run.tailCall(next);
  const helper = HELPERS.get(id);
  if (helper === undefined) throw run.fault(`calls helper ${id}, which there is not`);
  const result = helper(run, run.registers);
  if (typeof result === "bigint") run.registers.set(BPF_REG_0, result);
  else run.registers.setHalves(BPF_REG_0, result, Math.floor(result / 2 ** 32));
  return next;
}
