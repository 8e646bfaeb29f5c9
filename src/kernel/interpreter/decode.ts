/**
 * A program's instructions as steps, decoded once a program.
 */

import type { Instruction } from "../../asm/index.ts";
import type { Prog } from "../bpf/prog.ts";
import { NEVER_REACHED, OUT_OF_ASSUMED_RANGE } from "../program_run.ts";
import type { Assumptions } from "../verifier/assumptions.ts";
import { decodeAlu } from "./alu.ts";
import { decodeAtomic } from "./atomic.ts";
import { decodeCall } from "./call.ts";
import { decodeJump } from "./jump.ts";
import { decodeLegacyPacket } from "./legacy_packet.ts";
import { decodeLoadStore } from "./load_store.ts";
import type { Step } from "./step.ts";

const decoded: WeakMap<Prog, readonly Step[]> = new WeakMap();

/** One step a slot. What is no instruction becomes a step that faults when it is reached. */
export function decode(prog: Prog): readonly Step[] {
  let steps = decoded.get(prog);
  if (steps === undefined) {
    const { instructions, assumptions = null } = prog.facts;
    steps = instructions.map((insn, slot) => {
      const step = decodeOne(insn, slot, instructions[slot + 1]);
      return assumptions === null ? step : assuming(step, assumptions, slot);
    });
    decoded.set(prog, steps);
  }
  return steps;
}

function decodeOne(insn: Instruction, slot: number, following: Instruction | undefined): Step {
  return (
    decodeAlu(insn, slot) ??
    decodeLoadStore(insn, slot, following) ??
    decodeAtomic(insn, slot) ??
    decodeCall(insn, slot) ??
    decodeJump(insn, slot) ??
    decodeLegacyPacket(insn, slot) ??
    invalid(insn)
  );
}

/** The step where what the verifier assumed is so; else a fault. */
function assuming(step: Step, { ranges, reached }: Assumptions, slot: number): Step {
  if (reached[slot] !== 1) {
    return (run) => {
      throw run.fault(NEVER_REACHED);
    };
  }
  const range = ranges.get(slot);
  if (range === undefined) return step;
  const { register, smin, smax } = range;
  return (run) => {
    const value = BigInt.asIntN(64, run.registers.get(register));
    if (value < smin || value > smax) throw run.fault(OUT_OF_ASSUMED_RANGE);
    return step(run);
  };
}

function invalid({ opcode, imm }: Instruction): Step {
  return (run) => {
    throw run.fault(`is no instruction: opcode 0x${opcode.toString(16)}, immediate ${imm}`);
  };
}
