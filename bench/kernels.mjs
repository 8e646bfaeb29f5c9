// The kernels to measure: the embedded one, and Linux where it can be had.

import { EmbeddedKernel } from "nslink/embedded";

/** @returns {Promise<Record<string, import("nslink").Kernel>>} */
export async function bootKernels() {
  const kernels = { embedded: EmbeddedKernel.boot() };
  try {
    const { openLinuxKernel } = await import("nslink/linux");
    kernels.linux = await openLinuxKernel();
  } catch (error) {
    console.log(`Linux is left out: ${error.message}`);
  }
  return kernels;
}
