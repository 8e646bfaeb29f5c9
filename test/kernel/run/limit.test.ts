/**
 * Breaks when an engine lets a run take more instructions than it may, stops one that takes no
 * more, or counts otherwise than the interpreter, which counts one by one: over loops, functions,
 * callbacks, may_goto and tail calls.
 */
import { describe, expect, test } from "vitest";
import type { ProgArray } from "../../../src/kernel/bpf/map/prog_array.ts";
import { type Prog, ProgFile } from "../../../src/kernel/bpf/prog.ts";
import { OVER_INSTRUCTION_LIMIT } from "../../../src/kernel/interpreter/fault.ts";
import {
  arrayMap,
  type Bench,
  type BootOptions,
  boot,
  ENGINES,
  progArray,
  program,
  run,
} from "./support.ts";

const loop = (count: number, body: string): string =>
  `r1 = ${count}\nr2 = func[${body}]\nr3 = 0\nr4 = 0\ncall bpf_loop\n`;

/** What `callback` names only at run time: the JIT leaves such a bpf_loop to JavaScript. */
const unknownLoop = (count: number, body: string): string =>
  `r2 = func[${body}]\n*(u64 *)(r10 - 8) = r2\nr2 = *(u64 *)(r10 - 8)\n` +
  `r1 = ${count}\nr3 = 0\nr4 = 0\ncall bpf_loop\n`;

/** A callback that does nothing. */
const IDLE = "r0 = 0\nexit";
/** What comes after the first call: a callback that calls back, and the one it calls. */
const nest = (inner: string): string => `exit\nbody:\n${inner}r0 = 0\nexit\ninner:\n${IDLE}`;

const COUNT_DOWN = "r0 = 9\nagain:\nr0 += -1\nif r0 != 0 goto again\nexit";

const TAIL = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\n";
const forEach = "r1 = map_fd[m]\nr2 = func[body]\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\n";
const mayGoto = (label: string): string =>
  `r0 = 0\n${label}:\nmay_goto ${label}_end\nr0 += 1\nif r0 != 9 goto ${label}\n${label}_end:\n`;

/** `progs[0]` is the program itself, `progs[1]` another one; `m` has 5 elements. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "straight code": "r0 = 1\nr1 = 0x100000000 ll\nr0 += r1\nexit",
  "a jump to the next instruction": "r0 = 1\ngoto next\nnext:\nexit",
  "a block of nothing but a jump":
    "r0 = 3\nif r1 == 0 goto a\na:\ngoto b\nc:\nr0 = 7\nexit\nb:\ngoto c",
  "a loop": "r0 = 100\nagain:\nr0 += -1\nif r0 != 0 goto again\nexit",
  "a loop with two entries":
    "r0 = 40\nif r1 == 0 goto b\na:\nr0 += -1\nb:\nr0 += -1\nif r0 s> 0 goto a\nexit",
  bpf_loop: `${loop(50, "body")}exit\nbody:\nr0 = 0\nexit`,
  "bpf_loop of a callback that is not known": `${unknownLoop(50, "body")}exit\nbody:\nr0 = 0\nexit`,
  "nested bpf_loop": `${loop(9, "body")}${nest(loop(7, "inner"))}`,
  "a loop in a callback": `${loop(9, "body")}exit\nbody:\n${COUNT_DOWN}`,
  bpf_for_each_map_elem: `${forEach}exit\nbody:\nr0 = 0\nexit`,
  "bpf_loop in bpf_for_each_map_elem": `${forEach}${nest(loop(7, "inner"))}`,
  may_goto: `${mayGoto("again")}exit`,
  "may_goto in a function": `call f\ncall f\nexit\nf:\n${mayGoto("again")}exit`,
  "may_goto in a callback": `${loop(9, "body")}exit\nbody:\n${mayGoto("again")}r0 = 0\nexit`,
  "tail calls until there are too many": `r0 = 5\n${TAIL}r0 += 1\nexit`,
  "a tail call that misses": "r2 = map_fd[progs]\nr3 = 2\ncall bpf_tail_call\nr0 = 3\nexit",
  "functions that tail-call":
    "r6 = r1\ncall f\nr1 = r6\ncall f\nexit\nf:\nr0 = 0\n" +
    `${TAIL.replace("r3 = 0", "r3 = 1")}r0 += 1\nexit`,
};

function store({ machine, task }: Bench, array: ProgArray, index: number, prog: Prog): void {
  const fd = task.files.add(new ProgFile(prog.get()));
  const cell = machine.memory.alloc(8);
  machine.memory.view.setUint32(cell, index, true);
  machine.memory.view.setUint32(cell + 4, fd, true);
  expect(array.userUpdate(task, cell, cell + 4, 0)).toBe(0);
}

function outcomeOf(text: string, options: BootOptions): ReturnType<typeof run> {
  const bench = boot(options);
  const { machine } = bench;
  const progs = progArray(machine);
  const prog = program(machine, text, {
    maps: { progs, m: arrayMap(machine, { maxEntries: 5 }) },
  });
  store(bench, progs, 0, prog);
  store(bench, progs, 1, program(machine, "r0 = 5\nr0 += 1\nexit"));
  return run(machine, prog);
}

describe.each(Object.entries(PROGRAMS))("%s", (_name, text) => {
  const { instructions, r0, fault } = outcomeOf(text, { engine: "interpreter" });

  test("comes to its end without a limit", () => {
    expect(fault).toBeNull();
    expect(instructions).toBeGreaterThan(0);
  });

  test.each(Object.entries(ENGINES))("takes what it takes on the %s", (_engine, options) => {
    const outcome = outcomeOf(text, { ...options, instructionLimit: instructions });
    expect([outcome.fault, outcome.r0, outcome.instructions]).toEqual([null, r0, instructions]);
  });

  test.each(Object.entries(ENGINES))("is stopped by less on the %s", (_engine, options) => {
    for (const less of [1, 2, Math.ceil(instructions / 2), instructions - 1]) {
      if (less >= instructions || less === 0) continue;
      const outcome = outcomeOf(text, { ...options, instructionLimit: instructions - less });
      expect(outcome.fault?.reason).toBe(OVER_INSTRUCTION_LIMIT);
    }
  });
});

/** The most rounds of one bpf_loop. */
const MOST: number = 1 << 23;

/** 2^46 rounds: none of these would be seen to end. */
const ENDLESS: Readonly<Record<string, string>> = {
  "nested bpf_loop": `${loop(MOST, "body")}${nest(loop(MOST, "inner"))}`,
  "nested bpf_loop, not known": `${unknownLoop(MOST, "body")}${nest(unknownLoop(MOST, "inner"))}`,
  "a loop": "again:\ngoto again",
  "bpf_loop in bpf_for_each_map_elem":
    `${forEach}exit\nbody:\n${loop(MOST, "b")}${IDLE}\n` +
    `b:\n${loop(MOST, "inner")}${IDLE}\ninner:\n${IDLE}`,
};

test.each(
  Object.entries(ENDLESS).flatMap(([name, text]) =>
    Object.entries(ENGINES).map(([engine, options]) => ({ name, engine, text, options })),
  ),
)("$name is stopped on the $engine", ({ text, options }) => {
  const { fault } = outcomeOf(text, { ...options, instructionLimit: 100_000 });
  expect(fault?.reason).toBe(OVER_INSTRUCTION_LIMIT);
  expect(fault?.slot).toBeGreaterThanOrEqual(0);
});
