/**
 * What can be said of one instruction by itself: reserved fields, register numbers, helpers.
 * Mirrors the checks of do_check() in kernel/bpf/verifier.c that need to know no register's state.
 */

import { BPF_PROG_TYPE_SOCKET_FILTER } from "../../abi/bpf.ts";
import { EACCES, EINVAL } from "../../abi/errno.ts";
import * as I from "../../abi/insn.ts";
import { type Instruction, isLoadImm64 } from "../../asm/index.ts";
import { type CallingProgram, helperFault } from "./helpers_allowed.ts";
import type { VerifierLog } from "./log.ts";
import type { Subprogram } from "./subprograms.ts";

/** What is known of the program as a whole. */
export interface Surroundings extends CallingProgram {
  /** Whether a function may be handed to a helper as a callback; null without func_info. */
  readonly isStatic: ((start: number) => boolean) | null;
}

/** Why an instruction is refused. */
export interface InstructionFault {
  readonly errno: number;
  readonly text: string;
  /** Registers that Linux reads before it notices. */
  readonly reads?: readonly number[];
}

type Refusal = InstructionFault;

/** What is wrong with an instruction by itself; null when nothing is. */
export function instructionFault(
  insn: Instruction,
  slot: number,
  around: Surroundings,
): InstructionFault | null {
  return check(insn, slot, around);
}

function check(insn: Instruction, slot: number, around: Surroundings): Refusal | null {
  switch (I.BPF_CLASS(insn.opcode)) {
    case I.BPF_ALU:
    case I.BPF_ALU64:
      return checkAlu(insn);
    case I.BPF_LDX:
      return readable(insn.src) ?? after(writable(insn.dst), insn.src);
    case I.BPF_STX:
      return I.BPF_MODE(insn.opcode) === I.BPF_ATOMIC ? checkAtomic(insn) : checkStore(insn);
    case I.BPF_ST:
      return insn.src === 0 ? readable(insn.dst) : reserved("BPF_ST");
    case I.BPF_LD:
      return isLoadImm64(insn) ? checkImm64(insn, slot, around) : checkLdAbs(insn, around.type);
    default:
      return checkJump(insn, around);
  }
}

function reserved(what: string): Refusal {
  return { errno: EINVAL, text: `${what} uses reserved fields` };
}

/** The same, noticed only when a register was read. */
function after(refusal: Refusal | null, register: number): Refusal | null {
  return refusal === null ? null : { ...refusal, reads: [register] };
}

function readable(register: number): Refusal | null {
  if (register < I.MAX_BPF_REG) return null;
  return { errno: EINVAL, text: `R${register} is invalid` };
}

function writable(register: number): Refusal | null {
  if (register !== I.BPF_REG_10) return readable(register);
  return { errno: EACCES, text: "frame pointer is read only" };
}

/** Analogous to check_alu_op() in Linux. */
function checkAlu(insn: Instruction): Refusal | null {
  const operation = I.BPF_OP(insn.opcode);
  if (operation === I.BPF_NEG || operation === I.BPF_END) return checkUnary(insn, operation);
  if (operation === I.BPF_MOV) return checkMov(insn);
  const { opcode, dst, src, off, imm } = insn;
  const divides = operation === I.BPF_DIV || operation === I.BPF_MOD;
  const fromRegister = I.BPF_SRC(opcode) === I.BPF_X;
  const unused = fromRegister ? imm : src;
  if (unused !== 0 || !(off === 0 || (off === 1 && divides))) return reserved("BPF_ALU");
  const refusal = fromRegister ? (readable(src) ?? after(readable(dst), src)) : readable(dst);
  if (refusal !== null) return refusal;
  if (!fromRegister && divides && imm === 0) {
    return after({ errno: EINVAL, text: "div by zero" }, dst);
  }
  if (!fromRegister && isShift(operation)) {
    const bits = I.BPF_CLASS(opcode) === I.BPF_ALU64 ? 64 : 32;
    if (imm < 0 || imm >= bits) {
      return after({ errno: EINVAL, text: `invalid shift ${imm}` }, dst);
    }
  }
  return writable(dst);
}

function isShift(operation: number): boolean {
  return operation === I.BPF_LSH || operation === I.BPF_RSH || operation === I.BPF_ARSH;
}

function checkUnary({ dst, src, off, imm }: Instruction, operation: number): Refusal | null {
  const isEnd = operation === I.BPF_END;
  const immIsGood = isEnd ? imm === 16 || imm === 32 || imm === 64 : imm === 0;
  if (src !== 0 || off !== 0 || !immIsGood) return reserved(isEnd ? "BPF_END" : "BPF_NEG");
  return writable(dst);
}

/** A move may extend a sign: `off` is then the number of bits it begins with. */
function checkMov({ opcode, dst, src, off, imm }: Instruction): Refusal | null {
  if (I.BPF_SRC(opcode) === I.BPF_K) {
    return src === 0 && off === 0 ? writable(dst) : reserved("BPF_MOV");
  }
  const is64 = I.BPF_CLASS(opcode) === I.BPF_ALU64;
  if (is64 && off === I.BPF_ADDR_SPACE_CAST) return refuseCast(imm);
  const extends_ = off === 8 || off === 16 || (off === 32 && is64);
  if (imm !== 0 || !(off === 0 || extends_)) return reserved("BPF_MOV");
  return readable(src) ?? after(writable(dst), src);
}

function refuseCast(imm: number): Refusal {
  const text =
    imm === 1 || imm === 1 << 16
      ? "addr_space_cast insn can only be used in a program that has an associated arena"
      : "addr_space_cast insn can only convert between address space 1 and 0";
  return { errno: EINVAL, text };
}

function checkStore({ dst, src, imm }: Instruction): Refusal | null {
  return imm === 0 ? (readable(src) ?? after(readable(dst), src)) : reserved("BPF_STX");
}

const READ_MODIFY_WRITE: ReadonlySet<number> = new Set([
  ...[I.BPF_ADD, I.BPF_AND, I.BPF_OR, I.BPF_XOR].flatMap((op) => [op, op | I.BPF_FETCH]),
  I.BPF_XCHG,
  I.BPF_CMPXCHG,
]);

/** Analogous to check_atomic() in Linux. */
function checkAtomic({ opcode, dst, src, imm }: Instruction): Refusal | null {
  if (imm === I.BPF_LOAD_ACQ) return readable(src) ?? after(writable(dst), src);
  if (imm === I.BPF_STORE_REL) return readable(src) ?? after(readable(dst), src);
  if (!READ_MODIFY_WRITE.has(imm)) {
    const hex = (imm >>> 0).toString(16).padStart(2, "0");
    return { errno: EINVAL, text: `BPF_ATOMIC uses invalid atomic opcode ${hex}` };
  }
  const size = I.BPF_SIZE(opcode);
  if (size !== I.BPF_W && size !== I.BPF_DW) {
    return { errno: EINVAL, text: "invalid atomic operand size" };
  }
  const refusal = readable(src) ?? after(readable(dst), src);
  if (refusal !== null || (imm & I.BPF_FETCH) === 0) return refusal;
  return imm === I.BPF_CMPXCHG ? null : writable(src);
}

function checkImm64(
  { dst, src, off, imm }: Instruction,
  slot: number,
  { isStatic }: Surroundings,
): Refusal | null {
  if (off !== 0) return reserved("BPF_LD_IMM64");
  const refusal = writable(dst);
  if (refusal !== null || src !== I.BPF_PSEUDO_FUNC) return refusal;
  if (isStatic === null) return { errno: EINVAL, text: "missing btf func_info" };
  if (isStatic(slot + imm + 1)) return null;
  return { errno: EINVAL, text: "callback function not static" };
}

/** Analogous to check_ld_abs() in Linux. */
function checkLdAbs({ opcode, dst, src, off }: Instruction, progType: number): Refusal | null {
  if (progType !== BPF_PROG_TYPE_SOCKET_FILTER) {
    const text = "BPF_LD_[ABS|IND] instructions not allowed for this program type";
    return { errno: EINVAL, text };
  }
  const isAbs = I.BPF_MODE(opcode) === I.BPF_ABS;
  if (dst !== 0 || off !== 0 || (isAbs && src !== 0)) return reserved("BPF_LD_[ABS|IND]");
  return after(readable(src), I.BPF_REG_6);
}

function checkJump(insn: Instruction, around: Surroundings): Refusal | null {
  const { opcode, dst, src, off, imm } = insn;
  switch (I.BPF_OP(opcode)) {
    case I.BPF_CALL:
      if (dst !== 0 || off !== 0 || src > I.BPF_PSEUDO_CALL) return reserved("BPF_CALL");
      return src === 0 ? checkHelper(imm, around) : null;
    case I.BPF_EXIT:
      return dst === 0 && src === 0 && imm === 0 ? null : reserved("BPF_EXIT");
    case I.BPF_JA: {
      const unused = I.BPF_CLASS(opcode) === I.BPF_JMP32 ? off : imm;
      return dst === 0 && src === 0 && unused === 0 ? null : reserved("BPF_JA");
    }
    case I.BPF_JCOND:
      if (src === I.BPF_MAY_GOTO && dst === 0 && imm === 0) return null;
      return { errno: EINVAL, text: `invalid may_goto imm ${imm}` };
    default: {
      const fromRegister = I.BPF_SRC(opcode) === I.BPF_X;
      if ((fromRegister ? imm : src) !== 0) {
        return readable(dst) ?? after(reserved("BPF_JMP/JMP32"), dst);
      }
      return readable(dst) ?? (fromRegister ? after(readable(src), dst) : null);
    }
  }
}

function checkHelper(id: number, caller: CallingProgram): Refusal | null {
  const text = helperFault(id, caller);
  return text === null ? null : { errno: EINVAL, text };
}

/** LD_ABS and tail calls end a function early, which only a main function may do without BTF. */
export function checkAbnormalReturn(subprograms: readonly Subprogram[], log: VerifierLog): number {
  for (const { hasLdAbs, hasTailCall } of subprograms.slice(1)) {
    if (hasLdAbs) return log.refuse(EINVAL, "LD_ABS is not allowed in subprogs without BTF");
    if (hasTailCall) return log.refuse(EINVAL, "tail_call is not allowed in subprogs without BTF");
  }
  return 0;
}
