/**
 * Reads the instruction-set conformance cases of ubpf and bpf_conformance (`*.data`): a program in
 * ubpf's assembly language, the memory it is given, and what it must return.
 */
import {
  BPF_ADD,
  BPF_ALU,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_ATOMIC,
  BPF_B,
  BPF_CALL,
  BPF_CMPXCHG,
  BPF_DIV,
  BPF_DW,
  BPF_END,
  BPF_EXIT,
  BPF_FETCH,
  BPF_H,
  BPF_JA,
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
  BPF_LDX,
  BPF_LSH,
  BPF_MEM,
  BPF_MEMSX,
  BPF_MOD,
  BPF_MOV,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_PSEUDO_CALL,
  BPF_RSH,
  BPF_ST,
  BPF_STX,
  BPF_SUB,
  BPF_TO_BE,
  BPF_TO_LE,
  BPF_W,
  BPF_X,
  BPF_XCHG,
  BPF_XOR,
} from "../../src/abi/insn.ts";
import { encodeInstructions, type Instruction, loadImm64 } from "../../src/asm/index.ts";

/** One case. */
export interface ConformanceCase {
  /** The program, little-endian slots of 8 bytes. */
  readonly program: Uint8Array;
  /**
   * What r1 points to (r1 is 0 where this is empty); r2 is its length. The program may write to it.
   */
  readonly memory: Uint8Array;
  /** What r0 must hold at exit, as u64. */
  readonly result: bigint;
  /** The program's bytes where the file gives them as well; they must be `program`'s. */
  readonly raw?: Uint8Array;
}

/**
 * Reads the text of a `.data` file.
 *
 * @throws {SyntaxError} naming the statement, for anything that is not understood.
 */
export function parseCase(text: string): ConformanceCase {
  const sections = splitSections(text);
  const result = sections.get("result")?.map(stripComment).find(Boolean);
  if (result === undefined) throw new SyntaxError("the case has no result");
  const memory = words(sections.get("mem") ?? []).map((byte) => Number.parseInt(byte, 16));
  const raw = words(sections.get("raw") ?? []);
  return {
    program: assembleUbpf(sections.get("asm") ?? []),
    memory: Uint8Array.from(memory),
    result: BigInt.asUintN(64, BigInt(result)),
    ...(raw.length > 0 && { raw: slotBytes(raw) }),
  };
}

/** Sections by name, each the lines after `-- name`; lines before the first belong to none. */
function splitSections(text: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const name = /^-- (.+)$/.exec(line)?.[1];
    if (name === undefined) {
      lines.push(line);
    } else {
      lines = [];
      sections.set(name.trim(), lines);
    }
  }
  return sections;
}

function stripComment(line: string): string {
  return line.replace(/#.*/, "").trim();
}

function words(lines: readonly string[]): string[] {
  return lines.flatMap((line) => stripComment(line).split(/\s+/)).filter(Boolean);
}

function slotBytes(slots: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(slots.length * 8);
  const view = new DataView(bytes.buffer);
  slots.forEach((slot, index) => {
    view.setBigUint64(index * 8, BigInt(slot), true);
  });
  return bytes;
}

const ARITHMETIC: Readonly<Record<string, { operation: number; off?: number }>> = {
  add: { operation: BPF_ADD },
  sub: { operation: BPF_SUB },
  mul: { operation: BPF_MUL },
  div: { operation: BPF_DIV },
  sdiv: { operation: BPF_DIV, off: 1 },
  or: { operation: BPF_OR },
  and: { operation: BPF_AND },
  lsh: { operation: BPF_LSH },
  rsh: { operation: BPF_RSH },
  neg: { operation: BPF_NEG },
  mod: { operation: BPF_MOD },
  smod: { operation: BPF_MOD, off: 1 },
  xor: { operation: BPF_XOR },
  mov: { operation: BPF_MOV },
  arsh: { operation: BPF_ARSH },
};

const COMPARISONS: Readonly<Record<string, number>> = {
  jeq: BPF_JEQ,
  jgt: BPF_JGT,
  jge: BPF_JGE,
  jset: BPF_JSET,
  jne: BPF_JNE,
  jsgt: BPF_JSGT,
  jsge: BPF_JSGE,
  jlt: BPF_JLT,
  jle: BPF_JLE,
  jslt: BPF_JSLT,
  jsle: BPF_JSLE,
};

const ATOMICS: Readonly<Record<string, number>> = {
  add: BPF_ADD,
  and: BPF_AND,
  or: BPF_OR,
  xor: BPF_XOR,
  xchg: BPF_XCHG,
  cmpxchg: BPF_CMPXCHG,
};

const SIZES: Readonly<Record<string, number>> = { b: BPF_B, h: BPF_H, w: BPF_W, dw: BPF_DW };

const BYTE_SWAPS: Readonly<Record<string, number>> = {
  le: BPF_ALU | BPF_END | BPF_TO_LE,
  be: BPF_ALU | BPF_END | BPF_TO_BE,
  swap: BPF_ALU64 | BPF_END,
  bswap: BPF_ALU64 | BPF_END,
};

/** A jump or call whose distance is known once all labels are. */
interface PendingJump {
  readonly slot: number;
  readonly field: "off" | "imm";
  readonly label: string;
}

/** The field of an instruction that a jump target goes to, and the target as it is written. */
interface Target {
  readonly field: "off" | "imm";
  readonly text: string;
}

function assembleUbpf(lines: readonly string[]): Uint8Array {
  const insns: Instruction[] = [];
  const labels = new Map<string, number>();
  const jumps: PendingJump[] = [];
  for (const line of lines) {
    const statement = stripComment(line);
    const label = /^(\w+):$/.exec(statement)?.[1];
    if (label !== undefined) labels.set(label, insns.length);
    if (label !== undefined || statement === "") continue;
    // `exit` is also the name of the first exit, as in ubpf.
    if (statement === "exit" && !labels.has("exit")) labels.set("exit", insns.length);
    const { emitted, target } = translate(statement);
    const last = emitted.at(-1);
    if (target === undefined || last === undefined) {
      insns.push(...emitted);
    } else if (/^[+-]/.test(target.text)) {
      insns.push({ ...last, [target.field]: Number(target.text) });
    } else {
      jumps.push({ slot: insns.length, field: target.field, label: target.text });
      insns.push(last);
    }
  }
  for (const { slot, field, label } of jumps) {
    const to = labels.get(label);
    const insn = insns[slot];
    if (to === undefined || insn === undefined) throw new SyntaxError(`no label ${label}`);
    insns[slot] = { ...insn, [field]: to - slot - 1 };
  }
  return encodeInstructions(insns);
}

function translate(statement: string): { emitted: Instruction[]; target?: Target } {
  const [mnemonic = "", rest = ""] = statement.split(/\s+(.*)/s);
  const operands = rest === "" ? [] : rest.split(",").map((operand) => operand.trim());
  const [first = "", second = "", third = ""] = operands;
  const is32 = mnemonic.endsWith("32");
  const base = is32 ? mnemonic.slice(0, -2) : mnemonic;

  if (mnemonic === "exit") return { emitted: [insn(BPF_JMP | BPF_EXIT)] };
  if (mnemonic === "call") return call(rest);
  if (mnemonic === "lock") return { emitted: [atomic(rest)] };
  if (mnemonic === "ja") return jump(insn(BPF_JMP | BPF_JA), "off", first);
  if (mnemonic === "ja32") return jump(insn(BPF_JMP32 | BPF_JA), "imm", first);
  if (mnemonic === "lddw") return { emitted: loadImm64(register(first), 0, BigInt(second)) };

  const comparison = COMPARISONS[base];
  if (comparison !== undefined) {
    const opcode = (is32 ? BPF_JMP32 : BPF_JMP) | comparison;
    return jump(withOperand(opcode, first, second), "off", third);
  }
  const swap = /^(le|be|swap|bswap)(16|32|64)$/.exec(mnemonic);
  if (swap?.[1] !== undefined) {
    const opcode = BYTE_SWAPS[swap[1]] ?? 0;
    return { emitted: [insn(opcode, { dst: register(first), imm: Number(swap[2]) })] };
  }
  const signExtension = /^movsx(8|16|32)(32|64)$/.exec(mnemonic);
  if (signExtension !== null) {
    const opcode = (signExtension[2] === "32" ? BPF_ALU : BPF_ALU64) | BPF_MOV;
    return { emitted: [{ ...withOperand(opcode, first, second), off: Number(signExtension[1]) }] };
  }
  const access = /^(ldx|ldxs|st|stx)(b|h|w|dw)$/.exec(mnemonic);
  if (access?.[1] !== undefined && access[2] !== undefined) {
    return { emitted: [memoryAccess(access[1], SIZES[access[2]] ?? 0, first, second)] };
  }
  const arithmetic = ARITHMETIC[base];
  if (arithmetic === undefined) throw new SyntaxError(`unknown instruction: ${statement}`);
  const opcode = (is32 ? BPF_ALU : BPF_ALU64) | arithmetic.operation;
  const operation = withOperand(opcode, first, second === "" ? "0" : second);
  return { emitted: [{ ...operation, off: arithmetic.off ?? 0 }] };
}

function insn(opcode: number, fields: Partial<Instruction> = {}): Instruction {
  return { opcode, dst: 0, src: 0, off: 0, imm: 0, ...fields };
}

function jump(jumping: Instruction, field: Target["field"], text: string) {
  return { emitted: [jumping], target: { field, text } };
}

/** `call 5` is a helper, `call local name` a function, `call %r2` the helper whose id r2 holds. */
function call(operand: string): { emitted: Instruction[]; target?: Target } {
  const opcode = BPF_JMP | BPF_CALL;
  const local = /^local\s+(\S+)$/.exec(operand)?.[1];
  if (local !== undefined) return jump(insn(opcode, { src: BPF_PSEUDO_CALL }), "imm", local);
  if (operand.startsWith("%"))
    return { emitted: [insn(opcode | BPF_X, { dst: register(operand) })] };
  return { emitted: [insn(opcode, { imm: immediate(operand) })] };
}

function atomic(operand: string): Instruction {
  const match = /^(fetch\s+)?(\w+?)(32)?\s+(\[.*\]),\s*(\S+)$/.exec(operand);
  const operation = ATOMICS[match?.[2] ?? ""];
  if (match === null || operation === undefined) throw new SyntaxError(`lock ${operand}`);
  const [, fetch, , is32, place = "", source = ""] = match;
  const { base, off } = address(place);
  return insn(BPF_STX | BPF_ATOMIC | (is32 ? BPF_W : BPF_DW), {
    dst: base,
    src: register(source),
    off,
    imm: operation | (fetch ? BPF_FETCH : 0),
  });
}

function memoryAccess(kind: string, size: number, first: string, second: string): Instruction {
  if (kind === "ldx" || kind === "ldxs") {
    const { base, off } = address(second);
    const mode = kind === "ldx" ? BPF_MEM : BPF_MEMSX;
    return insn(BPF_LDX | mode | size, { dst: register(first), src: base, off });
  }
  const { base, off } = address(first);
  if (kind === "stx") {
    return insn(BPF_STX | BPF_MEM | size, { dst: base, src: register(second), off });
  }
  return insn(BPF_ST | BPF_MEM | size, { dst: base, off, imm: immediate(second) });
}

function withOperand(opcode: number, first: string, second: string): Instruction {
  const dst = register(first);
  if (second.startsWith("%")) return insn(opcode | BPF_X, { dst, src: register(second) });
  return insn(opcode, { dst, imm: immediate(second) });
}

function register(text: string): number {
  const number = /^%r(\d+)$/.exec(text)?.[1];
  if (number === undefined || Number(number) > 10) throw new SyntaxError(`no register: ${text}`);
  return Number(number);
}

/** 32 bits, written signed or unsigned. */
function immediate(text: string): number {
  const match = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(text);
  if (match?.[2] === undefined) throw new SyntaxError(`no immediate: ${text}`);
  const value = (match[1] === "-" ? -1n : 1n) * BigInt(match[2]);
  return Number(BigInt.asIntN(32, value));
}

function address(text: string): { base: number; off: number } {
  const match = /^\[(%r\d+)([+-]\w+)?\]$/.exec(text);
  if (match?.[1] === undefined) throw new SyntaxError(`no memory place: ${text}`);
  return { base: register(match[1]), off: match[2] === undefined ? 0 : immediate(match[2]) };
}
