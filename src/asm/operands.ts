/**
 * The operands of assembly statements: registers, integers, memory places.
 */
import { BPF_DW, MAX_BPF_REG } from "../abi/insn.ts";
import { SIGNED_SIZES, SIZES } from "./mnemonics.ts";
import type { Cursor, Token } from "./tokens.ts";

/** A register operand: `r1` is all 64 bits, `w1` the lower 32. */
export interface Register {
  readonly number: number;
  readonly wide: boolean;
  readonly token: Token;
}

/** A memory place: `(u32 *)(r6 + 76)`. */
export interface Place {
  /** Size field: BPF_B, BPF_H, BPF_W or BPF_DW. */
  readonly size: number;
  /** Whether the type is s8, s16 or s32. */
  readonly signed: boolean;
  readonly base: number;
  readonly off: number;
  /** The type. */
  readonly token: Token;
}

const REGISTER = /^[rw]\d+$/;

/** Whether a token is a register's name, of an existing register or not. */
export function isRegister(token: Token): boolean {
  return token.kind === "word" && REGISTER.test(token.text);
}

/** Reads a register of either width. */
export function readRegister(cursor: Cursor): Register {
  const token = cursor.peek();
  if (!isRegister(token)) throw cursor.unexpected("a register");
  const number = Number(token.text.slice(1));
  if (number >= MAX_BPF_REG) {
    throw cursor.error(`there is no register ${token.text}: the last is ${token.text[0]}10`);
  }
  return { number, wide: token.text.startsWith("r"), token: cursor.next() };
}

/** Reads a register that must have the width of another one. */
export function readRegisterLike(cursor: Cursor, other: Register): Register {
  const register = readRegister(cursor);
  if (register.wide !== other.wide) {
    const wanted = `${other.wide ? "r" : "w"}${register.number}`;
    throw cursor.error(
      `${register.token.text} and ${other.token.text} differ in width: write ${wanted}`,
      register.token,
    );
  }
  return register;
}

/** Reads a register that must be written as `r…`, because all its 64 bits are used. */
export function readWideRegister(cursor: Cursor): Register {
  return checkWide(cursor, readRegister(cursor), "64 bits are used here");
}

/** Reads a register that holds a value of a size in memory: `w…` is possible below 64 bits. */
export function readValueRegister(cursor: Cursor, size: number): Register {
  return checkValueRegister(cursor, readRegister(cursor), size);
}

/** Checks a register that has been read already, as {@link readValueRegister} does. */
export function checkValueRegister(cursor: Cursor, register: Register, size: number): Register {
  return size === BPF_DW ? checkWide(cursor, register, "64 bits are accessed") : register;
}

/** Refuses `w…`. */
export function checkWide(cursor: Cursor, register: Register, reason: string): Register {
  if (register.wide) return register;
  throw cursor.error(
    `${register.token.text} has 32 bits, but ${reason}: write r${register.number}`,
    register.token,
  );
}

/** An operand that the instruction has no field for, because it is the destination. */
export function readSameRegister(cursor: Cursor, dst: Register, what: string): void {
  const operand = readRegister(cursor);
  if (operand.token.text === dst.token.text) return;
  const reason = `${what} works in place: write ${dst.token.text} on both sides`;
  throw cursor.error(reason, operand.token);
}

/** Whether the next token can start an integer. */
export function startsInteger(cursor: Cursor): boolean {
  const token = cursor.peek();
  return (
    token.kind === "number" ||
    token.text === "-" ||
    token.text === "+" ||
    (token.kind === "word" && Object.hasOwn(cursor.constants, token.text))
  );
}

/**
 * Reads an integer: a number or a constant, with or without sign.
 *
 * @param what - what it is for, as the error says it.
 */
export function readBigInteger(cursor: Cursor, min: bigint, max: bigint, what: string): bigint {
  const start = cursor.peek();
  const negative = cursor.accept("-");
  if (!negative) cursor.accept("+");
  const magnitude = readMagnitude(cursor, what);
  const value = negative ? -magnitude : magnitude;
  if (value < min || value > max) {
    throw cursor.error(`${what}: ${value} is not in ${min}..${max}`, start);
  }
  return value;
}

function readMagnitude(cursor: Cursor, what: string): bigint {
  const token = cursor.peek();
  if (token.kind === "number") return BigInt(cursor.next().text);
  if (token.kind !== "word") throw cursor.unexpected(`${what} (an integer)`);
  const constant = Object.hasOwn(cursor.constants, token.text)
    ? cursor.constants[token.text]
    : undefined;
  if (constant === undefined) {
    throw cursor.error(`${what}: \`${token.text}\` is neither a number nor a known constant`);
  }
  if (typeof constant === "number" && !Number.isSafeInteger(constant)) {
    throw cursor.error(`${what}: the constant ${token.text} is ${constant}, no safe integer`);
  }
  cursor.next();
  return BigInt(constant);
}

/** Reads an integer that fits a number. */
export function readInteger(cursor: Cursor, min: number, max: number, what: string): number {
  return Number(readBigInteger(cursor, BigInt(min), BigInt(max), what));
}

/** Reads an s32. */
export function readS32(cursor: Cursor, what: string): number {
  return readInteger(cursor, -0x8000_0000, 0x7fff_ffff, what);
}

/** Reads 32 bits that nothing extends, so that signed and unsigned writing are the same. */
export function readAny32(cursor: Cursor, what: string): number {
  return readInteger(cursor, -0x8000_0000, 0xffff_ffff, what) | 0;
}

/** Reads `r6 + 76`, `r6 - 4` or `r6`: a base register and an s16 of bytes. */
export function readAddress(cursor: Cursor): { base: number; off: number } {
  const base = readWideRegister(cursor).number;
  const signed = cursor.peek().text === "+" || cursor.peek().text === "-";
  const off = signed ? readInteger(cursor, -0x8000, 0x7fff, "offset") : 0;
  return { base, off };
}

/** Reads a type in parentheses as far as the `*`: `(u32 *)`. */
export function readPointerType(cursor: Cursor): Pick<Place, "size" | "signed" | "token"> {
  cursor.expect("(");
  const token = cursor.peek();
  const unsignedSize = SIZES.get(token.text);
  const size = unsignedSize ?? SIGNED_SIZES.get(token.text);
  if (size === undefined) throw cursor.unexpected("a type (u8 u16 u32 u64 s8 s16 s32)");
  cursor.next();
  cursor.expect("*");
  cursor.expect(")");
  return { size, signed: unsignedSize === undefined, token };
}

/** Reads `(u32 *)(r6 + 76)`. */
export function readPlace(cursor: Cursor): Place {
  const type = readPointerType(cursor);
  cursor.expect("(");
  const address = readAddress(cursor);
  cursor.expect(")");
  return { ...type, ...address };
}
