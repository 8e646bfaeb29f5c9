/**
 * Statements that touch memory: loads, stores, atomic operations.
 */
import {
  BPF_ABS,
  BPF_ATOMIC,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_IND,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_W,
  BPF_XCHG,
} from "../abi/insn.ts";
import type { Instruction } from "./instruction.ts";
import { ATOMIC_UPDATES } from "./mnemonics.ts";
import {
  checkValueRegister,
  checkWide,
  isRegister,
  type Register,
  readAddress,
  readAny32,
  readPlace,
  readPointerType,
  readRegisterLike,
  readS32,
  readSameRegister,
  readValueRegister,
  readWideRegister,
  startsInteger,
} from "./operands.ts";
import { one, type Statement } from "./statement.ts";
import type { Cursor } from "./tokens.ts";

/** `r1 = *(u32 *)(r6 + 76)`, after the first `*`. */
export function load(cursor: Cursor, dst: Register): Statement {
  if (cursor.peek(4).text === "skb") return packetLoad(cursor, dst);
  const place = readPlace(cursor);
  if (place.signed) checkWide(cursor, dst, "signed loads extend to 64");
  else checkValueRegister(cursor, dst, place.size);
  const opcode = BPF_LDX | place.size | (place.signed ? BPF_MEMSX : BPF_MEM);
  return one(opcode, { dst: dst.number, src: place.base, off: place.off });
}

/** `*(u16 *)skb[12]`, `*(u16 *)skb[r6 + 2]`, after the first `*`. */
function packetLoad(cursor: Cursor, dst: Register): Statement {
  if (dst.token.text !== "r0") throw cursor.error("packet loads go to r0 only", dst.token);
  const type = readPointerType(cursor);
  if (type.signed || type.size === BPF_DW) {
    throw cursor.error("packet loads are of type u8, u16 or u32", type.token);
  }
  cursor.expect("skb");
  cursor.expect("[");
  const index = isRegister(cursor.peek()) ? readWideRegister(cursor).number : undefined;
  const hasOffset = index === undefined || cursor.peek().text !== "]";
  const imm = hasOffset ? readS32(cursor, "packet offset") : 0;
  cursor.expect("]");
  if (index === undefined) return one(BPF_LD | BPF_ABS | type.size, { imm });
  return one(BPF_LD | BPF_IND | type.size, { src: index, imm });
}

/** `*(u32 *)(r10 - 4) = r1`, after the first `*`. */
export function store(cursor: Cursor): Statement {
  const { size, signed, token, base: dst, off } = readPlace(cursor);
  if (signed) throw cursor.error("stores have no sign: write u8, u16 or u32", token);
  cursor.expect("=");
  if (isRegister(cursor.peek())) {
    const src = readValueRegister(cursor, size).number;
    return one(BPF_STX | BPF_MEM | size, { dst, src, off });
  }
  if (!startsInteger(cursor)) throw cursor.unexpected("a register or an integer");
  const imm = size === BPF_DW ? readS32(cursor, "value") : readAny32(cursor, "value");
  return one(BPF_ST | BPF_MEM | size, { dst, off, imm });
}

/** A place that an atomic operation may work on. */
function atomicPlace(cursor: Cursor): { size: number; dst: number; off: number } {
  const { size, signed, token, base: dst, off } = readPlace(cursor);
  if (signed || (size !== BPF_W && size !== BPF_DW)) {
    throw cursor.error("atomic operations are of type u32 or u64", token);
  }
  return { size, dst, off };
}

function atomic(size: number, fields: Omit<Instruction, "opcode">): Statement {
  return one(BPF_STX | BPF_ATOMIC | size, fields);
}

/** `lock *(u64 *)(r10 - 8) += r1`, after the `lock`. */
export function atomicUpdate(cursor: Cursor): Statement {
  cursor.expect("*");
  const { size, dst, off } = atomicPlace(cursor);
  const imm = ATOMIC_UPDATES.get(cursor.peek().text);
  if (imm === undefined) throw cursor.unexpected("`+=`, `|=`, `&=` or `^=`");
  cursor.next();
  const src = readValueRegister(cursor, size).number;
  return atomic(size, { dst, src, off, imm });
}

/** `r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)`, from the parenthesis. */
export function atomicFetch(cursor: Cursor, result: Register, imm: number): Statement {
  cursor.expect("(");
  const { size, dst, off } = atomicPlace(cursor);
  cursor.expect(",");
  checkValueRegister(cursor, result, size);
  readSameRegister(cursor, result, "an atomic fetch");
  cursor.expect(")");
  return atomic(size, { dst, src: result.number, off, imm });
}

/** `r1 = xchg_64(r10 - 8, r1)`, from the parenthesis. */
export function exchange(cursor: Cursor, result: Register, size: number): Statement {
  cursor.expect("(");
  const { base: dst, off } = readAddress(cursor);
  cursor.expect(",");
  checkValueRegister(cursor, result, size);
  readSameRegister(cursor, result, "an exchange");
  cursor.expect(")");
  return atomic(size, { dst, src: result.number, off, imm: BPF_XCHG });
}

/** `r0 = cmpxchg_64(r10 - 8, r0, r1)`, from the parenthesis. */
export function compareExchange(cursor: Cursor, result: Register, size: number): Statement {
  checkValueRegister(cursor, result, size);
  if (result.number !== 0) {
    throw cursor.error("a compare-and-exchange compares with and returns r0", result.token);
  }
  cursor.expect("(");
  const { base: dst, off } = readAddress(cursor);
  cursor.expect(",");
  readSameRegister(cursor, result, "a compare-and-exchange");
  cursor.expect(",");
  const src = readRegisterLike(cursor, result).number;
  cursor.expect(")");
  return atomic(size, { dst, src, off, imm: BPF_CMPXCHG });
}

/** `w1 = load_acquire((u8 *)(r2 + 0))`, from the parenthesis. */
export function loadAcquire(cursor: Cursor, result: Register): Statement {
  cursor.expect("(");
  const { size, signed, token, base: src, off } = readPlace(cursor);
  if (signed) throw cursor.error("load_acquire has no signed types", token);
  cursor.expect(")");
  checkValueRegister(cursor, result, size);
  return atomic(size, { dst: result.number, src, off, imm: BPF_LOAD_ACQ });
}

/** `store_release((u8 *)(r2 + 0), w1)`, from the parenthesis. */
export function storeRelease(cursor: Cursor): Statement {
  cursor.expect("(");
  const { size, signed, token, base: dst, off } = readPlace(cursor);
  if (signed) throw cursor.error("store_release has no signed types", token);
  cursor.expect(",");
  const src = readValueRegister(cursor, size).number;
  cursor.expect(")");
  return atomic(size, { dst, src, off, imm: BPF_STORE_REL });
}
