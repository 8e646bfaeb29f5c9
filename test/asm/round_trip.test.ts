/**
 * Breaks if any bytes are lost on the way through text: assembly must be able to say everything.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  assemble,
  decodeInstructions,
  disassemble,
  encodeInstructions,
  type Instruction,
  listing,
} from "../../src/asm/index.ts";
import { linuxForms, llvmForms } from "./forms.ts";

/** Field values that mean something to some instruction, beside ones that mean nothing. */
const REGISTERS = [0, 2, 6, 11];
const OFFSETS = [0, 1, 8, 32];
const IMMEDIATES = [0, 1, 16, 0x40, 0xa1, 0xe1, 0xf1, 0x110, -1];

test("every opcode with every combination of telling field values", () => {
  const insns: Instruction[] = [];
  for (let opcode = 0; opcode < 256; opcode++) {
    for (const dst of REGISTERS) {
      for (const src of REGISTERS) {
        for (const off of OFFSETS) {
          for (const imm of IMMEDIATES) insns.push({ opcode, dst, src, off, imm });
        }
      }
    }
  }
  const program = encodeInstructions(insns);
  const text = disassemble(insns);
  expect(Buffer.compare(assemble(text), program)).toBe(0);
});

test("8-byte garbage", () => {
  const garbage = fc.uint8Array({ maxLength: 160 }).map((it) => it.slice(0, it.length & ~7));
  fc.assert(fc.property(garbage, expectRoundTrip), { numRuns: 2000 });
});

test("64-bit immediate loads with good and bad second slots", () => {
  const field = fc.constantFrom(...REGISTERS);
  const imm = fc.oneof(fc.constantFrom(...IMMEDIATES), fc.integer());
  const off = fc.constantFrom(0, 0, 0, 1);
  const first = fc.record({ opcode: fc.constant(0x18), dst: field, src: fc.nat(8), off, imm });
  const second = fc.record({
    opcode: fc.constantFrom(0, 0, 0, 0x18, 0x95),
    dst: fc.constantFrom(0, 0, 0, 1),
    src: fc.constantFrom(0, 0, 0, 1),
    off,
    imm,
  });
  const pairs = fc.array(fc.tuple(first, second), { maxLength: 8 });
  const program = pairs.map((them) => encodeInstructions(them.flat()));
  fc.assert(fc.property(program, expectRoundTrip), { numRuns: 2000 });
});

test("streams of valid instructions, which also keep their text", () => {
  const texts = [...llvmForms, ...linuxForms].map(([text]) => text);
  const stream = fc.array(fc.constantFrom(...texts), { maxLength: 40 });
  fc.assert(
    fc.property(stream, (lines) => {
      const program = assemble(lines.join("\n"));
      expectRoundTrip(program);
      const listed = listing(decodeInstructions(program));
      expect(listed.map((line) => line.text)).toEqual(lines);
      const end = listed.reduce((slot, line) => (line.slot === slot ? slot + line.slots : -1), 0);
      expect(end).toBe(program.length / 8);
    }),
  );
});

test("arbitrary text is assembled or refused with an AssemblerError, nothing else", () => {
  const word = fc.constantFrom(
    ..."r1 w2 r11 if goto gotol call callx exit lock .insn ll u8 s8".split(" "),
    ..."= += s> == ( ) [ ] * , : + - 5 0x".split(" "),
    ..."skb be16 map_fd func kfunc xchg_64 cmpxchg_64 atomic_fetch_add load_acquire # \n".split(
      " ",
    ),
  );
  const text = fc.oneof(
    fc.array(word, { maxLength: 14 }).map((words) => words.join(" ")),
    fc.string({ unit: "binary" }),
  );
  fc.assert(
    fc.property(text, (input) => {
      try {
        expectRoundTrip(assemble(input));
      } catch (error) {
        expect(error).toMatchObject({ name: "AssemblerError" });
      }
    }),
    { numRuns: 5000 },
  );
});

function expectRoundTrip(program: Uint8Array): void {
  expect(encodeInstructions(decodeInstructions(program))).toEqual(program);
  expect(assemble(disassemble(program))).toEqual(program);
}
