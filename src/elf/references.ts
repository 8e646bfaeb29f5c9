/** Which instructions of a function refer to maps and to other functions, by its relocations. */

import { BPF_CALL, BPF_INSN_SIZE, BPF_JMP, BPF_LD_IMM64, BPF_PSEUDO_CALL } from "../abi/insn.ts";
import { isData } from "./contents.ts";
import {
  type ElfFile,
  type ElfRelocation,
  type ElfSection,
  R_BPF_64_32,
  R_BPF_64_64,
  sectionOf,
} from "./elf.ts";
import { ObjectError } from "./error.ts";
import { type FunctionCode, type FunctionTable, isCode } from "./functions.ts";
import { MAPS_SECTION, type MapDeclaration } from "./maps.ts";

/** An instruction that linking or loading changes; `slot` counts from the start of its function. */
export type Reference =
  | { readonly kind: "call" | "address"; readonly slot: number; readonly target: FunctionCode }
  | {
      readonly kind: "fd" | "value";
      readonly slot: number;
      readonly map: string;
      readonly offset: number;
    };

/** Finds the references of functions, each once. */
export class ReferenceFinder {
  readonly #elf: ElfFile;
  readonly #functions: FunctionTable;
  readonly #mapsByPlace: ReadonlyMap<number, string>;
  readonly #relocationsOf = new Map<ElfSection, Map<number, ElfRelocation>>();
  readonly #known = new Map<FunctionCode, readonly Reference[]>();

  constructor(elf: ElfFile, functions: FunctionTable, maps: readonly MapDeclaration[]) {
    this.#elf = elf;
    this.#functions = functions;
    this.#mapsByPlace = new Map(maps.map(({ start, spec }) => [start, spec.name]));
  }

  /** The references of one function, in the order of their slots. */
  find(code: FunctionCode): readonly Reference[] {
    const known = this.#known.get(code);
    if (known) return known;
    const references = this.#read(code);
    this.#known.set(code, references);
    return references;
  }

  #read(code: FunctionCode): Reference[] {
    const { section, start, end } = code;
    const { buffer, byteOffset, byteLength } = section.content;
    const view = new DataView(buffer, byteOffset, byteLength);
    const relocations = this.#relocations(section);
    const references: Reference[] = [];
    for (let at = start; at < end; at += BPF_INSN_SIZE) {
      const slot = (at - start) / BPF_INSN_SIZE;
      const opcode = view.getUint8(at);
      const source = view.getUint8(at + 1) >> 4;
      const immediate = view.getInt32(at + 4, true);
      const relocation = relocations.get(at);
      if (opcode === BPF_LD_IMM64) {
        at += BPF_INSN_SIZE;
        if (at >= end) fail(section, at, `${code.name} ends inside an instruction of two slots`);
        if (relocations.has(at)) fail(section, at, "relocates the second half of a load");
        if (relocation) references.push(this.#loaded(section, slot, relocation, immediate));
      } else if (opcode === (BPF_JMP | BPF_CALL) && (relocation || source === BPF_PSEUDO_CALL)) {
        const target = this.#called(section, at, source, relocation, immediate);
        references.push({ kind: "call", slot, target });
      } else if (relocation) {
        fail(section, at, `relocates opcode 0x${opcode.toString(16)}, neither a load nor a call`);
      }
    }
    return references;
  }

  #relocations(section: ElfSection): Map<number, ElfRelocation> {
    const known = this.#relocationsOf.get(section);
    if (known) return known;
    const relocations = new Map<number, ElfRelocation>();
    for (const relocation of this.#elf.relocations.get(section.index) ?? []) {
      const { offset } = relocation;
      if (offset % BPF_INSN_SIZE !== 0) fail(section, offset, "relocates half an instruction");
      if (relocations.has(offset)) fail(section, offset, "one instruction is relocated twice");
      relocations.set(offset, relocation);
    }
    this.#relocationsOf.set(section, relocations);
    return relocations;
  }

  /** What an ld_imm64 loads: a map, an address in data, or a function. */
  #loaded(section: ElfSection, slot: number, relocation: ElfRelocation, addend: number): Reference {
    const { offset: at, symbol } = relocation;
    const home = this.#home(section, relocation, R_BPF_64_64);
    const place = symbol.value + addend;
    if (home.name === MAPS_SECTION) {
      const map = this.#mapsByPlace.get(place);
      if (map === undefined) fail(section, at, `there is no map at ${place} of ${MAPS_SECTION}`);
      return { kind: "fd", slot, map, offset: 0 };
    }
    if (isData(home)) {
      if (place < 0 || place > home.size) fail(section, at, `byte ${place} is not in ${home.name}`);
      return { kind: "value", slot, map: home.name, offset: place };
    }
    if (isCode(home)) {
      return { kind: "address", slot, target: this.#functionAt(section, at, home, place) };
    }
    return fail(section, at, `${symbol.name || home.name} is neither map, data nor function`);
  }

  /** Calls inside one section come without a relocation, relative to the instruction. */
  #called(
    section: ElfSection,
    at: number,
    source: number,
    relocation: ElfRelocation | undefined,
    immediate: number,
  ): FunctionCode {
    if (!relocation) {
      return this.#functionAt(section, at, section, at + (immediate + 1) * BPF_INSN_SIZE);
    }
    const home = this.#home(section, relocation, R_BPF_64_32);
    if (source !== BPF_PSEUDO_CALL || !isCode(home)) {
      fail(section, at, `a call of ${relocation.symbol.name || home.name}, which is no function`);
    }
    const place = relocation.symbol.value + (immediate + 1) * BPF_INSN_SIZE;
    return this.#functionAt(section, at, home, place);
  }

  #home(section: ElfSection, { offset, type, symbol }: ElfRelocation, wanted: number): ElfSection {
    const home = sectionOf(this.#elf, symbol);
    if (!home) {
      const what = wanted === R_BPF_64_32 ? "function" : "variable";
      const problem =
        `${what} ${symbol.name} is extern; kernel functions, ksyms and kconfig values need the ` +
        "kernel's BTF or configuration, which aren't read here";
      fail(section, offset, problem);
    }
    if (type !== wanted) {
      fail(section, offset, `relocation type ${type} where ${wanted} belongs`);
    }
    return home;
  }

  #functionAt(section: ElfSection, at: number, home: ElfSection, place: number): FunctionCode {
    const target = this.#functions.startingAt(home, place);
    return target ?? fail(section, at, `no function starts at byte ${place} of ${home.name}`);
  }
}

function fail(section: ElfSection, offset: number, problem: string): never {
  throw new ObjectError(section.name, offset, problem);
}
