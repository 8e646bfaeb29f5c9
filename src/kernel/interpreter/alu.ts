/**
 * Arithmetic, in 64 and 32 bits: RFC 9669, sections 4.1 and 4.2.
 *
 * Division by 0 gives 0 and a remainder by 0 leaves the dividend; a shift uses as many low bits of
 * its count as name a bit of the operand.
 */

import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_CLASS,
  BPF_DIV,
  BPF_END,
  BPF_LSH,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OP,
  BPF_OR,
  BPF_RSH,
  BPF_SRC,
  BPF_SUB,
  BPF_TO_BE,
  BPF_X,
  BPF_XOR,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import { IMMEDIATE_REGISTER, type Registers } from "./registers.ts";
import type { Step } from "./step.ts";

/** dst = dst (operation) src, for register numbers. */
type Operation = (registers: Registers, dst: number, src: number) => void;

const S32_MIN = -0x8000_0000;
const S64_MIN = -(1n << 63n);

/** 64-bit operations by BPF_OP. */
const ALU64: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [BPF_MOV, (registers, dst, src) => registers.copy(dst, src)],
  [
    BPF_ADD,
    (registers, dst, src) => {
      const low = registers.low(dst) + registers.low(src);
      const carry = low > 0xffff_ffff ? 1 : 0;
      registers.setHalves(dst, low, registers.high(dst) + registers.high(src) + carry);
    },
  ],
  [
    BPF_SUB,
    (registers, dst, src) => {
      const low = registers.low(dst) - registers.low(src);
      const borrow = low < 0 ? 1 : 0;
      registers.setHalves(dst, low, registers.high(dst) - registers.high(src) - borrow);
    },
  ],
  [BPF_AND, halves((a, b) => a & b)],
  [BPF_OR, halves((a, b) => a | b)],
  [BPF_XOR, halves((a, b) => a ^ b)],
  [
    BPF_LSH,
    shift((low, high, count) =>
      count < 32
        ? [low << count, (high << count) | (low >>> (32 - count))]
        : [0, low << (count - 32)],
    ),
  ],
  [
    BPF_RSH,
    shift((low, high, count) =>
      count < 32
        ? [(low >>> count) | (high << (32 - count)), high >>> count]
        : [high >>> (count - 32), 0],
    ),
  ],
  [
    BPF_ARSH,
    shift((low, high, count) =>
      count < 32
        ? [(low >>> count) | (high << (32 - count)), high >> count]
        : [high >> (count - 32), high >> 31],
    ),
  ],
  [BPF_MUL, unsigned64((a, b) => a * b)],
  [BPF_DIV, unsigned64((a, b) => (b === 0n ? 0n : a / b))],
  [BPF_MOD, unsigned64((a, b) => (b === 0n ? a : a % b))],
]);

/** Signed 64-bit division: offset 1. The smallest number by -1 overflows and wraps around. */
const SIGNED_ALU64: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [BPF_DIV, signed64((a, b) => (b === 0n ? 0n : b === -1n && a === S64_MIN ? a : a / b))],
  [BPF_MOD, signed64((a, b) => (b === 0n ? a : a % b))],
]);

/** 32-bit operations by BPF_OP, on u32; the result is cut to 32 bits and zero-extended. */
const ALU32: ReadonlyMap<number, (a: number, b: number) => number> = new Map([
  [BPF_MOV, (_a: number, b: number) => b],
  [BPF_ADD, (a: number, b: number) => a + b],
  [BPF_SUB, (a: number, b: number) => a - b],
  [BPF_MUL, (a: number, b: number) => Math.imul(a, b)],
  [BPF_DIV, (a: number, b: number) => (b === 0 ? 0 : Math.trunc(a / b))],
  [BPF_MOD, (a: number, b: number) => (b === 0 ? a : a % b)],
  [BPF_AND, (a: number, b: number) => a & b],
  [BPF_OR, (a: number, b: number) => a | b],
  [BPF_XOR, (a: number, b: number) => a ^ b],
  // JavaScript's own shifts use the low 5 bits of the count as well.
  [BPF_LSH, (a: number, b: number) => a << b],
  [BPF_RSH, (a: number, b: number) => a >>> b],
  [BPF_ARSH, (a: number, b: number) => a >> b],
]);

/** Signed 32-bit division: offset 1. */
const SIGNED_ALU32: ReadonlyMap<number, (a: number, b: number) => number> = new Map([
  [BPF_DIV, (a: number, b: number) => quotient32(a | 0, b | 0)],
  [BPF_MOD, (a: number, b: number) => (b === 0 ? a : (a | 0) % (b | 0))],
]);

function quotient32(a: number, b: number): number {
  if (b === 0) return 0;
  return b === -1 && a === S32_MIN ? a : Math.trunc(a / b);
}

function halves(combine: (a: number, b: number) => number): Operation {
  return (registers, dst, src) =>
    registers.setHalves(
      dst,
      combine(registers.low(dst), registers.low(src)),
      combine(registers.high(dst), registers.high(src)),
    );
}

/** @param move - gives both halves for a count from 1 to 63. */
function shift(
  move: (low: number, high: number, count: number) => readonly [low: number, high: number],
): Operation {
  return (registers, dst, src) => {
    const count = registers.low(src) & 63;
    if (count === 0) return;
    const [low, high] = move(registers.low(dst), registers.high(dst), count);
    registers.setHalves(dst, low, high);
  };
}

function unsigned64(compute: (a: bigint, b: bigint) => bigint): Operation {
  return (registers, dst, src) =>
    registers.set(dst, compute(registers.get(dst), registers.get(src)));
}

function signed64(compute: (a: bigint, b: bigint) => bigint): Operation {
  return (registers, dst, src) =>
    registers.set(dst, compute(registers.getSigned(dst), registers.getSigned(src)));
}

/** A step for an instruction of class ALU or ALU64, or null when it is none of them. */
export function decodeAlu(insn: Instruction, slot: number): Step | null {
  const instructionClass = BPF_CLASS(insn.opcode);
  if (instructionClass !== BPF_ALU && instructionClass !== BPF_ALU64) return null;
  const operation = operationOf(insn);
  if (operation === null) return null;
  const { opcode, dst, src, imm } = insn;
  const next = slot + 1;
  if (BPF_OP(opcode) === BPF_NEG || BPF_OP(opcode) === BPF_END || BPF_SRC(opcode) === BPF_X) {
    return (run) => {
      operation(run.registers, dst, src);
      return next;
    };
  }
  return (run) => {
    const { registers } = run;
    registers.setS32(IMMEDIATE_REGISTER, imm);
    operation(registers, dst, IMMEDIATE_REGISTER);
    return next;
  };
}

function operationOf({ opcode, off, imm }: Instruction): Operation | null {
  const is64 = BPF_CLASS(opcode) === BPF_ALU64;
  const op = BPF_OP(opcode);
  if (op === BPF_END) return byteSwap(is64 || BPF_SRC(opcode) === BPF_TO_BE, imm);
  if (op === BPF_NEG) return is64 ? negate64 : negate32;
  if (op === BPF_MOV && off !== 0) return signExtend(off, is64);
  if (is64) return (off === 1 ? SIGNED_ALU64 : ALU64).get(op) ?? null;
  const compute = (off === 1 ? SIGNED_ALU32 : ALU32).get(op);
  if (compute === undefined) return null;
  return (registers, dst, src) =>
    registers.setU32(dst, compute(registers.low(dst), registers.low(src)));
}

function negate64(registers: Registers, dst: number): void {
  const low = -registers.low(dst);
  registers.setHalves(dst, low, -registers.high(dst) - (low === 0 ? 0 : 1));
}

function negate32(registers: Registers, dst: number): void {
  registers.setU32(dst, -registers.low(dst));
}

/** BPF_MOV with the number of bits in the offset. */
function signExtend(bits: number, is64: boolean): Operation | null {
  if (bits !== 8 && bits !== 16 && bits !== 32) return null;
  const unused = 32 - bits;
  if (is64) {
    return (registers, dst, src) => registers.setS32(dst, (registers.low(src) << unused) >> unused);
  }
  if (bits === 32) return null;
  return (registers, dst, src) => registers.setU32(dst, (registers.low(src) << unused) >> unused);
}

/**
 * BPF_END: the low `width` bits, in the other byte order if `swap`, zero-extended. The register
 * file is little-endian in what programs see, so "to little-endian" only cuts.
 */
function byteSwap(swap: boolean, width: number): Operation | null {
  switch (width) {
    case 16:
      return (registers, dst) => {
        const low = registers.low(dst) & 0xffff;
        registers.setU32(dst, swap ? swap32(low) >>> 16 : low);
      };
    case 32:
      return (registers, dst) =>
        registers.setU32(dst, swap ? swap32(registers.low(dst)) : registers.low(dst));
    case 64:
      return (registers, dst) => {
        if (!swap) return;
        registers.setHalves(dst, swap32(registers.high(dst)), swap32(registers.low(dst)));
      };
    default:
      return null;
  }
}

function swap32(value: number): number {
  return (
    ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0
  );
}
