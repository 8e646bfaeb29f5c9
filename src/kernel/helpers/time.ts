/**
 * Helpers that read clocks, all from the machine's one clock.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import type { Helper } from "./helper.ts";

/** Timer interrupts a second, as most distributions build their kernels. */
const HZ = 250n;
const NS_PER_TICK = 1_000_000_000n / HZ;
/** The count starts 5 minutes before it overflows 32 bits (INITIAL_JIFFIES). */
const INITIAL_JIFFIES = (1n << 32n) - 300n * HZ;

const monotonic: Helper = ({ machine }) => machine.options.clock.monotonicNs();

/** The time of the last timer interrupt. */
const coarse: Helper = ({ machine }) => {
  const now = machine.options.clock.monotonicNs();
  return now - (now % NS_PER_TICK);
};

/** Timer interrupts since boot, 64 bits wide. */
const jiffies64: Helper = ({ machine }) =>
  INITIAL_JIFFIES + machine.options.clock.monotonicNs() / NS_PER_TICK;

export const TIME_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.ktime_get_ns, monotonic],
  // The machine never sleeps, so both clocks are the same one.
  [BPF_FUNC.ktime_get_boot_ns, monotonic],
  [BPF_FUNC.ktime_get_coarse_ns, coarse],
  [BPF_FUNC.jiffies64, jiffies64],
]);
