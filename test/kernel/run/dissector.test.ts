/**
 * Single packets, one after the other and one within the other: if this fails, one of them gets
 * what is another's, or what an earlier program made of it.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BPF_PROG_TYPE_FLOW_DISSECTOR } from "../../../src/abi/bpf.ts";
import { decodeFlowKeys } from "../../../src/abi/flow_keys.ts";
import { assemble } from "../../../src/asm/index.ts";
import { EmbeddedKernel } from "../../../src/kernel/index.ts";
import { bpfFlowDissect } from "../../../src/kernel/net/flow_dissector.ts";
import type { Dissection, Frame } from "../../../src/kernel.ts";
import { Link } from "../../../src/link.ts";
import { NetNs } from "../../../src/netns.ts";
import { Program } from "../../../src/program.ts";
import { boot, ENGINES, program } from "./support.ts";

const KEYS = "r2 = *(u64 *)(r1 + 144)\n";
/** Writes a line of its own to the trace. */
const TRACE =
  "r6 = r1\nr1 = 0x21\n*(u64 *)(r10 - 8) = r1\nr1 = r10\nr1 += -8\nr2 = 2\n" +
  "call bpf_trace_printk\nr1 = r6\n";
/** Makes a port of the packet's first byte. */
const FIRST_BYTE =
  `${KEYS}r3 = *(u32 *)(r1 + 76)\nr4 = *(u32 *)(r1 + 80)\nr5 = r3\nr5 += 1\nif r5 > r4 goto end\n` +
  "r3 = *(u8 *)(r3 + 0)\n*(u8 *)(r2 + 13) = r3\nend:\nr0 = 0\nexit";

function load(kernel: EmbeddedKernel, text: string): Program {
  const instructions = assemble(text);
  return Program.load(kernel, { type: BPF_PROG_TYPE_FLOW_DISSECTOR, instructions, license: "GPL" });
}

/** A packet of so many bytes, of which the first says which it is. */
function packet(number: number, bytes: number = 60): Uint8Array {
  const data = new Uint8Array(bytes);
  data[0] = number;
  return data;
}

describe.each(Object.entries(ENGINES))("on the %s", (_name, options) => {
  test("offsets end up within the packet, whatever a program makes of them", () => {
    const { machine } = boot(options);
    const net = machine.namespaces.create();
    const offset = fc.oneof(fc.nat(80), fc.nat(0xffff));
    const cases = fc.record({
      length: fc.oneof(fc.integer({ min: 14, max: 80 }), fc.constantFrom(0xffff, 0x10000, 70_000)),
      networkOffset: offset,
      nhoff: offset,
      thoff: offset,
    });
    fc.assert(
      fc.property(cases, ({ length, nhoff, thoff, ...wanted }) => {
        const networkOffset = Math.min(wanted.networkOffset, length, 0xffff);
        const offsets = `*(u16 *)(r2 + 0) = ${nhoff}\n*(u16 *)(r2 + 2) = ${thoff}\n`;
        const text = `${KEYS}${offsets}r0 = 0\nexit`;
        const prog = program(machine, text, { type: BPF_PROG_TYPE_FLOW_DISSECTOR });
        net.bpf.flow_dissector.runArray = [prog];
        const frame: Frame = { data: packet(1, length), networkOffset, protocol: 0x86dd };
        const { keys } = machine.packets.dissect(
          ...([net, frame.data, networkOffset, frame.protocol, 6, undefined] as const),
        ) as Dissection;
        const expected = bpfFlowDissect(machine, prog, frame, 6);
        expect(keys).toEqual(decodeFlowKeys(expected?.keys ?? new Uint8Array()));
        net.bpf.flow_dissector.runArray = null;
        prog.put();
      }),
      { numRuns: 60 },
    );
  });

  test("a packet within another one's run leaves that one as it is", () => {
    const inner: (number | undefined)[] = [];
    let depth = 0;
    const trace = (): void => {
      if (++depth <= 3) inner.push(netns.dissect(packet(depth)).keys?.sport);
    };
    using kernel = EmbeddedKernel.boot({ ...options, trace });
    using netns = NetNs.create(kernel, "nested");
    using _link = Link.attach(load(kernel, TRACE + FIRST_BYTE), netns);
    expect(netns.dissect(packet(9)).keys?.sport).toBe(9);
    expect(inner, "the innermost one is done first").toEqual([3, 2, 1]);
    expect(netns.dissect(packet(8)).keys?.sport).toBe(8);
  });

  test("a program that is detached by what it does runs to its end, and is gone then", () => {
    let detach = (): void => {};
    using kernel = EmbeddedKernel.boot({ ...options, trace: () => detach() });
    using netns = NetNs.create(kernel, "detached");
    const program = load(kernel, TRACE + FIRST_BYTE);
    const { id } = program.info;
    const link = Link.attach(program, netns);
    detach = () => {
      link[Symbol.dispose]();
      program[Symbol.dispose]();
    };
    expect(netns.dissect(packet(5))).toMatchObject({ programId: id, keys: { sport: 5 } });
    expect(netns.dissect(packet(5)).by).toBe("linux");
    // Another one takes what place it had.
    const other = load(kernel, "r0 = 2\nexit");
    using _other = Link.attach(other, netns);
    expect(netns.dissect(packet(5))).toMatchObject({ programId: other.info.id, retval: 2 });
  });

  test("what was thrown on a packet's way leaves the way free", () => {
    const trace = (): void => {
      throw new TypeError("the trace is full");
    };
    using kernel = EmbeddedKernel.boot({ ...options, trace });
    using netns = NetNs.create(kernel, "thrown");
    using program = load(kernel, TRACE + FIRST_BYTE);
    const link = Link.attach(program, netns);
    for (let i = 0; i < 3; i++) {
      expect(() => netns.dissect(packet(1))).toThrow(new TypeError("the trace is full"));
    }
    link.update(load(kernel, FIRST_BYTE));
    expect(netns.dissect(packet(7)).keys?.sport).toBe(7);
  });

  test("memory that grows, and packets that do, change nothing", () => {
    using kernel = EmbeddedKernel.boot(options);
    using netns = NetNs.create(kernel, "growing");
    using _link = Link.attach(load(kernel, FIRST_BYTE), netns);
    const ports: (number | undefined)[] = [];
    for (const [i, bytes] of [60, 5000, 14, 200_000, 60].entries()) {
      ports.push(netns.dissect(packet(i, bytes)).keys?.sport);
      using _batch = kernel.packetBatch(16, 1 << 20);
      ports.push(netns.dissect(packet(i + 100, bytes)).keys?.sport);
    }
    expect(ports).toEqual([0, 100, 1, 101, 2, 102, 3, 103, 4, 104]);
  });

  test("a namespace by another number is another namespace", () => {
    using kernel = EmbeddedKernel.boot(options);
    const netns = NetNs.create(kernel, "one");
    using _link = Link.attach(load(kernel, FIRST_BYTE), netns);
    const { fd } = netns;
    expect(kernel.netns.dissect(fd, packet(1), 0)).toMatchObject({ by: "bpf" });
    netns[Symbol.dispose]();
    expect(kernel.netns.dissect(fd, packet(1), 0)).toBe(-9);
    using other = NetNs.create(kernel, "other");
    expect(other.fd, "the lowest number that is free").toBe(fd);
    expect(kernel.netns.dissect(fd, packet(1), 0)).toMatchObject({ by: "linux" });
    expect(() => netns.dissect(packet(1))).toThrow(new TypeError(`fd ${fd} is disposed already`));
  });
});
