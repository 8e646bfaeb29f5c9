/**
 * Which runs of a machine were stopped, for people who look for the reason.
 */

import type { Machine } from "../machine.ts";
import type { RunFault } from "./fault.ts";

/** What is remembered of the faults of a machine. */
export interface FaultLog {
  /** Runs that ended in a fault. */
  readonly count: number;
  /** The latest; null when there was none. */
  readonly last: RunFault | null;
}

const logs: WeakMap<Machine, FaultLog> = new WeakMap();

/** The faults of a machine so far. */
export function faultLog(machine: Machine): FaultLog {
  return logs.get(machine) ?? { count: 0, last: null };
}

/** Notes a fault. */
export function recordFault(machine: Machine, fault: RunFault): void {
  logs.set(machine, { count: faultLog(machine).count + 1, last: fault });
}
