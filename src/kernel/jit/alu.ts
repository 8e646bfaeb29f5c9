/**
 * Arithmetic: RFC 9669, sections 4.1 and 4.2. 32-bit operations are done on i32; what they leave is
 * zero-extended. WebAssembly's shifts take as many bits of the count as BPF's do, but its divisions
 * trap where BPF's have a result.
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
  BPF_REG_10,
  BPF_RSH,
  BPF_SRC,
  BPF_SUB,
  BPF_TO_BE,
  BPF_X,
  BPF_XOR,
} from "../../abi/insn.ts";
import type { Instruction } from "../../asm/index.ts";
import type { FunctionWriter } from "./function.ts";
import { I32, I64, type Op } from "./wasm.ts";

/** Operations that are one instruction, on 64 and on 32 bits. */
const BINARY: ReadonlyMap<number, readonly [wide: Op, narrow: Op]> = new Map([
  [BPF_ADD, ["i64.add", "i32.add"]],
  [BPF_SUB, ["i64.sub", "i32.sub"]],
  [BPF_MUL, ["i64.mul", "i32.mul"]],
  [BPF_OR, ["i64.or", "i32.or"]],
  [BPF_AND, ["i64.and", "i32.and"]],
  [BPF_XOR, ["i64.xor", "i32.xor"]],
  [BPF_LSH, ["i64.shl", "i32.shl"]],
  [BPF_RSH, ["i64.shr_u", "i32.shr_u"]],
  [BPF_ARSH, ["i64.shr_s", "i32.shr_s"]],
]);

/** Divisions by operation, unsigned and signed, in the same way. */
const DIVISIONS: ReadonlyMap<number, readonly (readonly [wide: Op, narrow: Op])[]> = new Map([
  [
    BPF_DIV,
    [
      ["i64.div_u", "i32.div_u"],
      ["i64.div_s", "i32.div_s"],
    ],
  ],
  [
    BPF_MOD,
    [
      ["i64.rem_u", "i32.rem_u"],
      ["i64.rem_s", "i32.rem_s"],
    ],
  ],
]);

/** Operands and result of one width. */
class Operands {
  readonly #writer: FunctionWriter;
  readonly #insn: Instruction;
  readonly isWide: boolean;

  constructor(writer: FunctionWriter, insn: Instruction) {
    this.#writer = writer;
    this.#insn = insn;
    this.isWide = BPF_CLASS(insn.opcode) === BPF_ALU64;
  }

  get type(): number {
    return this.isWide ? I64 : I32;
  }

  /** One of two instructions, by width. */
  op(wide: Op, narrow: Op): void {
    this.#writer.code.op(this.isWide ? wide : narrow);
  }

  constant(value: number): void {
    if (this.isWide) this.#writer.code.i64(value);
    else this.#writer.code.i32(value);
  }

  destination(): void {
    this.#register(this.#insn.dst);
  }

  source(): void {
    if (BPF_SRC(this.#insn.opcode) === BPF_X) this.#register(this.#insn.src);
    else this.constant(this.#insn.imm);
  }

  result(): void {
    if (this.isWide) this.#writer.set(this.#insn.dst);
    else this.#writer.set32(this.#insn.dst);
  }

  #register(register: number): void {
    if (this.isWide) this.#writer.get(register);
    else this.#writer.get32(register);
  }
}

/** Writes an instruction of class ALU or ALU64; false when it is none of them. */
export function writeAlu(writer: FunctionWriter, insn: Instruction): boolean {
  const { opcode, dst, off } = insn;
  const instructionClass = BPF_CLASS(opcode);
  if (instructionClass !== BPF_ALU && instructionClass !== BPF_ALU64) return false;
  if (dst === BPF_REG_10) return false;
  const op = BPF_OP(opcode);
  const operands = new Operands(writer, insn);
  if (op === BPF_END) return writeByteSwap(writer, insn, operands.isWide);
  if (op === BPF_MOV) return writeMove(writer, insn, operands);
  if (op === BPF_NEG) {
    operands.constant(0);
    operands.destination();
    operands.op("i64.sub", "i32.sub");
    operands.result();
    return true;
  }
  const division = DIVISIONS.get(op)?.[off === 1 ? 1 : 0];
  if (division !== undefined) {
    writeDivision(writer, insn, operands, division);
    return true;
  }
  const binary = BINARY.get(op);
  if (binary === undefined || off === 1) return false;
  operands.destination();
  operands.source();
  operands.op(...binary);
  operands.result();
  return true;
}

/** Extensions by the bits that they begin with. */
const EXTENSIONS: ReadonlyMap<number, readonly [wide: Op, narrow: Op | null]> = new Map([
  [8, ["i64.extend8_s", "i32.extend8_s"]],
  [16, ["i64.extend16_s", "i32.extend16_s"]],
  [32, ["i64.extend32_s", null]],
]);

function writeMove(writer: FunctionWriter, insn: Instruction, operands: Operands): boolean {
  if (insn.off === 0) {
    operands.source();
    operands.result();
    return true;
  }
  const extension = EXTENSIONS.get(insn.off);
  if (extension === undefined || BPF_SRC(insn.opcode) !== BPF_X) return false;
  const [wide, narrow] = extension;
  const op = operands.isWide ? wide : narrow;
  if (op === null) return false;
  operands.source();
  writer.code.op(op);
  operands.result();
  return true;
}

/** By 0: the quotient is 0 and the remainder the dividend. The smallest number by -1: itself, 0. */
function writeDivision(
  writer: FunctionWriter,
  insn: Instruction,
  operands: Operands,
  [wide, narrow]: readonly [Op, Op],
): void {
  const { code } = writer;
  const isQuotient = BPF_OP(insn.opcode) === BPF_DIV;
  const isSigned = insn.off === 1;
  const divide = (): void => {
    operands.destination();
    operands.source();
    operands.op(wide, narrow);
  };
  const negate = (): void => {
    operands.constant(0);
    operands.destination();
    operands.op("i64.sub", "i32.sub");
  };
  const byZero = (): void => {
    if (isQuotient) operands.constant(0);
    else operands.destination();
  };
  if (BPF_SRC(insn.opcode) !== BPF_X) {
    if (insn.imm === 0) byZero();
    else if (isQuotient && isSigned && insn.imm === -1) negate();
    else divide();
    operands.result();
    return;
  }
  operands.source();
  operands.op("i64.eqz", "i32.eqz");
  code.open("if", operands.type);
  byZero();
  code.else();
  // A remainder by -1 doesn't trap.
  if (isQuotient && isSigned) {
    operands.source();
    operands.constant(-1);
    operands.op("i64.eq", "i32.eq");
    code.open("if", operands.type);
    negate();
    code.else();
    divide();
    code.end();
  } else {
    divide();
  }
  code.end();
  operands.result();
}

/** BPF_END: the low bits, in the other byte order unless they are to be little-endian. */
function writeByteSwap(writer: FunctionWriter, insn: Instruction, isWide: boolean): boolean {
  const { dst, imm, opcode } = insn;
  const { code } = writer;
  const swaps = isWide || BPF_SRC(opcode) === BPF_TO_BE;
  if (imm === 16) {
    writer.get32(dst);
    if (swaps) {
      swap32(writer);
      code.i32(16);
      code.op("i32.shr_u");
    } else {
      code.i32(0xffff);
      code.op("i32.and");
    }
    writer.set32(dst);
  } else if (imm === 32) {
    writer.get32(dst);
    if (swaps) swap32(writer);
    writer.set32(dst);
  } else if (imm === 64) {
    if (!swaps) return true;
    swap64(writer, dst);
    writer.set(dst);
  } else {
    return false;
  }
  return true;
}

/** Turns the i32 on top around. */
export function swap32({ code, address }: FunctionWriter): void {
  code.tee(address);
  code.i32(8);
  code.op("i32.rotl");
  code.i32(0x00ff00ff);
  code.op("i32.and");
  code.get(address);
  code.i32(8);
  code.op("i32.rotr");
  code.i32(0xff00ff00);
  code.op("i32.and", "i32.or");
}

/** Leaves a register's eight bytes in reverse. */
function swap64(writer: FunctionWriter, register: number): void {
  const { code, wide } = writer;
  const exchange = (bits: number, low: number, high: number): void => {
    code.tee(wide);
    code.i64(bits);
    code.op("i64.shr_u");
    code.i64Halves(low, high);
    code.op("i64.and");
    code.get(wide);
    code.i64Halves(low, high);
    code.op("i64.and");
    code.i64(bits);
    code.op("i64.shl", "i64.or");
  };
  writer.get(register);
  exchange(8, 0x00ff00ff, 0x00ff00ff);
  exchange(16, 0x0000ffff, 0x0000ffff);
  code.i64(32);
  code.op("i64.rotl");
}
