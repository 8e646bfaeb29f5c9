/** The nouns on the embedded kernel, and what can be brought about only there. */

import { describe, expect, test } from "vitest";
import { assemble } from "../../src/asm/index.ts";
import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BpfMap,
  Link,
  NetNs,
  Program,
  type ProgramOptions,
} from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { embeddedKind } from "../contract/embedded_world.ts";
import { SCENES } from "./scenes.ts";
import { refusal, UDP_PACKET } from "./stage.ts";

describe("the nouns", () => {
  for (const scene of SCENES) scene(embeddedKind);
});

function dissector(kernel: EmbeddedKernel, text: string = "r0 = 0\nexit"): Program {
  const options: ProgramOptions = {
    type: BPF_PROG_TYPE_FLOW_DISSECTOR,
    instructions: assemble(text),
    name: "own",
  };
  return Program.load(kernel, options);
}

describe("on a machine of one's own", () => {
  test("the root rule is named when it bars a link or a program", () => {
    using kernel = EmbeddedKernel.boot();
    using root = NetNs.open(kernel, "self");
    using netns = NetNs.create(kernel, "blue");
    using program = dissector(kernel);
    const rule = /the root rule bars it: .*namespace.*; detach (it|those) first$/;
    const global = Link.attach(program, root);
    refusal(() => Link.attach(program, netns), "EEXIST", rule);
    refusal(() => netns.enter(() => program.attach()), "EEXIST", rule);
    global[Symbol.dispose]();
    using _local = Link.attach(program, netns);
    refusal(() => Link.attach(program, root), "EEXIST", rule);
    refusal(() => program.attach(), "EEXIST", rule);
  });

  test("what belongs to two tasks doesn't mix", () => {
    using kernel = EmbeddedKernel.boot();
    using other = kernel.task();
    using netns = NetNs.create(kernel, "blue");
    using program = dissector(kernel);
    using stranger = dissector(other);
    expect(() => Link.attach(stranger, netns)).toThrow(/^netns: belongs to another kernel, or to/);
    using link = Link.attach(program, netns);
    expect(() => link.update(stranger)).toThrow(/^program: belongs to another kernel/);
    using passed = Program.fromFd(kernel, other.passFd(stranger.fd, kernel));
    link.update(passed, { expect: program });
    expect(link.info.programId).toBe(stranger.info.id);
  });

  test("a frame whose network header lies outside of it is refused", () => {
    using kernel = EmbeddedKernel.boot();
    using netns = NetNs.create(kernel, "blue");
    const frame = { data: UDP_PACKET, networkOffset: UDP_PACKET.length + 1, protocol: 0x0800 };
    refusal(() => netns.dissect(frame), "EINVAL", /network header at 43 lies outside of a packet/);
  });

  test("a map for which there is no memory is said to be too large", () => {
    using kernel = EmbeddedKernel.boot({ memoryLimitBytes: 1 << 20 });
    const options = { type: 2, keySize: 4, valueSize: 4096, maxEntries: 4096, name: "huge" };
    refusal(
      () => BpfMap.create(kernel, options),
      "ENOMEM",
      /there is not enough memory for 4096 entries of \d+ bytes$/,
    );
  });
});
