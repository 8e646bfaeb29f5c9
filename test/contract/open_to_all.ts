/**
 * Whether this machine's Linux lets tasks without CAP_BPF make programs and maps. No test changes
 * that: it is a setting of the whole machine. `.ci/run` does, for a while.
 */

import { describe, expect, test } from "vitest";
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
  if (value === 0) return null;
  const change = value === 1 ? "only booting again changes that" : "`.ci/run` sets it for a while";
  return `${SYSCTL} is ${value}, and not 0; ${change}`;
}

/**
 * Registers tests that need a Linux open to all, or prints why they are skipped. With
 * NSLINK_REQUIRE_OPEN_LINUX=1 in the environment they fail instead.
 */
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
  test.skipIf(process.env.NSLINK_REQUIRE_OPEN_LINUX !== "1")(message, () => {
    expect.fail(message);
  });
}

async function keptOut(): Promise<string | null> {
  using kernel = await openLinuxKernel();
  return reasonKeptOut(kernel);
}
