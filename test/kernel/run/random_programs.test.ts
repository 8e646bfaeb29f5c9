/**
 * Programs of random instructions: if this fails, there is a way to crash an engine that checks
 * programs itself, or to write where the program has no business.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../../src/abi/bpf.ts";
import { encodeInstructions, type Instruction } from "../../../src/asm/index.ts";
import { contextOf } from "../../../src/kernel/bpf/context.ts";
import { SUPPORTED_HELPERS } from "../../../src/kernel/helpers/index.ts";
import { arrayMap, boot, ENGINES, hashMap, isChecked, program } from "./support.ts";

/** Compiling takes longer than most of these programs run. */
const RUNS: Readonly<Record<string, number>> = { interpreter: 10_000, jit: 2_000 };
const MAX_INSTRUCTIONS = 24;
const INSTRUCTION_LIMIT = 2000;
const PACKET_BYTES = 32;

const register = fc.integer({ min: 0, max: 10 });
const immediate = fc.oneof(
  fc.constantFrom(0, 1, -1, 8, 16, 32, 64, 0x41, 0xe1, 0xf1, -0x80000000, 0x7fffffff),
  fc.constantFrom(...SUPPORTED_HELPERS),
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
);
const offset = fc.oneof(
  fc.constantFrom(-8, -16, -512, 0, 1, 4, 8, 16, 32),
  fc.integer({ min: -12, max: 12 }),
  fc.integer({ min: -0x8000, max: 0x7fff }),
);

const anyInstruction: fc.Arbitrary<Instruction> = fc.record({
  opcode: fc.integer({ min: 0, max: 255 }),
  dst: register,
  src: register,
  off: offset,
  imm: immediate,
});

/** Loads of pointers, so that the rest has something to spoil. */
const pointer: fc.Arbitrary<Instruction> = fc.oneof(
  fc.record({
    opcode: fc.constant(0x61),
    dst: register,
    src: fc.constant(1),
    off: fc.constantFrom(0, 4),
    imm: fc.constant(0),
  }),
  fc.record({
    opcode: fc.constant(0xbf),
    dst: register,
    src: fc.constantFrom(1, 10),
    off: fc.constant(0),
    imm: fc.constant(0),
  }),
);

/** `r1 = map_fd[own]`, in its two slots. */
const mapLoad: readonly Instruction[] = [
  { opcode: 0x18, dst: 1, src: 1, off: 0, imm: 0 },
  { opcode: 0, dst: 0, src: 0, off: 0, imm: 0 },
];

const instructions: fc.Arbitrary<Instruction[]> = fc
  .array(fc.oneof(anyInstruction, pointer, fc.constant(mapLoad)), { maxLength: MAX_INSTRUCTIONS })
  .map((parts) => parts.flat());

const CHECKED = Object.entries(ENGINES).filter(([, options]) => isChecked(options));

test.each(CHECKED)("on the %s end, and leave all other memory alone", (_name, options) => {
  const { machine } = boot(options);
  const numRuns = RUNS[machine.engine.name] ?? 0;
  const { memory } = machine;
  const own = hashMap(machine, { maxEntries: 8 });
  const foreign = arrayMap(machine, { maxEntries: 64 });
  const context = memory.alloc(24);
  const before = memory.alloc(256);
  const packet = memory.alloc(PACKET_BYTES);
  const after = memory.alloc(256);
  const guarded = [
    [foreign.address, foreign.base + 64 * foreign.stride],
    [before, before + 256],
    [after, after + 256],
    [context, context + 24],
  ] as const;
  memory.view.setUint32(context, packet, true);
  memory.view.setUint32(context + 4, packet + PACKET_BYTES, true);
  memory.view.setUint32(context + 8, packet, true);
  for (const address of [before, after, foreign.base]) {
    memory.bytes.fill(0x5a, address, address + 256);
  }
  const snapshot = (): Buffer =>
    Buffer.concat(guarded.map(([start, end]) => memory.bytes.slice(start, end)));
  const untouched = snapshot();
  let faults = 0;

  fc.assert(
    fc.property(instructions, (insns) => {
      const bytes = encodeInstructions(insns);
      const prog = program(machine, bytes, { type: BPF_PROG_TYPE_XDP, maps: { own } });
      const invocation = {
        context,
        layout: contextOf(BPF_PROG_TYPE_XDP) ?? null,
        regions: [{ start: packet, end: packet + PACKET_BYTES, writable: true }],
        skb: null,
      };
      const limit = { instructionLimit: INSTRUCTION_LIMIT };
      const outcome = machine.engine.run(prog, invocation, limit);
      prog.put();
      expect(outcome?.instructions).toBeLessThanOrEqual(INSTRUCTION_LIMIT);
      if (outcome?.fault) faults++;
      expect(Buffer.compare(snapshot(), untouched)).toBe(0);
    }),
    { numRuns },
  );
  // Neither do all of them fault at once, nor do none.
  expect(faults).toBeGreaterThan(numRuns / 10);
});
