/**
 * Breaks when engines differ in a packet that a dissector hands to a global function, which writes
 * it: a dissector itself may only read its packet, but verifiers let this pass.
 */

import { expect, test } from "vitest";
import { BPF_PROG_TYPE_FLOW_DISSECTOR } from "../../src/abi/bpf.ts";
import { assemble, decodeInstructions } from "../../src/asm/index.ts";
import { reasonNotToUseLinux } from "../contract/linux_available.ts";
import { Random } from "../random.ts";
import { debugTypes } from "../verifier/functions.ts";
import { programOf } from "../verifier/program.ts";
import { randomPacket } from "./packets.ts";
import { embeddedWorlds, linuxWorld } from "./world.ts";

/** What was written is returned, if the packet has so many bytes. */
const TEXT = `
  r6 = r1
  r1 = *(u32 *)(r6 + 76)
  r2 = *(u32 *)(r6 + 80)
  r3 = r1
  r3 += 16
  if r3 > r2 goto out
  r7 = r1
  r2 = 0
  call write
  r0 = *(u16 *)(r7 + 2)
  exit
out:
  r0 = 0
  exit
write:
  if r1 == 0 goto end
  *(u16 *)(r1 + 2) = 77
end:
  r0 = 0
  exit`;
const WRITTEN = 77;

test("a packet that a function is handed can be written, on all engines", async () => {
  const instructions = decodeInstructions(assemble(TEXT));
  const type = BPF_PROG_TYPE_FLOW_DISSECTOR;
  const write = instructions.length - 4;
  const debug = debugTypes(type, [
    [0, "main"],
    [write, "pair *"],
  ]);
  const program = programOf({ type, attachType: 0, instructions, origin: "handed", debug });
  const reason = await reasonNotToUseLinux();
  if (reason !== null) console.warn(`not compared with Linux: ${reason}`);
  const worlds = [...embeddedWorlds(2), ...(reason === null ? [await linuxWorld()] : [])];
  for (const open of worlds) {
    using world = open;
    const fd = world.load(program);
    expect(fd, world.name).toBeGreaterThanOrEqual(0);
    const result = world.run(fd, program, [randomPacket(new Random(1))]);
    expect(result, world.name).toMatch(new RegExp(`^retval ${WRITTEN} `));
    world.kernel.close(fd);
  }
});
