/**
 * What a program must not do ends its run: a case that fails is a way out of the sandbox, or one
 * in which a legal program is stopped.
 */
import { describe, expect, test } from "vitest";
import {
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "../../../src/abi/bpf.ts";
import { contextOf } from "../../../src/kernel/bpf/context.ts";
import { faultLog, interpret, type Outcome } from "../../../src/kernel/interpreter.ts";
import type { Machine } from "../../../src/kernel/machine.ts";
import {
  arrayMap,
  boot,
  ENGINES,
  hashMap,
  isChecked,
  program,
  run,
  testUnless,
} from "./support.ts";

/** Engines that check each access: the other one trusts the verifier. */
const CHECKED = Object.entries(ENGINES).filter(([, options]) => isChecked(options));

/** A program of a type, on 16 bytes of packet and, for a flow dissector, flow keys. */
function runTyped(machine: Machine, type: number, text: string): Outcome {
  const { memory } = machine;
  const context = memory.alloc(192);
  const packet = memory.alloc(16);
  const keys = memory.alloc(56);
  const isDissector = type === BPF_PROG_TYPE_FLOW_DISSECTOR;
  const [dataAt, endAt] = type === BPF_PROG_TYPE_XDP ? [0, 4] : [76, 80];
  memory.view.setUint32(context + dataAt, packet, true);
  memory.view.setUint32(context + endAt, packet + 16, true);
  if (isDissector) memory.view.setUint32(context + 144, keys, true);
  const outcome = machine.engine.run(program(machine, text, { type }), {
    context,
    layout: contextOf(type) ?? null,
    regions: [
      { start: packet, end: packet + 16, writable: !isDissector },
      ...(isDissector ? [{ start: keys, end: keys + 56, writable: true }] : []),
    ],
    skb: null,
  });
  if (outcome === null) throw new RangeError("no memory");
  return outcome;
}

const DISSECTOR = BPF_PROG_TYPE_FLOW_DISSECTOR;
const FILTER = BPF_PROG_TYPE_SOCKET_FILTER;
const XDP = BPF_PROG_TYPE_XDP;

/** What must fault: type, what is wrong, text, and the slot of the last instruction. */
const ILLEGAL: readonly (readonly [type: number, what: string, text: string, slot: number])[] = [
  [FILTER, "read above the stack", "r0 = *(u64 *)(r10 + 0)\nexit", 0],
  [FILTER, "read across the top of the stack", "r0 = *(u64 *)(r10 - 4)\nexit", 0],
  [FILTER, "read below the stack", "r0 = *(u64 *)(r10 - 520)\nexit", 0],
  [FILTER, "write below the stack", "*(u8 *)(r10 - 513) = 1\nr0 = 0\nexit", 0],
  [FILTER, "read across two frames", "call f\nexit\nf:\nr0 = *(u64 *)(r10 - 4)\nexit", 2],
  [
    FILTER,
    "read of a frame that was left",
    "call f\nr0 = *(u64 *)(r10 - 520)\nexit\nf:\nr0 = 0\nexit",
    1,
  ],
  [FILTER, "read of address 0", "r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit", 1],
  [FILTER, "read of a small number", "r1 = 0x7fff\nr0 = *(u8 *)(r1 + 0)\nexit", 1],
  [
    FILTER,
    "write to a number past 32 bits",
    "r1 = 0x100010000 ll\n*(u8 *)(r1 + 0) = 1\nr0 = 0\nexit",
    2,
  ],
  [FILTER, "read at the end of 64 bits", "r1 = -1\nr0 = *(u8 *)(r1 + 2)\nexit", 1],
  [FILTER, "read of data in a socket filter's context", "r0 = *(u32 *)(r1 + 76)\nexit", 0],
  [FILTER, "write to len", "*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit", 0],
  [FILTER, "unaligned read of the context", "r0 = *(u16 *)(r1 + 1)\nexit", 0],
  [FILTER, "read before the context", "r0 = *(u32 *)(r1 - 4)\nexit", 0],
  [FILTER, "read after the context", "r0 = *(u32 *)(r1 + 192)\nexit", 0],
  [FILTER, "atomic on the context", "r2 = 1\nlock *(u32 *)(r1 + 48) += r2\nr0 = 0\nexit", 1],
  [DISSECTOR, "read of len in a flow dissector", "r0 = *(u32 *)(r1 + 0)\nexit", 0],
  [DISSECTOR, "narrow read of data", "r0 = *(u16 *)(r1 + 76)\nexit", 0],
  [
    DISSECTOR,
    "write to the packet",
    "r2 = *(u32 *)(r1 + 76)\n*(u8 *)(r2 + 0) = 1\nr0 = 0\nexit",
    1,
  ],
  [DISSECTOR, "read past the packet", "r2 = *(u32 *)(r1 + 80)\nr0 = *(u8 *)(r2 + 0)\nexit", 1],
  [
    DISSECTOR,
    "read across the packet's end",
    "r2 = *(u32 *)(r1 + 80)\nr0 = *(u32 *)(r2 - 2)\nexit",
    1,
  ],
  [DISSECTOR, "read before the packet", "r2 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r2 - 1)\nexit", 1],
  [
    DISSECTOR,
    "write past the keys",
    "r2 = *(u64 *)(r1 + 144)\n*(u8 *)(r2 + 56) = 1\nr0 = 0\nexit",
    1,
  ],
  [
    DISSECTOR,
    "atomic on the keys",
    "r2 = *(u64 *)(r1 + 144)\nlock *(u32 *)(r2 + 48) += r2\nr0 = 0\nexit",
    1,
  ],
  [XDP, "write past the packet", "r2 = *(u32 *)(r1 + 4)\n*(u8 *)(r2 + 0) = 1\nr0 = 0\nexit", 1],
  [XDP, "write to data", "*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit", 0],
  [FILTER, "jump out of the program", "r0 = 0\ngoto +5\nexit", 1],
  [FILTER, "the end without an exit", "r0 = 0", 0],
  [FILTER, "unknown helper", "call 211\nexit", 0],
  [FILTER, "helper number 0", "call 0\nexit", 0],
  [FILTER, "lookup without a map", "r1 = r10\nr2 = r10\ncall bpf_map_lookup_elem\nexit", 2],
  [
    FILTER,
    "callback that is no function",
    "r1 = 1\nr2 = 3\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit",
    4,
  ],
  [FILTER, "LD_ABS without the context in r6", "r0 = *(u8 *)skb[0]\nexit", 0],
  [
    FILTER,
    "bytes of the packet to above the stack",
    "r2 = 0\nr3 = r10\nr4 = 8\ncall bpf_skb_load_bytes\nexit",
    3,
  ],
  [
    FILTER,
    "bytes of the packet across the top of the stack",
    "r2 = 0\nr3 = r10\nr3 += -4\nr4 = 8\ncall bpf_skb_load_bytes\nexit",
    4,
  ],
  [
    FILTER,
    "bytes of the packet to what is no address",
    "r2 = 0\nr3 = 0x100000000 ll\nr4 = 8\ncall bpf_skb_load_bytes\nexit",
    4,
  ],
  [
    FILTER,
    "bytes of the packet without the context",
    "r1 = 8\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\ncall bpf_skb_load_bytes\nexit",
    5,
  ],
  [
    FILTER,
    "a string across the top of the stack",
    "r1 = r10\nr1 += -4\nr2 = 8\nr3 = r1\ncall bpf_strncmp\nexit",
    4,
  ],
  [
    FILTER,
    "a string that is compared with what isn't there",
    "r1 = r10\nr1 += -8\nr2 = 8\nr3 = r10\ncall bpf_strncmp\nexit",
    4,
  ],
  [
    FILTER,
    "a text to trace across the top of the stack",
    "r1 = r10\nr1 += -4\nr2 = 8\ncall bpf_trace_printk\nexit",
    3,
  ],
  [
    XDP,
    "a socket's addresses across the top of the stack",
    "r2 = r10\nr2 += -8\nr3 = 12\nr4 = -1\nr5 = 0\ncall bpf_sk_lookup_udp\nexit",
    5,
  ],
  [
    XDP,
    "a socket without the context",
    "r1 = 8\nr2 = r10\nr2 += -12\nr3 = 12\nr4 = -1\nr5 = 0\ncall bpf_sk_lookup_udp\nexit",
    6,
  ],
  [DISSECTOR, "tail call without a map", "r2 = 0\nr3 = 0\ncall bpf_tail_call\nexit", 2],
];

/** Programs that fault for 0x500000007, by what that is. */
const WIDE: readonly (readonly [what: string, text: string])[] = [
  ["a map", "r1 = 0x500000007 ll\nr2 = r10\ncall bpf_map_lookup_elem\nexit"],
  ["a helper's address", "r2 = 0\nr3 = 0x500000007 ll\nr4 = 8\ncall bpf_skb_load_bytes\nexit"],
  ["an address", "r1 = 0x500000005 ll\nr0 = *(u8 *)(r1 + 2)\nexit"],
  ["a function", "r1 = 1\nr2 = 0x500000007 ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit"],
];

const STACKS = "all stacks of a run are one region to it";
const WRITABLE = "an atomic operation is a write to it, and writes are fine there";
/** What the hardened JIT lets pass, since it stays within what the program may touch. */
const CONFINED: ReadonlyMap<string, string> = new Map([
  ["read below the stack", STACKS],
  ["write below the stack", STACKS],
  ["read across two frames", STACKS],
  ["read of a frame that was left", STACKS],
  ["atomic on the context", WRITABLE],
  ["atomic on the keys", WRITABLE],
]);

/** What must not: type, what is right, text, and r0. */
const LEGAL: readonly (readonly [type: number, what: string, text: string, r0: bigint])[] = [
  [FILTER, "the lowest byte of the stack", "r0 = *(u8 *)(r10 - 512)\nexit", 0n],
  [FILTER, "part of a field", "r0 = *(u8 *)(r1 + 3)\nexit", 0n],
  [FILTER, "cb", "*(u32 *)(r1 + 64) = 6\nr0 = *(u32 *)(r1 + 64)\nexit", 6n],
  [DISSECTOR, "the packet", "r2 = *(u32 *)(r1 + 80)\nr0 = *(u64 *)(r2 - 8)\nexit", 0n],
  [
    DISSECTOR,
    "the keys",
    "r2 = *(u64 *)(r1 + 144)\n*(u16 *)(r2 + 54) = 9\nr0 = *(u16 *)(r2 + 54)\nexit",
    9n,
  ],
  [
    XDP,
    "a packet to write",
    "r2 = *(u32 *)(r1 + 0)\n*(u64 *)(r2 + 8) = 3\nr0 = *(u64 *)(r2 + 8)\nexit",
    3n,
  ],
  [XDP, "all of r0", "r0 = -1\nexit", 0xffff_ffff_ffff_ffffn],
];

describe.each(CHECKED)("on the %s", (_engine, options) => {
  const { machine } = boot(options);

  describe("regions", () => {
    for (const [type, what, text, slot] of ILLEGAL) {
      const reason = options.hardened === true ? (CONFINED.get(what) ?? null) : null;
      testUnless(reason, `type ${type}: ${what} is a fault`, () => {
        const { fault, r0, retval } = runTyped(machine, type, text);
        expect(fault?.slot).toBe(slot);
        expect([r0, retval]).toEqual([0n, 0]);
      });
    }

    test.each(LEGAL)("type %i: %s is no fault", (type, _what, text, r0) => {
      const outcome = runTyped(machine, type, text);
      expect(outcome.fault).toBeNull();
      expect(outcome.r0).toBe(r0);
    });

    test("a fault names program, slot, reason and address, and is logged", () => {
      const { count } = faultLog(machine);
      const prog = program(machine, "r0 = 0\nr1 = 0x123456\n*(u32 *)(r1 + 4) = 1\nexit");
      const { fault } = run(machine, prog);
      expect(fault).toMatchObject({ progId: prog.id, slot: 2, address: 0x12345an });
      expect(fault?.message).toMatch(/instruction 2: writes 4 bytes .* 0x12345a/);
      expect(faultLog(machine)).toEqual({ count: count + 1, last: fault });
    });

    for (const [what, text] of WIDE) {
      const isCut = options.hardened === true && what === "an address";
      testUnless(
        isCut ? "addresses have 32 bits there" : null,
        `a fault names all 64 bits of ${what}`,
        () => {
          expect(runTyped(machine, FILTER, text).fault).toMatchObject({
            address: 0x5_0000_0007n,
            message: expect.stringMatching(/ 0x500000007$/),
          });
        },
      );
    }

    test("a write that faults leaves memory as it was", () => {
      const map = arrayMap(machine, { valueSize: 8, maxEntries: 1 });
      const text = "r1 = map_value[m][0]\n*(u64 *)(r1 + 4) = -1\nr0 = 0\nexit";
      expect(run(machine, program(machine, text, { maps: { m: map } })).fault?.slot).toBe(2);
      expect(machine.memory.view.getBigUint64(map.base, true)).toBe(0n);
    });
  });

  describe("values of maps", () => {
    const touch = (access: string): string =>
      `r1 = map_value[m][0]\nr2 = 1\nr0 = 0\n${access}\nexit`;

    test.each([
      ["read", "r0 = *(u64 *)(r1 + 0)", 0, true],
      ["write", "*(u64 *)(r1 + 0) = r2", 0, true],
      ["atomic", "lock *(u64 *)(r1 + 0) += r2", 0, true],
      ["read past the value", "r0 = *(u64 *)(r1 + 8)", 0, false],
      ["read of the map itself", "r0 = *(u32 *)(r1 - 8)", 0, false],
      ["read of a read-only map", "r0 = *(u64 *)(r1 + 0)", BPF_F_RDONLY_PROG, true],
      ["write to a read-only map", "*(u64 *)(r1 + 0) = r2", BPF_F_RDONLY_PROG, false],
      ["atomic on a read-only map", "lock *(u64 *)(r1 + 0) += r2", BPF_F_RDONLY_PROG, false],
      ["read of a write-only map", "r0 = *(u64 *)(r1 + 0)", BPF_F_WRONLY_PROG, false],
      ["write to a write-only map", "*(u64 *)(r1 + 0) = r2", BPF_F_WRONLY_PROG, true],
    ])("%s", (_what, access, flags, allowed) => {
      const map = arrayMap(machine, { valueSize: 8, maxEntries: 1, flags });
      const { fault } = run(machine, program(machine, touch(access), { maps: { m: map } }));
      expect(fault === null).toBe(allowed);
    });

    test("another program's map is out of bounds", () => {
      const map = arrayMap(machine, { valueSize: 8, maxEntries: 1 });
      const { fault } = run(
        machine,
        program(machine, `r1 = ${map.base}\nr0 = *(u64 *)(r1 + 0)\nexit`),
      );
      expect(fault?.address).toBe(BigInt(map.base));
    });

    test("a key must be readable, and a value to store as well", () => {
      const map = hashMap(machine, { keySize: 16, valueSize: 16 });
      const key = "r1 = map_fd[m]\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nexit";
      expect(run(machine, program(machine, key, { maps: { m: map } })).fault?.reason).toMatch(
        /reads 16/,
      );
      const value =
        "r1 = map_fd[m]\nr2 = r10\nr2 += -16\nr3 = r10\nr3 += -8\nr4 = 0\n" +
        "call bpf_map_update_elem\nexit";
      expect(run(machine, program(machine, value, { maps: { m: map } })).fault?.slot).toBe(7);
    });
  });
});

describe("limits of the interpreter", () => {
  const { machine } = boot();

  test("an endless loop ends with the instruction limit", () => {
    const prog = program(machine, "again:\ngoto again");
    const outcome = run(machine, prog, { instructionLimit: 1000 });
    expect(outcome.instructions).toBe(1000);
    expect(outcome.fault?.reason).toMatch(/more instructions/);
  });

  test("a limit that is just enough is no fault", () => {
    const prog = program(machine, "r0 = 7\nexit");
    expect(run(machine, prog, { instructionLimit: 2 }).fault).toBeNull();
    expect(run(machine, prog, { instructionLimit: 1 }).fault?.slot).toBe(1);
  });

  test("registers and stack are zero at entry, whatever ran before", () => {
    run(machine, program(machine, "r9 = -1\n*(u64 *)(r10 - 8) = -1\nr0 = -1\nexit"));
    const prog = program(machine, "r0 = *(u64 *)(r10 - 8)\nr0 |= r9\nr0 |= r5\nexit");
    expect(run(machine, prog).r0).toBe(0n);
  });

  test("without memory for a stack there is no run", () => {
    const small = boot({ memoryLimitBytes: 1 << 16 });
    const invocation = { context: 0, layout: null, regions: [], skb: null };
    expect(interpret(small.machine, program(small.machine, "exit"), invocation)).toBeNull();
  });
});

describe("the plain JIT", () => {
  test.each([
    ["a read", "r0 = *(u8 *)(r1 + 0)"],
    ["a write", "*(u64 *)(r1 + 0) = 1"],
    ["an atomic operation", "r2 = 1\nlock *(u64 *)(r1 + 0) += r2"],
    ["a read across the edge", "r0 = *(u64 *)(r1 + 12)"],
  ])("ends a run at the edge of memory: %s", (_what, access) => {
    const { machine } = boot({ engine: "jit" });
    const { byteLength } = machine.memory.memory.buffer;
    const text = (address: number): string => `r1 = ${address} ll\nr0 = 0\n${access}\nexit`;
    const { fault } = run(machine, program(machine, text(byteLength)));
    expect(fault?.message).toMatch(/memory access out of bounds/);
    expect(faultLog(machine).count).toBe(1);
    expect(run(machine, program(machine, text(byteLength - 32))).fault).toBeNull();
  });

  test("ends a run that calls too deep, or leaves the program", () => {
    const { machine } = boot({ engine: "jit" });
    for (const text of ["f:\ncall f\nexit", "r0 = 0\ngoto +5\nexit", "r0 = 0", "call 211\nexit"]) {
      expect(run(machine, program(machine, text)).fault).not.toBeNull();
    }
  });
});

test("an observer sees each instruction before it is done, and the registers", () => {
  const { machine } = boot();
  const seen: [number, bigint][] = [];
  const prog = program(machine, "r0 = 1\nr0 += 1\nif r0 > 1 goto end\nr0 = 9\nend:\nexit");
  run(machine, prog, { onInstruction: (slot, registers) => seen.push([slot, registers.get(0)]) });
  expect(seen).toEqual([
    [0, 0n],
    [1, 1n],
    [2, 2n],
    [4, 2n],
  ]);
});

test("a run inside of a run has a stack of its own", () => {
  const nested = boot();
  const inner = program(nested.machine, "*(u64 *)(r10 - 8) = 9\nr0 = 1\nexit");
  const outer = program(nested.machine, "*(u64 *)(r10 - 8) = 5\nr0 = *(u64 *)(r10 - 8)\nexit");
  const onInstruction = (): void => {
    run(nested.machine, inner);
  };
  expect(run(nested.machine, outer, { onInstruction }).r0).toBe(5n);
});
