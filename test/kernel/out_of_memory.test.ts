/**
 * A call that finds no memory answers something else than ENOMEM, or leaves something behind, if
 * this breaks. Each of the blocks that a call asks for is refused once.
 */

import { afterEach, describe, expect, test, vi } from "vitest";
import { MAP_CREATE, TEST_RUN } from "../../src/abi/attr.ts";
import * as BPF from "../../src/abi/bpf.ts";
import { encode } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import { Link, NetNs, Program } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import { LinearMemory } from "../../src/kernel/memory.ts";
import { ENGINES } from "./run/support.ts";

const ENOMEM = -12;
/** No call asks for as many blocks. */
const MAX_BLOCKS = 64;

afterEach(() => {
  vi.restoreAllMocks();
});

/**
 * Calls again and again, the first time without the first block that it asks for, then without the
 * second, until it gets all that it asks for.
 *
 * @param call - it returns 0 or more, or a negative errno.
 * @returns how many times it was refused a block.
 */
function refusingEach(call: () => number): number {
  const { alloc } = LinearMemory.prototype;
  for (let refused = 0; refused < MAX_BLOCKS; refused++) {
    let asked = 0;
    const spy = vi.spyOn(LinearMemory.prototype, "alloc").mockImplementation(function (
      this: LinearMemory,
      size: number,
    ) {
      asked++;
      return asked === refused + 1 ? 0 : alloc.call(this, size);
    });
    const result = call();
    spy.mockRestore();
    if (asked <= refused) {
      expect(result).toBeGreaterThanOrEqual(0);
      return refused;
    }
    expect(result, `without block ${refused + 1}`).toBe(ENOMEM);
  }
  throw new RangeError(`more than ${MAX_BLOCKS} blocks`);
}

describe.each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test.each([
    ["a flow dissector", BPF.BPF_PROG_TYPE_FLOW_DISSECTOR],
    ["a socket filter", BPF.BPF_PROG_TYPE_SOCKET_FILTER],
    ["an XDP program", BPF.BPF_PROG_TYPE_XDP],
  ])("a run of %s", (_title, type) => {
    using kernel = EmbeddedKernel.boot(options);
    const instructions = assemble("r0 = 1\nexit");
    using program = Program.load(kernel, { type, instructions });
    const frame = new Uint8Array(64);
    const run = (): number => {
      const attr = encode(TEST_RUN, {
        prog_fd: program.fd,
        data_in: kernel.addressOf(frame),
        data_size_in: frame.length,
      });
      return kernel.bpf(BPF.BPF_PROG_TEST_RUN, attr);
    };
    expect(refusingEach(run)).toBeGreaterThan(0);
    expect(run()).toBe(0);
  });

  test("a packet's dissection", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "memory");
    const instructions = assemble("r0 = 0\nexit");
    const type = BPF.BPF_PROG_TYPE_FLOW_DISSECTOR;
    using program = Program.load(kernel, { type, instructions });
    using _link = Link.attach(program, netns);
    const packet = { data: new Uint8Array(64), networkOffset: 14, protocol: 0x0800 };
    const dissect = (): number => {
      const result = kernel.netns.dissect(netns.fd, packet, 0);
      return typeof result === "number" ? result : 0;
    };
    expect(refusingEach(dissect)).toBeGreaterThan(0);
  });
});

describe("a map", () => {
  const types = [
    ["array", BPF.BPF_MAP_TYPE_ARRAY, 0],
    ["prog array", BPF.BPF_MAP_TYPE_PROG_ARRAY, 0],
    ["per-CPU array", BPF.BPF_MAP_TYPE_PERCPU_ARRAY, 0],
    ["hash", BPF.BPF_MAP_TYPE_HASH, 0],
    ["hash on demand", BPF.BPF_MAP_TYPE_HASH, BPF.BPF_F_NO_PREALLOC],
    ["LRU hash", BPF.BPF_MAP_TYPE_LRU_HASH, 0],
    ["per-CPU hash", BPF.BPF_MAP_TYPE_PERCPU_HASH, 0],
    ["per-CPU hash on demand", BPF.BPF_MAP_TYPE_PERCPU_HASH, BPF.BPF_F_NO_PREALLOC],
  ] as const;

  test.each(types)("%s is made", (_name, map_type, map_flags) => {
    using kernel = EmbeddedKernel.boot();
    const shape = { key_size: 4, value_size: 4, max_entries: 8 };
    const attr = encode(MAP_CREATE, { map_type, map_flags, ...shape });
    let fd = ENOMEM;
    const create = (): number => {
      fd = kernel.bpf(BPF.BPF_MAP_CREATE, attr);
      return fd;
    };
    expect(refusingEach(create)).toBeGreaterThan(0);
    // No number was lost to the calls that were refused.
    kernel.close(fd);
    expect(create()).toBe(fd);
  });
});
