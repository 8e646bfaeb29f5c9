/** Rows about what no compiler makes: fields that must be 0, and opcodes of nothing. */

import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 1\nexit";
const BAD = "bad-instruction";

/** One instruction by its fields; those left out are 0. */
function insn(fields: Readonly<Record<"opcode", number> & Partial<Fields>>): string {
  const { opcode, dst = 0, src = 0, off = 0, imm = 0 } = fields;
  return `.insn opcode=${opcode} dst=${dst} src=${src} off=${off} imm=${imm}`;
}

interface Fields {
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
}

function bad(title: string, ...insns: readonly string[]): Row {
  return refused("EINVAL", BAD, title, `${insns.join("\n")}\n${END}`);
}

export const ENCODING_ROWS: readonly Row[] = [
  accepted("a move by its fields", `${insn({ opcode: 0xb7, dst: 2, imm: 5 })}\n${END}`),
  bad("a move of a constant with a source", insn({ opcode: 0xb7, dst: 2, src: 3, imm: 5 })),
  bad("a move of a constant with an offset", insn({ opcode: 0xb7, dst: 2, off: 1, imm: 5 })),
  bad("a move of a register with a constant", insn({ opcode: 0xbf, dst: 2, src: 1, imm: 5 })),
  bad("a sign extension from 24 bits", insn({ opcode: 0xbf, dst: 2, src: 1, off: 24 })),
  bad("a 32-bit sign extension from 32 bits", insn({ opcode: 0xbc, dst: 2, src: 1, off: 32 })),
  bad("an addition of a constant with a source", insn({ opcode: 0x07, dst: 1, src: 2, imm: 1 })),
  bad("an addition of a register with a constant", insn({ opcode: 0x0f, dst: 1, src: 1, imm: 1 })),
  bad("an addition with an offset", insn({ opcode: 0x07, dst: 1, off: 1, imm: 1 })),
  bad("a division with an offset of 2", insn({ opcode: 0x37, dst: 1, off: 2, imm: 1 })),
  bad("a negation with a constant", insn({ opcode: 0x87, dst: 1, imm: 1 })),
  bad("a negation of a register by another", insn({ opcode: 0x8f, dst: 1, src: 1 })),
  bad("a swap of 24 bits", insn({ opcode: 0xdc, dst: 1, imm: 24 })),
  bad("a swap with an offset", insn({ opcode: 0xdc, dst: 1, off: 1, imm: 16 })),
  bad("arithmetic of a kind that there isn't", insn({ opcode: 0xe7, dst: 1 })),
  bad("a register 11 as a source", insn({ opcode: 0xbf, dst: 2, src: 11 })),
  bad("a register 12 as a destination", insn({ opcode: 0xb7, dst: 12 })),
  bad("a load with a constant", insn({ opcode: 0x61, dst: 2, src: 1, off: 12, imm: 1 })),
  bad("a load of a kind that there isn't", insn({ opcode: 0x41, dst: 2, src: 1 })),
  bad(
    "a store of a register with a constant",
    insn({ opcode: 0x7b, dst: 10, src: 1, off: -8, imm: 1 }),
  ),
  bad("a store of a constant with a source", insn({ opcode: 0x7a, dst: 10, src: 1, off: -8 })),
  bad("a sign-extending load of 8 bytes", insn({ opcode: 0x99, dst: 2, src: 10, off: -8 })),
  bad(
    "an atomic operation that there isn't",
    "r2 = 1",
    insn({ opcode: 0xdb, dst: 10, src: 2, off: -8, imm: 0x20 }),
  ),
  bad("an atomic operation on 2 bytes", "r2 = 1", insn({ opcode: 0xcb, dst: 10, src: 2, off: -8 })),
  refused("EINVAL", BAD, "an exit with a constant", `r0 = 1\n${insn({ opcode: 0x95, imm: 1 })}`),
  bad("a jump with a register", insn({ opcode: 0x05, dst: 1, off: 0 })),
  bad("a comparison with a constant and a source", insn({ opcode: 0x15, dst: 1, src: 2 })),
  bad("a comparison of registers with a constant", insn({ opcode: 0x1d, dst: 1, src: 1, imm: 1 })),
  bad("a comparison of a kind that there isn't", insn({ opcode: 0xf5, dst: 1 })),
  bad("may_goto with a constant", insn({ opcode: 0xe5, imm: 1 })),
  bad("a call with an offset", insn({ opcode: 0x85, off: 1, imm: 5 })),
  bad("a call with a destination", insn({ opcode: 0x85, dst: 1, imm: 5 })),
  bad("a call of a kind that there isn't", insn({ opcode: 0x85, src: 3, imm: 5 })),
  bad("opcode 0", insn({ opcode: 0 })),
  bad("the first half of a two-slot load", insn({ opcode: 0x18, dst: 2 })),
  bad(
    "a two-slot load whose second half has a register",
    insn({ opcode: 0x18, dst: 2 }),
    insn({ opcode: 0, dst: 1 }),
  ),
  bad(
    "a two-slot load with an offset",
    insn({ opcode: 0x18, dst: 2, off: 1 }),
    insn({ opcode: 0 }),
  ),
  bad(
    "a two-slot load of a kind that there isn't",
    insn({ opcode: 0x18, dst: 2, src: 9 }),
    insn({ opcode: 0 }),
  ),
  refused(
    "EACCES",
    BAD,
    "a two-slot load into r10",
    `
    ${insn({ opcode: 0x18, dst: 10 })}
    ${insn({ opcode: 0 })}
    ${END}`,
  ),
  bad("a cast between address spaces without an arena", "r2 = addr_space_cast(r1, 0, 1)"),
];
