/**
 * Which functions may change the packet, themselves or by what they call: pointers into it are
 * good no more after they return.
 */

import * as I from "../../abi/insn.ts";
import type { Environment, Subject } from "./environment.ts";
import { PROTOTYPES } from "./helper_prototypes.ts";
import { NOT_INIT, UNKNOWN_SCALAR } from "./register.ts";
import { namesFunction } from "./subprograms.ts";

/** Whether the function that begins at `start` calls anything that changes the packet. */
export function changesPacket(subject: Subject, start: number): boolean {
  const waiting = [start];
  const seen = new Set(waiting);
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const subprogram = subject.subprograms.find((candidate) => candidate.start === at);
    if (subprogram === undefined) continue;
    for (let slot = subprogram.start; slot < subprogram.end; slot++) {
      const insn = subject.insns[slot] as Subject["insns"][number];
      const isHelper = insn.opcode === (I.BPF_JMP | I.BPF_CALL) && insn.src === 0;
      if (isHelper && PROTOTYPES.get(insn.imm)?.changesPacket === true) return true;
      const target = slot + insn.imm + 1;
      if (!namesFunction(insn) || seen.has(target)) continue;
      seen.add(target);
      waiting.push(target);
    }
  }
  return false;
}

/** Pointers into the packet become numbers that say nothing. */
export function forgetPacket({ state, subject }: Environment): void {
  const left = subject.perfmon ? UNKNOWN_SCALAR : NOT_INIT;
  state.update((register) => (register.isPacketOrEnd ? left : register));
}
