/**
 * The walk as the log tells it: source lines, instructions, and what each of them changed. Mirrors
 * what do_check() prints in kernel/bpf/verifier.c.
 */

import { formatInstruction, isLoadImm64 } from "../../asm/index.ts";
import type { Environment } from "./environment.ts";
import { formatChanges, formatFrame, type Mark } from "./format.ts";

/** As Linux writes it: `r1 +4`, `if r0 == 0x0 goto pc+4`, `call bpf_ktime_get_ns#5`. */
function instructionText({ insn, slot, subject }: Environment): string {
  const second = isLoadImm64(insn) ? subject.insns[slot + 1] : undefined;
  return formatInstruction(insn, second)
    .replace(/(r\d+) ([+-]) (?=\d+\))/, "$1 $2")
    .replace(/(goto|call) (?=[+-]\d+$)/, "$1 pc")
    .replace(/^(if \w+ \S+) -?\d+/, `$1 0x${(insn.imm >>> 0).toString(16)}`)
    .replace(/^call bpf_\w+$/, `$&#${insn.imm}`);
}

/** Without CAP_BPF Linux takes every number for one that matters. */
function markOf({ subject }: Environment): Mark {
  return subject.bpfCapable ? "" : "P";
}

function sourceLine({ log, slot, subject }: Environment): void {
  const line = subject.lines.get(slot);
  if (line !== undefined && log.lastSource !== line) log.line(`; ${line}`);
  if (line !== undefined) log.lastSource = line;
}

/** A walk begins at the current slot. */
export function traceStart(env: Environment): void {
  const { log, slot, state } = env;
  if (log.hasPaths) log.line(`${slot}: ${formatFrame(state, markOf(env))}`);
}

/** Another path goes on at the current slot. */
export function tracePath(env: Environment, from: number): void {
  const { log, slot, state } = env;
  if (log.hasPaths) log.line(`\nfrom ${from} to ${slot}: ${formatFrame(state, markOf(env))}`);
}

/** Executes an instruction. @returns what that returns. */
export function traceStep(env: Environment, execute: (env: Environment) => number): number {
  const { log, state, slot, insn } = env;
  const { depth, frame } = state;
  sourceLine(env);
  const code = insn.opcode.toString(16).padStart(2, "0");
  log.line(`${slot}: (${code}) ${instructionText(env)}`);
  const registers = frame.registers.slice();
  const stack = frame.stack.slice();
  const mark = markOf(env);
  const left = depth > 0 ? formatFrame(state, mark) : "";
  const next = execute(env);
  if (state.depth > depth) {
    log.line(`caller:\n ${formatFrame(state, mark, depth)}\ncallee:\n ${formatFrame(state, mark)}`);
  } else if (state.depth < depth) {
    const caller = formatFrame(state, mark);
    log.line(`returning from callee:\n ${left}\nto caller at ${next}:\n ${caller}`);
  } else {
    const changes = formatChanges(state, mark, registers, stack);
    if (changes !== "") log.annotate(changes);
  }
  return next;
}
