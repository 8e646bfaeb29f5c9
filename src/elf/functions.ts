/** The functions of an object's executable sections, by their symbols. */

import { BPF_INSN_SIZE } from "../abi/insn.ts";
import {
  type ElfFile,
  type ElfSection,
  SHF_EXECINSTR,
  SHT_PROGBITS,
  STB_LOCAL,
  STT_FUNC,
  sectionOf,
} from "./elf.ts";
import { ObjectError } from "./error.ts";

/** A function as it lies in its section. */
export interface FunctionCode {
  readonly name: string;
  readonly section: ElfSection;
  /** First byte in the section. */
  readonly start: number;
  /** First byte behind it. */
  readonly end: number;
  /** True for a program, false for what programs only call. */
  readonly isProgram: boolean;
}

/** Functions by section and place. */
export class FunctionTable {
  /** In the order of sections and places. */
  readonly all: readonly FunctionCode[];
  readonly #bySection = new Map<number, Map<number, FunctionCode>>();

  constructor(elf: ElfFile) {
    this.all = collect(elf);
    let last: FunctionCode | undefined;
    for (const code of this.all) {
      const places = this.#bySection.get(code.section.index) ?? new Map<number, FunctionCode>();
      this.#bySection.set(code.section.index, places);
      // Two names of one function are fine: the first is the one that calls find.
      if (!places.has(code.start)) places.set(code.start, code);
      if (last?.section === code.section && code.start < last.end && code.start !== last.start) {
        const problem = `functions ${last.name} and ${code.name} overlap`;
        throw new ObjectError(code.section.name, code.start, problem);
      }
      last = code;
    }
  }

  /** The function whose first instruction is at byte `start` of the section. */
  startingAt(section: ElfSection, start: number): FunctionCode | undefined {
    return this.#bySection.get(section.index)?.get(start);
  }
}

/** Sections that hold instructions. */
export function isCode(section: ElfSection): boolean {
  return section.type === SHT_PROGBITS && (section.flags & SHF_EXECINSTR) !== 0;
}

function collect(elf: ElfFile): FunctionCode[] {
  const functions: FunctionCode[] = [];
  for (const symbol of elf.symbols) {
    if (symbol.type !== STT_FUNC) continue;
    const section = sectionOf(elf, symbol);
    if (!section || !isCode(section)) continue;
    const { name, value: start, size } = symbol;
    const end = start + size;
    if (size === 0 || start % BPF_INSN_SIZE !== 0 || size % BPF_INSN_SIZE !== 0) {
      const problem = `function ${name} of ${size} bytes is no whole number of instructions`;
      throw new ObjectError(section.name, start, problem);
    }
    if (end > section.size) {
      throw new ObjectError(section.name, start, `function ${name} ends outside, at ${end}`);
    }
    // Code in .text has no program type, and a static function can't be found from outside.
    const isProgram = section.name !== ".text" && symbol.binding !== STB_LOCAL;
    functions.push({ name, section, start, end, isProgram });
  }
  return functions.sort((a, b) => a.section.index - b.section.index || a.start - b.start);
}
