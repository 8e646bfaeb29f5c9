/**
 * Breaks if a conformance case can't be read, or its program doesn't survive disassembly.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assemble, disassemble } from "../../src/asm/index.ts";
import { parseCase } from "../conformance/syntax.ts";

const directory = new URL("../../../shared/conformance/bpf/", import.meta.url);
const present = existsSync(directory);
const files = present ? readdirSync(directory).filter((name) => name.endsWith(".data")) : [];
if (!present) console.warn("skipped: no conformance cases beside the project (../shared)");

describe.skipIf(!present)("conformance cases", () => {
  test("are all there", () => {
    expect(files.length).toBe(181);
  });

  test.each(files)("%s", (name) => {
    const { program, memory, result, raw } = parseCase(
      readFileSync(new URL(name, directory), "utf8"),
    );
    expect(program.length).toBeGreaterThan(0);
    expect(memory.length).toBeLessThan(1024);
    expect(result).toBeGreaterThanOrEqual(0n);
    if (raw) expect(program).toEqual(raw);
    const text = disassemble(program);
    expect(text).not.toContain(".insn");
    expect(assemble(text)).toEqual(program);
  });
});

describe("the reader of conformance cases", () => {
  test("turns sections into program, memory and result", () => {
    const text = [
      "# a comment",
      "-- asm",
      "ldxw %r0, [%r1+2] # load",
      "jne32 %r0, -1, exit",
      "lock fetch add32 [%r10-8], %r3",
      "call local f",
      "exit",
      "f:",
      "movsx1632 %r1, %r2",
      "sdiv %r1, 0xffffffff",
      "exit",
      "-- mem",
      "aa BB # two",
      "-- result",
      "0xffffffffffffffff",
    ].join("\n");
    const { program, memory, result } = parseCase(text);
    expect(disassemble(program).trimEnd().split("\n")).toEqual([
      "r0 = *(u32 *)(r1 + 2)",
      "if w0 != -1 goto +2",
      "w3 = atomic_fetch_add((u32 *)(r10 - 8), w3)",
      "call +1",
      "exit",
      "w1 = (s16)w2",
      "r1 s/= -1",
      "exit",
    ]);
    expect(memory).toEqual(Uint8Array.of(0xaa, 0xbb));
    expect(result).toBe(0xffff_ffff_ffff_ffffn);
  });

  test.each([
    ["frob %r1", "unknown instruction: frob %r1"],
    ["mov %r11, 1", "no register: %r11"],
    ["ja nowhere", "no label nowhere"],
    ["ldxw %r1, %r2", "no memory place: %r2"],
    ["mov %r1, x", "no immediate: x"],
  ])("refuses %s", (statement, message) => {
    expect(() => parseCase(`-- asm\n${statement}\n-- result\n0`)).toThrow(message);
  });
});
