/**
 * LD_ABS and LD_IND, the packet loads of classic BPF: RFC 9669, section 5.5. Big-endian into r0; a
 * load outside of the packet ends the function with 0.
 */

import {
  BPF_ABS,
  BPF_CLASS,
  BPF_IND,
  BPF_LD,
  BPF_MODE,
  BPF_REG_0,
  BPF_REG_6,
  BPF_SIZE,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { Skb } from "../helpers/helper.ts";
import { ACCESS_BYTES } from "./load_store.ts";
import type { Step } from "./step.ts";

/**
 * Offsets from here on up to -1 count from the network header, those below from the link header.
 */
export const SKF_NET_OFF = -0x10_0000;
export const SKF_LL_OFF = -0x20_0000;

/** A step for a packet load; null when the instruction is none. */
export function decodeLegacyPacket(insn: Instruction, slot: number): Step | null {
  const { opcode, src, imm } = insn;
  const mode = BPF_MODE(opcode);
  if (BPF_CLASS(opcode) !== BPF_LD || (mode !== BPF_ABS && mode !== BPF_IND)) return null;
  const size = ACCESS_BYTES.get(BPF_SIZE(opcode)) ?? 8;
  if (size === 8) return null;
  const next = slot + 1;
  return (run) => {
    const { registers, skb } = run;
    if (skb === null) throw run.fault("loads from a packet in a run without one");
    run.checkContext(BPF_REG_6);
    const offset = mode === BPF_IND ? (registers.low(src) + imm) | 0 : imm;
    const address = locate(skb, offset);
    if (address === null || address < skb.head || address + size > skb.tail) {
      registers.setU32(BPF_REG_0, 0);
      return run.leave();
    }
    const { view } = run;
    if (size === 1) registers.setU32(BPF_REG_0, view.getUint8(address));
    else if (size === 2) registers.setU32(BPF_REG_0, view.getUint16(address, false));
    else registers.setU32(BPF_REG_0, view.getUint32(address, false));
    return next;
  };
}

/** Analogous to bpf_internal_load_pointer_neg_helper() in Linux for offsets below 0. */
function locate(skb: Skb, offset: number): number | null {
  if (offset >= 0) return skb.data + offset;
  if (offset >= SKF_NET_OFF) return skb.network + (offset - SKF_NET_OFF);
  if (offset >= SKF_LL_OFF) return skb.head + (offset - SKF_LL_OFF);
  return null;
}
