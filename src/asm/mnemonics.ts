/**
 * The words and operators of the assembly language, each beside its number: the assembler reads
 * these tables from left to right, the disassembler from right to left.
 */
import {
  BPF_ADD,
  BPF_AND,
  BPF_ARSH,
  BPF_B,
  BPF_DIV,
  BPF_DW,
  BPF_H,
  BPF_JEQ,
  BPF_JGE,
  BPF_JGT,
  BPF_JLE,
  BPF_JLT,
  BPF_JNE,
  BPF_JSET,
  BPF_JSGE,
  BPF_JSGT,
  BPF_JSLE,
  BPF_JSLT,
  BPF_LSH,
  BPF_MOD,
  BPF_MUL,
  BPF_OR,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  BPF_RSH,
  BPF_SUB,
  BPF_W,
  BPF_XOR,
} from "../abi/insn.ts";

/** Assigning operators of two operands to the arithmetic operation. */
export const ARITHMETIC: ReadonlyMap<string, number> = new Map([
  ["+=", BPF_ADD],
  ["-=", BPF_SUB],
  ["*=", BPF_MUL],
  ["/=", BPF_DIV],
  ["|=", BPF_OR],
  ["&=", BPF_AND],
  ["<<=", BPF_LSH],
  [">>=", BPF_RSH],
  ["%=", BPF_MOD],
  ["^=", BPF_XOR],
  ["s>>=", BPF_ARSH],
]);

/** The signed forms of division and remainder, which differ by an offset of {@link SIGNED_OFF}. */
export const SIGNED_ARITHMETIC: ReadonlyMap<string, number> = new Map([
  ["s/=", BPF_DIV],
  ["s%=", BPF_MOD],
]);

/** Offset field of a signed division or remainder. */
export const SIGNED_OFF = 1;

/** Comparisons to the jump operation. */
export const COMPARISONS: ReadonlyMap<string, number> = new Map([
  ["==", BPF_JEQ],
  ["!=", BPF_JNE],
  [">", BPF_JGT],
  [">=", BPF_JGE],
  ["<", BPF_JLT],
  ["<=", BPF_JLE],
  ["s>", BPF_JSGT],
  ["s>=", BPF_JSGE],
  ["s<", BPF_JSLT],
  ["s<=", BPF_JSLE],
  ["&", BPF_JSET],
]);

/** Types of memory accesses to the size field; loads may be signed as well. */
export const SIZES: ReadonlyMap<string, number> = new Map([
  ["u8", BPF_B],
  ["u16", BPF_H],
  ["u32", BPF_W],
  ["u64", BPF_DW],
]);

/** Types of sign-extending loads to the size field. */
export const SIGNED_SIZES: ReadonlyMap<string, number> = new Map([
  ["s8", BPF_B],
  ["s16", BPF_H],
  ["s32", BPF_W],
]);

/** Types of sign-extending moves to the offset field, which holds a width in bits. */
export const SIGN_EXTENSIONS: ReadonlyMap<string, number> = new Map([
  ["s8", 8],
  ["s16", 16],
  ["s32", 32],
]);

/** Operators of an atomic update to its operation (without BPF_FETCH). */
export const ATOMIC_UPDATES: ReadonlyMap<string, number> = new Map([
  ["+=", BPF_ADD],
  ["|=", BPF_OR],
  ["&=", BPF_AND],
  ["^=", BPF_XOR],
]);

/** Functions of an atomic update that returns the old value, to its operation without BPF_FETCH. */
export const ATOMIC_FETCHES: ReadonlyMap<string, number> = new Map([
  ["atomic_fetch_add", BPF_ADD],
  ["atomic_fetch_or", BPF_OR],
  ["atomic_fetch_and", BPF_AND],
  ["atomic_fetch_xor", BPF_XOR],
]);

/** What a 64-bit immediate stands for when it is no number, to the source register field. */
export const PSEUDO_SOURCES: ReadonlyMap<string, number> = new Map([
  ["map_fd", BPF_PSEUDO_MAP_FD],
  ["map_value", BPF_PSEUDO_MAP_VALUE],
  ["btf_id", BPF_PSEUDO_BTF_ID],
  ["func", BPF_PSEUDO_FUNC],
  ["map_idx", BPF_PSEUDO_MAP_IDX],
  ["map_idx_value", BPF_PSEUDO_MAP_IDX_VALUE],
]);

/** Pseudo sources whose upper half means something too: an offset, or the fd of a BTF. */
export const PAIRED_SOURCES: ReadonlySet<number> = new Set([
  BPF_PSEUDO_MAP_VALUE,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_MAP_IDX_VALUE,
]);

/** A table read from right to left. */
export function inverse(table: ReadonlyMap<string, number>): ReadonlyMap<number, string> {
  return new Map(Array.from(table, ([word, number]) => [number, word]));
}
