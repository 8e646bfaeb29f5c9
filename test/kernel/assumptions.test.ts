/**
 * What a program can reach when the verifier is wrong about a range. Here it takes `x &= 0xff` for
 * `x &= 7`; engines stop the run at the first instruction that relies on it.
 */

import { describe, expect, test, vi } from "vitest";
import { BPF_AND } from "../../src/abi/insn.ts";
import { assemble } from "../../src/asm/index.ts";
import { BpfMap, Program } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Bounds } from "../../src/kernel/verifier/bounds.ts";
import { refusal } from "../nouns/stage.ts";
import { ENGINES } from "./run/support.ts";

vi.mock("../../src/kernel/verifier/scalar_alu.ts", async (importOriginal) => {
  const original = await importOriginal<typeof import("../../src/kernel/verifier/scalar_alu.ts")>();
  const { exactly } = await import("../../src/kernel/verifier/bounds.ts");
  return {
    ...original,
    arithmetic: (op: number, a: Readonly<Bounds>, b: Readonly<Bounds>, is64: boolean): Bounds => {
      const isPlanted = op === BPF_AND && b.bits.isConstant && b.bits.value === 0xffn;
      return original.arithmetic(op, a, isPlanted ? exactly(7n) : b, is64);
    },
  };
});

const SOCKET_FILTER = 1;
const PACKET = new Uint8Array(64);
const VALUE_BYTES = 8;

/** Leaves the map's value in r9 and what the caller put there, masked, in r6. */
const HEAD = `
  r9 = map_value[m][0]
  r7 = r1
  r6 = *(u8 *)(r9 + 0)
  r6 &= 0xff`;
const TAIL = `
  r0 = 0
  exit`;

/** What relies on r6 <= 7, by what it does. */
const USES: Readonly<Record<string, string>> = {
  "added to a pointer to a map value": "r9 += r6\n*(u8 *)(r9 + 0) = 0x41",
  "the destination of the addition": "r6 += r9\n*(u8 *)(r6 + 0) = 0x41",
  "what another one is computed from": "r8 = 7\nr8 -= r6\nr9 += r8\n*(u8 *)(r9 + 0) = 0x41",
  "multiplied first": "r6 >>= 1\nr6 *= 2\nr9 += r6\n*(u8 *)(r9 + 0) = 0x41",
  "believed to be one number": "r6 >>= 3\nr9 += r6\n*(u8 *)(r9 + 0) = 0x41",
  "added to a stack pointer": "r2 = r10\nr2 += -8\nr2 += r6\n*(u8 *)(r2 + 0) = 0x41",
  "the size that a helper is passed":
    "r1 = r7\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = r6\nr4 += 1\ncall bpf_skb_load_bytes",
  "compared so that a path seems dead":
    "if r6 > 7 goto dead\ngoto out\ndead:\n*(u8 *)(r6 + 32767) = 0x41\nout:",
};

describe.each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test.each(Object.entries(USES))("a number that is %s", (_use, body) => {
    using kernel = EmbeddedKernel.boot(options);
    const array = (): BpfMap =>
      BpfMap.create(kernel, { type: 2, keySize: 4, valueSize: VALUE_BYTES, maxEntries: 1 });
    using before = array();
    using m = array();
    using behind = array();
    const text = `${HEAD}\n${body}\n${TAIL}`;
    const instructions = assemble(text, { constants: { m: m.fd } });
    using program = Program.load(kernel, { type: SOCKET_FILTER, instructions });

    for (let number = 0; number <= 0xff; number++) {
      const value = new Uint8Array(VALUE_BYTES);
      value[0] = number;
      m.set(new Uint8Array(4), value);
      if (number <= 7) program.run(PACKET);
      else refusal(() => program.run(PACKET), "EFAULT", /was stopped/);
    }
    const reason = expect.stringContaining("(a fault of the verifier)");
    expect(kernel.describeProgram(program.fd)).toMatchObject({ faults: 248, lastFault: reason });
    for (const other of [before, behind]) {
      expect(other.get(new Uint8Array(4))).toEqual(new Uint8Array(VALUE_BYTES));
    }
  });
});
