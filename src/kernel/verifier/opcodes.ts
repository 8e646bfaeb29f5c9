/**
 * The opcodes that exist: bpf_opcode_in_insntable() in kernel/bpf/core.c of Linux 6.18.
 */

import {
  BPF_ABS,
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_H,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JMP,
  BPF_JMP32,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_K,
  BPF_LD,
  BPF_LD_IMM64,
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_TO_BE,
  BPF_TO_LE,
  BPF_W,
  BPF_X,
  BPF_XOR,
} from "../../abi/insn.ts";

// biome-ignore format: a list of names reads best filled
const BINARY = [
  BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV,
  BPF_ARSH,
];
// biome-ignore format: a list of names reads best filled
const CONDITIONAL = [
  BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT,
  BPF_JSLE,
];
const SIZES = [BPF_B, BPF_H, BPF_W, BPF_DW];
const NARROW_SIZES = [BPF_B, BPF_H, BPF_W];
const SOURCES = [BPF_K, BPF_X];

/** Every combination of one opcode part out of each list. */
function combine(...parts: readonly (readonly number[])[]): number[] {
  return parts.reduce<number[]>((made, part) => made.flatMap((a) => part.map((b) => a | b)), [0]);
}

/** By opcode: 1 where there is one. */
const exists = new Uint8Array(256);
for (const opcode of [
  ...combine([BPF_ALU, BPF_ALU64], BINARY, SOURCES),
  ...combine([BPF_ALU, BPF_ALU64], [BPF_NEG]),
  ...combine([BPF_ALU], [BPF_END], [BPF_TO_LE, BPF_TO_BE]),
  ...combine([BPF_ALU64], [BPF_END]),
  ...combine([BPF_JMP, BPF_JMP32], CONDITIONAL, SOURCES),
  ...combine([BPF_JMP, BPF_JMP32], [BPF_JA]),
  ...combine([BPF_JMP], [BPF_CALL, BPF_EXIT, BPF_JCOND]),
  ...combine([BPF_LDX, BPF_ST, BPF_STX], [BPF_MEM], SIZES),
  ...combine([BPF_LDX], [BPF_MEMSX], NARROW_SIZES),
  ...combine([BPF_STX], [BPF_ATOMIC], SIZES),
  ...combine([BPF_LD], [BPF_ABS, BPF_IND], NARROW_SIZES),
  BPF_LD_IMM64,
]) {
  exists[opcode] = 1;
}

/** Whether there is such an instruction, whatever its other fields say. */
export function isOpcode(opcode: number): boolean {
  return exists[opcode] === 1;
}
