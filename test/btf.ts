/**
 * BTF for tests: types as words, in the form that BPF_BTF_LOAD takes; and random types, for kernels
 * to agree on.
 */

const MAGIC = 0xeb9f;
const VERSION = 1;
const HEADER_SIZE = 24;
/** How many bits up a kind stands in the second word of a type. */
const KIND_SHIFT = 24;
const KIND_FLAG = 0x80000000;

/** Kinds of types by name (include/uapi/linux/btf.h). */
export const KIND = {
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

type Kind = keyof typeof KIND;

/** The words of struct btf_type, and those that follow it. */
export type TypeWords = readonly number[];

/** @param strings - names at the offsets that types have, each with a NUL behind it. */
export function encodeBtf(types: readonly TypeWords[], strings: Uint8Array): Uint8Array {
  const words = Uint32Array.from(types.flat());
  const btf = new Uint8Array(HEADER_SIZE + words.byteLength + strings.length);
  const header = new DataView(btf.buffer);
  header.setUint16(0, MAGIC, true);
  header.setUint8(2, VERSION);
  header.setUint32(4, HEADER_SIZE, true);
  header.setUint32(12, words.byteLength, true);
  header.setUint32(16, words.byteLength, true);
  header.setUint32(20, strings.length, true);
  btf.set(new Uint8Array(words.buffer), HEADER_SIZE);
  btf.set(strings, HEADER_SIZE + words.byteLength);
  return btf;
}

/** struct btf_type. */
export function btfType(
  kind: Kind,
  name: number,
  sizeOrType: number,
  { parts = 0, flag = false, more = [] }: Partial<Details> = {},
): TypeWords {
  const info = ((KIND[kind] << KIND_SHIFT) | parts | (flag ? KIND_FLAG : 0)) >>> 0;
  return [name, info, sizeOrType, ...more];
}

interface Details {
  /** How many members, arguments or the like follow; the linkage of a function. */
  readonly parts: number;
  readonly flag: boolean;
  /** Words that follow struct btf_type. */
  readonly more: readonly number[];
}

/** Strings of random types. */
export const RANDOM_STRINGS: Uint8Array = new TextEncoder().encode("\0int\0f\0.data\0");
const [INT_NAME, NAME, SECTION_NAME] = [1, 5, 7];

/** Whoever draws lots. */
export interface Lots {
  /** 0 to `bound` - 1. */
  below(bound: number): number;
  pick<T>(choices: readonly T[]): T;
}

const MOST_TYPES = 6;
/** Once in so many times a type names one that is likely not there. */
const MISSING = 20;

/** Some types that name each other, most of them near what kernels accept. */
export function randomTypes(lots: Lots): TypeWords[] {
  const count = 1 + lots.below(MOST_TYPES);
  return Array.from({ length: count }, () => randomType(lots, lots.pick(KINDS), count));
}

const KINDS: readonly Kind[] = [
  ...(Object.keys(KIND) as Kind[]),
  ...(["int", "array", "array", "struct", "ptr", "const", "typedef"] as const),
];

function randomType(lots: Lots, kind: Kind, count: number): TypeWords {
  const id = (): number => lots.below(lots.below(MISSING) === 0 ? 2 * count + 2 : count + 1);
  const once = (times: number): boolean => lots.below(times) === 0;
  const times = (parts: number, part: (i: number) => readonly number[]): number[] =>
    Array.from({ length: parts }, (_, i) => part(i)).flat();
  const anyName = lots.pick([0, INT_NAME, NAME, NAME]);
  switch (kind) {
    case "int": {
      const encoding = lots.pick([0, 1, 2, 4]);
      const bits = lots.pick([32, 32, 8, 16, 64, 5, 31]);
      const more = [(encoding << 24) | (lots.pick([0, 0, 0, 1, 8]) << 16) | bits];
      return btfType(kind, anyName, lots.pick([4, 4, 4, 1, 2, 8, 16, 3]), { more });
    }
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
      return btfType(kind, once(15) ? NAME : 0, id());
    case "typedef":
    case "typeTag":
      return btfType(kind, once(15) ? 0 : NAME, id(), { flag: once(15) });
    case "array":
      return btfType(kind, 0, 0, { more: [id(), id(), lots.pick([0, 1, 4, 4, 0x40000000])] });
    case "struct":
    case "union": {
      const parts = lots.below(4);
      const flag = once(3);
      const more = times(parts, (i) => {
        const offset = i * lots.pick([0, 32, 32, 32, 8, 3, 64]);
        const bits = flag ? lots.pick([0, 0, 3, 31, 32, 33]) : 0;
        return [lots.pick([0, NAME]), id(), (bits << 24) | offset];
      });
      return btfType(kind, anyName, lots.pick([0, 4, 8, 16, 32]), { parts, flag, more });
    }
    case "enum":
    case "enum64": {
      const parts = lots.below(3);
      const more = times(parts, (i) => (kind === "enum" ? [NAME, i] : [NAME, i, 0]));
      return btfType(kind, anyName, lots.pick([4, 4, 8, 1, 3]), { parts, flag: once(5), more });
    }
    case "fwd":
      return btfType(kind, NAME, 0, { flag: once(2) });
    case "func":
      return btfType(kind, NAME, id(), { parts: lots.below(4) });
    case "funcProto": {
      const parts = lots.below(3);
      const more = times(parts, () => [lots.pick([0, NAME, NAME]), id()]);
      return btfType(kind, 0, id(), { parts, more });
    }
    case "var":
      return btfType(kind, NAME, id(), { more: [lots.below(4)] });
    case "datasec": {
      const parts = lots.below(3);
      const more = times(parts, (i) => [id(), i * lots.pick([4, 8]), lots.pick([4, 4, 8, 1])]);
      return btfType(kind, SECTION_NAME, lots.pick([4, 8, 16]), { parts, more });
    }
    case "float":
      return btfType(kind, NAME, lots.pick([4, 8, 2, 3]));
    case "declTag":
      return btfType(kind, NAME, id(), { flag: once(10), more: [lots.pick([0, 1, 0xffffffff])] });
  }
}

/** Types that name each other by id, one after the other. */
export class BtfWriter {
  readonly #types: TypeWords[] = [];
  #strings: string = "\0";

  #name(name: string): number {
    if (name === "") return 0;
    const at = this.#strings.length;
    this.#strings += `${name}\0`;
    return at;
  }

  #add(words: TypeWords): number {
    this.#types.push(words);
    return this.#types.length;
  }

  /** @param size - bytes. @returns the type's id, as do the others. */
  int(name: string, size: number): number {
    return this.#add(btfType("int", this.#name(name), size, { more: [8 * size] }));
  }

  /** @param members - names, types and offsets in bytes. */
  struct(
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, offset: number])[],
    kind: "struct" | "union" = "struct",
  ): number {
    const more = members.flatMap(([member, type, at]) => [this.#name(member), type, 8 * at]);
    const parts = members.length;
    return this.#add(btfType(kind, this.#name(name), size, { parts, more }));
  }

  array(type: number, count: number): number {
    return this.#add(btfType("array", 0, 0, { more: [type, 1, count] }));
  }

  /** A type that is made of another one. */
  of(
    kind: "ptr" | "const" | "typedef" | "typeTag" | "var",
    type: number,
    name: string = "",
  ): number {
    const more = kind === "var" ? [1] : [];
    return this.#add(btfType(kind, this.#name(name), type, { more }));
  }

  /** A declaration's tag, on one member of a struct. */
  tag(name: string, type: number, member: number): number {
    return this.#add(btfType("declTag", this.#name(name), type, { more: [member] }));
  }

  /** @param variables - types, offsets and sizes in bytes. */
  section(
    name: string,
    size: number,
    variables: readonly (readonly [type: number, offset: number, size: number])[],
  ): number {
    const parts = variables.length;
    return this.#add(btfType("datasec", this.#name(name), size, { parts, more: variables.flat() }));
  }

  encode(): Uint8Array {
    return encodeBtf(this.#types, new TextEncoder().encode(this.#strings));
  }
}
