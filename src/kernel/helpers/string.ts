/**
 * Helpers on strings.
 */

import { BPF_FUNC } from "../../abi/helpers.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3 } from "../../abi/insn.ts";
import type { Helper } from "./helper.ts";

/**
 * long bpf_strncmp(s1, s1_sz, s2): -1, 0 or 1. `s1` need not end with a NUL within its size; `s2`
 * is read up to its own.
 */
const strncmp: Helper = (caller, registers) => {
  const size = registers.low(BPF_REG_2);
  const first = caller.address(BPF_REG_1, 0);
  const second = caller.address(BPF_REG_3, 0);
  caller.checkRead(first, size);
  for (let i = 0; i < size; i++) {
    caller.checkRead(second + i, 1);
    const a = caller.view.getUint8(first + i);
    const b = caller.view.getUint8(second + i);
    if (a !== b) return a < b ? -1 : 1;
    if (a === 0) return 0;
  }
  return 0;
};

export const STRING_HELPERS: ReadonlyMap<number, Helper> = new Map([[BPF_FUNC.strncmp, strncmp]]);
