/**
 * One bpf(2) call: encode, call, decode, or throw.
 */

import { BPF_ATTR_SIZE } from "./abi/attr.ts";
import { EMFILE, ENOMEM } from "./abi/errno.ts";
import { decode, encode, endOf, type Layout, type Values } from "./abi/layout.ts";
import { BpfError } from "./errors.ts";
import type { Kernel } from "./kernel.ts";

/** What a call returned, and its attr afterwards. */
export interface Answer<L extends Layout> {
  /** 0 or an fd when the call succeeded, else a negative errno. */
  readonly result: number;
  /** The attr's fields, those that the kernel wrote among them. */
  readonly attr: Values<L>;
}

/** Calls bpf(2) and hands back whatever it said. */
export function tryBpf<L extends Layout>(
  kernel: Kernel,
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
): Answer<L> {
  const attr = encode(layout, values, BPF_ATTR_SIZE);
  const result = kernel.bpf(cmd, attr, endOf(layout));
  return { result, attr: decode(layout, attr) };
}

/**
 * Calls bpf(2).
 *
 * @param hint - asked for why and what to do when the call fails, with the positive errno.
 * @returns what the call returned, 0 or more.
 * @throws {BpfError} when the kernel refuses.
 */
export function callBpf<L extends Layout>(
  kernel: Kernel,
  cmd: number,
  layout: L,
  values: Partial<Values<L>>,
  hint: (errno: number) => string = () => "",
): number {
  const { result } = tryBpf(kernel, cmd, layout, values);
  if (result < 0) throw new BpfError(cmd, result, hint(-result) || commonHint(-result));
  return result;
}

/** What an errno means whatever the call; "" when that depends on it. */
function commonHint(errno: number): string {
  switch (errno) {
    case EMFILE:
      return "this task has no fd left; close some, or raise its limit";
    case ENOMEM:
      return "there is not enough memory for it";
    default:
      return "";
  }
}

/**
 * The result of another call of the seam.
 *
 * @param hint - asked for why and what to do when the call failed, with the positive errno.
 * @throws {BpfError} when it is a negative errno.
 */
export function check(
  name: string,
  result: number,
  hint: (errno: number) => string = () => "",
): number {
  if (result < 0) throw new BpfError(name, result, hint(-result) || commonHint(-result));
  return result;
}

/**
 * A string as the kernel reads it: UTF-8 and a NUL.
 *
 * @throws {TypeError} for a string with a NUL in it: the kernel would see only its start.
 */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} has a NUL in it`);
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before the first NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** An object's name as the kernel takes it: at most 15 bytes, what it doesn't allow as `_`. */
export function objectName(name: string): Uint8Array {
  const allowed = name.replaceAll(/[^A-Za-z0-9_.]/g, "_").slice(0, 15);
  return new TextEncoder().encode(allowed);
}
