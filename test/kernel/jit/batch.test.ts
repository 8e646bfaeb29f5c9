/**
 * Batches of packets: if this fails, a packet in a batch meets something else than one by itself.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { BPF_MAP_TYPE_PROG_ARRAY } from "../../../src/abi/bpf.ts";
import { BPF_FLOW_KEYS_SIZE, decodeFlowKeys } from "../../../src/abi/flow_keys.ts";
import { assemble } from "../../../src/asm/index.ts";
import { u32 } from "../../../src/codec.ts";
import { Collection } from "../../../src/collection.ts";
import { loadObject } from "../../../src/elf/index.ts";
import { EmbeddedKernel, VERDICT } from "../../../src/kernel/index.ts";
import type { Frame } from "../../../src/kernel.ts";
import { Link } from "../../../src/link.ts";
import { BpfMap } from "../../../src/map.ts";
import { NetNs } from "../../../src/netns.ts";
import { networkFrame, readCapture } from "../../../src/packet/index.ts";
import { Program } from "../../../src/program.ts";
import { ENGINES } from "../run/support.ts";

const FLOW_DISSECTOR = 22;

function read(path: string): Buffer {
  return readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)));
}

const frames: Frame[] = [];
for await (const packet of readCapture([read("examples/traffic.pcap")])) {
  const frame = networkFrame({ ...packet, data: packet.data.slice() });
  if (frame.data !== null) frames.push(frame);
}

describe.each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test("the example capture comes out of a batch as packet by packet", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "batch");
    using collection = Collection.load(kernel, loadObject(read("bpf/flow.bpf.o")));
    using _link = Link.attach(collection.program("dissect"), netns);
    using batch = kernel.packetBatch(frames.length, 1 << 22);
    for (const frame of frames) expect(batch.add(frame, 3)).toBe(true);
    expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
    expect(batch.count).toBe(frames.length);
    frames.forEach((frame, i) => {
      const keysBytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
      const alone = netns.dissect(frame, 3, keysBytes);
      expect([batch.verdict(i), batch.retval(i)]).toEqual([VERDICT.returned, alone.retval]);
      if (alone.keys === null) return;
      expect(batch.keys(i)).toEqual(keysBytes);
      expect(batch.flowKeys(i)).toEqual(alone.keys);
      expect(decodeFlowKeys(keysBytes)).toEqual(alone.keys);
    });
  });

  test("each packet meets the program that is attached when it is its turn", () => {
    const traced: (() => void)[] = [];
    using kernel = EmbeddedKernel.boot({ ...options, trace: () => traced.shift()?.() });
    using netns = NetNs.create(kernel, "batch");
    const load = (retval: number): Program => {
      const text =
        "r1 = 0x21\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\nr2 = 2\n" +
        `call bpf_trace_printk\nr0 = ${retval}\nexit`;
      const instructions = assemble(text);
      return Program.load(kernel, { type: FLOW_DISSECTOR, instructions, license: "GPL" });
    };
    const [one, two] = [load(1), load(2)];
    let link = Link.attach(one, netns);
    // The first packet swaps the program for the third, the fourth detaches, nobody attaches.
    const nothing = (): void => {};
    traced.push(
      nothing,
      () => link.update(two),
      nothing,
      () => link[Symbol.dispose](),
    );
    using batch = kernel.packetBatch(6, 6 * 64);
    const frame = { data: new Uint8Array(64), networkOffset: 14, protocol: 0x0800 };
    while (batch.add(frame, 0));
    expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
    const seen = Array.from({ length: 6 }, (_, i) => [batch.verdict(i), batch.retval(i)]);
    expect(seen.slice(0, 4)).toEqual([
      [VERDICT.returned, 1],
      [VERDICT.returned, 1],
      [VERDICT.returned, 2],
      [VERDICT.returned, 2],
    ]);
    expect(seen.slice(4).map(([verdict]) => verdict)).toEqual([VERDICT.none, VERDICT.none]);
    link = Link.attach(one, netns);
    expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
    expect(batch.verdict(5)).toBe(VERDICT.returned);
    link[Symbol.dispose]();
  });

  test("a tail call goes where the prog array leads when it is made", () => {
    const traced: (() => void)[] = [];
    using kernel = EmbeddedKernel.boot({ ...options, trace: () => traced.shift()?.() });
    using netns = NetNs.create(kernel, "tails");
    using progs = BpfMap.create(kernel, {
      type: BPF_MAP_TYPE_PROG_ARRAY,
      keySize: 4,
      valueSize: 4,
      maxEntries: 1,
    }).as(u32, u32);
    const load = (text: string): Program => {
      const instructions = assemble(text, { constants: { progs: progs.fd } });
      return Program.load(kernel, { type: FLOW_DISSECTOR, instructions, license: "GPL" });
    };
    const targets = [1, 2].map((retval) => load(`r0 = ${retval}\nexit`));
    const [one, two] = targets.map(({ fd }) => fd);
    const entry = load(
      "r6 = r1\nr1 = 0x21\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\nr2 = 2\n" +
        "call bpf_trace_printk\nr1 = r6\nr2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\n" +
        "r0 = 0\nexit",
    );
    using _link = Link.attach(entry, netns);
    progs.set(0, one ?? -1);
    // In between a packet's own arrival and its tail call.
    const nothing = (): void => {};
    traced.push(
      nothing,
      () => progs.set(0, two ?? -1),
      nothing,
      () => progs.delete(0),
    );
    using batch = kernel.packetBatch(4, 4 * 64);
    const frame = { data: new Uint8Array(64), networkOffset: 14, protocol: 0x0800 };
    while (batch.add(frame, 0));
    expect(kernel.dissectBatch(netns.fd, batch)).toBe(0);
    expect(Array.from({ length: 4 }, (_, i) => batch.retval(i))).toEqual([1, 2, 2, 0]);
    for (const target of targets) target[Symbol.dispose]();
  });
});
