/**
 * The numbers that BPF instructions are made of, in Linux's spelling (include/uapi/linux/bpf.h and
 * bpf_common.h, as of Linux 6.18; RFC 9669 gives the same numbers in words).
 *
 * An instruction is one slot of 8 bytes: opcode, registers (source in the high half of the byte,
 * destination in the low half), a signed 16-bit offset and a signed 32-bit immediate.
 */

/** Bytes of one instruction slot: sizeof(struct bpf_insn). */
export const BPF_INSN_SIZE = 8;

// Instruction classes: the low three bits of every opcode.
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_JMP32 = 0x06;
export const BPF_ALU64 = 0x07;

// Sizes of a memory access.
export const BPF_W = 0x00;
export const BPF_H = 0x08;
export const BPF_B = 0x10;
export const BPF_DW = 0x18;

// Modes of a memory access.
export const BPF_IMM = 0x00;
export const BPF_ABS = 0x20;
export const BPF_IND = 0x40;
export const BPF_MEM = 0x60;
export const BPF_MEMSX = 0x80;
export const BPF_ATOMIC = 0xc0;

// Where the second operand of arithmetic and jumps comes from.
export const BPF_K = 0x00;
export const BPF_X = 0x08;

// Arithmetic. BPF_ADD, BPF_OR, BPF_AND and BPF_XOR also name atomic operations.
export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_MOD = 0x90;
export const BPF_XOR = 0xa0;
export const BPF_MOV = 0xb0;
export const BPF_ARSH = 0xc0;
export const BPF_END = 0xd0;

// Byte order of BPF_ALU | BPF_END (with BPF_ALU64 it swaps whatever this bit says).
export const BPF_TO_LE = 0x00;
export const BPF_TO_BE = 0x08;

/** Offset of a BPF_ALU64 | BPF_MOV | BPF_X that casts an arena pointer between address spaces. */
export const BPF_ADDR_SPACE_CAST = 1;

// Jumps.
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
export const BPF_JNE = 0x50;
export const BPF_JSGT = 0x60;
export const BPF_JSGE = 0x70;
export const BPF_CALL = 0x80;
export const BPF_EXIT = 0x90;
export const BPF_JLT = 0xa0;
export const BPF_JLE = 0xb0;
export const BPF_JSLT = 0xc0;
export const BPF_JSLE = 0xd0;
export const BPF_JCOND = 0xe0;

/** Source register field of BPF_JCOND: a loop that the kernel may leave. */
export const BPF_MAY_GOTO = 0;

// Atomic operations, in the immediate of BPF_STX | BPF_ATOMIC.
export const BPF_FETCH = 0x01;
export const BPF_XCHG = 0xe1;
export const BPF_CMPXCHG = 0xf1;
export const BPF_LOAD_ACQ = 0x100;
export const BPF_STORE_REL = 0x110;

// Source register field of BPF_LD | BPF_IMM | BPF_DW: what the 64-bit immediate means.
export const BPF_PSEUDO_MAP_FD = 1;
export const BPF_PSEUDO_MAP_VALUE = 2;
export const BPF_PSEUDO_BTF_ID = 3;
export const BPF_PSEUDO_FUNC = 4;
export const BPF_PSEUDO_MAP_IDX = 5;
export const BPF_PSEUDO_MAP_IDX_VALUE = 6;

// Source register field of BPF_JMP | BPF_CALL: what is called. 0 is a helper.
export const BPF_PSEUDO_CALL = 1;
export const BPF_PSEUDO_KFUNC_CALL = 2;

// Registers.
export const BPF_REG_0 = 0;
export const BPF_REG_1 = 1;
export const BPF_REG_2 = 2;
export const BPF_REG_3 = 3;
export const BPF_REG_4 = 4;
export const BPF_REG_5 = 5;
export const BPF_REG_6 = 6;
export const BPF_REG_7 = 7;
export const BPF_REG_8 = 8;
export const BPF_REG_9 = 9;
export const BPF_REG_10 = 10;
/** How many registers a program sees; r10 is the frame pointer and read-only. */
export const MAX_BPF_REG = 11;

/** Bytes of stack of one function. */
export const MAX_BPF_STACK = 512;
/** How deep functions of one program may call each other, the main function included. */
export const MAX_CALL_FRAMES = 8;

/** Opcode of the two-slot load of a 64-bit immediate: BPF_LD | BPF_IMM | BPF_DW. */
export const BPF_LD_IMM64 = 0x18;

/** Class of an opcode: BPF_LD … BPF_ALU64. */
export function BPF_CLASS(code: number): number {
  return code & 0x07;
}

/** Access size of a load or store opcode: BPF_W, BPF_H, BPF_B or BPF_DW. */
export function BPF_SIZE(code: number): number {
  return code & 0x18;
}

/** Access mode of a load or store opcode: BPF_IMM … BPF_ATOMIC. */
export function BPF_MODE(code: number): number {
  return code & 0xe0;
}

/** Operation of an arithmetic or jump opcode: BPF_ADD … BPF_END, BPF_JA … BPF_JCOND. */
export function BPF_OP(code: number): number {
  return code & 0xf0;
}

/** Second operand of an arithmetic or jump opcode: BPF_K (immediate) or BPF_X (register). */
export function BPF_SRC(code: number): number {
  return code & 0x08;
}
