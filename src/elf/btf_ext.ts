/** .BTF.ext: which function, source line and CO-RE relocation belongs to which instruction. */

import { type BtfSection, readHeaderStart } from "./btf.ts";
import { ObjectError } from "./error.ts";
import { Cursor, slice } from "./reader.ts";

/** Records of one kind for one section, ordered by instruction. */
export interface ExtTable {
  /** Words of a record: the byte offset of its instruction in the section, and its fields. */
  readonly stride: number;
  /** The records' words, one record after the other. */
  readonly words: readonly number[];
  /** Byte offsets of the records in .BTF.ext. */
  readonly offsets: readonly number[];
}

/** By name of the program section. */
export type ExtRecords = ReadonlyMap<string, ExtTable>;

/** Some records of a table: from the one at `first` up to, not including, the one at `end`. */
export interface ExtRange {
  readonly table: ExtTable;
  readonly first: number;
  readonly end: number;
}

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
  const headerSize = readHeaderStart(header, SMALLEST_HEADER);
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
  const records = new Map<string, { words: number[]; offsets: number[] }>();
  if (cursor.remaining === 0) return new Map();
  const recordSize = cursor.u32();
  const stride = 1 + fieldCount;
  if (recordSize < 4 * stride || recordSize % 4 !== 0) {
    throw new ObjectError(NAME, cursor.offset - 4, `records of ${recordSize} bytes`);
  }
  while (cursor.remaining > 0) {
    const section = btf.strings.at(cursor.u32());
    const count = cursor.u32();
    if (count * recordSize > cursor.remaining) {
      const problem = `${count} records of ${recordSize} bytes, ${cursor.remaining} bytes are left`;
      throw new ObjectError(NAME, cursor.offset - 4, problem);
    }
    const { words, offsets } = records.get(section) ?? { words: [], offsets: [] };
    for (let index = 0; index < count; index++) {
      offsets.push(cursor.offset);
      for (let word = 0; word < stride; word++) words.push(cursor.u32());
      // Fields that later compilers put at the end of a record.
      cursor.skip(recordSize - 4 * stride);
    }
    records.set(section, { words, offsets });
  }
  const tables = new Map<string, ExtTable>();
  for (const [section, table] of records) tables.set(section, ordered({ stride, ...table }));
  return tables;
}

/** The records in the order of their instructions, in which compilers write them anyway. */
function ordered(table: ExtTable): ExtTable {
  const { stride, words, offsets } = table;
  const instruction = (record: number): number => words[record * stride] as number;
  if (offsets.every((_, i) => i === 0 || instruction(i - 1) <= instruction(i))) return table;
  const order = offsets.map((_, i) => i).sort((a, b) => instruction(a) - instruction(b));
  return {
    stride,
    words: order.flatMap((i) => words.slice(i * stride, (i + 1) * stride)),
    offsets: order.map((i) => offsets[i] as number),
  };
}

const NO_RECORDS: ExtTable = { stride: 1, words: [], offsets: [] };

/** The records of `section` for instructions from byte `start` up to, not including, byte `end`. */
export function recordsBetween(
  records: ExtRecords,
  section: string,
  start: number,
  end: number,
): ExtRange {
  const table = records.get(section) ?? NO_RECORDS;
  return { table, first: firstAtOrAfter(table, start), end: firstAtOrAfter(table, end) };
}

function firstAtOrAfter({ stride, words, offsets }: ExtTable, instruction: number): number {
  let [low, high] = [0, offsets.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[middle * stride] as number) < instruction) low = middle + 1;
    else high = middle;
  }
  return low;
}
