/**
 * The interpreter: runs programs one checked instruction at a time. The slow twin of the JIT, and
 * its oracle: it needs no verifier, since whatever a program does wrong ends its run.
 */

import type { Prog } from "./bpf/prog.ts";
import { RunFault } from "./interpreter/fault.ts";
import { recordFault } from "./interpreter/fault_log.ts";
import { type Invocation, Run, type RunOptions } from "./interpreter/run.ts";
import type { Machine } from "./machine.ts";

export { RunFault } from "./interpreter/fault.ts";
export { type FaultLog, faultLog } from "./interpreter/fault_log.ts";
export type { Registers } from "./interpreter/registers.ts";
export {
  DEFAULT_INSTRUCTION_LIMIT,
  type InstructionObserver,
  type Invocation,
  type Region,
  type RunOptions,
} from "./interpreter/run.ts";

/** What a run came to. */
export interface Outcome {
  /** r0 at the end, as u64; 0 after a fault. */
  readonly r0: bigint;
  /** The lower half of r0: what programs return. */
  readonly retval: number;
  /** Instructions executed, those of tail called programs and callbacks included. */
  readonly instructions: number;
  /** Why the run was stopped; null when it came to its end. */
  readonly fault: RunFault | null;
}

/** Runs that wait to be used again. More than one is in use when a run calls into the kernel. */
const idle: WeakMap<Machine, Run[]> = new WeakMap();

/**
 * Runs a program.
 *
 * @returns null when there is no memory for its stack.
 */
export function interpret(
  machine: Machine,
  prog: Prog,
  invocation: Invocation,
  options: RunOptions = {},
): Outcome | null {
  let waiting = idle.get(machine);
  if (waiting === undefined) {
    waiting = [];
    idle.set(machine, waiting);
  }
  const run = waiting.pop() ?? Run.create(machine);
  if (run === null) return null;
  try {
    run.execute(prog, invocation, options);
    const { registers, executed: instructions } = run;
    return { r0: registers.get(0), retval: registers.low(0), instructions, fault: null };
  } catch (error) {
    if (!(error instanceof RunFault)) throw error;
    recordFault(machine, error);
    return { r0: 0n, retval: 0, instructions: run.executed, fault: error };
  } finally {
    waiting.push(run);
  }
}
