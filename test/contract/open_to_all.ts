/**
 * Whether this machine's Linux lets tasks without CAP_BPF make programs and maps. No test changes
 * that: it is a setting of the whole machine.
 */

import { describe, test } from "vitest";
import type { UnprivilegedBpf } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { reasonNotToUseLinux } from "./linux_available.ts";

const SYSCTL = "kernel.unprivileged_bpf_disabled";

/** What the sysctl is. */
export function unprivilegedBpf(kernel: Kernel): UnprivilegedBpf {
  const text = kernel.readText(`/proc/sys/${SYSCTL.replace(".", "/")}`);
  const value = typeof text === "string" ? Number.parseInt(text, 10) : Number.NaN;
  if (value === 0 || value === 1 || value === 2) return value;
  throw new RangeError(`${SYSCTL} is ${text}, and not 0, 1 or 2`);
}

/** Why a Linux that can be used doesn't let them, or null. */
export function reasonKeptOut(kernel: Kernel): string | null {
  const value = unprivilegedBpf(kernel);
  return value === 0 ? null : `${SYSCTL} is ${value}, and not 0`;
}

/** Registers tests that need a Linux open to all, or prints why they are skipped. */
export async function describeOnOpenLinux(
  title: string,
  register: () => void | Promise<void>,
): Promise<void> {
  const reason = (await reasonNotToUseLinux()) ?? (await keptOut());
  if (reason === null) {
    describe(title, register);
    return;
  }
  const message = `not run on Linux: ${title}: ${reason}`;
  console.warn(message);
  test.skip(message, () => {});
}

async function keptOut(): Promise<string | null> {
  using kernel = await openLinuxKernel();
  return reasonKeptOut(kernel);
}
