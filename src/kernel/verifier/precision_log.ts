/**
 * What the log says at level 2 of how numbers are traced back that matter to a verdict. Mirrors
 * what __mark_chain_precision() prints in kernel/bpf/verifier.c.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";
import type { Environment } from "./environment.ts";
import { EVERYTHING, formatFrame } from "./format.ts";
import type { VerifierLog } from "./log.ts";
import type { Marks } from "./marks.ts";
import { SLOT_BYTES } from "./stack.ts";
import type { Checkpoint } from "./state.ts";

/** Slots of a stack. */
const SLOTS = 64;

function registersText(marks: Marks, frame: number): string {
  const names: string[] = [];
  for (let i = 0; i < MAX_BPF_REG; i++) if (marks.hasRegister(frame, i)) names.push(`r${i}`);
  return names.join(",");
}

function slotsText(marks: Marks, frame: number, prefix: string): string {
  if (!marks.hasSlots(frame)) return "";
  const names: string[] = [];
  for (let i = 0; i < SLOTS; i++) {
    if (marks.hasSlot(frame, i)) names.push(`${prefix}${-SLOT_BYTES * (i + 1)}`);
  }
  return names.join(",");
}

/** Marks of an earlier state are asked for on another path that comes to it. */
export function logPropagation(log: VerifierLog, marks: Marks, frames: number): void {
  for (let frame = frames - 1; frame >= 0; frame--) {
    const parts = [registersText(marks, frame), slotsText(marks, frame, "fp")];
    const text = parts.filter((part) => part !== "").join(",");
    if (text !== "") log.line(`frame ${frame}: propagating ${text}`);
  }
}

/** Writes one trace back over a path. */
export class PrecisionLog {
  readonly #env: Environment;
  readonly #wanted: Marks;

  constructor(env: Environment, wanted: Marks) {
    this.#env = env;
    this.#wanted = wanted;
  }

  /** Before the instructions that follow a checkpoint, the last of them first. */
  begin(frame: number, last: number, first: number, subsequent: number): void {
    const slots = `last_idx ${last} first_idx ${first} subseq_idx ${subsequent}`;
    this.#env.log.line(`mark_precise: frame${frame}: ${slots} `);
  }

  /** Before an instruction is taken back. */
  step(frame: number, slot: number): void {
    const text = this.#env.trace?.instruction(slot) ?? "";
    this.#env.log.line(`${this.#head(frame, "")}before ${text}`);
  }

  /** At a checkpoint, once it is marked. */
  parent(innermost: number, checkpoint: Checkpoint): void {
    for (let frame = innermost; frame >= 0; frame--) {
      const state = formatFrame(checkpoint, frame, EVERYTHING, checkpoint.precise);
      const head = this.#head(frame, "parent state ").slice(0, -1);
      this.#env.log.line(`${head}: ${state}`);
    }
  }

  #head(frame: number, what: string): string {
    const registers = registersText(this.#wanted, frame);
    const slots = slotsText(this.#wanted, frame, "");
    return `mark_precise: frame${frame}: ${what}regs=${registers} stack=${slots} `;
  }
}
