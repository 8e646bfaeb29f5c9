/**
 * Rotations: if this fails, two shifts and `|=` are taken for one, or for another one.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assemble, decodeInstructions } from "../../../src/asm/index.ts";
import { findRotations } from "../../../src/kernel/jit/rotate.ts";
import { boot, evaluate } from "../run/support.ts";

/** What is rotated, so that each half of it is known again. */
const VALUE = "0x0123456789abcdef ll";

function bitsFound(text: string): number[] {
  const insns = decodeInstructions(assemble(text));
  const found = findRotations(insns, 0, insns.length);
  return [...new Set(found.values())].map(({ bits }) => bits);
}

describe("what is found", () => {
  test.each([
    ["the copy is shifted first", "r2 = r1; r2 >>= 37; r1 <<= 27; r1 |= r2", [27]],
    ["the copy is shifted last", "r2 = r1; r1 <<= 27; r2 >>= 37; r2 |= r1", [27]],
    ["something else is done between", "r2 = r1; r2 >>= 1; r3 += 9; r1 <<= 63; r1 |= r2", [63]],
    ["one after the other", "r2 = r1; r2 <<= 8; r1 >>= 56; r1 |= r2; ".repeat(2), [8, 8]],
    ["other bits", "r2 = r1; r2 >>= 36; r1 <<= 27; r1 |= r2", []],
    ["a shift of 32 bits", "r2 = r1; w2 >>= 37; r1 <<= 27; r1 |= r2", []],
    ["a copy of 32 bits", "w2 = w1; r2 >>= 37; r1 <<= 27; r1 |= r2", []],
    ["a signed shift", "r2 = r1; r2 s>>= 37; r1 <<= 27; r1 |= r2", []],
    ["another value since the copy", "r2 = r1; r2 >>= 37; r1 += 1; r1 <<= 27; r1 |= r2", []],
    ["another value after the shift", "r2 = r1; r2 >>= 37; r1 <<= 27; r2 += 1; r1 |= r2", []],
    ["a copy of what is shifted", "r2 >>= 37; r1 = r2; r1 <<= 27; r1 |= r2", []],
    ["no copy", "r2 >>= 37; r1 <<= 27; r1 |= r2", []],
  ])("%s", (_name, text, bits) => {
    expect(bitsFound(text.replaceAll("; ", "\n"))).toEqual(bits);
  });
});

const register = fc.constantFrom("r0", "r1", "r2", "r3");
const bits = fc.constantFrom(8, 32, 56);
const shift = fc.constantFrom("<<=", ">>=");
const other = fc.oneof(
  fc.tuple(register, register).map(([a, b]) => `${a} = ${b}`),
  fc.tuple(register, shift, bits).map(([a, op, by]) => `${a} ${op} ${by}`),
  fc.tuple(register, register).map(([a, b]) => `${a} += ${b}`),
);
/** What looks like a rotation, and often is one. */
const likely = fc
  .record({ a: register, b: register, bits, otherBits: bits, line: other, at: fc.nat(8) })
  .map(({ a, b, bits, otherBits, line, at }) => {
    const lines = [`${a} = ${b}`, `${a} >>= ${bits}`, `${b} <<= ${otherBits}`, `${b} |= ${a}`];
    return (at < 4 ? lines.toSpliced(at, 0, line) : lines).join("\n");
  });

test("what looks like rotations comes to the same on both engines", () => {
  const engines = [boot({ engine: "jit" }), boot()].map(({ machine }) => machine);
  let rotated = 0;
  fc.assert(
    fc.property(fc.array(likely, { minLength: 1, maxLength: 8 }), (lines) => {
      const body = lines.join("\n");
      rotated += bitsFound(body).length;
      const first = [10, 11, 12, 13].map((by, i) => `r${i} = ${VALUE}\nr${i} *= ${by}`).join("\n");
      const mixed = "r1 *= 3\nr2 *= 5\nr3 *= 7\nr0 += r1\nr0 += r2\nr0 += r3\nexit";
      const text = [first, body, mixed].join("\n");
      const [compiled, interpreted] = engines.map((machine) => evaluate(machine, text));
      expect(compiled).toBe(interpreted);
    }),
    { numRuns: 300, seed: 1 },
  );
  expect(rotated, "rotations among them").toBeGreaterThan(100);
});
