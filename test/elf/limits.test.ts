/**
 * A limit of the reader of objects is elsewhere than it says if this breaks: what is just within it
 * is read, and one more is refused.
 */

import { expect, test } from "vitest";
import { parseElf, SHF_ALLOC, SHT_NOBITS } from "../../src/elf/elf.ts";
import { formatType, loadObject, ObjectError } from "../../src/elf/index.ts";
import { buildBtf, buildElf, code, functionSymbol, info, returnsZero } from "./build_elf.ts";

/** What reading these bytes ends in; "" when they can be read. */
function complaint(bytes: Uint8Array): string {
  try {
    loadObject(bytes);
    return "";
  } catch (error) {
    if (error instanceof ObjectError) return error.message;
    throw error;
  }
}

/** An object whose section of this index, from 0, has another content, which is put at its end. */
function withContent(bytes: Uint8Array, section: number, content: Uint8Array): Uint8Array {
  const larger = new Uint8Array(bytes.length + content.length);
  larger.set(bytes);
  larger.set(content, bytes.length);
  const view = new DataView(larger.buffer);
  const header = Number(view.getBigUint64(40, true)) + 64 * (section + 1);
  view.setBigUint64(header + 24, BigInt(bytes.length), true);
  view.setBigUint64(header + 32, BigInt(content.length), true);
  return larger;
}

/** `r0 = 0` so many times, and an exit: one slot more. */
function slots(count: number): Uint8Array {
  const bytes = new Uint8Array(8 * count);
  for (let at = 0; at < bytes.length; at += 8) bytes[at] = 0xb7;
  bytes[bytes.length - 8] = 0x95;
  return bytes;
}

/** A call that a relocation fills in. */
const CALL = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];
const EXIT = [0x95, 0, 0, 0, 0, 0, 0, 0];
const CALL_RELOCATION = 10;

/** An object whose programs are a call of one function of so many slots each. */
function sharing(programs: number, shared: number): Uint8Array {
  const calls = Array.from({ length: programs }, () => [...CALL, ...EXIT]).flat();
  const symbols = [
    { ...functionSymbol("shared", 0, 8 * shared), section: 1 },
    ...Array.from({ length: programs }, (_, n) => functionSymbol(`p${n}`, n * 16, 16)),
  ];
  const relocations = Array.from({ length: programs }, (_, n) => {
    return { section: 0, offset: n * 16, symbol: 0, type: CALL_RELOCATION };
  });
  const sections = [code("xdp", new Uint8Array(calls)), code(".text", returnsZero())];
  return withContent(buildElf(sections, symbols, relocations), 1, slots(shared));
}

/** An object with so many functions in one program, each of which calls the next. */
function chain(count: number): Uint8Array {
  const text = Array.from({ length: count - 1 }, () => [...CALL, ...EXIT]).flat();
  const last = 16 * (count - 1);
  const symbols = Array.from({ length: count }, (_, n) => functionSymbol(`f${n}`, n * 16, 16));
  const relocations = Array.from({ length: count - 1 }, (_, n) => {
    return { section: 0, offset: n * 16, symbol: n + 1, type: CALL_RELOCATION };
  });
  const content = new Uint8Array(last + 16);
  content.set(text);
  content.set(returnsZero(), last);
  return buildElf([code("xdp", content)], symbols, relocations);
}

/** An object with a prog array of so many entries, all of which are set. */
function initialSlots(count: number): Uint8Array {
  const start = 24;
  const size = start + 8 * count;
  const members = ["type", 6, 0, "key_size", 7, 64, "max_entries", 9, 128, "values", 5, 192];
  const btf = buildBtf([
    ["int", info(1), 4, 0x01000020],
    ["", info(13), 0], // 2: void ()
    ["", info(2), 2], // 3: its pointer
    ["", info(3), 0, 1, 1, 3], // 4: int [3]
    ["", info(3), 0, 3, 1, 0], // 5: void (*[])()
    ["", info(2), 4], // 6: int (*)[3], BPF_MAP_TYPE_PROG_ARRAY
    ["", info(2), 8], // 7: int (*)[4]
    ["", info(3), 0, 1, 1, 4], // 8
    ["", info(2), 10], // 9: int (*)[max_entries]
    ["", info(3), 0, 1, 1, count], // 10
    ["", info(4, 4), start, ...members], // 11
    ["m", info(14), 11, 1], // 12
    [".maps", info(15, 1), 0, 12, 0, size], // 13
  ]);
  const bytes = buildElf(
    [
      { name: ".maps", content: new Uint8Array(8) },
      { name: ".BTF", content: btf, flags: 0 },
      code("xdp", returnsZero()),
    ],
    [
      { name: "m", section: 0, size },
      { ...functionSymbol("f", 0, 16), section: 2 },
    ],
    [{ section: 0, offset: start, symbol: 1 }],
  );
  const relocations = new BigUint64Array(2 * count);
  for (let i = 0; i < count; i++) {
    relocations[2 * i] = BigInt(start + 8 * i);
    relocations[2 * i + 1] = (2n << 32n) | 2n;
  }
  const filled = withContent(bytes, 0, new Uint8Array(size));
  return withContent(filled, 4, new Uint8Array(relocations.buffer));
}

function maps(count: number): Uint8Array {
  const variables = Array.from({ length: count }, (_, n) => [6 + n, 8 * n, 8]).flat();
  const btf = buildBtf([
    ["int", info(1), 4, 0x01000020],
    ["", info(3), 0, 1, 1, 2], // 2: int [2]
    ["", info(2), 2], // 3: int (*)[2]
    ["", info(4, 1), 8, "type", 3, 0], // 4
    ["", info(4, 0), 0], // 5
    ...Array.from({ length: count }, (_, n) => [`m${n}`, info(14), 4, 1] as const),
    [".maps", info(15, count), 0, ...variables],
  ]);
  return buildElf(
    [
      { name: ".maps", content: new Uint8Array(8 * count) },
      { name: ".BTF", content: btf, flags: 0 },
    ],
    Array.from({ length: count }, (_, n) => ({ name: `m${n}`, section: 0, value: 8 * n, size: 8 })),
  );
}

/** Symbols' names that come to so many bytes, each read from another place of one table. */
function names(total: number): Uint8Array {
  const longest = 65_536;
  const lengths: number[] = [];
  for (let left = total; left > 0; left -= lengths.at(-1) ?? 0) {
    lengths.push(Math.min(left, longest - lengths.length));
  }
  const symbols = new Uint8Array(24 * (lengths.length + 1));
  const view = new DataView(symbols.buffer);
  for (const [i, length] of lengths.entries()) {
    view.setUint32(24 * (i + 1), longest - length, true);
  }
  // The last byte of the table is its NUL; the first symbol has an empty name there.
  view.setUint32(0, longest, true);
  const table = new Uint8Array(longest + 1).fill(65);
  table[longest] = 0;
  const bytes = buildElf([{ name: "names", type: 3, content: table, flags: 0 }]);
  const linked = withContent(bytes, 1, symbols);
  const headers = new DataView(linked.buffer);
  headers.setUint32(Number(headers.getBigUint64(40, true)) + 2 * 64 + 40, 1, true);
  return linked;
}

function types(count: number): Uint8Array {
  const btf = new Uint8Array(24 + 12 * count + 1);
  btf.set(buildBtf([]).subarray(0, 24));
  const view = new DataView(btf.buffer);
  view.setUint32(12, 12 * count, true);
  view.setUint32(16, 12 * count, true);
  view.setUint32(20, 1, true);
  for (let i = 0; i < count; i++) view.setUint32(24 + 12 * i + 4, info(2), true);
  return withContent(buildElf([{ name: ".BTF", flags: 0 }]), 0, btf);
}

/** How a limit is reached, the limit, and what is said of one more. */
const LIMITS: readonly (readonly [
  what: string,
  limit: number,
  object: (count: number) => Uint8Array,
  refusal: string,
])[] = [
  [
    "sections",
    8192,
    // The one that stands for none, .symtab and .strtab come to them.
    (count) => buildElf(Array.from({ length: count - 3 }, () => ({ name: "x", flags: 0 }))),
    "8193 sections; 1 to 8192 can be read",
  ],
  [
    "symbols",
    1_000_000,
    (count) => withContent(buildElf([]), 0, new Uint8Array(24 * count)),
    "1000001 symbols; 1000000 can be read",
  ],
  [
    "relocations",
    1_000_000,
    (count) => {
      const target = { name: "unused", type: SHT_NOBITS, size: 8, flags: SHF_ALLOC };
      const table = { name: ".rel", type: 9, flags: 0, info: 1 };
      return withContent(buildElf([target, table]), 1, new Uint8Array(16 * count));
    },
    "more than 1000000 relocations in all",
  ],
  [
    "bytes of a string",
    65_536,
    (count) => {
      const content = new Uint8Array(count + 1).fill(65);
      content[count] = 0;
      return buildElf([{ name: "license", content }]);
    },
    "a string with more than 65536 bytes",
  ],
  ["bytes of all strings", 2 ** 25, names, "the strings come to more than 33554432 bytes"],
  ["types", 0xfffff, types, "more than 1048575 types"],
  [
    "bytes of a section of data",
    0x7fffffff,
    (size) => buildElf([{ name: ".bss", type: SHT_NOBITS, size, flags: SHF_ALLOC }]),
    "2147483648 bytes; a map's value has at most 2147483647",
  ],
  [
    "programs",
    4096,
    (count) => {
      const symbols = Array.from({ length: count }, (_, n) => functionSymbol(`p${n}`, n * 16, 16));
      return buildElf([code("xdp", returnsZero(count))], symbols);
    },
    "more than 4096 programs",
  ],
  ["maps", 1024, maps, "more than 1024 maps"],
  ["initial values", 65_536, initialSlots, "more than 65536 initial values"],
  ["functions of a program", 256, chain, "more than 256 functions"],
  [
    "instructions of a program",
    1_000_000,
    (count) => {
      const symbols = [functionSymbol("p", 0, 8 * count)];
      return withContent(buildElf([code("xdp", returnsZero())], symbols), 0, slots(count));
    },
    "more than 1000000 instructions",
  ],
  [
    "instructions of all programs",
    4_000_000,
    // Each of a hundred programs has two slots of its own.
    (count) => sharing(100, Math.ceil(count / 100) - 2),
    "the programs of the object come to more than 4000000 instructions",
  ],
];

test.each(LIMITS)("%s: %i are read, and no more", (_what, limit, object, refusal) => {
  expect(complaint(object(limit))).toBe("");
  expect(complaint(object(limit + 1))).toContain(refusal);
});

test("bytes of an object: 268435456 are read, and no more", () => {
  const bytes = (count: number): Uint8Array => {
    const zeros = new Uint8Array(count);
    zeros.set(buildElf([]));
    return zeros;
  };
  // loadObject() would copy them.
  expect(parseElf(bytes(2 ** 28)).symbols).toHaveLength(1);
  expect(() => parseElf(bytes(2 ** 28 + 1))).toThrow("the file is larger than 268435456 bytes");
});

/** A type that leads to the next one, so many times, and then to an int. */
function nested(depth: number): string {
  const INT = { kind: "int", id: depth, name: "int", offset: 0 };
  const links = Array.from({ length: depth }, (_, id) => {
    return { kind: "ptr", id, name: "", offset: 0, type: id + 1 };
  });
  const btf = { types: [...links, INT] };
  return formatType(btf as unknown as Parameters<typeof formatType>[0], 0);
}

test("a type's words: 32 levels are written, and no more", () => {
  expect(nested(32)).toBe(`int ${"*".repeat(32)}`);
  expect(nested(33)).toBe(`... ${"*".repeat(33)}`);
});

test.each(["typedef", "const", "ptr", "array", "func_proto", "type_tag"])(
  "the words of a type (%s) that names itself have an end",
  (kind) => {
    const type = { kind, id: 0, name: "", offset: 0, type: 0, elementType: 0, returnType: 0 };
    const btf = { types: [{ ...type, length: 2 }] };
    const words = formatType(btf as unknown as Parameters<typeof formatType>[0], 0);
    if (kind !== "typedef") expect(words).toContain("...");
  },
);

test.each([
  ["int * const", "const", ["ptr", "int"]],
  ["const int *", "ptr", ["const", "int"]],
  ["int * volatile *", "ptr", ["volatile", "ptr", "int"]],
  ["int * restrict const", "const", ["restrict", "ptr", "int"]],
  ["int * const * restrict", "restrict", ["ptr", "const", "ptr", "int"]],
  ["const int (*)[]", "ptr", ["array", "const", "int"]],
])("%s is written as C has it", (words, first, others) => {
  const kinds = [first, ...others];
  const types = kinds.map((kind, id) => {
    const name = kind === "int" ? "int" : "";
    return { kind, id, name, offset: 0, type: id + 1, elementType: id + 1, length: 0 };
  });
  expect(formatType({ types } as unknown as Parameters<typeof formatType>[0], 0)).toBe(words);
});
