/**
 * No instruction is out of reach, and none is entered in its middle; there are loops only for
 * loaders with CAP_BPF. Mirrors check_cfg() in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32 } from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";
import type { VerifierLog } from "./log.ts";
import { namesFunction } from "./subprograms.ts";

/** 0 or a negative errno. Jump and call targets lie within the program already. */
export function checkReachability(
  insns: readonly Instruction[],
  bpfCapable: boolean,
  log: VerifierLog,
): number {
  const backEdge = bpfCapable ? null : findBackEdge(insns);
  if (backEdge !== null) {
    return log.refuse(EINVAL, `back-edge from insn ${backEdge.from} to ${backEdge.to}`);
  }
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

/** A jump back to an instruction on the way to it. */
interface BackEdge {
  readonly from: number;
  readonly to: number;
}

/** An instruction on the way, and where control may go on from there. */
interface Visit {
  readonly slot: number;
  readonly successors: readonly number[];
  /** How many of them were gone to. */
  taken: number;
}

function visitOf(insns: readonly Instruction[], slot: number): Visit {
  const successors: number[] = [];
  const insn = insns[slot];
  if (insn !== undefined) addSuccessors(successors, insn, slot);
  return { slot, successors, taken: 0 };
}

/** The first that a walk in depth meets, which goes to the next instruction before it jumps. */
function findBackEdge(insns: readonly Instruction[]): BackEdge | null {
  const seen = new Set([0]);
  const onWay = new Set([0]);
  const way = [visitOf(insns, 0)];
  for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
    const to = top.successors[top.taken];
    top.taken++;
    if (to === undefined) {
      onWay.delete(top.slot);
      way.pop();
    } else if (onWay.has(to)) {
      return { from: top.slot, to };
    } else if (!seen.has(to)) {
      seen.add(to);
      onWay.add(to);
      way.push(visitOf(insns, to));
    }
  }
  return null;
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
