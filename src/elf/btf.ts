/** BTF, the type format of BPF objects (Documentation/bpf/btf.rst): the types and their reader. */

import { ObjectError } from "./error.ts";
import { MAX_BTF_TYPES } from "./limits.ts";
import { Cursor, StringTable, slice } from "./reader.ts";

/** Magic of .BTF and .BTF.ext. */
const BTF_MAGIC = 0xeb9f;
/** Linkage of a function or variable. */
export const BTF_STATIC = 0;
/** Bytes of struct btf_header as far as it is read. */
const BTF_HEADER_SIZE = 24;

interface BtfBase {
  /** Place in {@link Btf.types}; 0 is void. */
  readonly id: number;
  /** Empty for what has no name. */
  readonly name: string;
  /** Byte offset of the type's record in the .BTF section. */
  readonly offset: number;
}

export interface BtfVoid extends BtfBase {
  readonly kind: "void";
}
export interface BtfInt extends BtfBase {
  readonly kind: "int";
  /** Bytes. */
  readonly size: number;
  readonly signed: boolean;
  readonly char: boolean;
  readonly bool: boolean;
  readonly bits: number;
}
/** A type made from one other type: pointer, typedef, qualifier or tag. */
export interface BtfReference extends BtfBase {
  readonly kind: "ptr" | "typedef" | "volatile" | "const" | "restrict" | "type_tag";
  readonly type: number;
}
export interface BtfArray extends BtfBase {
  readonly kind: "array";
  readonly elementType: number;
  readonly indexType: number;
  /** Elements; 0 for a flexible array. */
  readonly length: number;
}
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 if the member is no bit field. */
  readonly bitSize: number;
}
export interface BtfComposite extends BtfBase {
  readonly kind: "struct" | "union";
  /** Bytes. */
  readonly size: number;
  readonly members: readonly BtfMember[];
}
export interface BtfEnum extends BtfBase {
  readonly kind: "enum" | "enum64";
  /** Bytes. */
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: bigint }[];
}
export interface BtfForward extends BtfBase {
  readonly kind: "fwd";
  readonly of: "struct" | "union";
}
export interface BtfFunction extends BtfBase {
  readonly kind: "func";
  /** The func_proto. */
  readonly type: number;
  /** 0 static, 1 global, 2 extern. */
  readonly linkage: number;
}
export interface BtfPrototype extends BtfBase {
  readonly kind: "func_proto";
  readonly returnType: number;
  /** A last parameter of type 0 stands for `...`. */
  readonly parameters: readonly { readonly name: string; readonly type: number }[];
}
export interface BtfVariable extends BtfBase {
  readonly kind: "var";
  readonly type: number;
  /** 0 static, 1 global, 2 extern. */
  readonly linkage: number;
}
/** A section of variables. */
export interface BtfDataSection extends BtfBase {
  readonly kind: "datasec";
  /** Bytes. */
  readonly size: number;
  /** `type` is a {@link BtfVariable}'s id; offset and size are bytes in the section. */
  readonly variables: readonly {
    readonly type: number;
    readonly offset: number;
    readonly size: number;
  }[];
}
export interface BtfFloat extends BtfBase {
  readonly kind: "float";
  /** Bytes. */
  readonly size: number;
}
export interface BtfDeclarationTag extends BtfBase {
  readonly kind: "decl_tag";
  readonly type: number;
  /** Member or parameter that is tagged; -1 if `type` itself is. */
  readonly component: number;
}

/** One type of BTF. */
export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfReference
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfForward
  | BtfFunction
  | BtfPrototype
  | BtfVariable
  | BtfDataSection
  | BtfFloat
  | BtfDeclarationTag;

/** The types of an object. */
export interface Btf {
  /** The section's bytes, in the form that BPF_BTF_LOAD takes. */
  readonly raw: Uint8Array;
  /** By id; every id that a type mentions is the index of another one. */
  readonly types: readonly BtfType[];
}

/** BTF together with what else the reader of an object looks up in it. */
export interface BtfSection extends Btf {
  /** Descriptions of sections of variables, by name of the section. */
  readonly sections: ReadonlyMap<string, BtfDataSection>;
  /** .BTF.ext refers to them as well. */
  readonly strings: StringTable;
}

const KINDS = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
] as const;

/**
 * Reads a .BTF section.
 *
 * @param raw - the section's bytes; the result keeps them.
 * @throws {ObjectError} if they are malformed, or a type mentions one that doesn't exist.
 */
export function parseBtf(raw: Uint8Array): BtfSection {
  const header = new Cursor(raw, ".BTF");
  const headerSize = readHeaderStart(header, BTF_HEADER_SIZE);
  const [typeOffset, typeSize] = [header.u32(), header.u32()];
  const [stringOffset, stringSize] = [header.u32(), header.u32()];
  const stringBytes = slice(raw, headerSize + stringOffset, stringSize, ".BTF");
  const strings = new StringTable(stringBytes, ".BTF strings");
  const typesEnd = slice(raw, 0, headerSize + typeOffset + typeSize, ".BTF");
  const types = readTypes(new Cursor(typesEnd, ".BTF", headerSize + typeOffset), strings);
  checkReferences(types);
  return describeBtf(raw, types, strings);
}

/**
 * Reads what the headers of .BTF and .BTF.ext begin with: magic, version, flags, and size.
 *
 * @param smallest - bytes of the smallest header there is.
 * @returns bytes of the header, from which offsets in it count.
 */
export function readHeaderStart(header: Cursor, smallest: number): number {
  const { section } = header;
  const magic = header.u16();
  if (magic !== BTF_MAGIC) {
    throw new ObjectError(section, 0, `magic 0x${magic.toString(16)} is not that of BTF`);
  }
  const version = header.u8();
  if (version !== 1) throw new ObjectError(section, 2, `version ${version} of BTF`);
  const flags = header.u8();
  if (flags !== 0) {
    throw new ObjectError(section, 3, `flags 0x${flags.toString(16)} of BTF, which has none`);
  }
  const headerSize = header.u32();
  if (headerSize < smallest) throw new ObjectError(section, 4, `a header of ${headerSize} bytes`);
  return headerSize;
}

/** Puts together what {@link BtfSection} asks for. */
export function describeBtf(
  raw: Uint8Array,
  types: readonly BtfType[],
  strings: StringTable,
): BtfSection {
  const sections = new Map<string, BtfDataSection>();
  for (const type of types) if (type.kind === "datasec") sections.set(type.name, type);
  return { raw, types, sections, strings };
}

function readTypes(cursor: Cursor, strings: StringTable): BtfType[] {
  const types: BtfType[] = [{ kind: "void", id: 0, name: "", offset: 0 }];
  while (cursor.remaining > 0) {
    if (types.length > MAX_BTF_TYPES) {
      throw new ObjectError(".BTF", cursor.offset, `more than ${MAX_BTF_TYPES} types`);
    }
    types.push(readType(cursor, types.length, strings));
  }
  return types;
}

function readType(cursor: Cursor, id: number, strings: StringTable): BtfType {
  const offset = cursor.offset;
  const name = strings.at(cursor.u32());
  const info = cursor.u32();
  const vlen = info & 0xffff;
  const flag = info >>> 31 === 1;
  const sizeOrType = cursor.u32();
  const kind = KINDS[(info >>> 24) & 0x1f];
  const list = <T>(read: () => T): T[] => readList(vlen, read);
  switch (kind) {
    case "int": {
      const data = cursor.u32();
      const encoding = data >>> 24;
      return {
        kind,
        id,
        name,
        offset,
        size: sizeOrType,
        signed: (encoding & 1) !== 0,
        char: (encoding & 2) !== 0,
        bool: (encoding & 4) !== 0,
        bits: data & 0xff,
      };
    }
    case "ptr":
    case "typedef":
    case "volatile":
    case "const":
    case "restrict":
    case "type_tag":
      return { kind, id, name, offset, type: sizeOrType };
    case "array":
      return {
        kind,
        id,
        name,
        offset,
        elementType: cursor.u32(),
        indexType: cursor.u32(),
        length: cursor.u32(),
      };
    case "struct":
    case "union": {
      const members = list(() => readMember(cursor, flag, strings));
      return { kind, id, name, offset, size: sizeOrType, members };
    }
    case "enum": {
      const values = list(() => {
        const valueName = strings.at(cursor.u32());
        return { name: valueName, value: BigInt(flag ? cursor.i32() : cursor.u32()) };
      });
      return { kind, id, name, offset, size: sizeOrType, signed: flag, values };
    }
    case "enum64": {
      const values = list(() => {
        const valueName = strings.at(cursor.u32());
        const low = BigInt(cursor.u32());
        const high = BigInt(flag ? cursor.i32() : cursor.u32());
        return { name: valueName, value: (high << 32n) | low };
      });
      return { kind, id, name, offset, size: sizeOrType, signed: flag, values };
    }
    case "fwd":
      return { kind, id, name, offset, of: flag ? "union" : "struct" };
    case "func":
      return { kind, id, name, offset, type: sizeOrType, linkage: vlen };
    case "func_proto": {
      const parameters = list(() => ({ name: strings.at(cursor.u32()), type: cursor.u32() }));
      return { kind, id, name, offset, returnType: sizeOrType, parameters };
    }
    case "var":
      return { kind, id, name, offset, type: sizeOrType, linkage: cursor.u32() };
    case "datasec": {
      const variables = list(() => {
        return { type: cursor.u32(), offset: cursor.u32(), size: cursor.u32() };
      });
      return { kind, id, name, offset, size: sizeOrType, variables };
    }
    case "float":
      return { kind, id, name, offset, size: sizeOrType };
    case "decl_tag":
      return { kind, id, name, offset, type: sizeOrType, component: cursor.i32() };
    default:
      throw new ObjectError(".BTF", offset, `type ${id} is of unknown kind ${(info >>> 24) & 31}`);
  }
}

function readList<T>(length: number, read: () => T): T[] {
  const list: T[] = [];
  for (let index = 0; index < length; index++) list.push(read());
  return list;
}

function readMember(cursor: Cursor, hasBitFields: boolean, strings: StringTable): BtfMember {
  const name = strings.at(cursor.u32());
  const type = cursor.u32();
  const position = cursor.u32();
  return hasBitFields
    ? { name, type, bitOffset: position & 0xffffff, bitSize: position >>> 24 }
    : { name, type, bitOffset: position, bitSize: 0 };
}

function checkReferences(types: readonly BtfType[]): void {
  for (const type of types) {
    for (const id of mentionedBy(type)) {
      if (id >= types.length) {
        throw new ObjectError(".BTF", type.offset, `type ${type.id} mentions type ${id}: no such`);
      }
    }
  }
}

function mentionedBy(type: BtfType): readonly number[] {
  switch (type.kind) {
    case "array":
      return [type.elementType, type.indexType];
    case "struct":
    case "union":
      return type.members.map((member) => member.type);
    case "func_proto":
      return [type.returnType, ...type.parameters.map((parameter) => parameter.type)];
    case "datasec":
      return type.variables.map((variable) => variable.type);
    default:
      return "type" in type ? [type.type] : [];
  }
}
