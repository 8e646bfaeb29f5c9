/**
 * What comes of a program that the verifier should have refused, but let through: only its run
 * ends. Here a verifier stands in that accepts everything.
 */

import { describe, expect, test, vi } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import { Link, NetNs, Program } from "../../src/index.ts";
import { EmbeddedKernel, VERDICT } from "../../src/kernel/index.ts";
import { refusal, UDP_PACKET } from "../nouns/stage.ts";
import { ENGINES } from "./run/support.ts";

vi.mock("../../src/kernel/verifier/verify.ts", () => ({
  verify: () => ({ errno: 0, processed: 0, assumptions: null, usesContext: () => false }),
}));

const FLOW_DISSECTOR = 22;

describe.each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test("drops the packet, and run says why it gives nothing", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "blue");
    const instructions = assemble("r1 = 0xfffffff0 ll\nr0 = *(u64 *)(r1 + 0)\nexit");
    using wild = Program.load(kernel, { type: FLOW_DISSECTOR, instructions, name: "own" });
    using _link = Link.attach(wild, netns);
    expect(netns.dissect(UDP_PACKET)).toMatchObject({
      by: "bpf",
      verdict: "drop",
      retval: null,
      keys: null,
      programId: wild.info.id,
    });
    const counted = (): unknown => kernel.describeProgram(wild.fd);
    const where = expect.stringMatching(/instruction 2/);
    expect(counted()).toMatchObject({ faults: 1, lastFault: where });
    refusal(() => wild.run(UDP_PACKET), "EFAULT", /program own was stopped: .*verifier would have/);
    expect(counted()).toMatchObject({ faults: 2 });
    expect(kernel.fdinfo(wild.fd)).toMatch(/^faults:\t2$/m);
  });

  test("a fault is that packet's, and not the next one's", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "batch");
    const text =
      "r2 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r2 + 0)\nif r0 != 2 goto end\n" +
      "r2 = 0xfffffff0 ll\nr0 = *(u8 *)(r2 + 0)\nend:\nexit";
    const program = Program.load(kernel, { type: FLOW_DISSECTOR, instructions: assemble(text) });
    using _link = Link.attach(program, netns);
    using batch = kernel.packetBatch(4, 4 * 64);
    for (let i = 0; i < 4; i++) {
      batch.add({ data: new Uint8Array(64).fill(i), networkOffset: 14, protocol: 0 }, 0);
    }
    expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
    const { returned, fault } = VERDICT;
    expect(Array.from({ length: 4 }, (_, i) => batch.verdict(i))).toEqual([
      returned,
      returned,
      fault,
      returned,
    ]);
    expect(Array.from({ length: 4 }, (_, i) => batch.retval(i))).toEqual([0, 1, 0, 3]);
  });
});
