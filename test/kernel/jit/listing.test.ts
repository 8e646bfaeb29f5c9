/**
 * Compiled code as text: if this fails, `disasm --wasm` hides code, or shows it at another place
 * than where it is.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Collection } from "../../../src/collection.ts";
import { loadObject } from "../../../src/elf/index.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import { OP } from "../../../src/kernel/jit/wasm.ts";
import { disassembleModule } from "../../../src/kernel/jit/wasm_text.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** There to be refused, by every kernel: it has too many paths. */
const REFUSED = "fsm256.bpf.o";
const CORPUS = readdirSync(`${ROOT}bench/corpus`).filter(
  (name) => name.endsWith(".bpf.o") && name !== REFUSED,
);
const OBJECTS = [
  ...["bpf/flow.bpf.o", "bpf/flow-v2.bpf.o"],
  ...CORPUS.map((name) => `bench/corpus/${name}`),
];

/** The longest size of a body, as LEB128. */
const MAX_SIZE_BYTES = 5;
/** Opcodes of several bytes, which have no entry in {@link OP}. */
const PREFIXES: ReadonlySet<number> = new Set([0xfc, 0xfe]);

describe.each([false, true])("hardened: %s", (hardened) => {
  test.each(OBJECTS)("%s: every byte of every function is shown", (path) => {
    using kernel = EmbeddedKernel.boot({ hardened });
    using collection = Collection.load(kernel, loadObject(readFileSync(ROOT + path)));
    for (const program of collection.programs.values()) {
      const listing = kernel.listProgram(program.fd);
      if (typeof listing === "number" || "refused" in listing) {
        expect.fail(`${program.info.name} is not compiled: ${JSON.stringify(listing)}`);
      }
      const { bytes, functions } = listing;
      expect(functions.length).toBeGreaterThan(0);
      functions.forEach(({ offset, end, instructions }, i) => {
        const next = functions[i + 1];
        if (next === undefined) expect(end).toBe(bytes.length);
        else {
          expect(next.offset - end).toBeGreaterThan(0);
          expect(next.offset - end).toBeLessThanOrEqual(MAX_SIZE_BYTES);
        }
        // A count, and a count and a type for each kind of local.
        const first = instructions[0]?.offset ?? end;
        expect(first - offset).toBeGreaterThan(0);
        let at = first;
        const wrong = instructions.filter((each) => {
          const isInPlace = each.offset === at;
          at += each.size;
          const [name = ""] = each.text.split(" ");
          const opcode = bytes[each.offset] ?? 0;
          return !isInPlace || (!PREFIXES.has(opcode) && opcode !== OP[name as keyof typeof OP]);
        });
        expect(wrong).toEqual([]);
        expect(at).toBe(end);
        expect(instructions.at(-1)).toMatchObject({ text: "end", depth: 0 });
      });
    }
  });
});

test("each instruction of a program stands above its code", () => {
  using kernel = EmbeddedKernel.boot();
  const object = loadObject(readFileSync(`${ROOT}bench/corpus/fd.bpf.o`));
  using collection = Collection.load(kernel, object);
  const listing = kernel.listProgram(collection.program("prog").fd);
  if (typeof listing === "number" || "refused" in listing) expect.fail("not compiled");
  for (const { marks, instructions, slot, flow } of listing.functions) {
    expect(slot === null).toBe(flow === null);
    if (slot !== null) expect(marks.length).toBeGreaterThan(0);
    const starts = new Set(instructions.map(({ offset }) => offset));
    expect(marks.filter(({ offset }) => !starts.has(offset))).toEqual([]);
  }
});

test("what the JIT doesn't write is refused", () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const unknown = Uint8Array.from([...header, 10, 5, 1, 3, 0, 0xd0, 0x0b]);
  expect(() => disassembleModule(unknown)).toThrow(/opcode 0xd0/);
  expect(() => disassembleModule(unknown.subarray(0, -3))).toThrow(/cut off/);
});
