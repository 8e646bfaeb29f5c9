/**
 * bpf_loop: a loop whose body is a function.
 */

import { E2BIG, EINVAL } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4 } from "../../abi/insn.ts";
import type { Helper } from "./helper.ts";

/** BPF_MAX_LOOPS in Linux: rounds of bpf_loop, and those that a function's may_gotos grant. */
export const MAX_LOOPS: number = 1 << 23;

/**
 * long bpf_loop(nr_loops, callback, callback_ctx, flags): how many times the callback ran. It is
 * called with (index, ctx) and ends the loop by returning 1.
 */
const loop: Helper = (caller, registers) => {
  const count = registers.low(BPF_REG_1);
  const callback = caller.functionSlot(BPF_REG_2);
  const context = registers.get(BPF_REG_3);
  if (registers.get(BPF_REG_4) !== 0n) return -EINVAL;
  if (count > MAX_LOOPS) return -E2BIG;
  for (let index = 0; index < count; index++) {
    if (caller.callFunction(callback, index, context) !== 0n) return index + 1;
  }
  return count;
};

export const LOOP_HELPERS: ReadonlyMap<number, Helper> = new Map([[BPF_FUNC.loop, loop]]);
