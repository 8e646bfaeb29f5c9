/**
 * Each engine against the public conformance cases of the instruction set: a case that fails is
 * an instruction that doesn't do what RFC 9669 says.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { boot, ENGINES, program } from "../kernel/run/support.ts";
import { parseCase } from "./syntax.ts";

const directory = new URL("../../../shared/conformance/bpf/", import.meta.url);
const EXPECTED_CASES = 181;

function caseFiles(): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.endsWith(".data"));
}

const files = caseFiles();
if (files.length === 0) console.log(`skipped: no conformance cases at ${directory.pathname}`);

test.skipIf(files.length === 0)("all cases are there", () => {
  expect(files.length).toBe(EXPECTED_CASES);
});

describe.skipIf(files.length === 0).each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test.each(files)("%s", (file) => {
    const {
      program: bytes,
      memory,
      result,
    } = parseCase(readFileSync(new URL(file, directory), "utf8"));
    const { machine } = boot(options);
    const start = memory.length === 0 ? 0 : machine.memory.alloc(memory.length);
    machine.memory.bytes.set(memory, start);
    const regions = [{ start, end: start + memory.length, writable: true }];
    const outcome = machine.engine.run(
      program(machine, bytes),
      { context: start, layout: null, regions, skb: null },
      { r2: BigInt(memory.length) },
    );
    expect(outcome?.fault).toBeNull();
    expect(outcome?.r0).toBe(result);
  });
});
