/**
 * Calls that have to succeed: a refusal is diagnosed and thrown.
 */

import type { Layout, Values } from "../abi/layout.ts";
import { bpfResult } from "../call.ts";
import { BpfError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import type { About, AttrFields } from "./cause.ts";
import { diagnose } from "./diagnose.ts";

/**
 * The error for a refused call, with its cause.
 *
 * @param command - BPF_… by number, or the name of another call of the seam.
 * @param result - the negative errno.
 * @param attr - what the call was made with, as fields of the attr.
 */
export function refusal(
  kernel: Kernel,
  command: number | string,
  result: number,
  attr: AttrFields = {},
  about: About = {},
): BpfError {
  const diagnosis = diagnose({ kernel, command, errno: -result, attr, about });
  return new BpfError(command, result, diagnosis ?? "");
}

/**
 * Calls bpf(2).
 *
 * @param about - what the caller knows of the call, for the diagnosis of a refusal.
 * @returns what the call returned, 0 or more.
 * @throws {BpfError} when the kernel refuses.
 */
export function callBpf<L extends Layout>(
  kernel: Kernel,
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
  about: About = {},
): number {
  const result = bpfResult(kernel, cmd, layout, values);
  if (result < 0) throw refusal(kernel, cmd, result, values as AttrFields, about);
  return result;
}

/**
 * The result of another call of the seam.
 *
 * @param attr - what the call was made with: `fd`.
 * @throws {BpfError} when it is a negative errno.
 */
export function check(
  kernel: Kernel,
  name: string,
  result: number,
  about: About = {},
  attr: AttrFields = {},
): number {
  if (result < 0) throw refusal(kernel, name, result, attr, about);
  return result;
}
