/**
 * Breaks when a run could do harm on the plain JIT without being noticed: programs that nobody has
 * verified touch each kind of memory that isn't theirs.
 */

import { expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import * as I from "../../src/abi/insn.ts";
import * as C from "./code.ts";
import type { Input } from "./inputs.ts";
import { BUFFERS, MAPS, OUT, OUT_BYTES } from "./maps.ts";
import { Subject } from "./subject.ts";

const INPUT: Input = { numbers: [5n, 1n, 2n, 3n], packetBytes: 64 };
const [SMALLEST = 0] = BUFFERS;
const SIZE = MAPS[SMALLEST]?.valueSize ?? 0;

function program(...lines: readonly C.Line[]): C.Linked {
  const main = [C.mapAddress(1, SMALLEST, true), C.move(64, 9, 0x77), ...lines];
  const end = [C.move(64, 0, 0), C.exit()];
  return C.link({ type: BPF_PROG_TYPE_XDP, main: [...main, ...end], subprograms: [] });
}

const HARMFUL: Readonly<Record<string, readonly C.Line[]>> = {
  "the map behind the value": [C.store(8, 1, SIZE + 64, { reg: 9 })],
  "the header of the map": [C.store(1, 1, -8, { reg: 9 })],
  "a map that it doesn't name": [C.store(1, 1, 400, { reg: 9 })],
  "the first page": [C.move(64, 2, 64), C.store(8, 2, 0, { reg: 9 })],
  "the context": [
    C.mapAddress(2, SMALLEST, true),
    C.load(4, 3, 6, 0),
    C.store(4, 6, 16, { reg: 9 }),
  ],
  "what follows the packet": [C.load(4, 3, 6, 4), C.store(1, 3, 0, { reg: 9 })],
  "what it keeps on its stack": [
    C.store(8, 10, -8, { reg: 9 }),
    C.mapAddress(2, OUT, true),
    C.move(64, 3, 5),
    C.store(8, 2, OUT_BYTES.register, { reg: 3 }),
    C.load(8, 4, 10, -8),
    C.store(8, 2, OUT_BYTES.stackAbove, { reg: 4 }),
  ],
};

test.each(Object.entries(HARMFUL))("a run that changes %s is noticed", (_, lines) => {
  const subject = new Subject("jit", false);
  const harmful = program(...lines);
  const withContext = {
    ...harmful,
    instructions: [...C.move(64, 6, { reg: 1 }).insns, ...harmful.instructions],
  };
  expect(subject.runUnverified(withContext, [INPUT], false).harm).toMatch(/changed/);
});

test("a run that changes what it may is let pass, on both engines", () => {
  const subject = new Subject("jit", false);
  const harmless = program(
    C.store(8, 1, SIZE - 8, { reg: 9 }),
    C.store(8, 10, -I.MAX_BPF_STACK, { reg: 9 }),
  );
  const [compiled, interpreted] = [false, true].map((interpreted) =>
    subject.runUnverified(harmless, [INPUT], interpreted),
  );
  expect(compiled?.harm).toBeNull();
  expect(interpreted).toEqual(compiled);
});

test("a read of what isn't the program's is noticed by the interpreter", () => {
  const subject = new Subject("jit", false);
  const reading = program(C.load(8, 2, 1, SIZE));
  expect(subject.runUnverified(reading, [INPUT], true).harm).toMatch(/^input 0: fault/);
});
