/**
 * One statement of assembly text to one instruction, labels still unresolved.
 */
import {
  BPF_CALL,
  BPF_DW,
  BPF_EXIT,
  BPF_FETCH,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_MOV,
  BPF_W,
  BPF_X,
} from "../abi/insn.ts";
import {
  ARITHMETIC,
  ATOMIC_FETCHES,
  PSEUDO_SOURCES,
  SIGNED_ARITHMETIC,
  SIGNED_OFF,
} from "./mnemonics.ts";
import {
  isRegister,
  type Register,
  readInteger,
  readRegister,
  readWideRegister,
  startsInteger,
} from "./operands.ts";
import { call, conditional, jump } from "./parse_jump.ts";
import {
  atomicFetch,
  atomicUpdate,
  compareExchange,
  exchange,
  load,
  loadAcquire,
  store,
  storeRelease,
} from "./parse_memory.ts";
import {
  addressSpaceCast,
  arithmetic,
  byteSwap,
  immediate,
  negation,
  pseudo,
  signExtension,
} from "./parse_register.ts";
import { one, type Statement, slot } from "./statement.ts";
import type { Cursor, Token } from "./tokens.ts";

const BYTE_SWAP = /^(be|le|bswap)(16|32|64)$/;

/** The fields that `.insn` takes. */
const RAW_FIELDS = [
  { name: "opcode", min: 0, max: 0xff },
  { name: "dst", min: 0, max: 0x0f },
  { name: "src", min: 0, max: 0x0f },
  { name: "off", min: -0x8000, max: 0x7fff },
  { name: "imm", min: -0x8000_0000, max: 0x7fff_ffff },
] as const;

/** Reads one statement up to the end of its line. */
export function parseStatement(cursor: Cursor): Statement {
  const statement = instruction(cursor);
  const rest = cursor.peek();
  if (rest.kind !== "end") throw cursor.error(`unexpected \`${rest.text}\` after the instruction`);
  return statement;
}

/** Any statement; the rest of the line is left. */
function instruction(cursor: Cursor): Statement {
  const first = cursor.peek();
  if (isRegister(first)) return registerStatement(cursor);
  cursor.next();
  switch (first.text) {
    case "*":
      return store(cursor);
    case "if":
      return conditional(cursor);
    case "goto":
      return jump(cursor, slot(BPF_JMP | BPF_JA), "off");
    case "gotol":
      return jump(cursor, slot(BPF_JMP32 | BPF_JA), "imm");
    case "may_goto":
      return jump(cursor, slot(BPF_JMP | BPF_JCOND), "off");
    case "call":
      return call(cursor);
    case "callx":
      return one(BPF_JMP | BPF_CALL | BPF_X, { dst: readWideRegister(cursor).number });
    case "exit":
      return one(BPF_JMP | BPF_EXIT);
    case "lock":
      return atomicUpdate(cursor);
    case "store_release":
      return storeRelease(cursor);
    case ".insn":
      return raw(cursor);
    default:
      throw cursor.unexpected("an instruction", first);
  }
}

/** A statement that starts with the register it writes. */
function registerStatement(cursor: Cursor): Statement {
  const dst = readRegister(cursor);
  if (cursor.accept("=")) return assignment(cursor, dst);
  const operator = cursor.peek();
  const plain = ARITHMETIC.get(operator.text);
  const operation = plain ?? SIGNED_ARITHMETIC.get(operator.text);
  if (operation === undefined) throw cursor.unexpected("an assignment such as `=` or `+=`");
  cursor.next();
  return arithmetic(cursor, dst, operation, plain === undefined ? SIGNED_OFF : 0);
}

/** What stands right of `r1 =`. */
function assignment(cursor: Cursor, dst: Register): Statement {
  const token = cursor.peek();
  if (isRegister(token)) return arithmetic(cursor, dst, BPF_MOV, 0);
  if (token.text === "-" && isRegister(cursor.peek(1))) return negation(cursor, dst);
  if (cursor.accept("*")) return load(cursor, dst);
  if (token.text === "(") return signExtension(cursor, dst);
  if (token.kind === "word") {
    const value = named(cursor, dst, token);
    if (value !== undefined) return value;
  }
  if (!startsInteger(cursor)) throw cursor.unexpected(`a value for ${dst.token.text}`);
  return immediate(cursor, dst);
}

/** The words that may stand right of `r1 =`; undefined for any other word. */
function named(cursor: Cursor, dst: Register, word: Token): Statement | undefined {
  const [, byteOrder, bits] = BYTE_SWAP.exec(word.text) ?? [];
  const source = PSEUDO_SOURCES.get(word.text);
  const fetch = ATOMIC_FETCHES.get(word.text);
  if (byteOrder !== undefined) {
    cursor.next();
    return byteSwap(cursor, dst, byteOrder, Number(bits));
  }
  if (source !== undefined && cursor.peek(1).text === "[") {
    cursor.next();
    return pseudo(cursor, dst, source);
  }
  if (fetch !== undefined) {
    cursor.next();
    return atomicFetch(cursor, dst, fetch | BPF_FETCH);
  }
  switch (word.text) {
    case "xchg_64":
    case "xchg32_32":
      cursor.next();
      return exchange(cursor, dst, word.text === "xchg_64" ? BPF_DW : BPF_W);
    case "cmpxchg_64":
    case "cmpxchg32_32":
      cursor.next();
      return compareExchange(cursor, dst, word.text === "cmpxchg_64" ? BPF_DW : BPF_W);
    case "load_acquire":
      cursor.next();
      return loadAcquire(cursor, dst);
    case "addr_space_cast":
      cursor.next();
      return addressSpaceCast(cursor, dst);
    default:
      return undefined;
  }
}

/** One slot, field by field; fields that are not named are 0. */
function raw(cursor: Cursor): Statement {
  const fields = { opcode: 0, dst: 0, src: 0, off: 0, imm: 0 };
  while (cursor.peek().kind !== "end") {
    const range = RAW_FIELDS.find(({ name }) => name === cursor.peek().text);
    if (range === undefined) throw cursor.unexpected("a field (opcode dst src off imm)");
    cursor.next();
    cursor.expect("=");
    fields[range.name] = readInteger(cursor, range.min, range.max, range.name);
  }
  return { insns: [fields] };
}
