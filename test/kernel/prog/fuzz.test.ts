/**
 * Breaks when any bytes as a program or as BTF make the loader throw, or leave something behind.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { BPF_MAP_TYPE_ARRAY } from "../../../src/abi/bpf.ts";
import { EINVAL, ELOOP } from "../../../src/abi/errno.ts";
import { encodeInstructions, type Instruction, loadImm64 } from "../../../src/asm/index.ts";
import { Bench, bytes } from "./harness.ts";

const RUNS = 3000;

/** Small numbers, so that jumps, calls and map fds often hit something. */
const instruction: fc.Arbitrary<Instruction> = fc.record({
  opcode: fc.oneof(
    fc.nat(255),
    fc.constantFrom(0x05, 0x06, 0x15, 0x18, 0x18, 0x85, 0x95, 0xb7, 0xbf, 0xdb, 0),
  ),
  dst: fc.nat(12),
  src: fc.oneof(fc.constant(0), fc.nat(15)),
  off: fc.oneof(fc.constant(0), fc.integer({ min: -6, max: 6 })),
  imm: fc.oneof(fc.integer({ min: -4, max: 8 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
});

const MAP_FD = 3;
/** Good and bad ones mixed, so that loads get far, and now and then all the way. */
const unit: fc.Arbitrary<readonly Instruction[]> = fc.oneof(
  { arbitrary: instruction.map((insn) => [insn]), weight: 1 },
  {
    arbitrary: fc
      .tuple(fc.nat(9), fc.nat(9))
      .map(([dst, imm]) => [{ opcode: 0xb7, dst, src: 0, off: 0, imm }]),
    weight: 3,
  },
  { arbitrary: fc.constantFrom(1, 2).map((src) => loadImm64(1, src, BigInt(MAP_FD))), weight: 1 },
);

it("any instructions end in an fd or an errno, and closing the fd frees all", () => {
  const bench = new Bench();
  const map = bench.map(BPF_MAP_TYPE_ARRAY, 8, 1);
  expect(map).toBe(MAP_FD);
  const types = fc.constantFrom(1, 6, 22, 30, 2, 99);
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(unit, { minLength: 1, maxLength: 12 }), types, (units, type) => {
      const insns = units.flat();
      const exit = { opcode: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
      for (const code of [insns, [...insns, exit]]) {
        const { result } = bench.load(encodeInstructions(code), { prog_type: type });
        if (result >= 0) {
          accepted++;
          bench.task.files.close(result);
        } else expect(result).toBeGreaterThan(-600);
      }
      expect([bench.machine.progs.size, bench.machine.maps.size]).toEqual([0, 1]);
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(RUNS / 100);
  bench.task.files.close(map);
  expect(bench.machine.maps.size).toBe(0);
});

it("any bytes as BTF end in an fd or an errno", () => {
  const bench = new Bench();
  const header = bytes("9feb010018000000");
  const word = fc.oneof(
    fc.nat(40),
    fc.constantFrom(1, 2, 3, 4).map((kind) => kind << 24),
    fc.nat(),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), fc.boolean(), (words, consistent) => {
      const types = 4 * words.length;
      const sizes = consistent ? [0, types, types, 2] : words.slice(0, 4);
      const body = new Uint8Array(Uint32Array.from([...sizes, ...words]).buffer);
      const fd = bench.loadBtf(Uint8Array.from([...header, ...body, 0, 0]));
      if (fd >= 0) bench.task.files.close(fd);
      expect(fd).toBeGreaterThan(-600);
      expect(bench.machine.btfs.size).toBe(0);
    }),
    { numRuns: RUNS },
  );
});

it("the largest program is checked in time that grows with its size", () => {
  const bench = new Bench();
  const insns = new Uint8Array(8 * 1_000_000);
  const view = new DataView(insns.buffer);
  for (let at = 0; at < insns.length; at += 8) view.setUint8(at, 0xb7);
  view.setUint8(insns.length - 8, 0x95);
  // The figures alone: a log of each instruction would be longer than a log may be.
  const log = new Uint8Array(1024);
  const log_buf = bench.memory.addressOf(log);
  const { result } = bench.load(insns, { log_level: 4, log_size: log.length, log_buf });
  expect(result).toBeGreaterThanOrEqual(0);
  expect(new TextDecoder().decode(log)).toContain("processed 1000000 insns");
});

it("names and chains of types without end are refused in time", () => {
  const bench = new Bench();
  const count = 100_000;
  const out = new Uint8Array(24 + 12 * count + count + 2).fill(0x61, 24 + 12 * count);
  const view = new DataView(out.buffer);
  out.set(bytes("9feb010018000000"));
  view.setUint32(12, 12 * count, true);
  view.setUint32(16, 12 * count, true);
  view.setUint32(20, count + 2, true);
  out[24 + 12 * count] = 0;
  out[out.length - 1] = 0;
  for (const [kind, name] of [
    [10, 0],
    [8, 1],
  ] as const) {
    for (let i = 0; i < count; i++) {
      view.setUint32(24 + 12 * i, name, true);
      view.setUint32(24 + 12 * i + 4, kind << 24, true);
      view.setUint32(24 + 12 * i + 8, i, true);
    }
    expect(bench.loadBtf(out)).toBe(kind === 10 ? -ELOOP : -EINVAL);
  }
});
