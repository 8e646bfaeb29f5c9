/** Output with more lines than a call may have arguments ends in a RangeError if this breaks. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Output } from "../../src/cli/output.ts";
import { table } from "../../src/cli/text.ts";
import { verdictLines } from "../../src/cli/verify_text.ts";
import { loadObject } from "../../src/elf/index.ts";

/** More than engines let a call have. */
const MANY = 300_000;

test("a verdict with a long log is told in full", () => {
  const [spec] = loadObject(readFileSync("bpf/flow.bpf.o")).programs.values();
  if (spec === undefined) throw new RangeError("the object has no program");
  const log = "0: (b7) r0 = 0\n".repeat(MANY);
  const output = new Output();
  const verdicts = [
    { kernel: "embedded" as const, refusal: null, isBarred: false, statistics: null, log },
  ];
  const lines = verdictLines(output, { spec, verdicts, differences: [] }).split("\n");
  expect(lines.length).toBe(MANY + 3);
});

test("a table with many rows is as wide as its longest cell", () => {
  const rows = Array.from({ length: MANY }, (_, i) => [`${i}`]);
  const lines = table([{ title: "n" }], rows).split("\n");
  expect(lines.length).toBe(MANY + 2);
});
