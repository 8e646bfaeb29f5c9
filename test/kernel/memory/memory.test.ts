/** Memory of the embedded kernel is lost, or given to two, if this breaks. */

import { describe, expect, test } from "vitest";
import { BPF_MAP_TYPE_ARRAY, BPF_PROG_TYPE_FLOW_DISSECTOR } from "../../../src/abi/bpf.ts";
import { assemble } from "../../../src/asm/index.ts";
import { BpfError, BpfMap, Link, NetNs, Program } from "../../../src/index.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import { LinearMemory } from "../../../src/kernel/memory.ts";
import { seedSetting } from "../../settings.ts";
import { soakBlocks, soakMaps } from "../../soak/memory.ts";

const MIB = 1 << 20;
/** A seed that moves on from run to run, unless one is asked for. */
const SEED = seedSetting("NSLINK_SOAK_SEED");

describe("the allocator", () => {
  test("gives a block that was given back out again", () => {
    const memory = new LinearMemory();
    const held = memory.alloc(24);
    for (let i = 0; i < 1_000; i++) {
      const size = 1 + ((i * 37) % 5_000);
      const address = memory.alloc(size);
      memory.free(address);
      expect(memory.alloc(size)).toBe(address);
      memory.free(address);
    }
    memory.free(held);
    expect(memory.usedBytes).toBe(0);
  });

  test("joins neighbours in whatever order they come back, and divides what is too large", () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      const memory = new LinearMemory();
      const blocks = [100, 200, 300].map((size) => memory.alloc(size));
      const last = memory.alloc(8);
      for (const index of order) memory.free(blocks[index] ?? 0);
      expect(memory.alloc(600), `${order}`).toBe(blocks[0]);
      memory.free(blocks[0] ?? 0);
      expect([memory.alloc(100), memory.alloc(200)]).toEqual(blocks.slice(0, 2));
      expect(last).toBeGreaterThan(memory.alloc(296));
    }
  });

  test("finds the one block that fits, however many of its class don't", () => {
    const memory = new LinearMemory(4 * MIB);
    const fits = memory.alloc(1_100);
    const others = Array.from({ length: 50 }, () => [memory.alloc(1_040), memory.alloc(8)]);
    while (memory.alloc(MIB) !== 0);
    while (memory.alloc(8) !== 0);
    memory.free(fits);
    for (const [other = 0] of others) memory.free(other);
    expect(memory.alloc(1_100)).toBe(fits);
    expect(memory.alloc(1_100), "and says so when none does").toBe(0);
  });

  test("refuses sizes that are none, and addresses that it didn't give", () => {
    const memory = new LinearMemory(MIB);
    for (const size of [MIB, 2 ** 32, 2 ** 40, Number.NaN]) expect(memory.alloc(size)).toBe(0);
    const block = memory.alloc(64);
    const behind = memory.alloc(64);
    memory.free(block);
    for (const wrong of [block, block + 8, behind + 8, behind - 4, 8, 2 ** 31]) {
      expect(() => memory.free(wrong), `${wrong}`).toThrow(RangeError);
    }
    memory.free(0);
    memory.free(behind);
    expect(memory.usedBytes).toBe(0);
  });

  test.each([false, true])(
    "random blocks: zeroed, apart, and all comes back (shared: %s)",
    (shared) => {
      const { leftBytes, peakAliveBytes, peakUsedBytes } = soakBlocks(SEED, 40_000, shared);
      expect({ seed: SEED, leftBytes }).toEqual({ seed: SEED, leftBytes: 0 });
      // Sums of many seeds lie between 1.0 and 1.2.
      expect(peakUsedBytes / peakAliveBytes, `seed ${SEED}`).toBeLessThan(1.5);
    },
  );
});

describe("a kernel's memory", () => {
  const array = (kernel: EmbeddedKernel, valueSize: number): BpfMap =>
    BpfMap.create(kernel, { type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize, maxEntries: 1 });

  test("has room for maps of growing sizes, each alone in it", () => {
    using kernel = EmbeddedKernel.boot({ memoryLimitBytes: 16 * MIB });
    for (let i = 0; i < 30; i++) array(kernel, 6 * MIB + 8 * i)[Symbol.dispose]();
  });

  test("is of use again after it was full", () => {
    using kernel = EmbeddedKernel.boot({ memoryLimitBytes: 8 * MIB });
    const maps: BpfMap[] = [];
    expect(() => {
      for (;;) maps.push(array(kernel, 4_096));
    }).toThrow(BpfError);
    using netns = NetNs.create(kernel, "full");
    const instructions = assemble("r0 = 0\nexit");
    using program = Program.load(kernel, { type: BPF_PROG_TYPE_FLOW_DISSECTOR, instructions });
    using _link = Link.attach(program, netns);
    expect(() => netns.dissect(new Uint8Array(60))).toThrow(/ENOMEM/);
    for (const map of maps) map[Symbol.dispose]();
    expect(netns.dissect(new Uint8Array(60)).verdict).toBe("ok");
    array(kernel, 7 * MIB)[Symbol.dispose]();
  });

  test("is one piece again after maps of all kinds came and went", () => {
    soakMaps(SEED, 4_000);
  });
});
