/**
 * Links: numbers with the same id are made of one number, so that what is learnt of one holds for
 * the others. A number with that id is
 * - that number itself, in all 64 bits (sumWidth 0);
 * - the number plus `off`, in all 64 bits (sumWidth 64);
 * - the lower half of the number plus `off`, zero-extended (sumWidth 32); then the number's upper
 *   half is 0, without which nothing would follow for it from such a sum.
 */

import * as I from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import * as B from "./bounds.ts";
import { isOneValue } from "./compare.ts";
import type { Register } from "./register.ts";

/** Whether a sum of so many bits with the number may stay linked to the number's copies. */
export function isLinkable({ id, sumWidth, bounds }: Register, is64: boolean): boolean {
  return id !== 0 && sumWidth === 0 && (is64 || bounds.umaxHigh === 0);
}

/** What an instruction adds to a number, when that is one s32; else null. */
export function distance(
  { opcode, dst, src }: Instruction,
  by: Readonly<B.Bounds>,
  is64: boolean,
): number | null {
  const operation = I.BPF_OP(opcode);
  if (operation !== I.BPF_ADD && operation !== I.BPF_SUB) return null;
  if (I.BPF_SRC(opcode) === I.BPF_X && src === dst) return null;
  if (!isOneValue(by, !is64)) return null;
  const value = by.bits.valueLow;
  if (is64 && by.bits.valueHigh !== value >> 31) return null;
  if (operation === I.BPF_ADD) return value;
  return value === B.S32_MIN ? null : 0 - value;
}
