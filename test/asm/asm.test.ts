/**
 * Breaks if an instruction form is read or printed as other bytes than LLVM's and Linux's, or if
 * a mistake in assembly text is not reported where it is.
 */
import { describe, expect, test } from "vitest";
import { BPF_FUNC, helperId, helperName } from "../../src/abi/helpers.ts";
import {
  AssemblerError,
  assemble,
  decodeInstructions,
  disassemble,
  encodeInstructions,
  formatInstruction,
  isLoadImm64,
  jumpOffset,
  listing,
  loadImm64,
  loadImm64Value,
} from "../../src/asm/index.ts";
import { linuxForms, llvmForms } from "./forms.ts";

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(" "), (byte) => Number.parseInt(byte, 16));
}

describe("instruction forms", () => {
  test.each([...llvmForms, ...linuxForms])("%s", (text, expected) => {
    expect(hex(assemble(text))).toBe(expected);
    expect(disassemble(bytes(expected))).toBe(`${text}\n`);
    const [first, second] = decodeInstructions(bytes(expected));
    expect(first && formatInstruction(first, second)).toBe(text);
  });

  // Ways of writing that the disassembler does not choose.
  test.each([
    ["w1 = *(u32 *)(r6 + 76)", "r1 = *(u32 *)(r6 + 76)"],
    ["r1=*(u32*)(r6+0x4c)", "r1 = *(u32 *)(r6 + 76)"],
    ["r1 = *(u8 *)(r2)", "r1 = *(u8 *)(r2 + 0)"],
    ["*(u16 *)(r10 - 2) = w3", "*(u16 *)(r10 - 2) = r3"],
    ["*(u32 *)(r10 - 4) = 0xdeadbeef", "*(u32 *)(r10 - 4) = -559038737"],
    ["lock *(u32 *)(r10 - 4) += r1", "lock *(u32 *)(r10 - 4) += w1"],
    ["w1 = 0xffffffff", "w1 = -1"],
    ["if w1 == 0xffffffff goto +1", "if w1 == -1 goto +1"],
    ["r1 = -1 ll", "r1 = 0xffffffffffffffff ll"],
    ["call 1", "call bpf_map_lookup_elem"],
    ["call kfunc[1][0]", "call kfunc[1]"],
    ["\tr0 = +1\r", "r0 = 1"],
    [".insn imm=7 opcode=0xb7", "r0 = 7"],
  ])("%s is read as %s", (text, canonical) => {
    expect(disassemble(assemble(text))).toBe(`${canonical}\n`);
  });

  test.each([
    [
      "an opcode that does not exist",
      "ff 00 00 00 00 00 00 00",
      "opcode=0xff dst=0 src=0 off=0 imm=0",
    ],
    ["a register above r10", "b7 0b 00 00 01 00 00 00", "opcode=0xb7 dst=11 src=0 off=0 imm=1"],
    ["an unused field in use", "95 00 01 00 00 00 00 00", "opcode=0x95 dst=0 src=0 off=1 imm=0"],
    ["a 64-bit load cut short", "18 01 00 00 05 00 00 00", "opcode=0x18 dst=1 src=0 off=0 imm=5"],
    [
      "a helper with a negative id",
      "85 00 00 00 ff ff ff ff",
      "opcode=0x85 dst=0 src=0 off=0 imm=-1",
    ],
  ])("%s is printed field by field", (_, encoding, fields) => {
    expect(disassemble(bytes(encoding))).toBe(`.insn ${fields}\n`);
    expect(hex(assemble(`.insn ${fields}`))).toBe(encoding);
  });

  test("a 64-bit load whose second slot is an instruction falls apart into slots", () => {
    const program = bytes("18 01 00 00 05 00 00 00 95 00 00 00 00 00 00 00");
    expect(listing(decodeInstructions(program))).toEqual([
      { slot: 0, slots: 1, text: ".insn opcode=0x18 dst=1 src=0 off=0 imm=5" },
      { slot: 1, slots: 1, text: "exit" },
    ]);
  });
});

describe("assemble", () => {
  test("counts label distances in slots, both ways, over 64-bit loads", () => {
    const program = assemble(`
      ; the main function
      r1 = 0x123456789 ll          # two slots
    again: r1 += -1                // a label before a statement
      if r1 != 0 goto again
      if w1 == 0 goto done
      gotol done
      may_goto again
      call helper
      r2 = func[helper]
      goto exit
    done:
    exit:
      exit
    helper:
      r0 = 0
      exit
    `);
    expect(disassemble(program).trimEnd().split("\n")).toEqual([
      "r1 = 0x123456789 ll",
      "r1 += -1",
      "if r1 != 0 goto -2",
      "if w1 == 0 goto +6",
      "gotol +5",
      "may_goto -5",
      "call +4",
      "r2 = func[+3]",
      "goto +0",
      "exit",
      "r0 = 0",
      "exit",
    ]);
  });

  test("puts constants where integers may stand", () => {
    const constants = { flows: 7, KEY: -4, BIG: 0x1_0000_0000n };
    const text = "r1 = map_fd[flows]\n*(u32 *)(r10 + KEY) = flows\nr2 = BIG ll\nr3 = -KEY";
    expect(disassemble(assemble(text, { constants })).split("\n")).toEqual([
      "r1 = map_fd[7]",
      "*(u32 *)(r10 - 4) = 7",
      "r2 = 0x100000000 ll",
      "r3 = 4",
      "",
    ]);
  });

  test("of nothing is nothing", () => {
    expect(assemble("")).toEqual(new Uint8Array());
    expect(assemble("\n ; only a comment\n")).toEqual(new Uint8Array());
    expect(disassemble(new Uint8Array())).toBe("");
  });

  test.each([
    ["r0 = 1\nfrob r1", 2, 1, "expected an instruction, found `frob`"],
    ["r11 = 1", 1, 1, "there is no register r11: the last is r10"],
    ["r1 = w2", 1, 6, "w2 and r1 differ in width: write r2"],
    ["r1 += 0xffffffff", 1, 7, "immediate: 4294967295 is not in -2147483648..2147483647"],
    ["r1 = 0xffffffff", 1, 6, "does not fit a 32-bit immediate: write `r1 = 4294967295 ll`"],
    ["w1 = 0x100000000", 1, 6, "4294967296 does not fit a 32-bit immediate"],
    ["r1 = 0x10000000000000000 ll", 1, 6, "immediate: 18446744073709551616 is not in"],
    ["w1 = 5 ll", 1, 1, "w1 has 32 bits, but `ll` loads 64 bits: write r1"],
    ["r1 = -r2", 1, 7, "negation works in place: write r1 on both sides"],
    ["r1 = be16 r2", 1, 11, "a byte swap works in place: write r1 on both sides"],
    ["w1 = *(u64 *)(r2 + 0)", 1, 1, "w1 has 32 bits, but 64 bits are accessed: write r1"],
    ["r1 = *(u24 *)(r2 + 0)", 1, 8, "expected a type (u8 u16 u32 u64 s8 s16 s32), found `u24`"],
    ["r1 = *(u32 *)(r2 + 32768)", 1, 18, "offset: 32768 is not in -32768..32767"],
    ["r1 = *(u32 *)(w2 + 0)", 1, 15, "w2 has 32 bits, but 64 bits are used here: write r2"],
    ["*(s32 *)(r10 - 4) = 0", 1, 3, "stores have no sign"],
    ["r1 = *(u8 *)skb[0]", 1, 1, "packet loads go to r0 only"],
    ["r0 = *(u64 *)skb[0]", 1, 8, "packet loads are of type u8, u16 or u32"],
    ["w1 = (s32)w2", 1, 1, "w1 has 32 bits, but s32 extends to 64: write r1"],
    ["r1 = (u8)r2", 1, 7, "expected a signed type (s8 s16 s32), found `u8`"],
    ["lock *(u16 *)(r1 + 0) += w2", 1, 8, "atomic operations are of type u32 or u64"],
    ["lock *(u64 *)(r1 + 0) -= r2", 1, 23, "expected `+=`, `|=`, `&=` or `^=`, found `-=`"],
    ["r1 = cmpxchg_64(r2 + 0, r1, r3)", 1, 1, "compares with and returns r0"],
    ["r1 = atomic_fetch_add((u64 *)(r2 + 0), r3)", 1, 40, "write r1 on both sides"],
    ["if r1 = 5 goto +1", 1, 7, "expected a comparison such as `==` or `s<`, found `=`"],
    ["if r1 == 5 exit", 1, 12, "expected `goto`, found `exit`"],
    ["goto 3", 1, 6, "expected a target: a label, or slots such as +3 or -7, found `3`"],
    ["goto", 1, 5, "slots such as +3 or -7, the line ends"],
    ["goto +32768", 1, 6, "jump distance: 32768 is not in -32768..32767"],
    ["goto there", 1, 6, "`there` is no label"],
    ["call there", 1, 6, "`there` is neither a label nor a helper"],
    ["a:\nr0 = 1\na: exit", 3, 1, "label `a` is defined in line 1 already"],
    ["r1 = flows", 1, 6, "expected a value for r1, found `flows`"],
    ["r1 = map_fd[flows]", 1, 13, "index: `flows` is neither a number nor a known constant"],
    ["r1 = toString", 1, 6, "expected a value for r1, found `toString`"],
    ["r1 = map_value[5]", 1, 18, "expected `[`, the line ends"],
    ["r1 += 12ab", 1, 7, "`12ab` is not a number"],
    ["r1 += 5 6", 1, 9, "unexpected `6` after the instruction"],
    ["r1 @ 5", 1, 4, "unexpected character `@`"],
    ["r1 😀", 1, 4, "unexpected character `😀`"],
    ["exit:exit:", 1, 6, "label `exit` is defined in line 1 already"],
    [".insn opcode=256", 1, 14, "opcode: 256 is not in 0..255"],
    [".insn constructor=1", 1, 7, "expected a field (opcode dst src off imm)"],
  ])("refuses %j at line %d, column %d: %s", (text, line, column, message) => {
    const error = mistake(text);
    expect(error.message).toContain(message);
    expect(error.message.startsWith(`line ${line}, column ${column}: `)).toBe(true);
    expect(error).toMatchObject({ name: "AssemblerError", line, column });
  });

  test("refuses a label that a 16-bit offset can't reach, and takes it with gotol", () => {
    const far = `${"exit\n".repeat(40_000)}end: exit`;
    const error = mistake(`goto end\n${far}`);
    expect(error.message).toBe(
      "line 1, column 6: `end` is 40000 slots away, too far for a 16-bit offset: use gotol",
    );
    const [first] = decodeInstructions(assemble(`gotol end\n${far}`));
    expect(first?.imm).toBe(40_000);
  });

  test("refuses a constant that is no integer", () => {
    expect(mistake("r1 = HALF", { HALF: 0.5 }).message).toContain("the constant HALF is 0.5");
  });
});

function mistake(text: string, constants: Record<string, number> = {}): AssemblerError {
  try {
    assemble(text, { constants });
  } catch (error) {
    if (error instanceof AssemblerError) return error;
    throw error;
  }
  throw new TypeError(`text: assembles without a mistake: ${text}`);
}

describe("slots", () => {
  test("are decoded one by one, whatever they contain", () => {
    const program = bytes("18 f1 fe ff ff ff ff ff 00 00 00 00 01 00 00 80");
    expect(decodeInstructions(program)).toEqual([
      { opcode: 0x18, dst: 1, src: 15, off: -2, imm: -1 },
      { opcode: 0, dst: 0, src: 0, off: 0, imm: -0x7fff_ffff },
    ]);
  });

  test("are read from a view into a larger buffer", () => {
    const buffer = bytes("00 00 00 b7 01 00 00 05 00 00 00 00 00");
    expect(decodeInstructions(buffer.subarray(3, 11))).toEqual([
      { opcode: 0xb7, dst: 1, src: 0, off: 0, imm: 5 },
    ]);
  });

  test("come in eights of bytes", () => {
    expect(() => decodeInstructions(new Uint8Array(12))).toThrow(RangeError);
    expect(() => disassemble(new Uint8Array(7))).toThrow("7 bytes are no whole number");
  });

  test.each([
    ["opcode", 256],
    ["dst", 16],
    ["src", -1],
    ["off", 0x8000],
    ["imm", 0x8000_0000],
    ["imm", 0.5],
  ])("refuse %s %d when encoded", (field, value) => {
    const insn = { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0, [field]: value };
    expect(() => encodeInstructions([insn])).toThrow(`insns[0].${field}: ${value} is not in`);
  });

  test("pair up for 64-bit immediates", () => {
    const value = 0x8000_0001_ffff_fffen;
    const [first, second] = loadImm64(3, 0, value);
    expect(isLoadImm64(first)).toBe(true);
    expect(isLoadImm64(second)).toBe(false);
    expect(loadImm64Value(first, second)).toBe(value);
    expect(loadImm64(3, 0, BigInt.asIntN(64, value))).toEqual([first, second]);
  });

  test.each([
    ["goto -2", -2],
    ["gotol +70000", 70_000],
    ["may_goto +3", 3],
    ["if r1 == 5 goto +4", 4],
    ["if w1 s<= w2 goto -4", -4],
    ["exit", undefined],
    ["call +3", undefined],
    ["r1 = 3", undefined],
    ["r1 = *(u8 *)(r2 + 3)", undefined],
  ])("%s jumps by %s", (text, expected) => {
    const [insn] = decodeInstructions(assemble(text));
    expect(insn && jumpOffset(insn)).toBe(expected);
  });
});

describe("helpers", () => {
  test("are 1 to 211, each with one name", () => {
    const ids = Object.values(BPF_FUNC);
    expect(ids).toEqual(Array.from({ length: 211 }, (_, index) => index + 1));
    for (const id of ids) expect(helperId(helperName(id) ?? "")).toBe(id);
    expect(helperName(BPF_FUNC.tail_call)).toBe("bpf_tail_call");
    expect(helperName(212)).toBeUndefined();
    expect(helperId("map_lookup_elem")).toBeUndefined();
  });
});
