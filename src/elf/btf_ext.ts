/** .BTF.ext: which function, source line and CO-RE relocation belongs to which instruction. */

import { BTF_MAGIC, type BtfSection } from "./btf.ts";
import { ObjectError } from "./error.ts";
import { Cursor, slice } from "./reader.ts";

/** One record of any of the three kinds: bytes as in the file, placed by byte offset. */
export interface ExtRecord {
  /** Byte offset of the instruction in its section. */
  readonly instruction: number;
  /** Byte offset of the record in .BTF.ext. */
  readonly offset: number;
  /** The 32-bit fields behind the instruction offset, as many as this kind has. */
  readonly fields: readonly number[];
}

/** Records of one kind by name of the program section, ordered by instruction. */
export type ExtRecords = ReadonlyMap<string, readonly ExtRecord[]>;

/** What .BTF.ext holds. */
export interface BtfExt {
  /** Fields: type id of the function. */
  readonly functions: ExtRecords;
  /** Fields: file name, line text (string offsets), line << 10 | column. */
  readonly lines: ExtRecords;
  /** Fields: type id, access path (string offset), kind of relocation. */
  readonly coreRelocations: ExtRecords;
}

/** What an object without .BTF.ext has. */
export const EMPTY_BTF_EXT: BtfExt = {
  functions: new Map(),
  lines: new Map(),
  coreRelocations: new Map(),
};

const NAME = ".BTF.ext";
/** Bytes of the header without CO-RE relocations, which it grew later. */
const SMALLEST_HEADER = 24;
const HEADER_WITH_CORE = 32;
const FUNCTION_FIELDS = 1;
const LINE_FIELDS = 3;
const CORE_FIELDS = 3;

/** Reads a .BTF.ext section; names of sections are strings of `btf`. */
export function parseBtfExt(raw: Uint8Array, btf: BtfSection): BtfExt {
  const header = new Cursor(raw, NAME);
  const magic = header.u16();
  if (magic !== BTF_MAGIC) {
    throw new ObjectError(NAME, 0, `magic 0x${magic.toString(16)} is not that of BTF`);
  }
  const version = header.u8();
  if (version !== 1) throw new ObjectError(NAME, 2, `version ${version} of BTF`);
  header.skip(1);
  const headerSize = header.u32();
  if (headerSize < SMALLEST_HEADER) {
    throw new ObjectError(NAME, 4, `a header of ${headerSize} bytes`);
  }
  const table = (fieldCount: number): ExtRecords => {
    const [offset, size] = [header.u32(), header.u32()];
    const end = slice(raw, 0, headerSize + offset + size, NAME);
    return readRecords(new Cursor(end, NAME, headerSize + offset), fieldCount, btf);
  };
  const functions = table(FUNCTION_FIELDS);
  const lines = table(LINE_FIELDS);
  const coreRelocations =
    headerSize >= HEADER_WITH_CORE ? table(CORE_FIELDS) : EMPTY_BTF_EXT.coreRelocations;
  return { functions, lines, coreRelocations };
}

function readRecords(cursor: Cursor, fieldCount: number, btf: BtfSection): ExtRecords {
  const records = new Map<string, ExtRecord[]>();
  if (cursor.remaining === 0) return records;
  const recordSize = cursor.u32();
  const known = 4 * (1 + fieldCount);
  if (recordSize < known || recordSize % 4 !== 0) {
    throw new ObjectError(NAME, cursor.offset - 4, `records of ${recordSize} bytes`);
  }
  while (cursor.remaining > 0) {
    const section = btf.strings.at(cursor.u32());
    const count = cursor.u32();
    if (count * recordSize > cursor.remaining) {
      const problem = `${count} records of ${recordSize} bytes, ${cursor.remaining} bytes are left`;
      throw new ObjectError(NAME, cursor.offset - 4, problem);
    }
    const list = records.get(section) ?? [];
    for (let index = 0; index < count; index++) {
      const offset = cursor.offset;
      const instruction = cursor.u32();
      const fields: number[] = [];
      for (let field = 0; field < fieldCount; field++) fields.push(cursor.u32());
      cursor.skip(recordSize - known);
      list.push({ instruction, offset, fields });
    }
    records.set(section, list);
  }
  for (const list of records.values()) list.sort((a, b) => a.instruction - b.instruction);
  return records;
}

/** The records of `section` for instructions from byte `start` up to, not including, byte `end`. */
export function recordsBetween(
  records: ExtRecords,
  section: string,
  start: number,
  end: number,
): readonly ExtRecord[] {
  const list = records.get(section) ?? [];
  return list.slice(firstAtOrAfter(list, start), firstAtOrAfter(list, end));
}

function firstAtOrAfter(list: readonly ExtRecord[], instruction: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const record = list[middle];
    if (record && record.instruction < instruction) low = middle + 1;
    else high = middle;
  }
  return low;
}
