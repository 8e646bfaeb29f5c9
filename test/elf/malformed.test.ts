import { describe, expect, it } from "vitest";
import { parseElf, SHF_ALLOC, SHT_NOBITS } from "../../src/elf/elf.ts";
import { loadObject, ObjectError } from "../../src/elf/index.ts";
import { buildBtf, buildElf, code, functionSymbol, info, returnsZero } from "./build_elf.ts";
import { fixture } from "./fixtures.ts";

/** The error that reading these bytes ends in. */
function refusal(bytes: Uint8Array): ObjectError {
  try {
    loadObject(bytes);
  } catch (error) {
    if (error instanceof ObjectError) return error;
    throw error;
  }
  throw new TypeError("these bytes can be read");
}

/** The fixture with one byte of its ELF header changed. */
function withHeaderByte(offset: number, value: number): Uint8Array {
  const bytes = fixture("minimal.o");
  bytes[offset] = value;
  return bytes;
}

/** A fixture with BTF, one byte of a section changed. */
function withByte(section: string, offset: number, value: number): Uint8Array {
  const bytes = fixture("everything.v3.o");
  const found = parseElf(bytes).sectionsByName.get(section);
  if (found === undefined) throw new RangeError(`section: no ${section} in the fixture`);
  bytes[found.offset + offset] = value;
  return bytes;
}

/** ld_imm64 of an address that a relocation fills in, then exit: 24 bytes. */
const LOADS = new Uint8Array([0x18, ...new Array(15).fill(0), 0x95, ...new Array(7).fill(0)]);
/** A call that a relocation fills in, then exit: 16 bytes. */
const CALLS = new Uint8Array([
  0x85,
  0x10,
  ...[0, 0, 0xff, 0xff, 0xff, 0xff],
  0x95,
  ...new Array(7).fill(0),
]);

describe("an object that Linux or its loader would not take either", () => {
  // Breaks if an error loses the name of the section or the place in it.
  const CASES: readonly (readonly [string, () => Uint8Array, string])[] = [
    ["no bytes", () => new Uint8Array(0), "ELF header+0x0: not an ELF file"],
    ["text", () => new TextEncoder().encode("#!/bin/sh"), "ELF header+0x0: not an ELF file"],
    ["only the magic", () => fixture("minimal.o").slice(0, 20), "ELF header+0x14: file ends here"],
    ["32 bits", () => withHeaderByte(4, 1), "ELF header+0x4: class 1 is not 64-bit"],
    [
      "big-endian",
      () => withHeaderByte(5, 2),
      "ELF header+0x5: byte order 2 is not little-endian (bpfel)",
    ],
    ["ELF of the future", () => withHeaderByte(6, 2), "ELF header+0x6: version 2 of ELF"],
    ["a program", () => withHeaderByte(16, 2), "ELF header+0x10: type 2 is not an object file"],
    ["x86", () => withHeaderByte(18, 62), "ELF header+0x12: machine 62 is not BPF (247)"],
    [
      "sections cut off",
      () => fixture("minimal.o").slice(0, 900),
      "section headers+0x0: 640 bytes at",
    ],
    ["no BTF", () => withByte(".BTF", 0, 0), ".BTF+0x0: magic 0xeb00 is not that of BTF"],
    ["BTF of the future", () => withByte(".BTF", 2, 2), ".BTF+0x2: version 2 of BTF"],
    ["BTF with flags", () => withByte(".BTF", 3, 1), ".BTF+0x3: flags 0x1 of BTF, which has none"],
    ["BTF with a short header", () => withByte(".BTF", 4, 23), ".BTF+0x4: a header of 23 bytes"],
    [
      "no .BTF.ext",
      () => withByte(".BTF.ext", 1, 0),
      ".BTF.ext+0x0: magic 0x9f is not that of BTF",
    ],
    ["a later .BTF.ext", () => withByte(".BTF.ext", 2, 2), ".BTF.ext+0x2: version 2 of BTF"],
    [
      "a .BTF.ext with flags",
      () => withByte(".BTF.ext", 3, 128),
      ".BTF.ext+0x3: flags 0x80 of BTF, which has none",
    ],
    ["a short .BTF.ext", () => withByte(".BTF.ext", 4, 16), ".BTF.ext+0x4: a header of 16 bytes"],
    ["extern", () => fixture("bad-extern.o"), "socket+0x0: variable CONFIG_HZ is extern"],
    ["CO-RE", () => fixture("bad-core.o"), "socket+0x0: a CO-RE relocation (kind 0) of struct"],
    ["pointers in data", () => fixture("bad-pointer.o"), ".data+0x8: a pointer (to one) in data"],
    [
      "the form of maps before BTF",
      () => buildElf([{ name: "maps", content: new Uint8Array(20) }]),
      "maps+0x0: maps of the form before BTF",
    ],
    [
      "maps without BTF",
      () => buildElf([{ name: ".maps", content: new Uint8Array(20) }]),
      ".maps+0x0: no BTF describes the maps",
    ],
    [
      "half an instruction",
      () => buildElf([code("xdp", returnsZero())], [functionSymbol("f", 0, 12)]),
      "xdp+0x0: function f of 12 bytes is no whole number of instructions",
    ],
    [
      "a function past its section",
      () => buildElf([code("xdp", returnsZero())], [functionSymbol("f", 8, 16)]),
      "xdp+0x8: function f ends outside, at 24",
    ],
    [
      "functions in each other",
      () => {
        const symbols = [functionSymbol("f", 0, 24), functionSymbol("g", 16, 16)];
        return buildElf([code("xdp", returnsZero(2))], symbols);
      },
      "xdp+0x10: functions f and g overlap",
    ],
    [
      "two programs of one name",
      () => {
        const symbols = [functionSymbol("f", 0, 16), functionSymbol("f", 16, 16)];
        return buildElf([code("xdp", returnsZero(2))], symbols);
      },
      "xdp+0x10: two programs f",
    ],
    [
      "a call into the middle of a function",
      () => {
        const symbols = [functionSymbol("f", 0, 16), { name: "", section: 0, value: 8 }];
        const relocation = { section: 0, offset: 0, symbol: 1, type: 10 };
        return buildElf([code("xdp", CALLS)], symbols, [relocation]);
      },
      "xdp+0x0: no function starts at byte 8 of xdp",
    ],
    [
      "a call of a kernel function",
      () => {
        const symbols = [functionSymbol("f", 0, 16), { name: "bpf_rdonly_cast" }];
        const relocation = { section: 0, offset: 0, symbol: 1, type: 10 };
        return buildElf([code("xdp", CALLS)], symbols, [relocation]);
      },
      "xdp+0x0: function bpf_rdonly_cast is extern",
    ],
    [
      "an address in a section that is no data",
      () => {
        const sections = [code("xdp", LOADS), { name: "notes", content: new Uint8Array(8) }];
        const symbols = [functionSymbol("f", 0, 24), { name: "note", section: 1 }];
        return buildElf(sections, symbols, [{ section: 0, offset: 0, symbol: 1 }]);
      },
      "xdp+0x0: note is neither map, data nor function",
    ],
    [
      "an address outside of the data",
      () => {
        const sections = [code("xdp", LOADS), { name: ".data", content: new Uint8Array(8) }];
        const symbols = [functionSymbol("f", 0, 24), { name: "far", section: 1, value: 9 }];
        return buildElf(sections, symbols, [{ section: 0, offset: 0, symbol: 1 }]);
      },
      "xdp+0x0: byte 9 is not in .data",
    ],
    [
      "one instruction relocated twice",
      () => {
        const sections = [code("xdp", LOADS), { name: ".data", content: new Uint8Array(8) }];
        const symbols = [functionSymbol("f", 0, 24), { name: "x", section: 1 }];
        const relocation = { section: 0, offset: 0, symbol: 1 };
        return buildElf(sections, symbols, [relocation, relocation]);
      },
      "xdp+0x0: one instruction is relocated twice",
    ],
    [
      "a relocated exit",
      () => {
        const sections = [code("xdp", LOADS), { name: ".data", content: new Uint8Array(8) }];
        const symbols = [functionSymbol("f", 0, 24), { name: "x", section: 1 }];
        return buildElf(sections, symbols, [{ section: 0, offset: 16, symbol: 1 }]);
      },
      "xdp+0x10: relocates opcode 0x95, neither a load nor a call",
    ],
    [
      "a load relocated in its second half",
      () => {
        const sections = [code("xdp", LOADS), { name: ".data", content: new Uint8Array(8) }];
        const symbols = [functionSymbol("f", 0, 24), { name: "x", section: 1 }];
        return buildElf(sections, symbols, [{ section: 0, offset: 8, symbol: 1 }]);
      },
      "xdp+0x8: relocates the second half of a load",
    ],
    [
      "a function that ends in half a load",
      () => buildElf([code("xdp", LOADS)], [functionSymbol("f", 0, 8)]),
      "xdp+0x8: f ends inside an instruction of two slots",
    ],
    [
      "zeros that no map can hold",
      () => buildElf([{ name: ".bss", type: SHT_NOBITS, size: 2 ** 40 }]),
      `.bss+0x0: ${2 ** 40} bytes; a map's value has at most 2147483647`,
    ],
    [
      "two sections of one name",
      () => buildElf([code("xdp", returnsZero()), code("xdp", returnsZero())]),
      "xdp+0x0: sections 1 and 2 have the same name",
    ],
    [
      "a license without an end",
      () => buildElf([{ name: "license", content: new TextEncoder().encode("GPL") }]),
      "license+0x0: a string with no NUL",
    ],
  ];

  it.each(CASES)("%s: says where and why", (_name, bytes, message) => {
    const error = refusal(bytes());
    expect(error.message).toContain(message);
    expect(error.message.startsWith(`${error.section}+0x${error.offset.toString(16)}: `)).toBe(
      true,
    );
  });
});

const INT = ["int", info(1), 4, 0x01000020] as const;
const pointerTo = (type: number) => ["", info(2), type] as const;
const arrayOf = (length: number) => ["", info(3), 0, 1, 1, length] as const;

/** An object with one map `m`, whose struct has these members of these (BTF) types. */
function withMap(
  members: readonly (readonly [name: string, type: number])[],
  types: readonly (readonly [string, ...(number | string)[]])[],
): Uint8Array {
  const words = members.flatMap(([name, type], index) => [name, type, index * 64]);
  const size = members.length * 8;
  const structId = types.length + 1;
  const btf = buildBtf([
    ...types,
    ["", info(4, members.length), size, ...words],
    ["m", info(14), structId, 1],
    [".maps", info(15, 1), 0, structId + 1, 0, size],
  ]);
  return buildElf(
    [
      { name: ".maps", content: new Uint8Array(size) },
      { name: ".BTF", content: btf, flags: 0 },
    ],
    [{ name: "m", section: 0, size }],
  );
}

describe("a map", () => {
  it("is read from BTF written by hand", () => {
    const bytes = withMap(
      [
        ["type", 3],
        ["max_entries", 3],
        ["key", 4],
        ["value", 4],
      ],
      [INT, arrayOf(2), pointerTo(2), pointerTo(1)],
    );
    const map = loadObject(bytes).maps.get("m");
    expect(map).toMatchObject({ type: 2, maxEntries: 2, keySize: 4, valueSize: 4, keyTypeId: 1 });
  });

  const CASES: readonly (readonly [string, Uint8Array, string])[] = [
    ["no type", withMap([], []), "map m: the map has no type"],
    ["a member that is no pointer", withMap([["type", 1]], [INT]), "map m: type is no pointer"],
    [
      "a number that is no __uint",
      withMap([["type", 2]], [INT, pointerTo(1)]),
      "map m: type is not declared with __uint()",
    ],
    [
      "an unknown member",
      withMap([["sort", 3]], [INT, arrayOf(2), pointerTo(2)]),
      "map m: sort means nothing in a map",
    ],
    [
      "two sizes of the key",
      withMap(
        [
          ["key_size", 3],
          ["key", 4],
        ],
        [INT, arrayOf(8), pointerTo(2), pointerTo(1)],
      ),
      "map m: key means 4 bytes, but 8 are said already",
    ],
    [
      "a key without a size",
      withMap([["key", 1]], [pointerTo(0)]),
      "map m: the type of key has no size",
    ],
    [
      "a key that is a circle of typedefs",
      withMap([["key", 3]], [["a", info(8), 2], ["b", info(8), 1], pointerTo(1)]),
      "map m: the type of key has no size",
    ],
    [
      "a key of arrays of arrays, 2^1024 bytes and more",
      withMap([["key", 2]], [["", info(3), 0, 1, 1, 0xffffffff], pointerTo(1)]),
      "map m: the type of key has no size",
    ],
    [
      "pinning that doesn't exist",
      withMap([["pinning", 3]], [INT, arrayOf(2), pointerTo(2)]),
      "map m: pinning 2",
    ],
    [
      "values in an array",
      withMap(
        [
          ["type", 3],
          ["values", 4],
        ],
        [INT, arrayOf(2), pointerTo(2), ["", info(3), 0, 3, 1, 0]],
      ),
      "map m: only prog arrays and maps of maps have values",
    ],
    [
      "a map of itself",
      withMap(
        [
          ["type", 3],
          ["values", 5],
        ],
        // The element is the map's own struct, type 6.
        [INT, arrayOf(12), pointerTo(2), pointerTo(6), ["", info(3), 0, 4, 1, 0]],
      ),
      "map m: an inner map can't have values",
    ],
  ];

  it.each(CASES)("with %s is refused", (_name, bytes, message) => {
    expect(refusal(bytes).message).toContain(`.maps+0x0: ${message}`);
  });
});

describe("a small file that asks for much", () => {
  it("gets no more instructions than the limit, however often functions are shared", () => {
    // 300 programs that call the same 250 KiB: 32,000 slots each, 9.6 million together.
    const big = returnsZero(16_000);
    const calls = Array.from({ length: 300 }, () => [...CALLS]).flat();
    const symbols = [
      { ...functionSymbol("big", 0, big.length), section: 1 },
      ...Array.from({ length: 300 }, (_, n) => functionSymbol(`p${n}`, n * 16, 16)),
    ];
    const relocations = Array.from({ length: 300 }, (_, n) => {
      return { section: 0, offset: n * 16, symbol: 0, type: 10 };
    });
    const sections = [code("xdp", new Uint8Array(calls)), code(".text", big)];
    expect(refusal(buildElf(sections, symbols, relocations)).message).toContain(
      "the programs of the object come to more than 4000000 instructions",
    );
  });

  it("gets no more functions in a program than Linux takes", () => {
    // A chain: each function calls the next.
    const count = 257;
    const chain = new Uint8Array(Array.from({ length: count }, () => [...CALLS]).flat());
    const symbols = Array.from({ length: count }, (_, n) => functionSymbol(`f${n}`, n * 16, 16));
    const relocations = Array.from({ length: count - 1 }, (_, n) => {
      return { section: 0, offset: n * 16, symbol: n + 1, type: 10 };
    });
    const bytes = buildElf([code("xdp", chain)], symbols, relocations);
    expect(refusal(bytes).message).toBe("xdp+0x0: program f0: more than 256 functions");
  });

  it("gets no table out of the section that stands for none", () => {
    const withFirstSection = (type: number): Uint8Array => {
      const bytes = fixture("minimal.o");
      const view = new DataView(bytes.buffer);
      const first = Number(view.getBigUint64(40, true));
      view.setUint32(first + 4, type, true);
      view.setBigUint64(first + 32, 2n ** 52n, true);
      return bytes;
    };
    const [symbols, relocations] = [2, 9];
    expect(refusal(withFirstSection(symbols)).message).toContain("there is no symbol");
    expect(loadObject(withFirstSection(relocations)).programs.size).toBe(2);
  });

  it("gets no more relocations than the limit when tables lie over each other", () => {
    const content = new Uint8Array(16 * 6_000);
    const targets = Array.from({ length: 200 }, (_, n) => ({ name: `.data.${n}`, size: 8 }));
    const bytes = buildElf([
      ...targets.map((target) => ({ ...target, type: SHT_NOBITS })),
      ...targets.map((_, n) => ({ name: `.rel${n}`, type: 9, flags: 0, info: n + 1, size: 0 })),
      { name: "shared", content, flags: 0 },
    ]);
    const view = new DataView(bytes.buffer);
    const headers = Number(view.getBigUint64(40, true));
    const shared = view.getBigUint64(headers + 401 * 64 + 24, true);
    for (let index = 201; index <= 400; index++) {
      view.setBigUint64(headers + index * 64 + 24, shared, true);
      view.setBigUint64(headers + index * 64 + 32, BigInt(content.length), true);
    }
    expect(refusal(bytes).message).toBe(".rel166+0x0: more than 1000000 relocations in all");
  });

  it("gets no memory for zeros", () => {
    const bss = { name: ".bss", type: SHT_NOBITS, size: 0x7fffffff, flags: SHF_ALLOC };
    const map = loadObject(buildElf([bss])).maps.get(".bss");
    expect(map).toMatchObject({ valueSize: 0x7fffffff, contents: null });
  });

  it("gets no string longer than the limit", () => {
    const license = { name: "license", content: new Uint8Array(70_000).fill(65) };
    expect(refusal(buildElf([license])).message).toContain("a string with more than 65536 bytes");
  });
});
