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
  BPF_SIZE,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { SKF_LL_OFF, SKF_NET_OFF } from "../interpreter/legacy_packet.ts";
import { swap32 } from "./alu.ts";
import { Code } from "./code.ts";
import { type FunctionWriter, stateField } from "./function.ts";
import { ACCESSES } from "./load_store.ts";
import type { STATE } from "./run_state.ts";
import { I32 } from "./wasm.ts";

/** Writes a packet load; false when the instruction is none. */
export function writeLegacyPacket(writer: FunctionWriter, insn: Instruction): boolean {
  const { opcode, src, imm } = insn;
  const { code, address } = writer;
  const mode = BPF_MODE(opcode);
  if (BPF_CLASS(opcode) !== BPF_LD || (mode !== BPF_ABS && mode !== BPF_IND)) return false;
  const size = ACCESSES.get(BPF_SIZE(opcode))?.size ?? 8;
  if (size === 8) return false;
  writer.stateBase();
  code.i32(imm);
  if (mode === BPF_IND) {
    writer.get32(src);
    code.op("i32.add");
  }
  code.i32(size);
  code.call(writer.program.packetAddress());
  code.tee(address);
  code.op("i32.eqz");
  code.open("if");
  code.i64(0);
  code.op("return");
  code.end();
  code.get(address);
  code.access(size === 1 ? "i32.load8_u" : size === 2 ? "i32.load16_u" : "i32.load", 0);
  if (size > 1) swap32(writer);
  if (size === 2) {
    code.i32(16);
    code.op("i32.shr_u");
  }
  writer.set32(BPF_REG_0);
  return true;
}

// Parameters and local of the function below.
const STATE_BASE = 0;
const OFFSET = 1;
const SIZE = 2;
const ADDRESS = 3;

/**
 * The function (state base, offset, size) -> address in the packet, or 0 outside of it; all i32. A
 * run without a packet traps. It has one i32 local. Analogous to
 * bpf_internal_load_pointer_neg_helper() in Linux.
 */
export function packetAddressCode(): Code {
  const code = new Code();
  const field = (name: keyof typeof STATE): void => {
    code.get(STATE_BASE);
    code.access("i32.load", stateField(name));
  };
  /** Leaves field + (offset - from). */
  const from = (name: keyof typeof STATE, start: number): void => {
    field(name);
    code.get(OFFSET);
    code.i32(start);
    code.op("i32.sub", "i32.add");
  };
  const atLeast = (start: number): void => {
    code.get(OFFSET);
    code.i32(start);
    code.op("i32.ge_s");
    code.open("if", I32);
  };
  field("skb_tail");
  code.op("i32.eqz");
  code.open("if");
  code.op("unreachable");
  code.end();
  atLeast(0);
  from("skb_data", 0);
  code.else();
  atLeast(SKF_NET_OFF);
  from("skb_network", SKF_NET_OFF);
  code.else();
  atLeast(SKF_LL_OFF);
  from("skb_head", SKF_LL_OFF);
  code.else();
  code.i32(0);
  code.end();
  code.end();
  code.end();
  code.set(ADDRESS);
  // 0 unless head <= address and size <= tail - address, without a sum that could wrap around.
  code.get(ADDRESS);
  code.i32(0);
  code.get(ADDRESS);
  field("skb_head");
  code.op("i32.ge_u");
  code.get(ADDRESS);
  field("skb_tail");
  code.op("i32.le_u", "i32.and");
  field("skb_tail");
  code.get(ADDRESS);
  code.op("i32.sub");
  code.get(SIZE);
  code.op("i32.ge_u", "i32.and", "select");
  return code;
}
