/**
 * A network namespace for this process alone.
 */

import type { Kernel } from "../kernel.ts";
import { NetNs } from "../netns.ts";

/**
 * Creates a namespace that nothing but its fd holds: whatever becomes of this process, nothing is
 * left behind. On Linux it bears its name for a moment, so the name must not be anybody's.
 */
export function privateNamespace(kernel: Kernel, name: string): NetNs {
  const unique = kernel.name === "linux" ? `nslink-${process.pid}-${name}` : name;
  const netns = NetNs.create(kernel, unique);
  NetNs.remove(kernel, unique);
  return netns;
}
