/**
 * What only compiled code has: shapes of control flow, a table for tail calls, traps, and programs
 * that are too large for it.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import type { ProgArray } from "../../../src/kernel/bpf/map/prog_array.ts";
import { type Prog, ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { faultLog } from "../../../src/kernel/interpreter.ts";
import { compileProgram } from "../../../src/kernel/jit/program.ts";
import { arrayMap, type Bench, boot, evaluate, progArray, program, run } from "../run/support.ts";

const JIT = { engine: "jit" } as const;
const HARDENED = { engine: "jit", hardened: true } as const;
const PLAIN = { hardened: false, marks: false };

function flowsOf(prog: Prog): readonly string[] {
  const compiled = compileProgram(prog, PLAIN);
  if ("refused" in compiled) throw new TypeError(compiled.refused);
  return compiled.functions.map(({ flow }) => flow);
}

/** Stores a program in a program array, as bpf(2) does. */
function store({ machine, task }: Bench, array: ProgArray, index: number, prog: Prog): number {
  const fd = task.files.add(new ProgFile(prog.get()));
  const cell = machine.memory.alloc(8);
  machine.memory.view.setUint32(cell, index, true);
  machine.memory.view.setUint32(cell + 4, fd, true);
  const result = array.userUpdate(task, cell, cell + 4, 0);
  task.files.close(fd);
  return result;
}

describe("control flow", () => {
  test("of a loop that is entered at two places is dispatched", () => {
    const { machine } = boot(JIT);
    // Round and round between two blocks, beginning with either.
    const text = (first: string): string =>
      `r0 = 0\nr1 = 10\nr2 = ${first}\nif r2 == 1 goto b\na:\nr0 += 1\nr1 += -1\n` +
      "if r1 == 0 goto end\nb:\nr0 += 100\nr1 += -1\nif r1 != 0 goto a\nend:\nexit";
    const prog = program(machine, text("0"));
    expect(flowsOf(prog)).toEqual(["dispatched"]);
    expect(run(machine, prog).r0).toBe(505n);
    expect(evaluate(machine, text("1"))).toBe(505n);
  });

  test("of nested loops with ways out is structured", () => {
    const { machine } = boot(JIT);
    const text =
      "r0 = 0\nr1 = 5\nouter:\nr2 = 5\ninner:\nr0 += 1\nif r0 == 17 goto end\nr2 += -1\n" +
      "if r2 != 0 goto inner\nr1 += -1\nif r1 != 0 goto outer\nend:\nexit";
    const prog = program(machine, text);
    expect(flowsOf(prog)).toEqual(["structured"]);
    expect(run(machine, prog).r0).toBe(17n);
  });

  test("may nest deeper than a stack: 10,000 ways out of one block", () => {
    const { machine } = boot(JIT);
    const checks = Array.from({ length: 10_000 }, (_, i) => `if r1 == ${i + 1} goto end\nr0 += 1`);
    const prog = program(machine, `r0 = 0\nr1 = 7000\n${checks.join("\n")}\nend:\nexit`);
    expect(flowsOf(prog)).toEqual(["structured"]);
    expect(run(machine, prog).r0).toBe(6999n);
  });

  test("may_goto leaves a loop in the end", () => {
    const { machine } = boot(JIT);
    expect(evaluate(machine, "r0 = 0\nagain:\nmay_goto end\nr0 += 1\ngoto again\nend:\nexit")).toBe(
      BigInt(1 << 23),
    );
  });
});

describe("tail calls", () => {
  const TAIL = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\nr0 = 100\nexit";

  test("go where the prog array leads now", () => {
    const bench = boot(JIT);
    const { machine } = bench;
    const progs = progArray(machine);
    const prog = program(machine, TAIL, { maps: { progs } });
    expect(run(machine, prog).r0).toBe(100n);
    for (const value of [5n, 6n]) {
      const other = program(machine, `r0 = ${value}\nexit`);
      expect(store(bench, progs, 0, other)).toBe(0);
      expect(run(machine, prog).r0).toBe(value);
    }
    const key = machine.memory.alloc(8);
    expect(progs.delete(key)).toBe(0);
    expect(run(machine, prog).r0).toBe(100n);
  });

  test("have a program translated when they first reach it, once", () => {
    const bench = boot(JIT);
    const { machine } = bench;
    const progs = progArray(machine);
    const prog = program(machine, TAIL, { maps: { progs } });
    const modules = vi.spyOn(WebAssembly, "Module");
    for (const index of [0, 1]) {
      const other = program(machine, `r0 = ${index}\nexit`);
      expect(store(bench, progs, index, other)).toBe(0);
    }
    expect(modules).not.toHaveBeenCalled();
    for (let times = 0; times < 3; times++) {
      expect(run(machine, prog).r0).toBe(0n);
      expect(modules).toHaveBeenCalledTimes(2);
    }
    modules.mockRestore();
  });

  test("reach a program that only the interpreter runs, and count on there", () => {
    const bench = boot(JIT);
    const { machine } = bench;
    const progs = progArray(machine);
    const count = arrayMap(machine, { maxEntries: 1 });
    const prog = program(machine, TAIL, { maps: { progs } });
    const padding = "r1 = r1\n".repeat(300_000);
    const text =
      "if r1 != 1 goto over\ngotol pad\nover:\nr6 = map_value[count][0]\nr7 = 1\n" +
      `lock *(u64 *)(r6 + 0) += r7\n${TAIL.replace("r0 = 100", "r0 = *(u64 *)(r6 + 0)")}\n` +
      `pad:\n${padding}exit`;
    const large = program(machine, text, { maps: { progs, count } });
    expect(machine.engine.describe(large)).toMatchObject({
      engine: "interpreter",
      reason: expect.stringMatching(/ bytes of code$/),
    });
    expect(store(bench, progs, 0, large)).toBe(0);
    expect(run(machine, prog).r0).toBe(33n);
  });

  test("of a program that is gone can't happen: its place is used again", () => {
    const bench = boot(JIT);
    const { machine } = bench;
    const progs = progArray(machine);
    for (let i = 0; i < 100; i++) {
      const other = program(machine, `r0 = ${i}\nexit`);
      expect(store(bench, progs, 0, other)).toBe(0);
      expect(machine.engine.entryOf(other)).toBeLessThan(16);
      other.put();
    }
  });
});

describe("faults", () => {
  test.each([
    ["a read past the memory", "r1 = 0xfffffff0 ll\nr0 = *(u8 *)(r1 + 0)\nexit", 2],
    ["a write past the memory", "r1 = 0xfffffff0 ll\nr0 = 0\n*(u64 *)(r1 + 0) = 1\nexit", 3],
    ["an instruction that doesn't exist", "r0 = 0\ncall 211\nexit", 1],
    ["recursion", "f:\ncall f\nexit", 0],
  ])("%s ends the run, is counted, and names the instruction", (_what, text, slot) => {
    const { machine } = boot(JIT);
    const prog = program(machine, text);
    const { fault, r0 } = run(machine, prog);
    expect([fault?.progId, fault?.slot, r0]).toEqual([prog.id, slot, 0n]);
    expect(faultLog(machine)).toEqual({ count: 1, last: fault });
    expect(evaluate(machine, "r0 = 7\nexit")).toBe(7n);
  });

  test("a loop without an end is left in a hardened kernel", () => {
    const { machine } = boot(HARDENED);
    const prog = program(machine, "again:\ngoto again");
    expect(run(machine, prog, { instructionLimit: 1_000_000 }).fault).not.toBeNull();
    expect(run(machine, program(machine, "r0 = 7\nexit")).r0).toBe(7n);
  });

  test.each([
    ["the start of another map", 0],
    ["what lies between maps", -8],
  ])("a hardened kernel lets nobody write to %s", (_what, offset) => {
    const { machine } = boot(HARDENED);
    const map = arrayMap(machine);
    const address = map.base + offset;
    const text = `r1 = ${address}\nr0 = 0\n*(u64 *)(r1 + 0) = 1\nexit`;
    const { fault } = run(machine, program(machine, text));
    expect(fault).toMatchObject({ slot: 2, address: BigInt(address) });
  });
});

test("memory may grow while programs are loaded", () => {
  const { machine } = boot(JIT);
  const map = arrayMap(machine, { maxEntries: 1 });
  const prog = program(machine, "r1 = map_value[m][0]\nr0 = *(u64 *)(r1 + 0)\nexit", {
    maps: { m: map },
  });
  machine.memory.view.setBigUint64(map.base, 7n, true);
  expect(run(machine, prog).r0).toBe(7n);
  const { byteLength } = machine.memory.memory.buffer;
  expect(machine.memory.alloc(byteLength)).not.toBe(0);
  machine.memory.view.setBigUint64(map.base, 8n, true);
  expect(run(machine, prog).r0).toBe(8n);
});

test("a program that is gone leaves nothing behind, although tables last", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const bench = boot(JIT);
  const { machine } = bench;
  const progs = progArray(machine);
  const tail = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\nr0 = 100\nexit";
  const gone = Array.from({ length: 20 }, () => {
    const prog = program(machine, tail, { maps: { progs } });
    expect(store(bench, progs, 0, prog)).toBe(0);
    expect(run(machine, prog).r0).toBe(100n);
    prog.put();
    return new WeakRef(prog);
  });
  // What was looked at in this turn of the event loop stays until the next one.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  // The array has one of them, and a run remembers another.
  expect(gone.filter((prog) => prog.deref() !== undefined).length).toBeLessThanOrEqual(2);
});
