/**
 * The verifier's verdict on a program that holds together: its main function is walked, then every
 * global function that it may call. Analogous to the middle of bpf_check() in Linux.
 */

import { BPF_REG_1, BPF_REG_10 } from "../../abi/insn.ts";
import { type Instruction, isLoadImm64 } from "../../asm/index.ts";
import type { Assumptions } from "./assumptions.ts";
import { Environment, type Subject } from "./environment.ts";
import { Explored } from "./explored.ts";
import { type Flow, findFlow } from "./flow.ts";
import { initialContents, requiredParameters } from "./global_function.ts";
import { type StackLog, StackUse } from "./live_stack.ts";
import type { VerifierLog } from "./log.ts";
import { callsBack } from "./precision.ts";
import { functionName, parametersOf } from "./prototype.ts";
import { Refusal } from "./refusal.ts";
import { pointer } from "./register.ts";
import { checkNamedFunctions } from "./removed_code.ts";
import { SLOT_BYTES } from "./stack.ts";
import { checkStackDepth } from "./stack_depth.ts";
import { Frame, State } from "./state.ts";
import { checkTailCalls } from "./tail_calls.ts";
import { walk } from "./walk.ts";

/** Why a program was refused. */
export interface Fault {
  readonly slot: number;
}

/** What came of it. */
export interface Verdict {
  /** 0 or negative. */
  readonly errno: number;
  /** Instructions walked. */
  readonly processed: number;
  /** Whether the instruction at a slot accesses the context. */
  readonly usesContext: (slot: number) => boolean;
  /** Null when it was refused. */
  readonly assumptions: Assumptions | null;
}

/**
 * Linux 6.18 cuts a path short that comes round to a helper that calls back, and doesn't ask again
 * whether what turned out to matter since then mattered to it. Later versions do.
 */
const DOUBT = "a callback's path was cut short too early; walking as later versions of Linux do";

/** Verifies a program and writes the log's last lines. */
export function verify(subject: Subject, log: VerifierLog): Verdict {
  const start = subject.monotonicNs();
  const flow = findFlow(subject.insns);
  const env = new Environment(subject, flow, log, firstState(subject, flow, 0));
  const verdict = (errno: number, assumptions: Assumptions | null): Verdict => ({
    errno,
    processed: env.processed,
    assumptions,
    usesContext: (slot) => env.pointerTypes[slot] === "ctx",
  });
  try {
    walkAll(env, false);
    let last = env;
    if (env.isDoubtful) {
      log.line(DOUBT);
      last = new Environment(subject, flow, log, firstState(subject, flow, 0));
      walkAll(last, true);
    }
    return verdict(0, { ranges: last.ranges.finish(), reached: last.seen });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    log.write(error.message + error.end);
    return verdict(-error.errno, null);
  } finally {
    if (log.hasFigures) writeFigures(env, subject.monotonicNs() - start);
    log.statistics(env.processed, env);
  }
}

/** The state that a walk of a function begins with, but for its arguments. */
function firstState(
  { insns, subprograms }: Subject,
  flow: Flow,
  start: number,
  log: StackLog | null = null,
): State {
  const use = new StackUse(
    {
      log,
      flow,
      ends: new Map(subprograms.map((subprogram) => [subprogram.start, subprogram.end])),
      callsBack: (slot) => callsBack(insns[slot] as Instruction),
    },
    start,
  );
  return new State([Frame.enter(0, -1, start, false, use)]);
}

/** Analogous to print_verification_stats() in Linux. */
function writeFigures({ log, subject, stackDepths }: Environment, elapsedNs: bigint): void {
  const depths = subject.subprograms.map(({ start }) => {
    return SLOT_BYTES * Math.ceil((stackDepths.get(start) ?? 0) / SLOT_BYTES);
  });
  log.line(`verification time ${elapsedNs / 1000n} usec`);
  log.line(`stack depth ${depths.join("+")}`);
}

/** @param waits - as {@link Explored} takes it. */
function walkAll(env: Environment, waits: boolean): void {
  const explored = new Explored(env, waits);
  if (env.log.isVerbose) logLiveRegisters(env, explored);
  env.state = firstState(env.subject, env.flow, 0, stackLog(env, explored));
  checkMain(env);
  env.state.frame.set(BPF_REG_1, pointer("ctx"));
  walk(env, explored, 0);
  walkGlobals(env, explored);
  checkStackDepth(env);
  checkTailCalls(env);
  checkNamedFunctions(env);
}

/** What a main function takes is known; what its BTF has against that is only told. */
function checkMain(env: Environment): void {
  const parameters = parametersOf(env.subject, 0);
  if (!Array.isArray(parameters) && parameters.text !== "") env.log.line(parameters.text);
}

/**
 * Global functions that were called, in the order of the program; those that they call come in the
 * next round. Analogous to do_check_subprogs() in Linux.
 */
function walkGlobals(env: Environment, explored: Explored): void {
  const { subject, log, globals } = env;
  const walked = new Set<number>();
  for (let before = -1; before < walked.size; ) {
    before = walked.size;
    for (const { start } of subject.subprograms) {
      if (start === 0 || !globals.has(start) || walked.has(start)) continue;
      walked.add(start);
      const { index, name } = functionName(subject, start);
      if (log.hasPaths) log.line(`Validating ${name}() func#${index}...`);
      walkGlobal(env, explored, start);
      if (!log.hasPaths) continue;
      log.line(`Func#${index} ('${name}') is safe for any args that match its prototype`);
    }
  }
}

function walkGlobal(env: Environment, explored: Explored, start: number): void {
  env.state = firstState(env.subject, env.flow, start, stackLog(env, explored));
  for (const [i, parameter] of requiredParameters(env.subject, start).entries()) {
    env.state.frame.set(BPF_REG_1 + i, initialContents(env, parameter));
  }
  walk(env, explored, start);
}

function stackLog({ log }: Environment, { points }: Explored): StackLog | null {
  if (!log.isVerbose) return null;
  return { line: (text) => log.line(text), isPoint: (slot) => points[slot] !== 0 };
}

/** Analogous to the end of compute_live_registers() in Linux. */
function logLiveRegisters({ log, subject, live, trace }: Environment, { components }: Explored) {
  log.line("Live regs before insn:");
  for (let slot = 0; slot < subject.insns.length; slot++) {
    const mask = live[slot] as number;
    let registers = "";
    for (let i = 0; i < BPF_REG_10; i++) registers += ((mask >> i) & 1) === 1 ? i : ".";
    const component = components?.[slot] ?? 0;
    const loop = component === 0 ? "    " : `${String(component).padStart(3)} `;
    const [number = "", text = ""] = (trace?.instruction(slot) ?? "").split(/: (.*)/);
    log.line(`${loop}${number.padStart(3)}: ${registers} ${text}`);
    if (isLoadImm64(subject.insns[slot] as Instruction)) slot++;
  }
}
