/**
 * Dropping capabilities of the calling thread for a while: they stay permitted, to be taken back.
 */

import koffi from "koffi";
import { CAPABILITY_BITS } from "../../src/diagnosis/task.ts";
import type { Capability } from "./trial.ts";

/** _LINUX_CAPABILITY_VERSION_3 (include/uapi/linux/capability.h) */
const CAPABILITY_VERSION = 0x20080522;
/** Where the effective set's two halves lie: of effective, permitted, inheritable, twice. */
const EFFECTIVE = [0, 3] as const;

const libc = koffi.load(null);
const capget = libc.func("capget", "int", ["void *", "void *"]);
const capset = libc.func("capset", "int", ["void *", "void *"]);

/** Runs a synchronous function while this thread has these effective capabilities and no others. */
export function withCapabilities<T>(capabilities: readonly Capability[], call: () => T): T {
  const header = Uint32Array.of(CAPABILITY_VERSION, 0);
  const sets = new Uint32Array(6);
  if (capget(header, sets) < 0) throw new RangeError("capget is refused");
  let wanted = 0n;
  for (const name of capabilities) wanted |= 1n << BigInt(CAPABILITY_BITS[name]);
  const chosen = sets.slice();
  chosen[EFFECTIVE[0]] = Number(wanted & 0xffff_ffffn);
  chosen[EFFECTIVE[1]] = Number(wanted >> 32n);
  if (capset(header, chosen) < 0) throw new RangeError("capset is refused");
  try {
    return call();
  } finally {
    if (capset(header, sets) < 0) process.abort();
  }
}
