/**
 * Calls between functions, tail calls and callbacks: how deep they go and where they come back to.
 */
import { describe, expect, test } from "vitest";
import type { ProgArray } from "../../../src/kernel/bpf/map/prog_array.ts";
import type { Prog } from "../../../src/kernel/bpf/prog.ts";
import { ProgFile } from "../../../src/kernel/bpf/prog.ts";
import {
  arrayMap,
  type Bench,
  boot,
  ENGINES,
  hashMap,
  isChecked,
  progArray,
  program,
  run,
  testUnless,
} from "./support.ts";

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  const unlessChecked = isChecked(options) ? null : "the plain JIT trusts the verifier";
  const unlessCounted =
    options.engine === "interpreter" ? null : "compiled code doesn't count instructions";

  /** Stores a program in a program array, as bpf(2) does. */
  function store({ machine, task }: Bench, array: ProgArray, index: number, prog: Prog): void {
    const fd = task.files.add(new ProgFile(prog.get()));
    const cell = machine.memory.alloc(8);
    machine.memory.view.setUint32(cell, index, true);
    machine.memory.view.setUint32(cell + 4, fd, true);
    expect(array.userUpdate(task, cell, cell + 4, 0)).toBe(0);
  }

  describe("function calls", () => {
    /** A chain of `depth` functions, the main function included; r0 counts them. */
    const chain = (depth: number): string =>
      Array.from({ length: depth }, (_, i) =>
        i === depth - 1 ? `f${i}:\nr0 = 1\nexit` : `f${i}:\ncall f${i + 1}\nr0 += 1\nexit`,
      ).join("\n");

    test("8 frames are allowed, the 9th is a fault", () => {
      const { machine } = boot(options);
      expect(run(machine, program(machine, chain(8))).r0).toBe(8n);
      expect(run(machine, program(machine, chain(9))).fault?.reason).toMatch(/deeper than 8/);
    });

    test("each frame has 512 bytes", () => {
      const { machine } = boot(options);
      const text =
        "call f\nr0 = *(u8 *)(r10 - 512)\nexit\nf:\n*(u8 *)(r10 - 512) = 7\nr0 = 0\nexit";
      expect(run(machine, program(machine, text)).r0).toBe(0n);
    });

    test("recursion ends in a fault, not in a crash", () => {
      const { machine } = boot(options);
      expect(run(machine, program(machine, "f:\ncall f\nexit")).fault).not.toBeNull();
    });
  });

  describe("tail calls", () => {
    const TAIL = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\n";

    test("33 succeed and the 34th falls through", () => {
      const bench = boot(options);
      const { machine } = bench;
      const progs = progArray(machine);
      const count = arrayMap(machine, { maxEntries: 1 });
      const text =
        `r6 = map_value[count][0]\nr7 = 1\nlock *(u64 *)(r6 + 0) += r7\n` +
        `${TAIL}r0 = *(u64 *)(r6 + 0)\nexit`;
      const prog = program(machine, text, { maps: { progs, count } });
      store(bench, progs, 0, prog);
      expect(run(machine, prog).r0).toBe(34n);
    });

    test("they count over the whole run, functions included", () => {
      const bench = boot(options);
      const { machine } = bench;
      const progs = progArray(machine);
      const count = arrayMap(machine, { maxEntries: 1 });
      const maps = { progs, count };
      const increment = "r6 = map_value[count][0]\nr7 = 1\nlock *(u64 *)(r6 + 0) += r7\n";
      const counting = `${increment}${TAIL}r0 = 0\nexit`;
      store(bench, progs, 0, program(machine, counting, { maps }));
      const twice =
        `r8 = r1\ncall f\nr1 = r8\ncall f\nr6 = map_value[count][0]\n` +
        `r0 = *(u64 *)(r6 + 0)\nexit\nf:\n${TAIL}r0 = 0\nexit`;
      expect(run(machine, program(machine, twice, { maps })).r0).toBe(33n);
    });

    test("from a function, the other program's exit returns to that function's caller", () => {
      const bench = boot(options);
      const { machine } = bench;
      const progs = progArray(machine);
      store(bench, progs, 0, program(machine, "r6 = 99\nr0 = 5\nexit"));
      const text = `r6 = 1\ncall f\nr0 += r6\nexit\nf:\n${TAIL}r0 = 100\nexit`;
      expect(run(machine, program(machine, text, { maps: { progs } })).r0).toBe(6n);
    });

    test.each([
      ["an empty slot", 3],
      ["an index past the end", 400],
    ])("%s falls through", (_what, index) => {
      const { machine } = boot(options);
      const progs = progArray(machine);
      const text = `r2 = map_fd[progs]\nr3 = ${index}\ncall bpf_tail_call\nr0 = 100\nexit`;
      expect(run(machine, program(machine, text, { maps: { progs } })).r0).toBe(100n);
    });

    testUnless(unlessChecked, "the other program has its own maps, and not the first one's", () => {
      const bench = boot(options);
      const { machine } = bench;
      const progs = progArray(machine);
      const mine = arrayMap(machine, { maxEntries: 1 });
      store(bench, progs, 0, program(machine, "r0 = *(u64 *)(r6 + 0)\nexit"));
      const text = `r6 = map_value[mine][0]\n${TAIL}r0 = 0\nexit`;
      const { fault } = run(machine, program(machine, text, { maps: { progs, mine } }));
      // Compiled code doesn't even hand registers on.
      const address = options.engine === "interpreter" ? mine.base : 0;
      expect(fault).toMatchObject({ slot: 0, address: BigInt(address) });
    });

    testUnless(unlessChecked, "r1 must be the context and r2 a program array", () => {
      const { machine } = boot(options);
      const maps = { progs: progArray(machine), array: arrayMap(machine) };
      const noContext = program(machine, `r1 = r10\n${TAIL}exit`, { maps });
      expect(run(machine, noContext).fault?.reason).toMatch(/context in r1/);
      const noArray = program(machine, "r2 = map_fd[array]\nr3 = 0\ncall bpf_tail_call\nexit", {
        maps,
      });
      expect(run(machine, noArray).fault?.reason).toMatch(/program array/);
    });
  });

  describe("callbacks", () => {
    /** bpf_loop over a callback that adds its index to a sum on the caller's stack. */
    const loop = (count: string, flags: string, last: string): string =>
      `*(u64 *)(r10 - 8) = 0\nr1 = ${count} ll\nr2 = func[body]\nr3 = r10\nr3 += -8\n` +
      `r4 = ${flags} ll\n` +
      "call bpf_loop\nr1 = *(u64 *)(r10 - 8)\nr1 <<= 32\nr0 <<= 32\nr0 >>= 32\nr0 |= r1\nexit\n" +
      `body:\nr3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\n` +
      `if r1 != ${last} goto end\nr0 = 1\nend:\nexit`;

    // Linux's answers.
    test.each([
      ["0", "0", "-1", 0, 0],
      ["1", "0", "-1", 1, 0],
      ["5", "0", "-1", 5, 10],
      ["5", "0", "2", 3, 3],
      ["0x800001", "0", "-1", -7, 0],
      ["0xffffffffffffffff", "0", "-1", -7, 0],
      ["5", "1", "-1", -22, 0],
      ["0x800001", "1", "-1", -22, 0],
      ["5", "0x100000000", "-1", -22, 0],
    ])("bpf_loop(%s, flags %s), ended at %s: %i and sum %i", (count, flags, last, result, sum) => {
      const { machine } = boot(options);
      const { r0, fault } = run(machine, program(machine, loop(count, flags, last)));
      expect(fault).toBeNull();
      expect([Number(BigInt.asIntN(32, r0)), Number(r0 >> 32n)]).toEqual([result, sum]);
    });

    test("a callback is a frame, and 8 are the most", () => {
      const { machine } = boot(options);
      const nested = (depth: number): string =>
        `${Array.from(
          { length: depth },
          (_, i) =>
            `f${i}:\nr1 = 1\nr2 = func[f${i + 1}]\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n`,
        ).join("")}f${depth}:\nr0 = 0\nexit`;
      expect(run(machine, program(machine, nested(7))).fault).toBeNull();
      expect(run(machine, program(machine, nested(8))).fault?.reason).toMatch(/deeper/);
    });

    testUnless(unlessCounted, "the instruction limit holds over callbacks", () => {
      const { machine } = boot(options);
      const prog = program(machine, loop("0x800000", "0", "-1"));
      expect(run(machine, prog, { instructionLimit: 5000 }).instructions).toBe(5000);
    });

    /** bpf_for_each_map_elem over a callback that adds key and value to a sum, until a key. */
    const forEach = (flags: number, last: number): string =>
      "*(u64 *)(r10 - 8) = 0\nr1 = map_fd[m]\nr2 = func[body]\nr3 = r10\nr3 += -8\n" +
      `r4 = ${flags}\n` +
      "call bpf_for_each_map_elem\nr1 = *(u64 *)(r10 - 8)\nr1 <<= 32\nr0 <<= 32\nr0 >>= 32\n" +
      "r0 |= r1\nexit\n" +
      "body:\nr5 = *(u32 *)(r2 + 0)\nr1 = *(u64 *)(r3 + 0)\nr1 += r5\nr2 = *(u64 *)(r4 + 0)\n" +
      "r2 += r1\n" +
      `*(u64 *)(r4 + 0) = r2\nr0 = 0\nif r5 != ${last} goto end\nr0 = 1\nend:\nexit`;

    test.each([
      [0, 9, 4, 6 + 40],
      [0, 1, 2, 1 + 20],
      [1, 9, -22, 0],
    ])(
      "bpf_for_each_map_elem(flags %i), ended at key %i: %i and sum %i",
      (flags, last, result, sum) => {
        const { machine } = boot(options);
        const m = arrayMap(machine, { maxEntries: 4 });
        for (let i = 0; i < 4; i++) machine.memory.view.setBigUint64(m.base + 8 * i, 10n, true);
        const { r0, fault } = run(machine, program(machine, forEach(flags, last), { maps: { m } }));
        expect(fault).toBeNull();
        expect([Number(BigInt.asIntN(32, r0)), Number(r0 >> 32n)]).toEqual([result, sum]);
      },
    );

    testUnless(unlessChecked, "a callback reads a key and can't write it", () => {
      const { machine } = boot(options);
      const m = arrayMap(machine, { maxEntries: 1 });
      const text =
        "r1 = map_fd[m]\nr2 = func[body]\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\nexit\n" +
        "body:\n*(u32 *)(r2 + 0) = 1\nr0 = 0\nexit";
      expect(run(machine, program(machine, text, { maps: { m } })).fault?.slot).toBe(8);
    });

    test("a callback reads its key again after a walk of its own", () => {
      const { machine } = boot(options);
      const m = arrayMap(machine, { maxEntries: 3 });
      const walk = (body: string): string =>
        `r1 = map_fd[m]\nr2 = func[${body}]\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\n`;
      const text =
        `${walk("outer")}exit\nouter:\nr6 = r2\n${walk("inner")}r1 = *(u32 *)(r6 + 0)\n` +
        "r0 = 0\nif r1 != 1 goto end\nr0 = 1\nend:\nexit\ninner:\nr0 = *(u32 *)(r2 + 0)\n" +
        "r0 = 0\nexit";
      const { r0, fault } = run(machine, program(machine, text, { maps: { m } }));
      expect(fault).toBeNull();
      expect(r0).toBe(2n);
    });

    testUnless(unlessChecked, "a key is out of reach when the walk is over", () => {
      const { machine } = boot(options);
      const m = arrayMap(machine, { maxEntries: 1 });
      const text =
        "r1 = map_fd[m]\nr2 = func[body]\nr3 = r10\nr3 += -8\nr4 = 0\n" +
        "call bpf_for_each_map_elem\n" +
        "r1 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r1 + 0)\nexit\n" +
        "body:\n*(u64 *)(r4 + 0) = r2\nr0 = 0\nexit";
      expect(run(machine, program(machine, text, { maps: { m } })).fault?.slot).toBe(9);
    });

    test("elements may be deleted on the way", () => {
      const { machine } = boot(options);
      const m = hashMap(machine, { maxEntries: 8 });
      const cell = machine.memory.alloc(16);
      for (let i = 0; i < 4; i++) {
        machine.memory.view.setUint32(cell, i, true);
        expect(m.update(cell, cell + 8, 0, 0)).toBe(0);
      }
      const text =
        "r1 = map_fd[m]\nr2 = func[body]\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\nexit\n" +
        "body:\ncall bpf_map_delete_elem\nr0 = 0\nexit";
      const { r0, fault } = run(machine, program(machine, text, { maps: { m } }));
      expect(fault).toBeNull();
      expect(r0).toBe(4n);
      expect(m.nextKey(0, cell)).toBe(-2);
    });
  });
});
