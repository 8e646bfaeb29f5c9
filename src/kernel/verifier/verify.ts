/**
 * The verifier's verdict on a program that holds together: its main function is walked, then every
 * global function that it may call. Analogous to the middle of bpf_check() in Linux.
 */

import { BPF_REG_1 } from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { Environment, type Subject } from "./environment.ts";
import { Explored } from "./explored.ts";
import { type Flow, findFlow } from "./flow.ts";
import { initialContents, parametersOf } from "./global_function.ts";
import { StackUse } from "./live_stack.ts";
import type { VerifierLog } from "./log.ts";
import { callsBack } from "./precision.ts";
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
  try {
    walkAll(env, false);
    if (env.isDoubtful) {
      log.line(DOUBT);
      walkAll(new Environment(subject, flow, log, firstState(subject, flow, 0)), true);
    }
    return { errno: 0, processed: env.processed };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    log.line(error.message);
    return { errno: -error.errno, processed: env.processed };
  } finally {
    if (log.hasFigures) writeFigures(env, subject.monotonicNs() - start);
    log.statistics(env.processed, env);
  }
}

/** The state that a walk of a function begins with, but for its arguments. */
function firstState({ insns, subprograms }: Subject, flow: Flow, start: number): State {
  const use = new StackUse(
    {
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
  env.state.frame.set(BPF_REG_1, pointer("ctx"));
  walk(env, explored, 0);
  for (const start of env.globals) walkGlobal(env, explored, start);
  checkStackDepth(env);
  checkTailCalls(env);
  checkNamedFunctions(env);
}

function walkGlobal(env: Environment, explored: Explored, start: number): void {
  env.state = firstState(env.subject, env.flow, start);
  for (const [i, parameter] of parametersOf(env.subject, start).entries()) {
    env.state.frame.set(BPF_REG_1 + i, initialContents(env, parameter));
  }
  walk(env, explored, start);
}
