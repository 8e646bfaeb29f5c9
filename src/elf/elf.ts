/** ELF as far as clang -target bpf writes it: sections, symbols and relocations (elf(5)). */

import { ObjectError } from "./error.ts";
import { MAX_OBJECT_BYTES, MAX_RELOCATIONS, MAX_SECTIONS, MAX_SYMBOLS } from "./limits.ts";
import { Cursor, StringTable, slice } from "./reader.ts";

export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_RELA = 4;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHF_ALLOC = 0x2;
export const SHF_EXECINSTR = 0x4;
const SHF_COMPRESSED = 0x800;
/** Section index of a symbol that the object doesn't define. */
export const SHN_UNDEF = 0;
export const STB_LOCAL = 0;
export const STT_FUNC = 2;
export const STV_INTERNAL = 1;
export const STV_HIDDEN = 2;

// Relocations of BPF: elf.h, and llvm's documentation of the BPF target.
/** The 64-bit immediate of an ld_imm64. */
export const R_BPF_64_64 = 1;
/** 64 bits of data. */
export const R_BPF_64_ABS64 = 2;
/** The target of a call. */
export const R_BPF_64_32 = 10;

const ELF_HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const REL_SIZE = 16;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EV_CURRENT = 1;
/** Bytes of e_ident, which the header begins with. */
const EI_NIDENT = 16;
const ET_REL = 1;
const EM_NONE = 0;
const EM_BPF = 247;

/** A section; `content` is a view of the file, and empty for SHT_NOBITS. */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes in memory. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly content: Uint8Array;
}

/** A symbol; `section` is the index of the section that `value` is an offset into. */
export interface ElfSymbol {
  readonly name: string;
  readonly value: number;
  readonly size: number;
  readonly type: number;
  readonly binding: number;
  readonly visibility: number;
  readonly section: number;
}

/** Where a symbol's address goes; the addend stands in the relocated bytes themselves. */
export interface ElfRelocation {
  readonly offset: number;
  readonly type: number;
  readonly symbol: ElfSymbol;
}

/** A parsed object file. */
export interface ElfFile {
  readonly sections: readonly ElfSection[];
  readonly sectionsByName: ReadonlyMap<string, ElfSection>;
  readonly symbols: readonly ElfSymbol[];
  /** Relocations of the sections that have memory at run time, by index of the section. */
  readonly relocations: ReadonlyMap<number, readonly ElfRelocation[]>;
}

/** The section that symbols of this index lie in, or undefined if they lie in none. */
export function sectionOf(elf: ElfFile, symbol: ElfSymbol): ElfSection | undefined {
  return symbol.section === SHN_UNDEF ? undefined : elf.sections[symbol.section];
}

/**
 * Reads an ELF object file.
 *
 * @param bytes - the whole file; the result holds views of it.
 * @throws {ObjectError} if it isn't a 64-bit little-endian BPF object or is malformed.
 */
export function parseElf(bytes: Uint8Array): ElfFile {
  if (bytes.length > MAX_OBJECT_BYTES) {
    throw new ObjectError("ELF header", 0, `the file is larger than ${MAX_OBJECT_BYTES} bytes`);
  }
  const sections = readSections(bytes);
  const symbols = readSymbols(sections);
  return {
    sections,
    sectionsByName: byName(sections),
    symbols,
    relocations: readRelocations(sections, symbols),
  };
}

function byName(sections: readonly ElfSection[]): Map<string, ElfSection> {
  const names = new Map<string, ElfSection>();
  for (const section of sections) {
    const other = names.get(section.name);
    if (!other) names.set(section.name, section);
    else if (section.flags & SHF_ALLOC) {
      const problem = `sections ${other.index} and ${section.index} have the same name`;
      throw new ObjectError(section.name, 0, problem);
    }
  }
  return names;
}

interface ElfHeader {
  readonly sectionTable: number;
  readonly sectionCount: number;
  readonly nameTable: number;
}

function readHeader(bytes: Uint8Array): ElfHeader {
  const name = "ELF header";
  const cursor = new Cursor(bytes, name);
  if (bytes.length < 4 || cursor.u32() !== 0x464c457f) {
    throw new ObjectError(name, 0, "not an ELF file");
  }
  if (bytes.length < ELF_HEADER_SIZE) throw new ObjectError(name, bytes.length, "file ends here");
  const elfClass = cursor.u8();
  if (elfClass !== ELFCLASS64) throw new ObjectError(name, 4, `class ${elfClass} is not 64-bit`);
  const byteOrder = cursor.u8();
  if (byteOrder !== ELFDATA2LSB) {
    throw new ObjectError(name, 5, `byte order ${byteOrder} is not little-endian (bpfel)`);
  }
  const version = cursor.u8();
  if (version !== EV_CURRENT) throw new ObjectError(name, 6, `version ${version} of ELF`);
  cursor.skip(EI_NIDENT - cursor.offset); // OSABI, its version, padding
  const type = cursor.u16();
  if (type !== ET_REL) throw new ObjectError(name, 16, `type ${type} is not an object file`);
  const machine = cursor.u16();
  if (machine !== EM_BPF && machine !== EM_NONE) {
    throw new ObjectError(name, 18, `machine ${machine} is not BPF (${EM_BPF})`);
  }
  cursor.skip(4 + 8 + 8); // e_version (which libelf doesn't look at either), e_entry, e_phoff
  const sectionTable = cursor.size64();
  cursor.skip(4 + 2 + 2 + 2); // e_flags, e_ehsize, e_phentsize, e_phnum
  const entrySize = cursor.u16();
  if (entrySize !== SECTION_HEADER_SIZE) {
    throw new ObjectError(name, 58, `section headers of ${entrySize} bytes`);
  }
  const sectionCount = cursor.u16();
  if (sectionCount === 0 || sectionCount > MAX_SECTIONS) {
    throw new ObjectError(name, 60, `${sectionCount} sections; 1 to ${MAX_SECTIONS} can be read`);
  }
  return { sectionTable, sectionCount, nameTable: cursor.u16() };
}

function readSections(bytes: Uint8Array): ElfSection[] {
  const { sectionTable, sectionCount, nameTable } = readHeader(bytes);
  const table = "section headers";
  const length = sectionCount * SECTION_HEADER_SIZE;
  const cursor = new Cursor(slice(bytes, sectionTable, length, table), table);
  const headers = Array.from({ length: sectionCount }, () => {
    const nameOffset = cursor.u32();
    const type = cursor.u32();
    const flags = cursor.size64();
    cursor.skip(8); // sh_addr
    const offset = cursor.size64();
    const size = cursor.size64();
    const link = cursor.u32();
    const info = cursor.u32();
    cursor.skip(8 + 8); // sh_addralign, sh_entsize
    return { nameOffset, type, flags, offset, size, link, info };
  });
  const names = headers[nameTable];
  if (!names) throw new ObjectError("ELF header", 62, `no section ${nameTable} to hold names`);
  const nameBytes = slice(bytes, names.offset, names.size, "section names");
  const strings = new StringTable(nameBytes, "section names");
  return headers.map(({ nameOffset, ...header }, index) => {
    const name = strings.at(nameOffset);
    const isEmpty = index === 0 || header.type === SHT_NOBITS;
    if (!isEmpty && header.flags & SHF_COMPRESSED && header.flags & SHF_ALLOC) {
      throw new ObjectError(name, 0, "the section is compressed");
    }
    const content = isEmpty ? new Uint8Array(0) : slice(bytes, header.offset, header.size, name);
    return { index, name, ...header, content };
  });
}

function readSymbols(sections: readonly ElfSection[]): ElfSymbol[] {
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  if (!table) return [];
  const count = Math.floor(table.content.length / SYMBOL_SIZE);
  if (count > MAX_SYMBOLS) {
    throw new ObjectError(table.name, 0, `${count} symbols; ${MAX_SYMBOLS} can be read`);
  }
  const stringSection = sections[table.link];
  if (!stringSection) throw new ObjectError(table.name, 0, `no section ${table.link} for names`);
  const strings = new StringTable(stringSection.content, stringSection.name);
  const cursor = new Cursor(table.content, table.name);
  return Array.from({ length: count }, () => {
    const name = strings.at(cursor.u32());
    const info = cursor.u8();
    const visibility = cursor.u8() & 3;
    const section = cursor.u16();
    const value = cursor.size64();
    const size = cursor.size64();
    return { name, value, size, type: info & 15, binding: info >> 4, visibility, section };
  });
}

function readRelocations(
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
): Map<number, ElfRelocation[]> {
  const relocations = new Map<number, ElfRelocation[]>();
  let total = 0;
  for (const table of sections) {
    if (table.type !== SHT_REL && table.type !== SHT_RELA) continue;
    const target = sections[table.info];
    if (!target) throw new ObjectError(table.name, 0, `relocates section ${table.info}: no such`);
    // What remains are BTF and debug information: their relocations only repeat what the
    // relocated bytes say already, or name symbols by which the BTF is completed.
    if (!(target.flags & SHF_ALLOC)) continue;
    if (table.type === SHT_RELA) {
      throw new ObjectError(table.name, 0, "relocations with addends, which BPF doesn't have");
    }
    if (relocations.has(target.index)) {
      throw new ObjectError(table.name, 0, `${target.name} is relocated by two sections`);
    }
    total += Math.floor(table.content.length / REL_SIZE);
    if (total > MAX_RELOCATIONS) {
      throw new ObjectError(table.name, 0, `more than ${MAX_RELOCATIONS} relocations in all`);
    }
    relocations.set(target.index, readTable(table, target, symbols));
  }
  return relocations;
}

function readTable(
  table: ElfSection,
  target: ElfSection,
  symbols: readonly ElfSymbol[],
): ElfRelocation[] {
  const cursor = new Cursor(table.content, table.name);
  return Array.from({ length: Math.floor(table.content.length / REL_SIZE) }, () => {
    const at = cursor.offset;
    const offset = cursor.size64();
    const type = cursor.u32();
    const symbolIndex = cursor.u32();
    const symbol = symbols[symbolIndex];
    if (!symbol) throw new ObjectError(table.name, at, `there is no symbol ${symbolIndex}`);
    if (offset >= target.size) {
      throw new ObjectError(table.name, at, `relocates offset ${offset}, outside ${target.name}`);
    }
    return { offset, type, symbol };
  });
}
