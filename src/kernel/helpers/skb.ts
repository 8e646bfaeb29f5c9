/**
 * Helpers on socket buffers.
 */

import { EFAULT } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3, BPF_REG_4 } from "../../abi/insn.ts";
import type { Helper } from "./helper.ts";

const INT_MAX = 0x7fff_ffff;

/**
 * long bpf_skb_load_bytes(skb, offset, to, len): 0, or -EFAULT and a zeroed buffer where the packet
 * doesn't reach or there is no socket buffer (a flow dissector on a bare frame).
 */
const skbLoadBytes: Helper = (caller, registers) => {
  caller.checkContext(BPF_REG_1);
  const offset = registers.low(BPF_REG_2);
  const to = caller.address(BPF_REG_3, 0);
  const size = registers.low(BPF_REG_4);
  caller.checkWrite(to, size);
  const { skb, bytes } = caller;
  if (skb === null || offset > INT_MAX || skb.data + offset + size > skb.tail) {
    bytes.fill(0, to, to + size);
    return -EFAULT;
  }
  bytes.copyWithin(to, skb.data + offset, skb.data + offset + size);
  return 0;
};

export const SKB_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.skb_load_bytes, skbLoadBytes],
]);
