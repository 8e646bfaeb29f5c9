/**
 * Modules as text: reads the part of the WebAssembly binary format that the JIT writes, and names
 * instructions as the text format does.
 */

import { ATOMIC_OP, ATOMIC_PREFIX, I32, I64, OP, VOID } from "./wasm.ts";

/** One instruction of a function. */
export interface WasmInstruction {
  /** Where it begins in the module, and its bytes. */
  readonly offset: number;
  readonly size: number;
  /** How many blocks it stands in. */
  readonly depth: number;
  /** "i32.load offset=12" */
  readonly text: string;
}

/** A function that a module defines. */
export interface WasmFunction {
  /** Its index; imported functions come first. */
  readonly index: number;
  /** What it is exported as; null when it isn't. */
  readonly name: string | null;
  /** "(param i32 i32) (result i64)" */
  readonly type: string;
  /** "i64 i64 i32": after the parameters. */
  readonly locals: string;
  /** Where its body begins and ends in the module; its locals stand before its instructions. */
  readonly offset: number;
  readonly end: number;
  readonly instructions: readonly WasmInstruction[];
}

/**
 * Reads the functions of a module.
 *
 * @throws {RangeError} for what the JIT doesn't write.
 */
export function disassembleModule(bytes: Uint8Array): WasmFunction[] {
  return new ModuleReader(bytes).functions();
}

const HEADER_BYTES = 8;
const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const KIND = { function: 0, table: 1, memory: 2 } as const;
/** Of limits: a maximum follows the minimum. */
const HAS_MAXIMUM = 1;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(OP).map(([name, code]) => [code, name]),
);
const ATOMIC_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ATOMIC_OP).map(([name, code]) => [code, name]),
);
const TYPES: ReadonlyMap<number, string> = new Map([
  [I32, "i32"],
  [I64, "i64"],
]);

/** Instructions of two bytes. */
const PREFIX_MEMORY = 0xfc;
const MEMORY_NAMES: ReadonlyMap<number, string> = new Map([
  [10, "memory.copy"],
  [11, "memory.fill"],
]);

class ModuleReader {
  readonly #bytes: Uint8Array;
  #at: number = HEADER_BYTES;
  #types: string[] = [];
  #imported: number = 0;
  /** Types by index, without the imported ones. */
  #declared: number[] = [];
  readonly #exports: Map<number, string> = new Map();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  functions(): WasmFunction[] {
    let functions: WasmFunction[] = [];
    while (this.#at < this.#bytes.length) {
      const id = this.#byte();
      const end = this.#u32() + this.#at;
      if (id === SECTION.type) this.#types = this.#list(() => this.#type());
      else if (id === SECTION.import) this.#list(() => this.#import());
      else if (id === SECTION.function) this.#declared = this.#list(() => this.#u32());
      else if (id === SECTION.export) this.#list(() => this.#export());
      else if (id === SECTION.code) functions = this.#list((i) => this.#function(i));
      this.#at = end;
    }
    return functions;
  }

  #type(): string {
    this.#byte();
    const part = (word: string): string => {
      const types = this.#list(() => this.#valueType());
      return types.length === 0 ? "" : `(${word} ${types.join(" ")})`;
    };
    return [part("param"), part("result")].filter((text) => text !== "").join(" ");
  }

  #import(): void {
    this.#name();
    this.#name();
    const kind = this.#byte();
    if (kind === KIND.function) {
      this.#u32();
      this.#imported++;
      return;
    }
    if (kind === KIND.table) this.#byte();
    const flags = this.#byte();
    this.#u32();
    if ((flags & HAS_MAXIMUM) !== 0) this.#u32();
  }

  #export(): void {
    const name = this.#name();
    const kind = this.#byte();
    const index = this.#u32();
    if (kind === KIND.function) this.#exports.set(index, name);
  }

  #function(position: number): WasmFunction {
    const size = this.#u32();
    const offset = this.#at;
    const end = offset + size;
    const locals = this.#list(() => Array(this.#u32()).fill(this.#valueType()).join(" "));
    const instructions: WasmInstruction[] = [];
    let depth = 0;
    while (this.#at < end) {
      const start = this.#at;
      const text = this.#instruction();
      const [name] = text.split(" ");
      if (name === "end" || name === "else") depth--;
      instructions.push({ offset: start, size: this.#at - start, depth: Math.max(0, depth), text });
      if (name === "block" || name === "loop" || name === "if" || name === "else") depth++;
    }
    const index = this.#imported + position;
    return {
      index,
      name: this.#exports.get(index) ?? null,
      type: this.#types[this.#declared[position] ?? -1] ?? "",
      locals: locals.join(" "),
      offset,
      end,
      instructions,
    };
  }

  #instruction(): string {
    const opcode = this.#byte();
    if (opcode === PREFIX_MEMORY) return this.#memoryInstruction();
    const name = opcode === ATOMIC_PREFIX ? ATOMIC_NAMES.get(this.#byte()) : NAMES.get(opcode);
    if (name === undefined) throw unknown("opcode", opcode);
    const operands = this.#operands(name);
    return operands === "" ? name : `${name} ${operands}`;
  }

  #memoryInstruction(): string {
    const code = this.#u32();
    const name = MEMORY_NAMES.get(code);
    if (name === undefined) throw unknown(`opcode 0x${PREFIX_MEMORY.toString(16)}`, code);
    // The memories that it is about: there is only one.
    this.#at += name === "memory.copy" ? 2 : 1;
    return name;
  }

  #operands(name: string): string {
    switch (name) {
      case "block":
      case "loop":
      case "if":
        return this.#blockType();
      case "br":
      case "br_if":
      case "call":
      case "return_call":
        return `${this.#u32()}`;
      case "br_table":
        return [...this.#list(() => this.#u32()), this.#u32()].join(" ");
      case "call_indirect":
      case "return_call_indirect": {
        const type = this.#u32();
        this.#u32();
        return this.#types[type] ?? "";
      }
      case "i32.const":
      case "i64.const":
        return `${this.#signed()}`;
    }
    if (name.startsWith("local.")) return `${this.#u32()}`;
    if (/\.(load|store)|\.atomic\./.test(name)) return this.#memoryOperand();
    return "";
  }

  #blockType(): string {
    if (this.#bytes[this.#at] !== VOID) return `(result ${this.#valueType()})`;
    this.#at++;
    return "";
  }

  /** The alignment is only a hint. */
  #memoryOperand(): string {
    this.#u32();
    const offset = this.#u32();
    return offset === 0 ? "" : `offset=${offset}`;
  }

  #valueType(): string {
    const code = this.#byte();
    const name = TYPES.get(code);
    if (name === undefined) throw unknown("value type", code);
    return name;
  }

  #list<T>(read: (i: number) => T): T[] {
    return Array.from({ length: this.#u32() }, (_, i) => read(i));
  }

  #name(): string {
    return this.#list(() => String.fromCharCode(this.#byte())).join("");
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError("bytes: the module is cut off");
    return byte;
  }

  /** An unsigned LEB128 of up to 32 bits. */
  #u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("bytes: a number has no end");
  }

  /** A signed LEB128 of up to 64 bits. */
  #signed(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(Number(shift) + 7, value);
    }
    throw new RangeError("bytes: a number has no end");
  }
}

function unknown(what: string, code: number): RangeError {
  return new RangeError(`bytes: ${what} 0x${code.toString(16)} is none that the JIT writes`);
}
