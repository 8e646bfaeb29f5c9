/**
 * Breaks when a program or BTF gets another verdict than from Linux 6.18, or a program another
 * reason. The cases are recorded: each was loaded on a live kernel.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Bench, bytes } from "./harness.ts";

interface ProgramCase {
  readonly name: string;
  readonly type: number;
  readonly insns: string;
  /** 0 or a negative errno. */
  readonly result: number;
  /** The line of the log before the last; empty when the program was accepted. */
  readonly message: string;
}

interface BtfCase {
  readonly name: string;
  readonly btf: string;
  readonly result: number;
}

function recorded<T>(file: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8")) as T[];
}

it("judges programs as Linux does, and says why in its words", () => {
  const cases = recorded<ProgramCase>("./linux-programs.json");
  expect(cases.length).toBeGreaterThan(400);
  const bench = new Bench();
  for (const { name, type, insns, result, message } of cases) {
    const loaded = bench.load(bytes(insns), { prog_type: type });
    if (loaded.result >= 0) bench.task.files.close(loaded.result);
    const reason = loaded.log.split("\n").at(-3) ?? "";
    expect({ name, insns, result: Math.min(loaded.result, 0), message: reason }).toEqual({
      name,
      insns,
      result,
      message,
    });
  }
  expect(bench.machine.progs.size).toBe(0);
});

it("judges BTF as Linux does", () => {
  const cases = recorded<BtfCase>("./linux-btf.json");
  expect(cases.length).toBeGreaterThan(200);
  const bench = new Bench();
  for (const { name, btf, result } of cases) {
    const fd = bench.loadBtf(bytes(btf));
    if (fd >= 0) bench.task.files.close(fd);
    expect({ name, result: Math.min(fd, 0) }).toEqual({ name, result });
  }
  expect(bench.machine.btfs.size).toBe(0);
});
