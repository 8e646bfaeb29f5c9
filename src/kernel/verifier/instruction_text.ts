/**
 * Instructions as Linux's log writes them: `(61) r2 = *(u32 *)(r1 +4)`. Mirrors
 * print_bpf_insn() in kernel/bpf/disasm.c; whatever can be walked has such a text, valid or not.
 */

import { helperName } from "../../abi/helpers.ts";
import * as I from "../../abi/insn.ts";
import { type Instruction, loadImm64Value } from "../../asm/index.ts";

// By BPF_OP() >> 4.
// biome-ignore format: a table
const ARITHMETIC = [
  "+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian",
];
const SIGNED_DIV = "s/=";
const SIGNED_MOD = "s%=";
// biome-ignore format: a table
const COMPARISONS = [
  "jmp", "==", ">", ">=", "&", "!=", "s>", "s>=", "call", "exit", "<", "<=", "s<", "s<=",
];
const FETCHES: Readonly<Record<number, string>> = {
  [I.BPF_ADD]: "add",
  [I.BPF_AND]: "and",
  [I.BPF_OR]: "or",
  [I.BPF_XOR]: "xor",
};
/** `off` of a move that only the kernel makes (BPF_ADDR_PERCPU). */
const PERCPU_ADDRESS = -1;
const SIGN_EXTENSIONS: Readonly<Record<number, string>> = { 8: "(s8)", 16: "(s16)", 32: "(s32)" };
/** By BPF_SIZE() >> 3. */
const SIZES = ["u32", "u16", "u8", "u64"];
const SIGNED_SIZES = ["s32", "s16", "s8", "s64"];

function hex(value: number): string {
  return value.toString(16).padStart(2, "0");
}

function withSign(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

function place(register: number, off: number, opcode: number): string {
  return `*(${SIZES[I.BPF_SIZE(opcode) >> 3]} *)(r${register} ${withSign(off)})`;
}

/** A place as atomic operations take it. */
function operand(register: number, off: number, opcode: number): string {
  return place(register, off, opcode).slice(1);
}

/**
 * The instruction's text.
 *
 * @param second - the slot after it. @param showsPointers - addresses are no secret.
 */
export function instructionText(
  insn: Instruction,
  second: Instruction | undefined,
  showsPointers: boolean,
): string {
  const text = bodyOf(insn, second, showsPointers);
  return text.startsWith("BUG_") ? text : `(${hex(insn.opcode)}) ${text}`;
}

function bodyOf(
  insn: Instruction,
  second: Instruction | undefined,
  showsPointers: boolean,
): string {
  switch (I.BPF_CLASS(insn.opcode)) {
    case I.BPF_ALU:
    case I.BPF_ALU64:
      return aluText(insn);
    case I.BPF_LDX:
      return loadText(insn);
    case I.BPF_STX:
      return I.BPF_MODE(insn.opcode) === I.BPF_MEM
        ? `${place(insn.dst, insn.off, insn.opcode)} = r${insn.src}`
        : atomicText(insn);
    case I.BPF_ST:
      if (I.BPF_MODE(insn.opcode) !== I.BPF_MEM) return `BUG_st_${hex(insn.opcode)}`;
      return `${place(insn.dst, insn.off, insn.opcode)} = ${insn.imm}`;
    case I.BPF_LD:
      return immediateLoadText(insn, second, showsPointers);
    default:
      return jumpText(insn);
  }
}

function aluText({ opcode, dst, src, off, imm }: Instruction): string {
  const is64 = I.BPF_CLASS(opcode) === I.BPF_ALU64;
  const letter = is64 ? "r" : "w";
  const operation = I.BPF_OP(opcode);
  if (operation === I.BPF_END) {
    if (is64) return `r${dst} = bswap${imm} r${dst}`;
    const order = I.BPF_SRC(opcode) === I.BPF_TO_BE ? "be" : "le";
    return `r${dst} = ${order}${imm} r${dst}`;
  }
  if (operation === I.BPF_NEG) return `${letter}${dst} = -${letter}${dst}`;
  const divides = operation === I.BPF_DIV || operation === I.BPF_MOD;
  let sign = ARITHMETIC[operation >> 4] ?? "";
  if (divides && off === 1) sign = operation === I.BPF_DIV ? SIGNED_DIV : SIGNED_MOD;
  if (I.BPF_SRC(opcode) === I.BPF_K) return `${letter}${dst} ${sign} ${imm}`;
  if (operation === I.BPF_MOV && is64 && off === I.BPF_ADDR_SPACE_CAST) {
    return `r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`;
  }
  if (operation === I.BPF_MOV && is64 && off === PERCPU_ADDRESS) {
    return `r${dst} = &(void __percpu *)(r${src})`;
  }
  const extension = operation === I.BPF_MOV ? (SIGN_EXTENSIONS[off] ?? "") : "";
  return `${letter}${dst} ${sign} ${extension}${letter}${src}`;
}

function loadText({ opcode, dst, src, off }: Instruction): string {
  const mode = I.BPF_MODE(opcode);
  if (mode !== I.BPF_MEM && mode !== I.BPF_MEMSX) return `BUG_ldx_${hex(opcode)}`;
  const size = (mode === I.BPF_MEM ? SIZES : SIGNED_SIZES)[I.BPF_SIZE(opcode) >> 3];
  return `r${dst} = *(${size} *)(r${src} ${withSign(off)})`;
}

function atomicText({ opcode, dst, src, off, imm }: Instruction): string {
  const width = I.BPF_SIZE(opcode) === I.BPF_DW ? "64" : "";
  if (I.BPF_MODE(opcode) !== I.BPF_ATOMIC) return `BUG_${hex(opcode)}`;
  const operation = FETCHES[imm & ~I.BPF_FETCH];
  if (operation !== undefined && (imm & I.BPF_FETCH) === 0) {
    return `lock ${place(dst, off, opcode)} ${ARITHMETIC[imm >> 4]} r${src}`;
  }
  if (operation !== undefined) {
    return `r${src} = atomic${width}_fetch_${operation}(${operand(dst, off, opcode)}, r${src})`;
  }
  switch (imm) {
    case I.BPF_CMPXCHG:
      return `r0 = atomic${width}_cmpxchg(${operand(dst, off, opcode)}, r0, r${src})`;
    case I.BPF_XCHG:
      return `r${src} = atomic${width}_xchg(${operand(dst, off, opcode)}, r${src})`;
    case I.BPF_LOAD_ACQ:
      return `r${dst} = load_acquire(${operand(src, off, opcode)})`;
    case I.BPF_STORE_REL:
      return `store_release(${operand(dst, off, opcode)}, r${src})`;
    default:
      return `BUG_${hex(opcode)}`;
  }
}

function immediateLoadText(
  insn: Instruction,
  second: Instruction | undefined,
  showsPointers: boolean,
): string {
  const { opcode, dst, src, imm } = insn;
  const size = SIZES[I.BPF_SIZE(opcode) >> 3];
  switch (I.BPF_MODE(opcode)) {
    case I.BPF_ABS:
      return `r0 = *(${size} *)skb[${imm}]`;
    case I.BPF_IND:
      return `r0 = *(${size} *)skb[r${src} + ${imm}]`;
    default: {
      if (opcode !== I.BPF_LD_IMM64 || second === undefined) return `BUG_ld_${hex(opcode)}`;
      const isPointer = src === I.BPF_PSEUDO_MAP_FD || src === I.BPF_PSEUDO_MAP_VALUE;
      const value = isPointer && !showsPointers ? 0n : loadImm64Value(insn, second);
      return `r${dst} = 0x${BigInt.asUintN(64, value).toString(16)}`;
    }
  }
}

function jumpText({ opcode, dst, src, off, imm }: Instruction): string {
  const letter = I.BPF_CLASS(opcode) === I.BPF_JMP32 ? "w" : "r";
  const isWide = letter === "r";
  const operation = I.BPF_OP(opcode);
  if (operation === I.BPF_CALL) {
    if (src === I.BPF_PSEUDO_CALL) return `call pc${withSign(imm)}`;
    if (src === 0 && imm === 0) return "call bpf_unspec#0";
    return `call ${(src === 0 ? helperName(imm) : undefined) ?? "unknown"}#${imm}`;
  }
  if (operation === I.BPF_JA && I.BPF_SRC(opcode) === I.BPF_K) {
    return isWide ? `goto pc${withSign(off)}` : `gotol pc${withSign(imm)}`;
  }
  if (operation === I.BPF_JCOND && isWide) return `may_goto pc${withSign(off)}`;
  if (operation === I.BPF_EXIT && isWide) return "exit";
  const right = I.BPF_SRC(opcode) === I.BPF_X ? `${letter}${src}` : `0x${(imm >>> 0).toString(16)}`;
  return `if ${letter}${dst} ${COMPARISONS[operation >> 4] ?? ""} ${right} goto pc${withSign(off)}`;
}
