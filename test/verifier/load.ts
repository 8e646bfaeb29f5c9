/** Loading a program without a log: only the verdict counts. */

import { PROG_LOAD } from "../../src/abi/attr.ts";
import { BPF_PROG_LOAD } from "../../src/abi/bpf.ts";
import { encode } from "../../src/abi/layout.ts";
import type { Kernel } from "../../src/kernel.ts";

/** 0 when the kernel accepts it, which lets go of it at once; else a negative errno. */
export function load(
  kernel: Kernel,
  { type, attachType }: { readonly type: number; readonly attachType: number },
  instructions: Uint8Array,
): number {
  const license = Uint8Array.from([0x47, 0x50, 0x4c, 0]);
  const attr = encode(PROG_LOAD, {
    prog_type: type,
    insn_cnt: instructions.length / 8,
    insns: kernel.addressOf(instructions),
    license: kernel.addressOf(license),
    expected_attach_type: attachType,
  });
  const result = kernel.bpf(BPF_PROG_LOAD, attr);
  if (result < 0) return result;
  kernel.close(result);
  return 0;
}
