/**
 * Breaks when an engine ends a loop that Linux lets go on: BPF_MAX_LOOPS rounds of bpf_loop, which
 * take an interpreter more instructions than a run usually has; and when none ends one that goes on
 * for ever.
 */

import { expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { reasonNotToUseLinux } from "../contract/linux_available.ts";
import { Random } from "../random.ts";
import { randomPacket } from "./packets.ts";
import { fromText } from "./programs.ts";
import { embeddedWorlds, linuxWorld, World } from "./world.ts";

const ROUNDS: number = 1 << 23;

/** Each has a sum in a map, and what it returns. */
const LOOPS = [
  {
    name: `bpf_loop goes round ${ROUNDS} times`,
    isSameOnLinux: true,
    retval: ROUNDS,
    text: `
  r1 = ${ROUNDS}
  r2 = func[body]
  r3 = 0
  r4 = 0
  call bpf_loop
  exit
body:
  r3 = map_value[data][0]
  r4 = *(u64 *)(r3 + 0)
  r4 += r1
  *(u64 *)(r3 + 0) = r4
  r0 = 0
  exit`,
  },
  {
    name: `may_goto goes round ${ROUNDS} times`,
    // It looks at the clock there.
    isSameOnLinux: false,
    retval: ROUNDS,
    text: `
  r0 = 0
  r3 = map_value[data][0]
again:
  may_goto end
  r0 += 1
  r4 = *(u64 *)(r3 + 0)
  r4 += r0
  *(u64 *)(r3 + 0) = r4
  goto again
end:
  exit`,
  },
  {
    name: "may_goto counts for each call of a function",
    isSameOnLinux: false,
    retval: 2 * ROUNDS,
    text: `
  call body
  r6 = r0
  call body
  r0 += r6
  exit
body:
  r0 = 0
again:
  may_goto end
  r0 += 1
  goto again
end:
  exit`,
  },
] as const;

test.each(LOOPS)(
  "$name",
  async ({ name, isSameOnLinux, retval, text }) => {
    const reason = isSameOnLinux ? await reasonNotToUseLinux() : "it looks at the clock there";
    if (reason !== null) console.warn(`${name}: not compared with Linux: ${reason}`);
    const worlds = [...embeddedWorlds(2), ...(reason === null ? [await linuxWorld()] : [])];
    const program = fromText(BPF_PROG_TYPE_XDP, text, name);
    const packet = randomPacket(new Random(1));
    const results = worlds.map((world) => {
      const fd = world.load(program);
      expect(fd, world.name).toBeGreaterThanOrEqual(0);
      const result = world.run(fd, program, [packet]);
      world.kernel.close(fd);
      world[Symbol.dispose]();
      return result;
    });
    expect(results[0]).toMatch(new RegExp(`^retval ${retval} `));
    for (const result of results) expect(result).toBe(results[0]);
  },
  120_000,
);

/** Nothing changes from round to round; verifiers lose sight of that over bpf_loop. */
const ENDLESS = `
  r6 = 0
again:
  r1 = 3
  r2 = func[body]
  r3 = 0
  r4 = 0
  call bpf_loop
  if r6 != 4 goto again
  r0 = 0
  exit
body:
  r0 = 0
  exit`;

test.each([
  { engine: "interpreter" },
  { engine: "jit" },
  { engine: "jit", hardened: true },
] as const)("an endless loop is stopped by the limit: %o", (options) => {
  const kernel = EmbeddedKernel.boot({ ...options, possibleCpus: 2, instructionLimit: 10_000 });
  using world = new World(options.engine, kernel);
  const program = fromText(BPF_PROG_TYPE_XDP, ENDLESS, "endless");
  const fd = world.load(program);
  expect(fd).toBeGreaterThanOrEqual(0);
  expect(world.run(fd, program, [randomPacket(new Random(1))])).toMatch(/^error -14/);
  expect(kernel.describeProgram(fd)).toMatchObject({
    faults: 1,
    lastFault: expect.stringContaining("takes more instructions than a run may"),
  });
  kernel.close(fd);
});

test.each([0, -1, 1.5, Number.NaN])("a limit of %s is refused", (instructionLimit) => {
  expect(() => EmbeddedKernel.boot({ instructionLimit })).toThrow(/^instructionLimit must be/);
});
