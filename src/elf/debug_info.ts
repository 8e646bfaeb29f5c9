/** Carries .BTF.ext over to linked programs: byte offsets in sections become slots. */

import { BPF_INSN_SIZE } from "../abi/insn.ts";
import type { BtfSection } from "./btf.ts";
import { type BtfExt, EMPTY_BTF_EXT, type ExtRecord, recordsBetween } from "./btf_ext.ts";
import { checkCoreRelocation } from "./core_relo.ts";
import { ObjectError } from "./error.ts";
import type { FunctionCode } from "./functions.ts";
import { MAX_LINKED_LINES } from "./limits.ts";
import type { PlacedFunction } from "./link.ts";
import { FUNC_INFO_SIZE, LINE_INFO_SIZE, type ProgramSpec, type SourceLine } from "./spec.ts";

const COLUMN_BITS = 10;

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
    const functionRecords: number[][] = [];
    const lineRecords: number[][] = [];
    let everyFunctionHasLines = true;
    for (const { code, slot } of functions) {
      this.#checkCoreRelocations(code, btf);
      const slotOf = (record: ExtRecord): number => slotOfRecord(record, code, slot);
      for (const record of this.#between(this.#ext.functions, code)) {
        functionRecords.push([slotOf(record), ...record.fields]);
      }
      const lines = this.#between(this.#ext.lines, code);
      everyFunctionHasLines &&= lines[0]?.instruction === code.start;
      for (const record of lines) lineRecords.push([slotOf(record), ...record.fields]);
      this.#linkedLines += lines.length;
      if (this.#linkedLines > MAX_LINKED_LINES) {
        const problem = `more than ${MAX_LINKED_LINES} lines in all programs`;
        throw new ObjectError(code.section.name, code.start, problem);
      }
    }
    const startsKnown =
      functionRecords.length === functions.length &&
      functions.every(({ slot }, index) => functionRecords[index]?.[0] === slot);
    return {
      funcInfo: startsKnown ? pack(functionRecords, FUNC_INFO_SIZE) : null,
      lineInfo: startsKnown && everyFunctionHasLines ? pack(lineRecords, LINE_INFO_SIZE) : null,
      lines: lineRecords.map((fields) => decodeLine(fields, btf)),
    };
  }

  #between(records: BtfExt["lines"], { section, start, end }: FunctionCode): readonly ExtRecord[] {
    return recordsBetween(records, section.name, start, end);
  }

  #checkCoreRelocations(code: FunctionCode, btf: BtfSection): void {
    for (const record of this.#between(this.#ext.coreRelocations, code)) {
      checkCoreRelocation(record, code.section.name, btf);
    }
  }
}

function slotOfRecord(record: ExtRecord, code: FunctionCode, slot: number): number {
  const distance = record.instruction - code.start;
  if (distance % BPF_INSN_SIZE === 0) return slot + distance / BPF_INSN_SIZE;
  const place = `byte ${record.instruction} of ${code.section.name}`;
  const problem = `a record for ${place}, which is inside an instruction`;
  throw new ObjectError(".BTF.ext", record.offset, problem);
}

function decodeLine(fields: readonly number[], btf: BtfSection): SourceLine {
  const [slot = 0, file = 0, text = 0, position = 0] = fields;
  return {
    slot,
    file: btf.strings.at(file),
    line: position >>> COLUMN_BITS,
    column: position & ((1 << COLUMN_BITS) - 1),
    text: btf.strings.at(text).trimEnd(),
  };
}

/** Records of 32-bit fields as the kernel reads them. */
function pack(records: readonly (readonly number[])[], size: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(records.length * size));
  records.forEach((fields, index) => {
    fields.forEach((field, place) => {
      view.setUint32(index * size + place * 4, field, true);
    });
  });
  return new Uint8Array(view.buffer);
}
