/**
 * Which registers are read later on, for every instruction: found once, backwards over the control
 * flow. Analogous to compute_live_registers() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import { type Instruction, isLoadImm64 } from "../../asm/index.ts";
import { type Flow, NOWHERE } from "./flow.ts";
import { PROTOTYPES } from "./helper_prototypes.ts";

const ALL = 0x7ff;
const CALLER_SAVED = 0b11_1111;
const ARGUMENTS = 0b11_1110;

/** Masks of the registers that an instruction reads and of those that it writes, in one number. */
function effect(uses: number, defines: number): number {
  return uses | (defines << DEFINES);
}

const DEFINES = 16;

function bit(register: number): number {
  return 1 << register;
}

function effectOf(insn: Instruction, isBad: boolean): number {
  const { opcode, dst, src } = insn;
  const byRegister = I.BPF_SRC(opcode) === I.BPF_X;
  switch (I.BPF_CLASS(opcode)) {
    case I.BPF_LD:
      return isLoadImm64(insn) ? effect(0, bit(dst)) : effect(ALL, 0);
    case I.BPF_LDX:
      return effect(bit(src), bit(dst));
    case I.BPF_ST:
      return effect(bit(dst), 0);
    case I.BPF_STX:
      return effectOfStore(insn);
    case I.BPF_ALU:
    case I.BPF_ALU64: {
      const operation = I.BPF_OP(opcode);
      if (operation === I.BPF_MOV) return effect(byRegister ? bit(src) : 0, bit(dst));
      const isUnary = operation === I.BPF_NEG || operation === I.BPF_END;
      return effect(bit(dst) | (byRegister && !isUnary ? bit(src) : 0), bit(dst));
    }
    default:
      return effectOfJump(insn, isBad);
  }
}

function effectOfStore({ opcode, dst, src, imm }: Instruction): number {
  const uses = bit(dst) | bit(src);
  if (I.BPF_MODE(opcode) !== I.BPF_ATOMIC || imm === I.BPF_STORE_REL) return effect(uses, 0);
  if (imm === I.BPF_LOAD_ACQ) return effect(bit(src), bit(dst));
  if (imm === I.BPF_CMPXCHG) return effect(uses | 1, 1);
  return effect(uses, (imm & I.BPF_FETCH) === 0 ? 0 : bit(src));
}

function effectOfJump({ opcode, dst, src, imm }: Instruction, isBad: boolean): number {
  switch (I.BPF_OP(opcode)) {
    case I.BPF_JA:
    case I.BPF_JCOND:
      return effect(0, 0);
    case I.BPF_EXIT:
      return effect(1, 0);
    case I.BPF_CALL: {
      const count = src === 0 && !isBad ? PROTOTYPES.get(imm)?.arguments.length : undefined;
      return effect(count === undefined ? ARGUMENTS : (bit(count) - 1) << 1, CALLER_SAVED);
    }
    default:
      return effect(bit(dst) | (I.BPF_SRC(opcode) === I.BPF_X ? bit(src) : 0), 0);
  }
}

/**
 * By slot: a mask of the registers that are read before they are written.
 *
 * @param isBad - whether the program may not call the helper: the call may then take anything.
 */
export function liveRegisters(
  insns: readonly Instruction[],
  { next, target, order, hasLoops }: Flow,
  isBad: (slot: number) => boolean = () => false,
): Uint16Array {
  const live = new Uint16Array(insns.length);
  for (let changed = true; changed; ) {
    changed = false;
    for (let at = 0; at < order.length; at++) {
      const slot = order[at] as number;
      const masks = effectOf(insns[slot] as Instruction, isBad(slot));
      const behind = next[slot] as number;
      const there = target[slot] as number;
      const after =
        (behind === NOWHERE ? 0 : (live[behind] as number)) |
        (there === NOWHERE ? 0 : (live[there] as number));
      const before = (masks & ALL) | (after & ~(masks >>> DEFINES));
      if (before === live[slot]) continue;
      live[slot] = before;
      changed = hasLoops;
    }
  }
  return live;
}
