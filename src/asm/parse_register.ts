/**
 * Statements that compute into a register: arithmetic, moves, 64-bit immediates.
 */
import {
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_END,
  BPF_K,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_FUNC,
  BPF_TO_BE,
  BPF_TO_LE,
  BPF_X,
} from "../abi/insn.ts";
import { type Instruction, loadImm64 } from "./instruction.ts";
import { PAIRED_SOURCES, SIGN_EXTENSIONS } from "./mnemonics.ts";
import {
  checkWide,
  isRegister,
  type Register,
  readAny32,
  readBigInteger,
  readInteger,
  readRegisterLike,
  readS32,
  readSameRegister,
  readWideRegister,
  startsInteger,
} from "./operands.ts";
import { one, type Statement, slot } from "./statement.ts";
import type { Cursor } from "./tokens.ts";

/** `r1 += r2`, `w1 s/= 5`, `r1 = r2`: what stands right of the operator. */
export function arithmetic(
  cursor: Cursor,
  dst: Register,
  operation: number,
  off: number,
): Statement {
  const opcode = (dst.wide ? BPF_ALU64 : BPF_ALU) | operation;
  return { insns: [withOperand(cursor, opcode, dst, off)] };
}

/** Completes arithmetic or a comparison with its second operand, a register or an immediate. */
export function withOperand(
  cursor: Cursor,
  opcode: number,
  dst: Register,
  off: number,
): Instruction {
  if (isRegister(cursor.peek())) {
    const src = readRegisterLike(cursor, dst).number;
    return slot(opcode | BPF_X, { dst: dst.number, src, off });
  }
  if (!startsInteger(cursor)) throw cursor.unexpected("a register or an integer");
  // Linux extends the immediate's sign to 64 bits, so only 32-bit operations may write it as u32.
  const imm = dst.wide ? readS32(cursor, "immediate") : readAny32(cursor, "immediate");
  return slot(opcode | BPF_K, { dst: dst.number, off, imm });
}

/** `r1 = 5`, or with `ll` any 64 bits. */
export function immediate(cursor: Cursor, dst: Register): Statement {
  const start = cursor.peek();
  const value = readBigInteger(cursor, -(1n << 63n), (1n << 64n) - 1n, "immediate");
  if (cursor.accept("ll")) {
    checkWide(cursor, dst, "`ll` loads 64 bits");
    return { insns: loadImm64(dst.number, 0, value) };
  }
  const max = dst.wide ? 0x7fff_ffffn : 0xffff_ffffn;
  if (value < -0x8000_0000n || value > max) {
    const remedy = dst.wide ? `: write \`${dst.token.text} = ${value} ll\`` : "";
    throw cursor.error(`${value} does not fit a 32-bit immediate${remedy}`, start);
  }
  const opcode = (dst.wide ? BPF_ALU64 : BPF_ALU) | BPF_MOV | BPF_K;
  return one(opcode, { dst: dst.number, imm: Number(BigInt.asIntN(32, value)) });
}

/** `r1 = -r1`, from the `-`. */
export function negation(cursor: Cursor, dst: Register): Statement {
  cursor.expect("-");
  readSameRegister(cursor, dst, "negation");
  return one((dst.wide ? BPF_ALU64 : BPF_ALU) | BPF_NEG, { dst: dst.number });
}

/** `r1 = be16 r1`, after the `be16`. */
export function byteSwap(
  cursor: Cursor,
  dst: Register,
  byteOrder: string,
  bits: number,
): Statement {
  checkWide(cursor, dst, "byte swaps clear or fill all 64");
  readSameRegister(cursor, dst, "a byte swap");
  const opcode = {
    le: BPF_ALU | BPF_END | BPF_TO_LE,
    be: BPF_ALU | BPF_END | BPF_TO_BE,
  }[byteOrder];
  return one(opcode ?? BPF_ALU64 | BPF_END, { dst: dst.number, imm: bits });
}

/** `r1 = (s8)r2`, from the parenthesis. */
export function signExtension(cursor: Cursor, dst: Register): Statement {
  cursor.expect("(");
  const type = cursor.peek();
  const off = SIGN_EXTENSIONS.get(type.text);
  if (off === undefined) throw cursor.unexpected("a signed type (s8 s16 s32)");
  cursor.next();
  cursor.expect(")");
  if (off === 32) checkWide(cursor, dst, "s32 extends to 64");
  const src = readRegisterLike(cursor, dst).number;
  const opcode = (dst.wide ? BPF_ALU64 : BPF_ALU) | BPF_MOV | BPF_X;
  return one(opcode, { dst: dst.number, src, off });
}

/** `r1 = addr_space_cast(r2, 0, 1)`, from the parenthesis. */
export function addressSpaceCast(cursor: Cursor, dst: Register): Statement {
  checkWide(cursor, dst, "pointers have 64");
  cursor.expect("(");
  const src = readWideRegister(cursor).number;
  cursor.expect(",");
  const to = readInteger(cursor, 0, 0xffff, "address space");
  cursor.expect(",");
  const from = readInteger(cursor, 0, 0xffff, "address space");
  cursor.expect(")");
  const imm = (to << 16) | from;
  return one(BPF_ALU64 | BPF_MOV | BPF_X, {
    dst: dst.number,
    src,
    off: BPF_ADDR_SPACE_CAST,
    imm,
  });
}

/** `map_fd[5]`, `map_value[5][16]`, `func[+3]`, `func[name]` …, from the bracket. */
export function pseudo(cursor: Cursor, dst: Register, source: number): Statement {
  checkWide(cursor, dst, "addresses have 64");
  cursor.expect("[");
  const token = cursor.peek();
  const isLabel = source === BPF_PSEUDO_FUNC && token.kind === "word";
  const low = isLabel ? 0 : readS32(cursor, "index");
  if (isLabel) cursor.next();
  cursor.expect("]");
  let high = 0;
  if (PAIRED_SOURCES.has(source)) {
    cursor.expect("[");
    high = readInteger(cursor, 0, 0xffff_ffff, "second index");
    cursor.expect("]");
  }
  const value = (BigInt(high) << 32n) | BigInt.asUintN(32, BigInt(low));
  const insns = loadImm64(dst.number, source, value);
  return isLabel ? { insns, reference: { kind: "imm", token } } : { insns };
}
