/**
 * BTF as the kernel takes it in: the header, then the types one by one, each for itself. Mirrors
 * btf_parse_hdr() and the check_meta functions in kernel/bpf/btf.c of Linux.
 */

import { E2BIG, EINVAL, ENOTSUPP } from "../../abi/errno.ts";
import { typeLines } from "./btf_log.ts";
import type { VerifierLog } from "./log.ts";

// Kinds of types (include/uapi/linux/btf.h).
export const BTF_KIND_INT = 1;
export const BTF_KIND_PTR = 2;
export const BTF_KIND_ARRAY = 3;
export const BTF_KIND_STRUCT = 4;
export const BTF_KIND_UNION = 5;
export const BTF_KIND_ENUM = 6;
export const BTF_KIND_FWD = 7;
export const BTF_KIND_TYPEDEF = 8;
export const BTF_KIND_VOLATILE = 9;
export const BTF_KIND_CONST = 10;
export const BTF_KIND_RESTRICT = 11;
export const BTF_KIND_FUNC = 12;
export const BTF_KIND_FUNC_PROTO = 13;
export const BTF_KIND_VAR = 14;
export const BTF_KIND_DATASEC = 15;
export const BTF_KIND_FLOAT = 16;
export const BTF_KIND_DECL_TAG = 17;
export const BTF_KIND_TYPE_TAG = 18;
export const BTF_KIND_ENUM64 = 19;

/** Names of the kinds, by number, as the log writes them. */
// biome-ignore format: a list of names reads best filled
const KIND_NAMES: readonly string[] = [
  "UNKNOWN", "INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "FWD", "TYPEDEF", "VOLATILE",
  "CONST", "RESTRICT", "FUNC", "FUNC_PROTO", "VAR", "DATASEC", "FLOAT", "DECL_TAG",
  "TYPE_TAG", "ENUM64",
];

/** The name of a type's kind; that of void is the unknown one. */
export function kindName(type: BtfType | null): string {
  return KIND_NAMES[type?.kind ?? 0] ?? "UNKNOWN";
}

const BTF_MAGIC = 0xeb9f;
const BTF_VERSION = 1;
/** sizeof(struct btf_header), and the least that must be there to read its length. */
const HEADER_SIZE = 24;
const MIN_HEADER_SIZE = 8;
/** sizeof(struct btf_type), without what follows it. */
const TYPE_SIZE = 12;
const INFO_MASK = 0x9f00ffff;
const INT_MASK = 0x0fffffff;
const MAX_TYPE_ID = 0x000fffff;
/** Letters are those of ISO 8859-1, which is what Linux's isalpha() goes by. */
const LETTERS = "A-Za-z_.\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u00ff";
const NAME: RegExp = new RegExp(`^[${LETTERS}][${LETTERS}0-9]*$`);
const MAX_NAME_OFFSET = 0x00ffffff;
/** The longest name, its NUL included (KSYM_NAME_LEN). */
const MAX_NAME = 512;

/** One type: struct btf_type. */
export interface BtfType {
  /** BTF_KIND_… */
  readonly kind: number;
  readonly name: number;
  readonly vlen: number;
  readonly kindFlag: boolean;
  /** The size in bytes, or the id of another type, whichever the kind has. */
  readonly sizeOrType: number;
  /** Where what follows the struct begins, in bytes from the start of the BTF. */
  readonly at: number;
}

/** BTF taken apart. */
export interface ParsedBtf {
  readonly view: DataView;
  /** By id; the first is void. */
  readonly types: readonly (BtfType | null)[];
  readonly strings: Uint8Array;
}

/**
 * The name at an offset, its bytes as characters; null past the end of the strings. One that is too
 * long for a name is cut, and stays too long.
 */
export function btfName({ strings }: ParsedBtf, offset: number): string | null {
  if (offset >= strings.length) return null;
  let name = "";
  for (let i = offset; name.length <= MAX_NAME; i++) {
    const byte = strings[i] ?? 0;
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

/** Whether a name could be C's; dots are allowed, for what compilers make up. */
export function isIdentifier(name: string | null): boolean {
  return name !== null && name.length < MAX_NAME && NAME.test(name);
}

/** Takes BTF apart, or a negative errno. */
export function parseBtf(bytes: Uint8Array, log: VerifierLog): ParsedBtf | number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections = parseHeader(view, log);
  if (typeof sections === "number") return sections;
  const { typeStart, typeEnd, stringStart } = sections;
  const strings = bytes.subarray(stringStart);
  const valid = strings.length > 0 && strings.length - 1 <= MAX_NAME_OFFSET;
  if (!valid || strings[0] !== 0 || strings.at(-1) !== 0) {
    return log.refuse(EINVAL, "Invalid string section");
  }
  if (typeStart % 4 !== sections.headerSize % 4) return log.refuse(EINVAL, "Unaligned type_off");
  if (typeStart === typeEnd) return log.refuse(EINVAL, "No type found");

  const types: (BtfType | null)[] = [null];
  const parsed: ParsedBtf = { view, types, strings };
  for (let at = typeStart; at < typeEnd; ) {
    const type = parseType(parsed, at, typeEnd, log);
    if (typeof type === "number") return type;
    types.push(type);
    at = type.at + trailerSize(type);
  }
  return parsed;
}

interface Sections {
  readonly headerSize: number;
  readonly typeStart: number;
  readonly typeEnd: number;
  readonly stringStart: number;
}

/** Analogous to btf_parse_hdr(), btf_check_sec_info() and btf_parse_str_sec() in Linux. */
function parseHeader(view: DataView, log: VerifierLog): Sections | number {
  const total = view.byteLength;
  if (total < MIN_HEADER_SIZE) return log.refuse(EINVAL, "hdr_len not found");
  const headerSize = view.getUint32(4, true);
  if (total < headerSize) return log.refuse(EINVAL, "btf_header not found");
  for (let at = HEADER_SIZE; at < headerSize; at++) {
    if (view.getUint8(at) !== 0) return log.refuse(E2BIG, "Unsupported btf_header");
  }
  // A shorter header has zeros for what it leaves out.
  const word = (at: number): number => (at + 4 <= headerSize ? view.getUint32(at, true) : 0);
  const byte = (at: number): number => (at < headerSize ? view.getUint8(at) : 0);
  logHeader(view, word, log);
  if ((byte(0) | (byte(1) << 8)) !== BTF_MAGIC) return log.refuse(EINVAL, "Invalid magic");
  if (byte(2) !== BTF_VERSION) return log.refuse(ENOTSUPP, "Unsupported version");
  if (byte(3) !== 0) return log.refuse(ENOTSUPP, "Unsupported flags");
  if (total === headerSize) return log.refuse(EINVAL, "No data");

  const types = { offset: word(8), length: word(12) };
  const strings = { offset: word(16), length: word(20) };
  const fault = checkSections([types, strings], total - headerSize);
  if (fault !== null) return log.refuse(EINVAL, fault);
  if (headerSize + strings.offset + strings.length !== total) {
    return log.refuse(EINVAL, "String section is not at the end");
  }
  const typeStart = headerSize + types.offset;
  const typeEnd = typeStart + types.length;
  return { headerSize, typeStart, typeEnd, stringStart: headerSize + strings.offset };
}

function logHeader(view: DataView, word: (at: number) => number, log: VerifierLog): void {
  log.line(`magic: 0x${view.getUint16(0, true).toString(16)}`);
  log.line(`version: ${view.getUint8(2)}`);
  log.line(`flags: 0x${view.getUint8(3).toString(16)}`);
  log.line(`hdr_len: ${view.getUint32(4, true)}`);
  log.line(`type_off: ${word(8)}`);
  log.line(`type_len: ${word(12)}`);
  log.line(`str_off: ${word(16)}`);
  log.line(`str_len: ${word(20)}`);
  log.line(`btf_total_size: ${view.byteLength}`);
}

/** Sections must lie side by side and fill all there is. */
function checkSections(
  sections: { readonly offset: number; readonly length: number }[],
  expected: number,
): string | null {
  let total = 0;
  for (const { offset, length } of sections.toSorted((a, b) => a.offset - b.offset)) {
    if (expected < offset) return "Invalid section offset";
    if (total < offset) return "Unsupported section found";
    if (total > offset) return "Section overlap found";
    if (expected - total < length) return "Total section length too long";
    total += length;
  }
  return total === expected ? null : "Unsupported section found";
}

/** Bytes that follow the struct of a type. */
function trailerSize({ kind, vlen }: BtfType): number {
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
      return 4;
    case BTF_KIND_ARRAY:
      return 12;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_DATASEC:
    case BTF_KIND_ENUM64:
      return 12 * vlen;
    case BTF_KIND_ENUM:
    case BTF_KIND_FUNC_PROTO:
      return 8 * vlen;
    default:
      return 0;
  }
}

function parseType(btf: ParsedBtf, at: number, end: number, log: VerifierLog): BtfType | number {
  const id = btf.types.length;
  const refuse = (text: string): number => log.refuse(EINVAL, `[${id}] ${text}`);
  const left = end - at;
  if (left < TYPE_SIZE) return refuse(`meta_left:${left} meta_needed:${TYPE_SIZE}`);
  const info = btf.view.getUint32(at + 4, true);
  const type: BtfType = {
    kind: (info >>> 24) & 0x1f,
    name: btf.view.getUint32(at, true),
    vlen: info & 0xffff,
    kindFlag: info >>> 31 === 1,
    sizeOrType: btf.view.getUint32(at + 8, true),
    at: at + TYPE_SIZE,
  };
  if ((info & ~INFO_MASK) !== 0) return refuse(`Invalid btf_info:${info.toString(16)}`);
  if (type.kind === 0 || type.kind > BTF_KIND_ENUM64) return refuse(`Invalid kind:${type.kind}`);
  if (type.name >= btf.strings.length) return refuse(`Invalid name_offset:${type.name}`);
  const needed = trailerSize(type);
  if (left - TYPE_SIZE < needed) {
    return refuse(`meta_left:${left - TYPE_SIZE} meta_needed:${needed}`);
  }
  const fault = checkShape(type) ?? checkName(btf, type) ?? checkOwn(btf, type);
  if (log.level !== 0) {
    for (const line of typeLines(btf, id, type)) log.line(line);
  }
  if (fault === null) return type;
  return log.refuse(fault === "Unsupported encoding" ? ENOTSUPP : EINVAL, `[${id}] ${fault}`);
}

const VLEN_KINDS: ReadonlySet<number> = new Set([
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_DATASEC,
]);
const FLAG_KINDS: ReadonlySet<number> = new Set([
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FWD,
  BTF_KIND_DECL_TAG,
  BTF_KIND_TYPE_TAG,
]);

/** The parts of `info` that a kind doesn't use must be zero. */
function checkShape({ kind, vlen, kindFlag }: BtfType): string | null {
  if (vlen !== 0 && !VLEN_KINDS.has(kind)) return "vlen != 0";
  return kindFlag && !FLAG_KINDS.has(kind) ? "Invalid btf_info kind_flag" : null;
}

function checkName(btf: ParsedBtf, { kind, name }: BtfType): string | null {
  const text = btfName(btf, name);
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_FLOAT:
      return null;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return name === 0 || isIdentifier(text) ? null : "Invalid name";
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_FWD:
    case BTF_KIND_FUNC:
    case BTF_KIND_VAR:
      return isIdentifier(text) ? null : "Invalid name";
    case BTF_KIND_DATASEC:
      return text !== null && /^[ -~]+$/.test(text) && text.length < MAX_NAME
        ? null
        : "Invalid name";
    case BTF_KIND_DECL_TAG:
      return text ? null : "Invalid value";
    case BTF_KIND_TYPE_TAG:
      return text ? null : "Invalid name";
    default:
      return name === 0 ? null : "Invalid name";
  }
}

function isTypeId(id: number): boolean {
  return id <= MAX_TYPE_ID;
}

function isGivenTypeId(id: number): boolean {
  return id !== 0 && isTypeId(id);
}

const FLOAT_SIZES: readonly number[] = [2, 4, 8, 12, 16];
const ENUM_SIZES: readonly number[] = [1, 2, 4, 8];

/** What is particular to a kind. */
function checkOwn(btf: ParsedBtf, type: BtfType): string | null {
  const { kind, sizeOrType, vlen, at } = type;
  switch (kind) {
    case BTF_KIND_INT:
      return checkInt(sizeOrType, btf.view.getUint32(at, true));
    case BTF_KIND_ARRAY:
      if (sizeOrType !== 0) return "size != 0";
      if (!isGivenTypeId(btf.view.getUint32(at, true))) return "Invalid elem";
      return isGivenTypeId(btf.view.getUint32(at + 4, true)) ? null : "Invalid index";
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return checkMembers(btf, type);
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return checkEnum(btf, type);
    case BTF_KIND_FWD:
      return sizeOrType === 0 ? null : "type != 0";
    case BTF_KIND_FUNC:
      return vlen <= 1 ? null : "Invalid func linkage";
    case BTF_KIND_FUNC_PROTO:
      return null;
    case BTF_KIND_VAR:
      if (!isGivenTypeId(sizeOrType)) return "Invalid type_id";
      return btf.view.getUint32(at, true) <= 1 ? null : "Linkage not supported";
    case BTF_KIND_DATASEC:
      return checkVariables(btf, type);
    case BTF_KIND_FLOAT:
      return FLOAT_SIZES.includes(sizeOrType) ? null : "Invalid type_size";
    case BTF_KIND_DECL_TAG:
      return btf.view.getInt32(at, true) >= -1 ? null : "Invalid component_idx";
    default:
      return isTypeId(sizeOrType) ? null : "Invalid type_id";
  }
}

function checkInt(size: number, data: number): string | null {
  if ((data & ~INT_MASK) !== 0) return `Invalid int_data:${data.toString(16)}`;
  const bits = (data & 0xff) + ((data >>> 16) & 0xff);
  if (bits > 128) return "nr_bits exceeds 128";
  if (Math.ceil(bits / 8) > size) return "nr_bits exceeds type_size";
  const encoding = (data >>> 24) & 0x0f;
  return [0, 1, 2, 4].includes(encoding) ? null : "Unsupported encoding";
}

function checkMembers(btf: ParsedBtf, type: BtfType): string | null {
  let last = 0;
  for (let i = 0; i < type.vlen; i++) {
    const at = type.at + 12 * i;
    const name = btf.view.getUint32(at, true);
    if (name >= btf.strings.length) return `Invalid member name_offset:${name}`;
    if (name !== 0 && !isIdentifier(btfName(btf, name))) return "Invalid name";
    if (!isGivenTypeId(btf.view.getUint32(at + 4, true))) return "Invalid type_id";
    const raw = btf.view.getUint32(at + 8, true);
    const offset = type.kindFlag ? raw & 0xffffff : raw;
    if (type.kind === BTF_KIND_UNION && offset !== 0) return "Invalid member bits_offset";
    if (offset < last) return "Invalid member bits_offset";
    if (Math.ceil(offset / 8) > type.sizeOrType)
      return "Member bits_offset exceeds its struct size";
    last = offset;
  }
  return null;
}

function checkEnum(btf: ParsedBtf, { kind, vlen, sizeOrType, at }: BtfType): string | null {
  if (!ENUM_SIZES.includes(sizeOrType)) return "Unexpected size";
  const entry = kind === BTF_KIND_ENUM64 ? 12 : 8;
  for (let i = 0; i < vlen; i++) {
    const name = btf.view.getUint32(at + entry * i, true);
    if (name >= btf.strings.length) return `Invalid name_offset:${name}`;
    if (!isIdentifier(btfName(btf, name))) return "Invalid name";
  }
  return null;
}

function checkVariables(btf: ParsedBtf, { vlen, sizeOrType, at }: BtfType): string | null {
  if (sizeOrType === 0) return "size == 0";
  let end = 0;
  let sum = 0;
  for (let i = 0; i < vlen; i++) {
    const entry = at + 12 * i;
    const offset = btf.view.getUint32(entry + 4, true);
    const size = btf.view.getUint32(entry + 8, true);
    if (!isGivenTypeId(btf.view.getUint32(entry, true))) return "Invalid type_id";
    if (offset < end || offset >= sizeOrType) return "Invalid offset";
    if (size === 0 || size > sizeOrType) return "Invalid size";
    end = offset + size;
    if (end > sizeOrType) return "Invalid offset+size";
    sum += size;
  }
  return sum <= sizeOrType ? null : "Invalid btf_info size";
}
