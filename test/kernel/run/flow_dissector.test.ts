/**
 * What a flow dissector is given and what its result becomes: if this fails, flow keys are not
 * those that Linux would have seen.
 */
import { describe, expect, test } from "vitest";
import { BPF_PROG_TYPE_FLOW_DISSECTOR } from "../../../src/abi/bpf.ts";
import { decodeFlowKeys } from "../../../src/abi/flow_keys.ts";
import type { Prog } from "../../../src/kernel/bpf/prog.ts";
import { faultLog } from "../../../src/kernel/interpreter.ts";
import type { Machine } from "../../../src/kernel/machine.ts";
import { bpfFlowDissect } from "../../../src/kernel/net/flow_dissector.ts";
import type { Net } from "../../../src/kernel/net_namespace.ts";
import type { Dissection, Frame } from "../../../src/kernel.ts";
import { boot, ENGINES, isChecked, program, testUnless } from "./support.ts";

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  const FRAME: Frame = {
    data: Uint8Array.from({ length: 60 }, (_, i) => i),
    networkOffset: 14,
    protocol: 0x0800,
  };

  function dissector(machine: Machine, text: string): Prog {
    return program(machine, text, { type: BPF_PROG_TYPE_FLOW_DISSECTOR });
  }

  function dissect(text: string, frame: Frame = FRAME, flags: number = 0) {
    const { machine } = boot(options);
    const run = bpfFlowDissect(machine, dissector(machine, text), frame, flags);
    if (run === null) throw new RangeError("no memory");
    if (run.fault !== null) throw run.fault;
    return { ...run, decoded: decodeFlowKeys(run.keys) };
  }

  const KEYS = "r2 = *(u64 *)(r1 + 144)\n";
  const offsets = (nhoff: number, thoff: number, retval: number): string =>
    `${KEYS}*(u16 *)(r2 + 0) = ${nhoff}\n*(u16 *)(r2 + 2) = ${thoff}\nr0 = ${retval}\nexit`;

  describe("a run", () => {
    test("begins with zeroed keys but offsets, protocol and flags", () => {
      const { decoded, keys } = dissect("r0 = 0\nexit", FRAME, 7);
      expect(decoded).toMatchObject({ nhoff: 14, thoff: 14, n_proto: 0x0800, flags: 7 });
      expect(keys.reduce((count, byte) => count + (byte === 0 ? 0 : 1), 0)).toBe(4);
    });

    test("sees the packet from data to data_end", () => {
      const text =
        "r2 = *(u32 *)(r1 + 76)\nr0 = *(u32 *)(r1 + 80)\nr0 -= r2\nr3 = *(u8 *)(r2 + 59)\n" +
        "r0 *= 100\nr0 += r3\nexit";
      expect(dissect(text).retval).toBe(60 * 100 + 59);
    });

    test("has no socket buffer", () => {
      const text =
        "*(u64 *)(r10 - 8) = -1\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 4\ncall bpf_skb_load_bytes\n" +
        "if r0 != -14 goto end\nr0 = *(u32 *)(r10 - 8)\nend:\nexit";
      expect(dissect(text).retval).toBe(0);
    });

    // Linux's results, see the clamping of nhoff and thoff.
    test.each([
      [0, 0, 0, 14, 14],
      [50, 20, 0, 50, 50],
      [65535, 65535, 2, 60, 60],
      [20, 30, 129, 20, 30],
      [30, 65535, 77, 30, 60],
    ])("nhoff %i and thoff %i, returning %i, become %i and %i", (nhoff, thoff, ret, n, t) => {
      const { decoded, retval } = dissect(offsets(nhoff, thoff, ret));
      expect([decoded.nhoff, decoded.thoff, retval]).toEqual([n, t, ret]);
    });

    test("counts offsets in a packet of more than 65535 bytes up to 65535", () => {
      const frame = { ...FRAME, data: new Uint8Array(70_000) };
      expect(dissect(offsets(65535, 65535, 0), frame).decoded.thoff).toBe(65535);
    });

    test("leaves nothing behind for the next one, and nothing of a longer packet", () => {
      const { machine } = boot(options);
      const writer = dissector(
        machine,
        `${KEYS}*(u64 *)(r2 + 16) = -1\n*(u64 *)(r10 - 8) = -1\nr0 = 0\nexit`,
      );
      bpfFlowDissect(machine, writer, { ...FRAME, data: new Uint8Array(5000).fill(9) }, 0);
      const reader = dissector(
        machine,
        `${KEYS}r0 = *(u64 *)(r2 + 16)\nr3 = *(u64 *)(r10 - 8)\nr0 |= r3\nexit`,
      );
      expect(bpfFlowDissect(machine, reader, FRAME, 0)?.r0).toBe(0n);
    });

    const unlessChecked = isChecked(options) ? null : "the plain JIT trusts the verifier";
    testUnless(unlessChecked, "reads nothing behind the packet", () => {
      const { machine } = boot(options);
      const writer = dissector(machine, "r0 = 0\nexit");
      bpfFlowDissect(machine, writer, { ...FRAME, data: new Uint8Array(5000).fill(9) }, 0);
      const beyond = dissector(machine, "r2 = *(u32 *)(r1 + 80)\nr0 = *(u8 *)(r2 + 0)\nexit");
      expect(bpfFlowDissect(machine, beyond, FRAME, 0)?.fault).not.toBeNull();
    });

    test("takes no more memory after the first packet", () => {
      const { machine } = boot(options);
      const prog = dissector(machine, "r0 = 0\nexit");
      bpfFlowDissect(machine, prog, FRAME, 0);
      const used = machine.memory.usedBytes;
      for (let i = 0; i < 1000; i++) bpfFlowDissect(machine, prog, FRAME, 0);
      expect(machine.memory.usedBytes).toBe(used);
    });
  });

  describe("a packet in a namespace", () => {
    function attach(net: Net, prog: Prog): void {
      net.bpf.flow_dissector.runArray = [prog];
    }

    function arrive(machine: Machine, net: Net): Dissection | number {
      const { data, networkOffset, protocol } = FRAME;
      return machine.packets.dissect(net, data, networkOffset, protocol, 0, undefined);
    }

    test("meets Linux's dissector when nothing is attached", () => {
      const { machine } = boot(options);
      expect(arrive(machine, machine.namespaces.create())).toEqual({
        by: "linux",
        verdict: "continue",
        retval: null,
        keys: null,
        programId: null,
      });
    });

    test.each([
      [0, "ok"],
      [2, "drop"],
      [1, "drop"],
      [12345, "drop"],
    ])("returning %i is %s, with keys", (retval, verdict) => {
      const { machine } = boot(options);
      const net = machine.namespaces.create();
      const prog = dissector(machine, offsets(20, 34, retval));
      attach(net, prog);
      const result = arrive(machine, net);
      expect(result).toMatchObject({ by: "bpf", verdict, retval, programId: prog.id });
      const keys = typeof result === "number" ? null : result.keys;
      expect(keys?.thoff).toBe(34);
    });

    test("is handed on to Linux's dissector by 129, without keys", () => {
      const { machine } = boot(options);
      const net = machine.namespaces.create();
      const prog = dissector(machine, offsets(20, 34, 129));
      attach(net, prog);
      expect(arrive(machine, net)).toEqual({
        by: "linux",
        verdict: "continue",
        retval: 129,
        keys: null,
        programId: prog.id,
      });
    });

    test("meets the root namespace's program before its own", () => {
      const { machine } = boot(options);
      const net = machine.namespaces.create();
      const own = dissector(machine, "r0 = 0\nexit");
      const root = dissector(machine, "r0 = 2\nexit");
      attach(net, own);
      expect(arrive(machine, net)).toMatchObject({ programId: own.id });
      attach(machine.namespaces.init, root);
      expect(arrive(machine, net)).toMatchObject({ programId: root.id, retval: 2 });
    });

    test("is dropped without keys by a program that faults, and the fault is logged", () => {
      const { machine } = boot(options);
      const net = machine.namespaces.create();
      const prog = dissector(machine, "r1 = 0xfffffff0 ll\nr0 = *(u8 *)(r1 + 0)\nexit");
      attach(net, prog);
      expect(arrive(machine, net)).toEqual({
        by: "bpf",
        verdict: "drop",
        retval: null,
        keys: null,
        programId: prog.id,
      });
      expect(faultLog(machine)).toMatchObject({ count: 1, last: { progId: prog.id, slot: 2 } });
    });

    test("that finds no memory is -ENOMEM", () => {
      const { machine } = boot({ memoryLimitBytes: 1 << 16 });
      const net = machine.namespaces.create();
      attach(net, dissector(machine, "r0 = 0\nexit"));
      expect(arrive(machine, net)).toBe(-12);
    });
  });
});
