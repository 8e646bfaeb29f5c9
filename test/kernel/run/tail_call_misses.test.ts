/**
 * Breaks when a tail call that misses isn't counted, is counted though it succeeded, or is told for
 * another reason: on every engine, and without end.
 */
import { describe, expect, test } from "vitest";
import { ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { MAX_MISSED_SLOTS } from "../../../src/kernel/tail_call_misses.ts";
import { boot, ENGINES, progArray, program, run } from "./support.ts";

const tailCall = (index: string): string =>
  `r2 = map_fd[progs]\nr3 = ${index}\ncall bpf_tail_call\n`;

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  function scene(countTailCallMisses: boolean, text: string) {
    const bench = boot({ ...options, countTailCallMisses });
    const { machine, task } = bench;
    const progs = progArray(machine);
    const prog = program(machine, text, { maps: { progs } });
    const fd = task.files.add(new ProgFile(prog.get()));
    const cell = machine.memory.alloc(8);
    machine.memory.view.setUint32(cell + 4, fd, true);
    expect(progs.userUpdate(task, cell, cell + 4, 0)).toBe(0);
    return { machine, progs, prog };
  }

  test("each is counted by slot and reason, and then forgotten", () => {
    const calls = ["1", "-1", "0"].map((index) => `r1 = r6\n${tailCall(index)}`);
    const text = `r6 = r1\n${calls.join("")}r0 = 9\nexit`;
    const { machine, progs, prog } = scene(true, text);
    expect(run(machine, prog).r0).toBe(9n);
    // 33 tail calls succeed, so the program begins 34 times.
    const { maxEntries } = progs.facts;
    const facts = { mapId: progs.id, mapName: progs.facts.name, mapEntries: maxEntries };
    expect(machine.tailCallLedger?.take()).toEqual({
      slots: [
        { ...facts, index: 1, reason: "empty", count: 34 },
        { ...facts, index: 0xffff_ffff, reason: "range", count: 34 },
        { ...facts, index: 0, reason: "limit", count: 1 },
      ],
      others: 0,
    });
    expect(machine.tailCallLedger?.take()).toEqual({ slots: [], others: 0 });
  });

  test("slots are told apart up to a bound, and summed up beyond", () => {
    const text =
      `r6 = r1\nr7 = ${2 * MAX_MISSED_SLOTS}\nagain:\nr1 = r6\nr7 += 1\n` +
      `${tailCall("r7")}if r7 != ${4 * MAX_MISSED_SLOTS} goto again\nr0 = 0\nexit`;
    const { machine, prog } = scene(true, text);
    expect(run(machine, prog).fault).toBeNull();
    const report = machine.tailCallLedger?.take();
    expect(report?.slots).toHaveLength(MAX_MISSED_SLOTS);
    expect(report?.others).toBe(MAX_MISSED_SLOTS);
  });

  test("nothing is counted unless asked for", () => {
    const { machine, prog } = scene(false, `${tailCall("1")}r0 = 9\nexit`);
    expect(run(machine, prog).r0).toBe(9n);
    expect(machine.tailCallLedger).toBeNull();
  });
});
