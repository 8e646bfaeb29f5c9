/**
 * Instructions to text, in the C-like syntax that LLVM and bpftool print.
 *
 * Whatever {@link disassemble} prints, `assemble` reads back to the same bytes. An encoding that
 * the syntax has no words for (an unknown opcode, a register above 10, an unused field that is not
 * zero) is therefore printed field by field, as `.insn`.
 */
import { helperName } from "../abi/helpers.ts";
import {
  BPF_ABS,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_CLASS,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_IND,
  BPF_JA,
  BPF_JCOND,
  BPF_JMP,
  BPF_JMP32,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_LOAD_ACQ,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MODE,
  BPF_MOV,
  BPF_NEG,
  BPF_OP,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_REG_0,
  BPF_SIZE,
  BPF_SRC,
  BPF_ST,
  BPF_STORE_REL,
  BPF_STX,
  BPF_TO_BE,
  BPF_W,
  BPF_X,
  BPF_XCHG,
  MAX_BPF_REG,
} from "../abi/insn.ts";
import {
  decodeInstructions,
  type Instruction,
  isLoadImm64,
  loadImm64Value,
} from "./instruction.ts";
import {
  ARITHMETIC,
  ATOMIC_FETCHES,
  ATOMIC_UPDATES,
  COMPARISONS,
  inverse,
  PAIRED_SOURCES,
  PSEUDO_SOURCES,
  SIGN_EXTENSIONS,
  SIGNED_ARITHMETIC,
  SIGNED_OFF,
  SIGNED_SIZES,
  SIZES,
} from "./mnemonics.ts";

const arithmeticText = inverse(ARITHMETIC);
const signedArithmeticText = inverse(SIGNED_ARITHMETIC);
const comparisonText = inverse(COMPARISONS);
const sizeText = inverse(SIZES);
const signedSizeText = inverse(SIGNED_SIZES);
const signExtensionText = inverse(SIGN_EXTENSIONS);
const atomicUpdateText = inverse(ATOMIC_UPDATES);
const atomicFetchText = inverse(ATOMIC_FETCHES);
const pseudoSourceText = inverse(PSEUDO_SOURCES);

/** One instruction of a listing. */
export interface ListingLine {
  /** Number of the instruction's first slot. */
  readonly slot: number;
  /** How many slots it takes: 2 for a 64-bit immediate load, else 1. */
  readonly slots: 1 | 2;
  /** The instruction in assembly language, without slot number or newline. */
  readonly text: string;
}

/**
 * Prints a program, one instruction a line, jumps as distances in slots.
 *
 * @param program - bytes (a multiple of 8) or decoded slots, valid or not.
 * @throws {RangeError} if bytes are given and their length is no multiple of 8; nothing else.
 */
export function disassemble(program: Uint8Array | readonly Instruction[]): string {
  const insns = program instanceof Uint8Array ? decodeInstructions(program) : program;
  return listing(insns)
    .map((line) => `${line.text}\n`)
    .join("");
}

/** Prints a program as separate lines that know their slot; the text is {@link disassemble}'s. */
export function listing(insns: readonly Instruction[]): ListingLine[] {
  const lines: ListingLine[] = [];
  insns.forEach((insn, slot) => {
    const previous = lines.at(-1);
    if (previous !== undefined && previous.slot + previous.slots > slot) return;
    const wide = isLoadImm64(insn) ? wideText(insn, insns[slot + 1]) : undefined;
    if (wide !== undefined) lines.push({ slot, slots: 2, text: wide });
    else lines.push({ slot, slots: 1, text: slotText(insn) ?? rawText(insn) });
  });
  return lines;
}

/**
 * Prints the instruction that starts at one slot.
 *
 * @param next - the slot after it, which a 64-bit immediate load needs.
 */
export function formatInstruction(insn: Instruction, next?: Instruction): string {
  const text = isLoadImm64(insn) ? wideText(insn, next) : slotText(insn);
  return text ?? rawText(insn);
}

function rawText({ opcode, dst, src, off, imm }: Instruction): string {
  const code = opcode.toString(16).padStart(2, "0");
  return `.insn opcode=0x${code} dst=${dst} src=${src} off=${off} imm=${imm}`;
}

/** The text of a one-slot instruction; undefined where only the raw form is exact. */
function slotText(insn: Instruction): string | undefined {
  const { opcode, dst, src } = insn;
  if (dst >= MAX_BPF_REG || src >= MAX_BPF_REG) return undefined;
  switch (BPF_CLASS(opcode)) {
    case BPF_LD:
      return packetLoadText(insn);
    case BPF_LDX:
      return loadText(insn);
    case BPF_ST:
      return storeImmediateText(insn);
    case BPF_STX:
      return BPF_MODE(opcode) === BPF_ATOMIC ? atomicText(insn) : storeText(insn);
    case BPF_ALU:
    case BPF_ALU64:
      return arithmeticLine(insn);
    case BPF_JMP:
      return jumpText(insn);
    case BPF_JMP32:
      return BPF_OP(opcode) === BPF_JA ? longJumpText(insn) : conditionalText(insn);
    default:
      return undefined;
  }
}

function wideText(first: Instruction, second: Instruction | undefined): string | undefined {
  const { dst, src, off, imm } = first;
  if (dst >= MAX_BPF_REG || off !== 0 || second === undefined) return undefined;
  if (second.opcode !== 0 || second.dst !== 0 || second.src !== 0 || second.off !== 0) {
    return undefined;
  }
  if (src === 0) return `r${dst} = 0x${loadImm64Value(first, second).toString(16)} ll`;
  const source = pseudoSourceText.get(src);
  if (source === undefined) return undefined;
  if (PAIRED_SOURCES.has(src)) return `r${dst} = ${source}[${imm}][${second.imm >>> 0}]`;
  if (second.imm !== 0) return undefined;
  return `r${dst} = ${source}[${src === BPF_PSEUDO_FUNC ? distance(imm) : imm}]`;
}

function packetLoadText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  const size = BPF_SIZE(opcode);
  if (dst !== BPF_REG_0 || off !== 0 || size === BPF_DW) return undefined;
  const packet = `r0 = *(${sizeText.get(size)} *)skb`;
  const mode = BPF_MODE(opcode);
  if (mode === BPF_ABS && src === 0) return `${packet}[${imm}]`;
  if (mode !== BPF_IND) return undefined;
  return `${packet}[r${src}${imm === 0 ? "" : displacement(imm)}]`;
}

function loadText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  if (imm !== 0) return undefined;
  const types = { [BPF_MEM]: sizeText, [BPF_MEMSX]: signedSizeText }[BPF_MODE(opcode)];
  const type = types?.get(BPF_SIZE(opcode));
  return type && `r${dst} = *(${type} *)(r${src}${displacement(off)})`;
}

function storeImmediateText(insn: Instruction): string | undefined {
  if (BPF_MODE(insn.opcode) !== BPF_MEM || insn.src !== 0) return undefined;
  return `*${place(insn, insn.dst)} = ${insn.imm}`;
}

function storeText(insn: Instruction): string | undefined {
  if (BPF_MODE(insn.opcode) !== BPF_MEM || insn.imm !== 0) return undefined;
  return `*${place(insn, insn.dst)} = r${insn.src}`;
}

function atomicText(insn: Instruction): string | undefined {
  const { opcode, dst, src, off, imm } = insn;
  const size = BPF_SIZE(opcode);
  const register = size === BPF_DW ? "r" : "w";
  if (imm === BPF_LOAD_ACQ) return `${register}${dst} = load_acquire(${place(insn, src)})`;
  if (imm === BPF_STORE_REL) return `store_release(${place(insn, dst)}, ${register}${src})`;
  if (size !== BPF_DW && size !== BPF_W) return undefined;
  const value = `${register}${src}`;
  const address = `r${dst}${displacement(off)}`;
  const suffix = size === BPF_DW ? "_64" : "32_32";
  if (imm === BPF_XCHG) return `${value} = xchg${suffix}(${address}, ${value})`;
  if (imm === BPF_CMPXCHG) {
    return `${register}0 = cmpxchg${suffix}(${address}, ${register}0, ${value})`;
  }
  const update = atomicUpdateText.get(imm);
  if (update !== undefined) return `lock *${place(insn, dst)} ${update} ${value}`;
  const fetch = imm & BPF_FETCH ? atomicFetchText.get(imm & ~BPF_FETCH) : undefined;
  return fetch && `${value} = ${fetch}(${place(insn, dst)}, ${value})`;
}

function arithmeticLine(insn: Instruction): string | undefined {
  const { opcode, dst, src, off, imm } = insn;
  const wide = BPF_CLASS(opcode) === BPF_ALU64;
  const register = wide ? "r" : "w";
  const fromRegister = BPF_SRC(opcode) === BPF_X;
  const operation = BPF_OP(opcode);
  if (operation === BPF_END) return byteSwapText(insn);
  if (operation === BPF_MOV && fromRegister && off !== 0) return specialMoveText(insn);
  if (fromRegister ? imm !== 0 : src !== 0) return undefined;
  if (operation === BPF_NEG) {
    if (fromRegister || off !== 0 || imm !== 0) return undefined;
    return `${register}${dst} = -${register}${dst}`;
  }
  const operand = fromRegister ? `${register}${src}` : `${imm}`;
  if (operation === BPF_MOV) return off === 0 ? `${register}${dst} = ${operand}` : undefined;
  const texts = { 0: arithmeticText, [SIGNED_OFF]: signedArithmeticText }[off];
  const operator = texts?.get(operation);
  return operator && `${register}${dst} ${operator} ${operand}`;
}

function byteSwapText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  if (src !== 0 || off !== 0 || (imm !== 16 && imm !== 32 && imm !== 64)) return undefined;
  const toBigEndian = BPF_SRC(opcode) === BPF_TO_BE;
  if (BPF_CLASS(opcode) === BPF_ALU) {
    return `r${dst} = ${toBigEndian ? "be" : "le"}${imm} r${dst}`;
  }
  return toBigEndian ? undefined : `r${dst} = bswap${imm} r${dst}`;
}

function specialMoveText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  const wide = BPF_CLASS(opcode) === BPF_ALU64;
  if (wide && off === BPF_ADDR_SPACE_CAST) {
    return `r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`;
  }
  const type = signExtensionText.get(off);
  if (imm !== 0 || type === undefined || (off === 32 && !wide)) return undefined;
  const register = wide ? "r" : "w";
  return `${register}${dst} = (${type})${register}${src}`;
}

function jumpText(insn: Instruction): string | undefined {
  const { opcode, dst, src, off, imm } = insn;
  switch (BPF_OP(opcode)) {
    case BPF_CALL:
      return BPF_SRC(opcode) === BPF_K ? callText(insn) : callRegisterText(insn);
    case BPF_JA:
    case BPF_JCOND:
    case BPF_EXIT: {
      // Among the fields, only the offset of a jump is used.
      if (BPF_SRC(opcode) !== BPF_K || dst !== 0 || src !== 0 || imm !== 0) return undefined;
      if (BPF_OP(opcode) === BPF_EXIT) return off === 0 ? "exit" : undefined;
      return `${BPF_OP(opcode) === BPF_JA ? "goto" : "may_goto"} ${distance(off)}`;
    }
    default:
      return conditionalText(insn);
  }
}

function longJumpText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  if (BPF_SRC(opcode) !== BPF_K || dst !== 0 || src !== 0 || off !== 0) return undefined;
  return `gotol ${distance(imm)}`;
}

function conditionalText({ opcode, dst, src, off, imm }: Instruction): string | undefined {
  const comparison = comparisonText.get(BPF_OP(opcode));
  const fromRegister = BPF_SRC(opcode) === BPF_X;
  if (comparison === undefined || (fromRegister ? imm !== 0 : src !== 0)) return undefined;
  const register = BPF_CLASS(opcode) === BPF_JMP ? "r" : "w";
  const operand = fromRegister ? `${register}${src}` : `${imm}`;
  return `if ${register}${dst} ${comparison} ${operand} goto ${distance(off)}`;
}

function callText({ dst, src, off, imm }: Instruction): string | undefined {
  if (dst !== 0) return undefined;
  if (src === BPF_PSEUDO_KFUNC_CALL) return `call kfunc[${imm}]${off === 0 ? "" : `[${off}]`}`;
  if (off !== 0) return undefined;
  if (src === BPF_PSEUDO_CALL) return `call ${distance(imm)}`;
  if (src !== 0 || imm < 0) return undefined;
  return `call ${helperName(imm) ?? imm}`;
}

function callRegisterText({ dst, src, off, imm }: Instruction): string | undefined {
  return src === 0 && off === 0 && imm === 0 ? `callx r${dst}` : undefined;
}

/** The memory operand of a store: a type, a base register and the offset. */
function place({ opcode, off }: Instruction, base: number): string {
  return `(${sizeText.get(BPF_SIZE(opcode))} *)(r${base}${displacement(off)})`;
}

function displacement(bytes: number): string {
  return bytes < 0 ? ` - ${-bytes}` : ` + ${bytes}`;
}

function distance(slots: number): string {
  return slots < 0 ? `${slots}` : `+${slots}`;
}
