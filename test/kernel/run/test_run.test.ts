/**
 * BPF_PROG_TEST_RUN, rule by rule and in Linux's order of checks: results are those of Linux 6.18.
 */
import { describe, expect, test } from "vitest";
import { BPF_ATTR_SIZE, TEST_RUN } from "../../../src/abi/attr.ts";
import {
  BPF_PROG_TEST_RUN,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  BPF_XDP_DEVMAP,
} from "../../../src/abi/bpf.ts";
import { decode, encode, writeField } from "../../../src/abi/layout.ts";
import { ProgFile } from "../../../src/kernel/bpf/prog.ts";
import type { Outcome } from "../../../src/kernel/interpreter.ts";
import { CALL_INSTRUCTION_LIMIT, repeatRun } from "../../../src/kernel/net/test_run.ts";
import { bpf } from "../../../src/kernel/syscall.ts";
import { arrayMap, type Bench, boot, ENGINES, type ProgramOptions, program } from "./support.ts";

describe.each(Object.entries(ENGINES))("on the %s", (_engine, options) => {
  const EBADF = -9;
  const ENODEV = -19;
  const EFAULT = -14;
  const EINVAL = -22;
  const ENOSPC = -28;
  const E2BIG = -7;
  const ENOTSUPP = -524;

  /** What a call passes; the rest is as most callers have it. */
  interface Call {
    readonly fd?: number;
    readonly data?: Uint8Array | null;
    readonly sizeIn?: number;
    readonly dataIn?: bigint;
    /** Room as the attr says it; the buffer has 128 KiB. */
    readonly room?: number;
    readonly dataOut?: bigint;
    readonly repeat?: number;
    readonly context?: Uint8Array | null;
    readonly contextSize?: number;
    /** Room for the context out; 0: not wanted. */
    readonly contextRoom?: number;
    readonly contextOut?: bigint;
    readonly flags?: number;
    readonly cpu?: number;
    readonly batch?: number;
  }

  interface Result {
    readonly result: number;
    readonly retval: number;
    readonly sizeOut: number;
    readonly out: Uint8Array;
    readonly contextSizeOut: number;
    readonly contextOut: Uint8Array;
    readonly duration: number;
  }

  const UNTOUCHED = 0xdead;
  const POISON = 0xee;
  const FRAME = Uint8Array.from({ length: 64 }, (_, i) => i);
  const BAD_ADDRESS = 0x1000n;

  class Runner {
    readonly bench: Bench = boot(options);
    readonly fd: number;

    constructor(text: string, options: ProgramOptions) {
      this.fd = this.load(text, options);
    }

    load(text: string, options: ProgramOptions): number {
      const prog = program(this.bench.machine, text, options);
      return this.bench.task.files.add(new ProgFile(prog));
    }

    call(call: Call = {}): Result {
      const { task, memory } = this.bench;
      const { data = FRAME, context = null, contextRoom = 0 } = call;
      const out = new Uint8Array(1 << 17).fill(POISON);
      const contextOut = new Uint8Array(256).fill(POISON);
      const address = (bytes: Uint8Array | null): bigint =>
        bytes === null ? 0n : memory.addressOf(bytes);
      const attr = encode(
        TEST_RUN,
        {
          prog_fd: call.fd ?? this.fd,
          retval: UNTOUCHED,
          data_size_in: call.sizeIn ?? data?.length ?? 0,
          data_size_out: call.room ?? 0,
          data_in: call.dataIn ?? address(data),
          data_out: call.dataOut ?? address(out),
          repeat: call.repeat ?? 1,
          duration: UNTOUCHED,
          ctx_size_in: call.contextSize ?? context?.length ?? 0,
          ctx_size_out: contextRoom,
          ctx_in: address(context),
          ctx_out: call.contextOut ?? (contextRoom === 0 ? 0n : address(contextOut)),
          flags: call.flags ?? 0,
          cpu: call.cpu ?? 0,
          batch_size: call.batch ?? 0,
        },
        BPF_ATTR_SIZE,
      );
      const result = bpf(task, BPF_PROG_TEST_RUN, attr, attr.length);
      const after = decode(TEST_RUN, attr);
      return {
        result,
        retval: after.retval,
        sizeOut: after.data_size_out,
        out,
        contextSizeOut: after.ctx_size_out,
        contextOut,
        duration: after.duration,
      };
    }
  }

  /** Bytes with some u32 set, by offset. */
  function words(size: number, fields: Readonly<Record<number, number>> = {}): Uint8Array {
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    for (const [offset, value] of Object.entries(fields)) {
      writeField(view, [Number(offset), "u32"], value);
    }
    return bytes;
  }

  function word(bytes: Uint8Array, offset: number): number {
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
  }

  const DISSECTOR = { type: BPF_PROG_TYPE_FLOW_DISSECTOR };
  const FILTER = { type: BPF_PROG_TYPE_SOCKET_FILTER };
  const XDP = { type: BPF_PROG_TYPE_XDP };
  const RETURN_7 = "r0 = 7\nexit";

  test("XDP: room for less than the fragments is ENOSPC, more cuts what is not in them", () => {
    const runner = new Runner(RETURN_7, XDP);
    const data = Uint8Array.from({ length: 4000 }, (_, i) => i % 251);
    const linear = 4096 - 256 - 320;
    const none = runner.call({ data, room: 10 });
    expect([none.result, none.retval, none.out[0]]).toEqual([ENOSPC, UNTOUCHED, POISON]);
    const some = runner.call({ data, room: 490 });
    expect([some.result, some.retval, some.sizeOut]).toEqual([ENOSPC, 7, data.length]);
    const given = [...data.subarray(0, 10), ...data.subarray(linear), POISON];
    expect([...some.out.subarray(0, 491)]).toEqual(given);
  });

  describe.each([
    ["flow dissector", DISSECTOR, 56],
    ["socket filter", FILTER, 192],
    ["XDP", XDP, 24],
  ])("every type: %s", (_name, options, contextSize) => {
    const runner = new Runner(RETURN_7, options);

    test.each<[string, Call, number]>([
      ["a plain run", {}, 0],
      [
        "context without a size, even with a bad fd",
        { context: words(8), contextSize: 0, fd: 99 },
        EINVAL,
      ],
      ["size without a context", { contextSize: 8 }, EINVAL],
      ["room without a context out", { contextRoom: 8, contextOut: 0n }, EINVAL],
      ["context out without room", { contextOut: BAD_ADDRESS }, EINVAL],
      ["closed fd", { fd: 99 }, EBADF],
      ["fd of another kind", { fd: 0 }, EINVAL],
      ["13 bytes", { data: FRAME.slice(0, 13) }, EINVAL],
      ["14 bytes", { data: FRAME.slice(0, 14) }, 0],
      ["no data", { data: null }, EINVAL],
      ["data at a bad address", { dataIn: BAD_ADDRESS }, EFAULT],
      ["unknown flags", { flags: 1 }, EINVAL],
      ["a batch size", { batch: 1 }, EINVAL],
      ["context of zeros", { context: words(contextSize) }, 0],
      ["short context of zeros", { context: words(8) }, 0],
      ["long context with zeros behind", { context: words(contextSize + 8) }, 0],
      [
        "long context with more behind",
        { context: words(contextSize + 8, { [contextSize]: 1 }) },
        E2BIG,
      ],
      ["context of more than a page", { context: words(4097) }, E2BIG],
      ["data out at a bad address", { dataOut: BAD_ADDRESS }, EFAULT],
      ["no data out", { dataOut: 0n }, 0],
      ["repeat 0", { repeat: 0 }, 0],
      [
        "context out at a bad address",
        { contextRoom: contextSize, contextOut: BAD_ADDRESS },
        EFAULT,
      ],
    ])("%s", (_what, call, expected) => {
      const { result, retval, duration } = runner.call(call);
      expect(result).toBe(expected);
      if (expected === 0) expect([retval, duration]).toEqual([7, 0]);
    });

    test("too little room: what fits is written, and the size, but no context", () => {
      // A context of zeros would put all of an XDP packet into fragments, which are not cut.
      const context = options === XDP ? words(contextSize, { 4: FRAME.length }) : null;
      const { result, out, sizeOut, retval, contextOut, contextSizeOut } = runner.call({
        context,
        room: 10,
        contextRoom: 200,
      });
      expect([result, retval, out[9] === POISON, out[10]]).toEqual([ENOSPC, 7, false, POISON]);
      expect(sizeOut).toBeGreaterThan(10);
      expect([contextOut[0], contextSizeOut]).toEqual([POISON, 200]);
    });

    test("too little room for the context: what fits, and its size", () => {
      const { result, retval, contextOut, contextSizeOut } = runner.call({ contextRoom: 10 });
      expect([result, retval, contextSizeOut]).toEqual([ENOSPC, 7, contextSize]);
      expect([contextOut[9] === POISON, contextOut[10]]).toEqual([false, POISON]);
    });

    test("retval is the lower half of r0", () => {
      const fd = runner.load("r0 = -1\nexit", options);
      expect(runner.call({ fd }).retval).toBe(0xffffffff);
    });

    test("duration is the mean of all repetitions", () => {
      runner.bench.tick = 5000n;
      expect(runner.call({ repeat: 10 }).duration).toBe(500);
      runner.bench.tick = 0n;
    });

    test("a program that faults is -EFAULT, with nothing written", () => {
      const fd = runner.load("r1 = 0xfffffff0 ll\nr0 = *(u8 *)(r1 + 0)\nexit", options);
      const { result, retval, out } = runner.call({ fd });
      expect([result, retval, out[0]]).toEqual([-14, UNTOUCHED, POISON]);
    });
  });

  test("types that nobody runs are ENOTSUPP", () => {
    const runner = new Runner(RETURN_7, { type: BPF_PROG_TYPE_CGROUP_DEVICE });
    expect(runner.call().result).toBe(ENOTSUPP);
  });

  test("repetitions that take too many instructions in all are EINTR", () => {
    const { task } = boot(options);
    const half = CALL_INSTRUCTION_LIMIT / 2;
    let runs = 0;
    const run = (): Outcome => {
      runs++;
      return { r0: 0n, retval: 0, instructions: half, fault: null };
    };
    expect(repeatRun(task, 0xffffffff, run)).toBe(-4);
    expect(runs).toBe(2);
  });

  describe("flow dissector", () => {
    const runner = new Runner(RETURN_7, DISSECTOR);

    test.each<[string, Call, number]>([
      ["4096 bytes", { data: new Uint8Array(4096) }, 0],
      ["4097 bytes", { data: new Uint8Array(4097) }, EINVAL],
      ["a CPU", { cpu: 1 }, EINVAL],
      ["any input flags", { context: words(56, { 48: 0xffff }) }, 0],
      ["nhoff", { context: words(56, { 0: 1 }) }, EINVAL],
      ["flow_label", { context: words(56, { 52: 1 }) }, EINVAL],
    ])("%s", (_what, call, expected) => {
      expect(runner.call(call).result).toBe(expected);
    });

    test("gives out 56 bytes of keys, and the context as it went in", () => {
      const { out, sizeOut, contextOut, contextSizeOut } = runner.call({
        context: words(56, { 48: 7 }),
        contextRoom: 64,
      });
      expect([sizeOut, out[0], out[2], out[10], out[11], word(out, 48)]).toEqual([
        56, 14, 14, 12, 13, 7,
      ]);
      expect([contextSizeOut, contextOut[0], word(contextOut, 48)]).toEqual([56, 0, 7]);
    });

    test("keys are zeroed before every repetition", () => {
      const text =
        "r2 = *(u64 *)(r1 + 144)\nr0 = *(u8 *)(r2 + 9)\nr0 += 1\n*(u8 *)(r2 + 9) = r0\nexit";
      expect(runner.call({ fd: runner.load(text, DISSECTOR), repeat: 5 }).retval).toBe(1);
    });
  });

  describe("socket filter", () => {
    const runner = new Runner(RETURN_7, FILTER);
    const ethernet = (type: number, size: number, mac: number = 0): Uint8Array => {
      const frame = new Uint8Array(size).fill(mac, 0, 6);
      new DataView(frame.buffer).setUint16(12, type, false);
      return frame;
    };

    test.each<[string, Call, number]>([
      ["3712 bytes", { data: new Uint8Array(3712) }, 0],
      ["3713 bytes", { data: new Uint8Array(3713) }, EINVAL],
      ["a CPU", { cpu: 1 }, EINVAL],
      ["BPF_F_TEST_SKB_CHECKSUM_COMPLETE", { flags: 4 }, 0],
      ["a short IPv4 header", { data: ethernet(0x0800, 33) }, EINVAL],
      ["an IPv4 header", { data: ethernet(0x0800, 34) }, 0],
      ["a short IPv6 header", { data: ethernet(0x86dd, 53) }, EINVAL],
      ["an IPv6 header", { data: ethernet(0x86dd, 54) }, 0],
      ["the loopback device", { context: words(192, { 40: 1 }) }, 0],
      ["another device", { context: words(192, { 40: 2 }) }, ENODEV],
      ["another device before a bad field", { context: words(192, { 40: 2, 0: 1 }) }, ENODEV],
      [
        "another device before a short header",
        { data: ethernet(0x0800, 20), context: words(192, { 40: 2 }) },
        ENODEV,
      ],
      ["mark", { context: words(192, { 8: 1 }) }, 0],
      ["priority", { context: words(192, { 32: 1 }) }, 0],
      ["ingress_ifindex", { context: words(192, { 36: 9 }) }, 0],
      ["cb", { context: words(192, { 48: 1, 64: 1 }) }, 0],
      ["tstamp", { context: words(192, { 152: 1, 156: 1 }) }, 0],
      ["hwtstamp", { context: words(192, { 184: 1, 188: 1 }) }, 0],
      ["len", { context: words(192, { 0: 1 }) }, EINVAL],
      ["protocol", { context: words(192, { 16: 1 }) }, EINVAL],
      ["after cb", { context: words(192, { 68: 1 }) }, EINVAL],
      ["the padding after gso_size", { context: words(192, { 180: 1 }) }, EINVAL],
      ["wire_len below len", { context: words(192, { 160: 49 }) }, EINVAL],
      ["wire_len of len", { context: words(192, { 160: 50 }) }, 0],
      ["wire_len of 65536", { context: words(192, { 160: 65536 }) }, 0],
      ["wire_len of more", { context: words(192, { 160: 65537 }) }, EINVAL],
      ["gso_segs of 65535", { context: words(192, { 164: 65535 }) }, 0],
      ["gso_segs of more", { context: words(192, { 164: 65536 }) }, EINVAL],
      ["any gso_size", { context: words(192, { 176: 100000 }) }, 0],
    ])("%s", (_what, call, expected) => {
      expect(runner.call(call).result).toBe(expected);
    });

    test("gives the packet out with a zeroed link header", () => {
      const { out, sizeOut } = runner.call();
      expect(sizeOut).toBe(64);
      expect(Array.from(out.subarray(0, 64))).toEqual(
        Array.from(FRAME, (byte, i) => (i < 14 ? 0 : byte)),
      );
    });

    test("gives the context out with ifindex and wire_len filled in", () => {
      const { contextOut } = runner.call({ context: words(192, { 8: 5 }), contextRoom: 192 });
      expect([8, 40, 160, 0].map((offset) => word(contextOut, offset))).toEqual([5, 1, 50, 0]);
    });

    test("keeps cb over repetitions and gives it out", () => {
      const fd = runner.load(
        "r0 = *(u32 *)(r1 + 48)\nr0 += 1\n*(u32 *)(r1 + 48) = r0\nexit",
        FILTER,
      );
      const call = { fd, repeat: 5, context: words(192, { 48: 7 }), contextRoom: 192 };
      const { retval, contextOut } = runner.call(call);
      expect([retval, word(contextOut, 48)]).toEqual([12, 12]);
    });

    // Offset, frame, context, what Linux's programs read.
    test.each<[string, number, Uint8Array, Uint8Array | null, number]>([
      ["len", 0, ethernet(0x0800, 64), null, 50],
      ["pkt_type to us", 4, ethernet(0x8100, 64), null, 0],
      ["pkt_type to many", 4, ethernet(0x0800, 64, 0xff), null, 2],
      ["pkt_type to another", 4, ethernet(0x0800, 64, 0x02), null, 3],
      ["protocol", 16, ethernet(0x0800, 64), null, 0x0008],
      ["protocol of a length", 16, ethernet(0x0040, 64), null, 0x0400],
      ["ifindex", 40, ethernet(0x0800, 64), null, 1],
      ["mark", 8, ethernet(0x0800, 64), words(192, { 8: 6 }), 6],
      ["gso_segs", 164, ethernet(0x0800, 64), words(192, { 164: 9 }), 9],
      ["gso_size of 16 bits", 176, ethernet(0x0800, 64), words(192, { 176: 70000 }), 4464],
    ])("%s", (_what, offset, data, context, expected) => {
      const fd = runner.load(`r0 = *(u32 *)(r1 + ${offset})\nexit`, FILTER);
      expect(runner.call({ fd, data, context }).retval).toBe(expected);
    });

    // 45 01 02 … 31 behind an Ethernet header: what Linux's programs loaded.
    const packet = Uint8Array.from({ length: 64 }, (_, i) =>
      i < 14 ? ([...new Array<number>(12).fill(0xff), 8, 0][i] ?? 0) : i === 14 ? 0x45 : i - 14,
    );
    test.each([
      ["u32 *)skb[0]", 0x45010203],
      ["u32 *)skb[46]", 0x2e2f3031],
      ["u32 *)skb[47]", 0],
      ["u16 *)skb[48]", 0x3031],
      ["u8 *)skb[49]", 0x31],
      ["u8 *)skb[50]", 0],
      ["u8 *)skb[-1]", 0],
      ["u8 *)skb[-4096]", 0],
      ["u32 *)skb[-1048576]", 0x45010203],
      ["u32 *)skb[-2097152]", 0xffffffff],
      ["u32 *)skb[-2097140]", 0x08004501],
      ["u32 *)skb[-2097092]", 0x2e2f3031],
      ["u32 *)skb[-2097088]", 0],
      ["u32 *)skb[r7 + 2]", 0x05060708],
      ["u32 *)skb[r7 + 0x7fffffff]", 0],
    ])("LD_ABS and LD_IND: *(%s is %i", (place, expected) => {
      const text = `r6 = r1\nr7 = 3\nr0 = 99\nr0 = *(${place}\nexit`;
      const fd = runner.load(text, FILTER);
      expect(runner.call({ fd, data: packet }).retval).toBe(expected);
    });

    test("a packet load outside of the packet ends the program", () => {
      const fd = runner.load("r6 = r1\nr0 = *(u8 *)skb[100]\nr0 = 5\nexit", FILTER);
      expect(runner.call({ fd }).retval).toBe(0);
    });
  });

  describe("XDP", () => {
    const LENGTH = "r2 = *(u32 *)(r1 + 0)\nr0 = *(u32 *)(r1 + 4)\nr0 -= r2\nexit";
    const runner = new Runner(LENGTH, XDP);
    const md = (
      data: number,
      end: number,
      more: Readonly<Record<number, number>> = {},
    ): Uint8Array => words(24, { 0: data, 4: end, ...more });

    // Frame size, context, result, data_end - data.
    test.each<[string, number, Uint8Array | null, number, number]>([
      ["a frame", 64, null, 0, 64],
      ["the largest linear frame", 3520, null, 0, 3520],
      ["a frame in fragments", 5000, null, 0, 3520],
      ["the largest frame", 73152, null, 0, 3520],
      ["a larger one", 73153, null, -12, UNTOUCHED],
      ["data_end 0", 64, md(0, 0), 0, 0],
      ["data_end before the end", 64, md(0, 10), 0, 10],
      ["data_end past the end", 64, md(0, 65), EINVAL, UNTOUCHED],
      ["metadata", 64, md(8, 64), 0, 56],
      ["metadata of an odd size", 64, md(6, 64), EINVAL, UNTOUCHED],
      ["metadata up to a frame of 14", 64, md(48, 64), 0, 16],
      ["metadata that leaves less", 64, md(52, 64), EINVAL, UNTOUCHED],
      ["the most metadata", 400, md(216, 400), 0, 184],
      ["more metadata", 400, md(220, 400), EINVAL, UNTOUCHED],
      ["metadata past data_end", 64, md(8, 4), EINVAL, UNTOUCHED],
      ["metadata makes room", 4000, md(8, 4000), 0, 3520],
      ["data_meta", 64, md(0, 64, { 8: 1 }), EINVAL, UNTOUCHED],
      ["ingress_ifindex 1", 64, md(0, 64, { 12: 1 }), 0, 64],
      ["ingress_ifindex 99", 64, md(0, 64, { 12: 99 }), ENODEV, UNTOUCHED],
      ["rx_queue_index", 64, md(0, 64, { 16: 1 }), EINVAL, UNTOUCHED],
      [
        "egress_ifindex before ingress_ifindex",
        64,
        md(0, 64, { 12: 99, 20: 1 }),
        EINVAL,
        UNTOUCHED,
      ],
      ["context before size", 3, words(32, { 24: 1 }), E2BIG, UNTOUCHED],
    ])("%s", (_what, size, context, result, length) => {
      const outcome = runner.call({ data: new Uint8Array(size), context });
      expect([outcome.result, outcome.retval]).toEqual([result, length]);
      if (result === 0) expect(outcome.sizeOut).toBe(size);
    });

    test("a CPU is ignored", () => {
      expect(runner.call({ cpu: 3 }).result).toBe(0);
    });

    test("programs for device maps are not run", () => {
      const fd = runner.load(LENGTH, { ...XDP, expectedAttachType: BPF_XDP_DEVMAP });
      expect(runner.call({ fd }).result).toBe(EINVAL);
    });

    test("the context comes out with data and data_end as offsets", () => {
      const { contextOut } = runner.call({ context: md(8, 64, { 12: 1 }), contextRoom: 24 });
      expect([0, 4, 8, 12].map((offset) => word(contextOut, offset))).toEqual([8, 64, 0, 1]);
    });

    test("the device is the loopback device", () => {
      const fd = runner.load("r0 = *(u32 *)(r1 + 12)\nexit", XDP);
      expect(runner.call({ fd }).retval).toBe(1);
    });

    test("what a program writes comes out, and meets the next repetition", () => {
      const text =
        "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nr0 += 1\n*(u8 *)(r2 + 0) = r0\nexit";
      const fd = runner.load(text, XDP);
      const data = new Uint8Array(64).fill(7);
      const { retval, out } = runner.call({ fd, data, repeat: 3 });
      expect([retval, out[0], out[1]]).toEqual([10, 10, 7]);
      const withMeta = runner.call({ fd, data, context: md(8, 64) });
      expect(Array.from(withMeta.out.subarray(6, 10))).toEqual([7, 7, 8, 7]);
    });
  });

  describe("sk_lookup: checks only, it does not run", () => {
    const runner = new Runner(RETURN_7, { type: BPF_PROG_TYPE_SK_LOOKUP });
    const bare: Call = { data: null, dataOut: 0n };

    test.each<[string, Call, number]>([
      ["data", { context: words(72, { 8: 2 }) }, EINVAL],
      ["no context", bare, EINVAL],
      ["sk", { ...bare, context: words(72, { 0: 1, 8: 2 }) }, EINVAL],
      ["ingress_ifindex", { ...bare, context: words(72, { 64: 1, 8: 2 }) }, EINVAL],
      ["local_port", { ...bare, context: words(72, { 60: 70000 }) }, -34],
      ["family 0", { ...bare, context: words(72) }, -97],
      ["flags", { ...bare, flags: 1, context: words(72, { 8: 2 }) }, EINVAL],
      ["AF_INET", { ...bare, context: words(72, { 8: 2 }) }, ENOTSUPP],
      ["AF_INET6", { ...bare, context: words(72, { 8: 10 }) }, ENOTSUPP],
    ])("%s", (_what, call, expected) => {
      expect(runner.call(call).result).toBe(expected);
    });
  });

  test("a program whose helpers make the linear memory grow keeps its packet", () => {
    const runner = new Runner(RETURN_7, XDP);
    const { memory } = runner.bench.machine;
    const map = arrayMap(runner.bench.machine, { maxEntries: 1 });
    const text =
      "r6 = *(u32 *)(r1 + 0)\n*(u8 *)(r6 + 0) = 5\nr1 = map_fd[m]\nr2 = func[f]\nr3 = 0\nr4 = 0\n" +
      "call bpf_for_each_map_elem\nr0 = *(u8 *)(r6 + 0)\nexit\nf:\nr0 = 0\nexit";
    const fd = runner.load(text, { ...XDP, maps: { m: map } });
    // The first run takes what it needs; then a block is missing that is as small as a key.
    runner.call();
    const size = memory.bytes.length;
    while (memory.bytes.length === size) memory.alloc(16);
    memory.alloc(memory.bytes.length - memory.usedBytes - (1 << 16) - 16);
    const full = memory.bytes.length;
    expect(runner.call({ fd }).retval).toBe(5);
    expect(memory.bytes.length).toBeGreaterThan(full);
  });
});
