/**
 * Types as the log of BPF_BTF_LOAD lists them. Mirrors the log functions of each kind in
 * kernel/bpf/btf.c of Linux.
 */

import * as P from "./btf_parse.ts";

type Type = P.BtfType;

// Sizes of what follows a type: struct btf_member, btf_enum, btf_enum64, btf_param and
// btf_var_secinfo.
const MEMBER_SIZE = 12;
const ENUM_SIZE = 8;
const ENUM64_SIZE = 12;
const PARAM_SIZE = 8;
const SECINFO_SIZE = 12;
/** By encoding of an INT. */
const ENCODINGS: Readonly<Record<number, string>> = {
  0: "(none)",
  1: "SIGNED",
  2: "CHAR",
  4: "BOOL",
};

/** A type's line, and one for each of its parts. */
export function typeLines(btf: P.ParsedBtf, id: number, type: Type): string[] {
  const { view } = btf;
  const word = (index: number): number => view.getUint32(type.at + 4 * index, true);
  const named = (offset: number): string => P.btfName(btf, offset) || "(anon)";
  const first = `[${id}] ${P.kindName(type)} ${named(type.name)} `;
  const { sizeOrType, vlen } = type;
  const parts = (size: number, text: (at: number) => string): string[] =>
    Array.from({ length: vlen }, (_, i) => text((size / 4) * i));
  switch (type.kind) {
    case P.BTF_KIND_INT: {
      const encoding = ENCODINGS[(word(0) >>> 24) & 0xf] ?? "UNKN";
      const bits = `bits_offset=${(word(0) >>> 16) & 0xff} nr_bits=${word(0) & 0xff}`;
      return [`${first}size=${sizeOrType} ${bits} encoding=${encoding}`];
    }
    case P.BTF_KIND_ARRAY:
      return [`${first}type_id=${word(0)} index_type_id=${word(1)} nr_elems=${word(2)}`];
    case P.BTF_KIND_STRUCT:
    case P.BTF_KIND_UNION: {
      const member = (at: number): string => {
        const place = word(at + 2);
        const where = type.kindFlag
          ? `bitfield_size=${place >>> 24} bits_offset=${place & 0xffffff}`
          : `bits_offset=${place}`;
        return `\t${named(word(at))} type_id=${word(at + 1)} ${where}`;
      };
      return [`${first}size=${sizeOrType} vlen=${vlen}`, ...parts(MEMBER_SIZE, member)];
    }
    case P.BTF_KIND_ENUM: {
      const value = (at: number): number => (type.kindFlag ? word(at + 1) | 0 : word(at + 1));
      const text = (at: number): string => `\t${named(word(at))} val=${value(at)}`;
      return [`${first}size=${sizeOrType} vlen=${vlen}`, ...parts(ENUM_SIZE, text)];
    }
    case P.BTF_KIND_ENUM64: {
      const text = (at: number): string => {
        const value = (BigInt(word(at + 2)) << 32n) | BigInt(word(at + 1));
        const shown = type.kindFlag ? BigInt.asIntN(64, value) : value;
        return `\t${named(word(at))} val=${shown}`;
      };
      return [`${first}size=${sizeOrType} vlen=${vlen}`, ...parts(ENUM64_SIZE, text)];
    }
    case P.BTF_KIND_FWD:
      return [first + (type.kindFlag ? "union" : "struct")];
    case P.BTF_KIND_FUNC_PROTO:
      return [
        `${first}return=${sizeOrType} args=(${parts(PARAM_SIZE, argument).join(", ") || "void"})`,
      ];
    case P.BTF_KIND_VAR:
      return [`${first}type_id=${sizeOrType} linkage=${word(0)}`];
    case P.BTF_KIND_DATASEC: {
      const text = (at: number): string =>
        `\t type_id=${word(at)} offset=${word(at + 1)} size=${word(at + 2)}`;
      return [`${first}size=${sizeOrType} vlen=${vlen}`, ...parts(SECINFO_SIZE, text)];
    }
    case P.BTF_KIND_FLOAT:
      return [`${first}size=${sizeOrType}`];
    case P.BTF_KIND_DECL_TAG:
      return [`${first}type=${sizeOrType} component_idx=${word(0) | 0}`];
    default:
      return [`${first}type_id=${sizeOrType}`];
  }

  function argument(at: number): string {
    return word(at + 1) === 0 ? "vararg" : `${word(at + 1)} ${named(word(at))}`;
  }
}
