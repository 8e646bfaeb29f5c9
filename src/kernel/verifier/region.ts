/**
 * Memory with a beginning and an end: an access has to lie between them wherever its pointer
 * points. Analogous to check_mem_region_access() in kernel/bpf/verifier.c.
 */

import { EACCES } from "../../abi/errno.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import { Refusal } from "./refusal.ts";
import type { Register } from "./register.ts";
import * as W from "./words.ts";

/** No pointer may get further away from where it began. */
export const BPF_MAX_VAR_OFF: number = 1 << 29;

/** Memory with a beginning and an end: how the log speaks of it. */
export interface Extent {
  readonly size: number;
  readonly outside: (off: number, size: number) => string;
}

/** The variable part may be below 0. */
export function negative(register: number): Refusal {
  const advice = "either use unsigned index or do a if (index >=0) check.";
  return new Refusal(EACCES, `R${register} min value is negative, ${advice}`);
}

/** The access lies between beginning and end wherever the pointer points. */
export function checkRegion(
  register: number,
  { bounds }: Register,
  off: number,
  size: number,
  extent: Extent,
): void {
  const first = W.nearSigned(bounds.sminHigh, bounds.sminLow) + off;
  if (bounds.sminHigh < 0 && (first !== (first | 0) || first < 0)) {
    throw negative(register);
  }
  checkExtent(register, first, size, extent, "min");
  const umax = W.nearUnsigned(bounds.umaxHigh, bounds.umaxLow);
  if (umax >= BPF_MAX_VAR_OFF) {
    const advice = "make sure to bounds check any such access";
    const text = `R${register} unbounded memory access, ${advice}`;
    throw new Refusal(EACCES, text);
  }
  checkExtent(register, umax + off, size, extent, "max");
}

function checkExtent(
  register: number,
  off: number,
  size: number,
  extent: Extent,
  end: "min" | "max",
): void {
  if (off >= 0 && off + size <= extent.size) return;
  const text = `R${register} ${end} value is outside of the allowed memory range`;
  throw new Refusal(EACCES, `${extent.outside(off, size)}\n${text}`);
}

/** The access lies within a map's value, whatever the map lets programs do. */
export function checkValueRegion(
  register: number,
  pointer: Register,
  off: number,
  size: number,
): void {
  const { valueSize } = (pointer.map as BpfMap).facts;
  checkRegion(register, pointer, off, size, {
    size: valueSize,
    outside: (at, bytes) =>
      `invalid access to map value, value_size=${valueSize} off=${at} size=${bytes}`,
  });
}
