/**
 * An attached link takes effect: without traffic, by asking Linux for the flow hash of a frame with
 * one bit flipped at a time. What the hash follows is what the dissector in force has taken in.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_PROG_TYPE_SCHED_CLS } from "../../src/abi/bpf.ts";
import { assemble } from "../../src/asm/index.ts";
import { Collection } from "../../src/collection.ts";
import { loadObject } from "../../src/elf/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { Link } from "../../src/link.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { NetNs } from "../../src/netns.ts";
import { Program } from "../../src/program.ts";
import { describeOnLinux } from "../contract/linux_available.ts";

/** Ethernet, IPv4 (192.0.2.1 to 192.0.2.2), TCP (1000 to 80), 54 bytes. */
const FRAME = Buffer.from(
  "020000000001020000000002080045000028000140004006b6c4c0000201c000020203e800500000000000000000" +
    "5002ffff00000000",
  "hex",
);

/** For each byte of the frame, X where flipping one of its bits changes the hash. */
type Footprint = string;

const BY_LINUX: Footprint = "............XXX.....XX.X..XXXXXXXXXXXX................";
const BY_NOBODY: Footprint = "............XX........................................";

await describeOnLinux("a link on Linux", () => {
  const name = `nslink-effect-${process.pid}`;
  let kernel: Kernel;
  let netns: NetNs;
  let hash: Program;

  beforeAll(async () => {
    kernel = await openLinuxKernel();
    netns = NetNs.create(kernel, name);
    execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
    const instructions = assemble("call bpf_get_hash_recalc\nexit");
    hash = Program.load(kernel, { type: BPF_PROG_TYPE_SCHED_CLS, instructions, license: "GPL" });
  });
  afterAll(() => {
    hash[Symbol.dispose]();
    netns[Symbol.dispose]();
    NetNs.remove(kernel, name);
    kernel[Symbol.dispose]();
  });

  function footprint(): Footprint {
    const hashOf = (frame: Uint8Array): number => netns.enter(() => hash.run(frame).retval);
    const plain = hashOf(FRAME);
    return Array.from(FRAME, (byte, at) => {
      const flips = Array.from({ length: 8 }, (_, bit) => {
        const flipped = Uint8Array.from(FRAME);
        flipped[at] = byte ^ (1 << bit);
        return hashOf(flipped);
      });
      return flips.some((each) => each !== plain) ? "X" : ".";
    }).join("");
  }

  test("puts its program in the place of Linux's own dissector, until it is detached", () => {
    expect(footprint()).toBe(BY_LINUX);
    using nothing = Program.load(kernel, {
      type: BPF_PROG_TYPE_FLOW_DISSECTOR,
      instructions: assemble("r0 = 0\nexit"),
    });
    using link = Link.attach(nothing, netns);
    expect(footprint()).toBe(BY_NOBODY);
    link.detach();
    expect(footprint()).toBe(BY_LINUX);
  });

  test("an update is in force at once: the example takes in protocol, addresses and ports", () => {
    using nothing = Program.load(kernel, {
      type: BPF_PROG_TYPE_FLOW_DISSECTOR,
      instructions: assemble("r0 = 0\nexit"),
    });
    const path = fileURLToPath(new URL("../../bpf/flow.bpf.o", import.meta.url));
    using example = Collection.load(kernel, loadObject(readFileSync(path)));
    using link = Link.attach(nothing, netns);
    expect(footprint()).toBe(BY_NOBODY);
    link.update(example.program("dissect"));
    const seen = footprint();
    expect(seen.slice(26, 38), "addresses and ports").toBe("X".repeat(12));
    expect(seen[23], "protocol").toBe("X");
    expect(seen.slice(0, 12), "hardware addresses").toBe(".".repeat(12));
    expect(seen.slice(38), "what follows the ports, but for the header's length").toMatch(/^\.{8}/);
  });
});
