/** Carries .BTF.ext over to linked programs: byte offsets in sections become slots. */

import { BPF_INSN_SIZE } from "../abi/insn.ts";
import type { BtfSection } from "./btf.ts";
import {
  type BtfExt,
  EMPTY_BTF_EXT,
  type ExtRange,
  type ExtRecords,
  recordsBetween,
} from "./btf_ext.ts";
import { checkCoreRelocation } from "./core_relo.ts";
import { ObjectError } from "./error.ts";
import type { FunctionCode } from "./functions.ts";
import { MAX_LINKED_LINES } from "./limits.ts";
import type { PlacedFunction } from "./link.ts";
import { LINE_INFO_SIZE, type ProgramSpec, type SourceLine } from "./spec.ts";

const COLUMN_BITS = 10;
const LINE_WORDS: number = LINE_INFO_SIZE / 4;

/** What a {@link ProgramSpec} says about its source. */
export type DebugInfo = Pick<ProgramSpec, "funcInfo" | "lineInfo" | "lines">;

/** Hands out debug information to linked programs, and refuses CO-RE relocations in them. */
export class DebugInfoLinker {
  readonly #btf: BtfSection | null;
  readonly #ext: BtfExt;
  #linkedLines = 0;

  constructor(btf: BtfSection | null, ext: BtfExt | null) {
    this.#btf = btf;
    this.#ext = ext ?? EMPTY_BTF_EXT;
  }

  /** The records of all functions of a program, for the slots that they have there. */
  link(functions: readonly PlacedFunction[]): DebugInfo {
    const btf = this.#btf;
    if (!btf) return { funcInfo: null, lineInfo: null, lines: [] };
    // Records as the kernel reads them, one after the other: a slot, and the fields.
    const functionWords: number[] = [];
    const lineWords: number[] = [];
    let startsKnown = true;
    let everyFunctionHasLines = true;
    for (const { code, slot } of functions) {
      this.#checkCoreRelocations(code, btf);
      const known = this.#between(this.#ext.functions, code);
      startsKnown &&= known.end - known.first === 1 && startsAt(known, code.start);
      append(functionWords, known, code, slot);
      const lines = this.#between(this.#ext.lines, code);
      everyFunctionHasLines &&= lines.end > lines.first && startsAt(lines, code.start);
      append(lineWords, lines, code, slot);
      this.#linkedLines += lines.end - lines.first;
      if (this.#linkedLines > MAX_LINKED_LINES) {
        const problem = `more than ${MAX_LINKED_LINES} lines in all programs`;
        throw new ObjectError(code.section.name, code.start, problem);
      }
    }
    return {
      funcInfo: startsKnown ? pack(functionWords) : null,
      lineInfo: startsKnown && everyFunctionHasLines ? pack(lineWords) : null,
      lines: decodeLines(lineWords, btf),
    };
  }

  #between(records: ExtRecords, { section, start, end }: FunctionCode): ExtRange {
    return recordsBetween(records, section.name, start, end);
  }

  #checkCoreRelocations(code: FunctionCode, btf: BtfSection): void {
    const { table, first, end } = this.#between(this.#ext.coreRelocations, code);
    const { stride, words } = table;
    for (let record = first; record < end; record++) {
      const fields = words.slice(record * stride, (record + 1) * stride);
      checkCoreRelocation(fields, code.section.name, btf);
    }
  }
}

function startsAt({ table, first }: ExtRange, instruction: number): boolean {
  return table.words[first * table.stride] === instruction;
}

/** Adds records of a function that begins at `slot` of its program. */
function append(
  to: number[],
  { table, first, end }: ExtRange,
  code: FunctionCode,
  slot: number,
): void {
  const { stride, words, offsets } = table;
  for (let record = first; record < end; record++) {
    const at = record * stride;
    const instruction = words[at] as number;
    const distance = instruction - code.start;
    if (distance % BPF_INSN_SIZE !== 0) {
      const place = `byte ${instruction} of ${code.section.name}`;
      const problem = `a record for ${place}, which is inside an instruction`;
      throw new ObjectError(".BTF.ext", offsets[record] as number, problem);
    }
    to.push(slot + distance / BPF_INSN_SIZE);
    for (let word = 1; word < stride; word++) to.push(words[at + word] as number);
  }
}

function decodeLines(words: readonly number[], btf: BtfSection): SourceLine[] {
  const lines: SourceLine[] = [];
  for (let at = 0; at < words.length; at += LINE_WORDS) {
    const position = words[at + 3] as number;
    lines.push({
      slot: words[at] as number,
      file: btf.strings.at(words[at + 1] as number),
      line: position >>> COLUMN_BITS,
      column: position & ((1 << COLUMN_BITS) - 1),
      text: btf.strings.at(words[at + 2] as number).trimEnd(),
    });
  }
  return lines;
}

/** 32-bit words as the kernel reads them. */
function pack(words: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * words.length));
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, words[i] as number, true);
  return new Uint8Array(view.buffer);
}
