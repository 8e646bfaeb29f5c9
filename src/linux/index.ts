/**
 * The entry `nslink/linux`: loads what talks to real Linux, when it is asked for and not before.
 */

import { stat } from "node:fs/promises";
import { UnsupportedError } from "./errors.ts";
import type { LinuxKernel } from "./kernel.ts";

export { UnsupportedError, type UnsupportedOptions } from "./errors.ts";
export type { LinuxKernel } from "./kernel.ts";

/**
 * The kernel of this machine, behind the same interface as the embedded one.
 *
 *     using kernel = await openLinuxKernel();
 *
 * @throws {UnsupportedError} anywhere but on Linux on x86-64 or arm64, and without the optional
 *   package koffi. What this process may do is not asked here: the calls say EPERM.
 */
export async function openLinuxKernel(): Promise<LinuxKernel> {
  if (process.platform !== "linux") {
    throw new UnsupportedError({ feature: `bpf(2) on ${process.platform}`, since: "Linux" });
  }
  try {
    const linux = await import("./kernel.ts");
    // Node's pool of threads begins with the first call that needs one. Begun while this thread is
    // in another network namespace, they would stay there and keep it alive.
    await stat("/");
    return new linux.LinuxKernel();
  } catch (cause) {
    if (cause instanceof UnsupportedError) throw cause;
    throw new UnsupportedError({
      feature: "calling Linux",
      since: "the optional package koffi (npm install koffi)",
      cause,
    });
  }
}
