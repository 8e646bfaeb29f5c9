/**
 * Whether tests can use this machine's kernel, and a loud word when they can't.
 */

import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BPF_LINK_GET_NEXT_ID } from "../../src/abi/bpf.ts";
import { ENOENT } from "../../src/abi/errno.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";

/** Why this machine's kernel can't be used, or null. */
export async function reasonNotToUseLinux(): Promise<string | null> {
  if (process.platform !== "linux") return `this is ${process.platform}, not Linux`;
  if (process.getuid?.() !== 0) return "this needs root";
  try {
    using kernel = await openLinuxKernel();
    const walked = kernel.bpf(BPF_LINK_GET_NEXT_ID, new Uint8Array(8));
    if (walked < 0 && walked !== -ENOENT) return `bpf(2) fails with errno ${-walked}`;
  } catch (error) {
    return String(error);
  }
  return existsSync("/proc/thread-self/ns/net") ? null : "/proc is not mounted";
}

/**
 * Registers tests that need Linux. Where it can't be used they are skipped with the reason
 * printed; with NSLINK_REQUIRE_LINUX=1 in the environment they fail instead.
 */
export async function describeOnLinux(
  title: string,
  register: () => void | Promise<void>,
): Promise<void> {
  const reason = await reasonNotToUseLinux();
  if (reason === null) {
    describe(title, register);
    return;
  }
  const message = `NOT RUN ON LINUX: ${title}: ${reason}`;
  const line = "!".repeat(message.length);
  console.warn(`\n${line}\n${message}\n${line}\n`);
  test.skipIf(process.env.NSLINK_REQUIRE_LINUX !== "1")(message, () => {
    expect.fail(message);
  });
}
