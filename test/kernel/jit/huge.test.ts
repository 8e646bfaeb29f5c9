/**
 * Programs of any size and shape on the path of PROG_LOAD: if this fails, one that Linux runs
 * breaks the JIT, or runs differently on it than on the interpreter.
 */
import { describe, expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../../src/abi/bpf.ts";
import { BPF_CALL, BPF_JMP, BPF_PSEUDO_CALL } from "../../../src/abi/insn.ts";
import {
  assemble,
  decodeInstructions,
  encodeInstructions,
  type Instruction,
} from "../../../src/asm/index.ts";
import { Program } from "../../../src/index.ts";
import { EmbeddedKernel, type ProgramDescription } from "../../../src/kernel/index.ts";

/** More instructions than optimizers are given in one function, and not too many to verify. */
const HUGE = 320_000;
/** Rounds of {@link PATTERN} that each of many functions goes, one after the other. */
const FUNCTIONS = 20;
const PACKET: Uint8Array = new Uint8Array(64);
const PATTERN: readonly Instruction[] = decodeInstructions(
  assemble(
    "r0 += 1\nr0 *= 3\nr0 ^= 5\nr1 = r0\nr1 >>= 7\nr0 += r1\n" +
      "*(u64 *)(r10 - 8) = r0\nr2 = *(u64 *)(r10 - 8)",
  ),
);

/** So many instructions, one after the other. */
function straight(count: number): Instruction[] {
  return Array.from({ length: count }, (_, i) => PATTERN[i % PATTERN.length] as Instruction);
}

/** What the pattern makes of 1 after so many instructions. */
function expected(count: number): number {
  let r0 = 1n;
  for (let i = 0; i < count; i += PATTERN.length) {
    r0 = BigInt.asUintN(64, (r0 + 1n) * 3n) ^ 5n;
    r0 = BigInt.asUintN(64, r0 + (r0 >> 7n));
  }
  return Number(BigInt.asUintN(32, r0));
}

function text(source: string): Instruction[] {
  return decodeInstructions(assemble(source));
}

/** Functions of `each` instructions that the main one calls in turn. */
function calling(functions: number, each: number): Instruction[] {
  const body = [...text("r0 = 1"), ...straight(each), ...text("exit")];
  const exits = text("exit");
  const calls = Array.from({ length: functions }, (_, i): Instruction => {
    const target = functions + exits.length + i * body.length;
    const opcode = BPF_JMP | BPF_CALL;
    return { opcode, dst: 0, src: BPF_PSEUDO_CALL, off: 0, imm: target - i - 1 };
  });
  return [...calls, ...exits, ...Array.from({ length: functions }, () => body).flat()];
}

/** What a program returns, and how it is run. */
function load(
  engine: "jit" | "interpreter",
  instructions: readonly Instruction[],
): { retval: number; described: ProgramDescription } {
  using kernel = EmbeddedKernel.boot({ engine });
  const bytes = encodeInstructions(instructions);
  using program = Program.load(kernel, { type: BPF_PROG_TYPE_XDP, instructions: bytes });
  const described = kernel.describeProgram(program.fd);
  if (typeof described === "number") throw new RangeError(`error ${described}`);
  return { retval: program.run(PACKET).retval, described };
}

describe("a huge program", () => {
  test("in one function is left to the interpreter, which is told", () => {
    const { described, retval } = load("jit", [
      ...text("r0 = 1"),
      ...straight(HUGE),
      ...text("exit"),
    ]);
    expect(described).toMatchObject({
      engine: "interpreter",
      reason: expect.stringMatching(/^function at 0: \d+ bytes of code$/),
      code: null,
    });
    expect(retval).toBe(expected(HUGE));
  });

  test("in many functions is compiled", () => {
    const each = HUGE / FUNCTIONS;
    const { described, retval } = load("jit", calling(FUNCTIONS, each));
    expect(described).toMatchObject({ engine: "jit", code: { functions: FUNCTIONS + 1 } });
    expect(retval).toBe(expected(each));
  });
});

describe("a loop with two entries", () => {
  /** Two blocks that go to each other, entered at either, with so many ways out of one of them. */
  const irreducible = (exits: number): string => `
    r0 = 0
    r3 = 10
    r2 = *(u32 *)(r1 + 12)
    if r2 != 1 goto first
    gotol second
  first:
    ${Array.from({ length: exits }, (_, i) => `if r0 != ${i + 7000} goto +1\nexit`).join("\n")}
    r0 += 1
    r3 += -1
    if r3 != 0 goto second
    exit
  second:
    r0 += 100
    r3 += -1
    if r3 == 0 goto end
    gotol first
  end:
    exit`;

  test("goes through a dispatcher", () => {
    const { described, retval } = load("jit", text(irreducible(3)));
    expect(described).toMatchObject({ engine: "jit", code: { dispatched: 1 } });
    expect(retval).toBe(505);
  });

  test("and too many blocks is left to the interpreter, which is told", () => {
    const { described, retval } = load("jit", text(irreducible(33_000)));
    expect(described.engine).toBe("interpreter");
    expect(described.reason).toMatch(/too many jumps into loops/);
    expect(retval).toBe(505);
  });
});
