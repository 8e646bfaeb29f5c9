/** Writes small ELF files and BTF by hand, for what clang would never write. */

import { R_BPF_64_64, SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS } from "../../src/elf/elf.ts";

export interface SectionInput {
  readonly name: string;
  readonly content?: Uint8Array;
  readonly type?: number;
  readonly flags?: number;
  readonly size?: number;
  readonly link?: number;
  readonly info?: number;
}

export interface SymbolInput {
  readonly name: string;
  /** Index into the sections given, from 0; left out for extern. */
  readonly section?: number;
  readonly value?: number;
  readonly size?: number;
  readonly type?: number;
  readonly binding?: number;
}

export interface RelocationInput {
  /** Index into the sections given. */
  readonly section: number;
  readonly offset: number;
  /** Index into the symbols given. */
  readonly symbol: number;
  readonly type?: number;
}

const STT_FUNC = 2;

/** A section of instructions. */
export function code(name: string, content: Uint8Array): SectionInput {
  return { name, content, flags: SHF_ALLOC | SHF_EXECINSTR };
}

/** `r0 = 0; exit`, `count` times: 16 bytes each. */
export function returnsZero(count = 1): Uint8Array {
  const one = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
  return new Uint8Array(Array.from({ length: count }, () => one).flat());
}

/** A function symbol of the first section. */
export function functionSymbol(name: string, value: number, size: number): SymbolInput {
  return { name, section: 0, value, size, type: STT_FUNC, binding: 1 };
}

/** A whole object file: the sections given get the indices 1, 2, … */
export function buildElf(
  sections: readonly SectionInput[],
  symbols: readonly SymbolInput[] = [],
  relocations: readonly RelocationInput[] = [],
): Uint8Array {
  const strings = new Strings();
  const symbolTable = new Bytes().zeros(24);
  for (const symbol of symbols) {
    const { value = 0, size = 0, type = 0, binding = 1, section } = symbol;
    symbolTable.u32(strings.add(symbol.name)).u8((binding << 4) | type, 0);
    symbolTable.u16(section === undefined ? 0 : section + 1).u64(value, size);
  }
  const symbolIndex = sections.length + 1;
  const all: SectionInput[] = [
    ...sections,
    { name: ".symtab", type: 2, content: symbolTable.done(), link: 0 },
  ];
  for (const target of new Set(relocations.map(({ section }) => section))) {
    const table = new Bytes();
    for (const { section, offset, symbol, type = R_BPF_64_64 } of relocations) {
      if (section === target) table.u64(offset).u32(type, symbol + 1);
    }
    const info = target + 1;
    all.push({ name: ".rel", type: 9, content: table.done(), info, link: symbolIndex });
  }
  for (const { name } of all) strings.add(name);
  const stringIndex = all.length + 1;
  strings.add(".strtab");
  all.push({ name: ".strtab", type: 3, content: strings.bytes() });

  const body = new Bytes().zeros(64);
  const headers = new Bytes().zeros(64);
  for (const section of all) {
    const { content = new Uint8Array(0), type = SHT_PROGBITS, flags = SHF_ALLOC } = section;
    const link = section.name === ".symtab" ? stringIndex : (section.link ?? 0);
    headers.u32(strings.add(section.name), type).u64(flags, 0, body.length);
    headers
      .u64(section.size ?? content.length)
      .u32(link, section.info ?? 0)
      .u64(8, 0);
    body.raw(content);
  }
  const file = body.raw(headers.done()).done();
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, 247, true);
  view.setUint32(40, file.length - headers.length, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, all.length + 1, true);
  view.setUint16(62, stringIndex, true);
  return file;
}

/** A .BTF section of these types, each given as its 32-bit words, the name as a string. */
export function buildBtf(
  types: readonly (readonly [string, ...(number | string)[]])[],
): Uint8Array {
  const strings = new Strings();
  const words = types.flat().map((w) => (typeof w === "string" ? strings.add(w) : w >>> 0));
  const header = new Bytes()
    .u16(0xeb9f)
    .u8(1, 0)
    .u32(24, 0, words.length * 4);
  header.u32(words.length * 4, strings.bytes().length);
  return header
    .u32(...words)
    .raw(strings.bytes())
    .done();
}

/** The word of a BTF type that holds its kind and length. */
export function info(kind: number, length = 0): number {
  return (kind << 24) | length;
}

class Bytes {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u8(...values: number[]): this {
    for (const value of values) this.#bytes.push(value & 0xff);
    return this;
  }

  u16(value: number): this {
    return this.u8(value, value >>> 8);
  }

  u32(...values: number[]): this {
    for (const value of values) this.u8(value, value >>> 8, value >>> 16, value >>> 24);
    return this;
  }

  u64(...values: number[]): this {
    for (const value of values) this.u32(value % 2 ** 32, Math.floor(value / 2 ** 32));
    return this;
  }

  zeros(length: number): this {
    return this.raw(new Uint8Array(length));
  }

  raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes);
  }
}

class Strings {
  readonly #offsets = new Map<string, number>([["", 0]]);
  #text = "\0";

  add(string: string): number {
    const known = this.#offsets.get(string);
    if (known !== undefined) return known;
    const offset = this.#text.length;
    this.#offsets.set(string, offset);
    this.#text += `${string}\0`;
    return offset;
  }

  bytes(): Uint8Array {
    return new TextEncoder().encode(this.#text);
  }
}
