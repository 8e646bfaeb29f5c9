/**
 * Which registers are read later on, for every instruction: found once, backwards over the control
 * flow. Analogous to compute_live_registers() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import { type Instruction, isLoadImm64, jumpOffset } from "../../asm/index.ts";
import { PROTOTYPES } from "./helper_prototypes.ts";

const ALL = 0x7ff;
const CALLER_SAVED = 0b11_1111;
const ARGUMENTS = 0b11_1110;

/** Registers that an instruction reads, and those that it writes. */
interface Effect {
  readonly uses: number;
  readonly defines: number;
}

function bit(register: number): number {
  return 1 << register;
}

function effectOf(insn: Instruction): Effect {
  const { opcode, dst, src } = insn;
  const byRegister = I.BPF_SRC(opcode) === I.BPF_X;
  switch (I.BPF_CLASS(opcode)) {
    case I.BPF_LD:
      return isLoadImm64(insn) ? { uses: 0, defines: bit(dst) } : { uses: ALL, defines: 0 };
    case I.BPF_LDX:
      return { uses: bit(src), defines: bit(dst) };
    case I.BPF_ST:
      return { uses: bit(dst), defines: 0 };
    case I.BPF_STX:
      return effectOfStore(insn);
    case I.BPF_ALU:
    case I.BPF_ALU64: {
      const operation = I.BPF_OP(opcode);
      if (operation === I.BPF_MOV) return { uses: byRegister ? bit(src) : 0, defines: bit(dst) };
      const isUnary = operation === I.BPF_NEG || operation === I.BPF_END;
      return { uses: bit(dst) | (byRegister && !isUnary ? bit(src) : 0), defines: bit(dst) };
    }
    default:
      return effectOfJump(insn);
  }
}

function effectOfStore({ opcode, dst, src, imm }: Instruction): Effect {
  const uses = bit(dst) | bit(src);
  if (I.BPF_MODE(opcode) !== I.BPF_ATOMIC || imm === I.BPF_STORE_REL) return { uses, defines: 0 };
  if (imm === I.BPF_LOAD_ACQ) return { uses: bit(src), defines: bit(dst) };
  if (imm === I.BPF_CMPXCHG) return { uses: uses | 1, defines: 1 };
  return { uses, defines: (imm & I.BPF_FETCH) === 0 ? 0 : bit(src) };
}

function effectOfJump({ opcode, dst, src, imm }: Instruction): Effect {
  switch (I.BPF_OP(opcode)) {
    case I.BPF_JA:
    case I.BPF_JCOND:
      return { uses: 0, defines: 0 };
    case I.BPF_EXIT:
      return { uses: 1, defines: 0 };
    case I.BPF_CALL: {
      const count = src === 0 ? PROTOTYPES.get(imm)?.arguments.length : undefined;
      return {
        uses: count === undefined ? ARGUMENTS : (bit(count) - 1) << 1,
        defines: CALLER_SAVED,
      };
    }
    default:
      return { uses: bit(dst) | (I.BPF_SRC(opcode) === I.BPF_X ? bit(src) : 0), defines: 0 };
  }
}

/** Where control may go within the function. */
function successors(insn: Instruction, slot: number): readonly number[] {
  const { opcode } = insn;
  const jumps = I.BPF_CLASS(opcode) === I.BPF_JMP || I.BPF_CLASS(opcode) === I.BPF_JMP32;
  const next = slot + (isLoadImm64(insn) ? 2 : 1);
  if (!jumps) return [next];
  if (I.BPF_OP(opcode) === I.BPF_EXIT) return [];
  const offset = jumpOffset(insn);
  if (offset === undefined) return [next];
  const target = slot + offset + 1;
  return I.BPF_OP(opcode) === I.BPF_JA ? [target] : [next, target];
}

/** By slot: a mask of the registers that are read before they are written. */
export function liveRegisters(insns: readonly Instruction[]): Uint16Array {
  const live = new Uint16Array(insns.length);
  const effects = insns.map(effectOf);
  const followers = insns.map(successors);
  for (let changed = true; changed; ) {
    changed = false;
    for (let slot = insns.length - 1; slot >= 0; slot--) {
      const { uses, defines } = effects[slot] as Effect;
      let after = 0;
      for (const follower of followers[slot] as readonly number[]) after |= live[follower] ?? 0;
      const before = uses | (after & ~defines);
      if (before === live[slot]) continue;
      live[slot] = before;
      changed = true;
    }
  }
  return live;
}
