/**
 * Which runs were stopped, of a machine and of each of its programs, for people who look for the
 * reason.
 */

import type { Machine } from "../machine.ts";
import type { RunFault } from "./fault.ts";

/** What is remembered of faults. */
export interface FaultLog {
  /** Runs that ended in a fault. */
  readonly count: number;
  /** The latest; null when there was none. */
  readonly last: RunFault | null;
}

/** Nothing went wrong yet. */
export const NO_FAULTS: FaultLog = { count: 0, last: null };

const logs: WeakMap<Machine, FaultLog> = new WeakMap();

/** The faults of a machine so far. */
export function faultLog(machine: Machine): FaultLog {
  return logs.get(machine) ?? NO_FAULTS;
}

/** Notes a fault, for the machine and for the program that it names. */
export function recordFault(machine: Machine, fault: RunFault): void {
  logs.set(machine, { count: faultLog(machine).count + 1, last: fault });
  const prog = machine.progs.get(fault.progId);
  if (prog !== undefined) prog.faults = { count: prog.faults.count + 1, last: fault };
}
