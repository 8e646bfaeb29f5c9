/**
 * Breaks when an engine ends a loop that Linux lets go on: BPF_MAX_LOOPS rounds of bpf_loop, which
 * take an interpreter more instructions than a run usually has.
 */

import { expect, test } from "vitest";
import { BPF_PROG_TYPE_XDP } from "../../src/abi/bpf.ts";
import { reasonNotToUseLinux } from "../contract/linux_available.ts";
import { Dice } from "../kernel/jit/generator.ts";
import { randomPacket } from "./packets.ts";
import { fromText } from "./programs.ts";
import { embeddedWorlds, linuxWorld } from "./world.ts";

const ROUNDS: number = 1 << 23;

/** The sum of all indices, in a map; how many rounds there were is returned. */
const TEXT = `
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
  exit`;

test(`bpf_loop goes round ${ROUNDS} times`, async () => {
  const reason = await reasonNotToUseLinux();
  if (reason !== null) console.warn(`not compared with Linux: ${reason}`);
  const worlds = [...embeddedWorlds(2), ...(reason === null ? [await linuxWorld()] : [])];
  const program = fromText(BPF_PROG_TYPE_XDP, TEXT, "bpf_loop");
  const packet = randomPacket(new Dice(1));
  const results = worlds.map((world) => {
    const fd = world.load(program);
    expect(fd, world.name).toBeGreaterThanOrEqual(0);
    const result = world.run(fd, program, [packet]);
    world.kernel.close(fd);
    world[Symbol.dispose]();
    return result;
  });
  expect(results[0]).toMatch(new RegExp(`^retval ${ROUNDS} `));
  for (const result of results) expect(result).toBe(results[0]);
}, 120_000);
