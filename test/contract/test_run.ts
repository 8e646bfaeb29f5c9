/**
 * BPF_PROG_TEST_RUN of flow dissectors: its checks, its outputs, and the keys before and after.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { FLOW_KEYS } from "../../src/abi/flow_keys.ts";
import { decode, encode, type Values } from "../../src/abi/layout.ts";
import { BAD_POINTER, type Case, CLOSED_FD, type Fields, SK_LOOKUP_PROGRAM, u32s } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

type RunFields = Fields<typeof bpf.BPF_PROG_TEST_RUN>;

const KEYS_SIZE = 56;
const UNTOUCHED = 0xee;
const U32_UNTOUCHED = 0xeeeeeeee;
/** TEST_RUN of a flow dissector takes no more. */
const MAX_FRAME = 4096;

/** An Ethernet frame of an EtherType that nobody parses here. */
function frame(length: number = 60, protocol: number = 0x88b5): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[12] = protocol >> 8;
  bytes[13] = protocol & 0xff;
  return bytes;
}

function run(c: Case, fields: RunFields): string {
  return c.outcome(bpf.BPF_PROG_TEST_RUN, fields);
}

/** A frame's fields in the attr. */
function input(c: Case, bytes: Uint8Array = frame()): RunFields {
  return { data_in: c.at(bytes), data_size_in: bytes.length };
}

interface Ran {
  readonly outcome: string;
  readonly retval: number;
  readonly sizeOut: number;
  readonly keys: Values<typeof FLOW_KEYS>;
}

/** Runs a program over a frame and reads the keys. */
function keysOf(c: Case, program: number, bytes: Uint8Array, fields: RunFields = {}): Ran {
  const keys = new Uint8Array(KEYS_SIZE).fill(UNTOUCHED);
  const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, {
    prog_fd: program,
    ...input(c, bytes),
    data_out: c.at(keys),
    data_size_out: keys.length,
    ...fields,
  });
  return {
    outcome,
    retval: attr.retval,
    sizeOut: attr.data_size_out,
    keys: decode(FLOW_KEYS, keys),
  };
}

/** A dissector that writes offsets and returns a number. */
function offsets(c: Case, nhoff: number, thoff: number, returns: number = 0): number {
  return c.program({
    text: `
      r2 = *(u64 *)(r1 + 144)
      r3 = ${nhoff}
      *(u16 *)(r2 + 0) = r3
      r3 = ${thoff}
      *(u16 *)(r2 + 2) = r3
      r0 = ${returns}
      exit`,
  });
}

export const testRun: Chapter = {
  title: "TEST_RUN",
  rules: (rules) => {
    order(rules);
    data(rules);
    outputs(rules);
    contexts(rules);
    keys(rules);
    packet(rules);
    tailCalls(rules);
    narrowLoads(rules);
    skLookup(rules);
    otherTypes(rules);
  },
};

function order({ rule, ruleOf }: Rules): void {
  rule("a context without a size, or a size without one, is EINVAL before the fd", (c) => {
    const pointer = c.at(new Uint8Array(KEYS_SIZE));
    for (const fields of [
      { ctx_in: pointer },
      { ctx_size_in: 56 },
      { ctx_out: pointer },
      { ctx_size_out: 56 },
    ]) {
      expect(run(c, { prog_fd: CLOSED_FD, ...fields }), "closed fd").toBe("EINVAL");
      expect(run(c, { prog_fd: c.program(), ...input(c), ...fields })).toBe("EINVAL");
    }
  });

  rule("flags, cpu and batch_size are EINVAL", (c) => {
    const prog_fd = c.program();
    for (const field of [{ flags: 1 }, { cpu: 1 }, { batch_size: 1 }]) {
      expect(run(c, { prog_fd, ...input(c), ...field })).toBe("EINVAL");
    }
  });

  ruleOf("otherTypes", "a type without a test run is ENOTSUPP", (c) => {
    const prog_fd = c.program({ type: bpf.BPF_PROG_TYPE_CGROUP_DEVICE });
    expect(run(c, { prog_fd, ...input(c) })).toBe("ENOTSUPP");
  });
}

function data({ rule }: Rules): void {
  rule("a frame has 14 to 4096 bytes", (c) => {
    const prog_fd = c.program();
    for (const [length, wanted] of [
      [0, "EINVAL"],
      [13, "EINVAL"],
      [14, "ok"],
      [MAX_FRAME, "ok"],
      [MAX_FRAME + 1, "EINVAL"],
    ] as const) {
      expect(run(c, { prog_fd, ...input(c, new Uint8Array(length)) }), `${length}`).toBe(wanted);
    }
  });

  rule("a frame at a bad address is EFAULT, once its size is right", (c) => {
    const prog_fd = c.program();
    expect(run(c, { prog_fd, data_in: BAD_POINTER, data_size_in: 60 })).toBe("EFAULT");
    expect(run(c, { prog_fd, data_in: 0n, data_size_in: 60 })).toBe("EFAULT");
    expect(run(c, { prog_fd, data_in: BAD_POINTER, data_size_in: 13 })).toBe("EINVAL");
    expect(run(c, { prog_fd })).toBe("EINVAL");
  });
}

function outputs({ rule }: Rules): void {
  rule("the return value comes back as the 32 bits it is", (c) => {
    for (const returns of [0, 2, 129, 12345]) {
      expect(keysOf(c, c.program({ text: `r0 = ${returns}\nexit` }), frame()).retval).toBe(returns);
    }
    expect(keysOf(c, c.program({ text: "r0 = -1\nexit" }), frame()).retval).toBe(0xffffffff);
  });

  rule("data_out gets the 56 bytes of the keys, and no byte more", (c) => {
    const out = new Uint8Array(64).fill(UNTOUCHED);
    const fields = { prog_fd: c.program(), ...input(c), data_out: c.at(out), data_size_out: 64 };
    const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, fields);
    expect([outcome, attr.data_size_out]).toEqual(["ok", KEYS_SIZE]);
    expect([...out.subarray(KEYS_SIZE)]).toEqual(Array(8).fill(UNTOUCHED));
    expect(out[0]).toBe(14);
  });

  rule("too little room is ENOSPC, after as much as fits, size, retval and duration", (c) => {
    const out = new Uint8Array(16).fill(UNTOUCHED);
    const fields = {
      prog_fd: c.program({ text: "r0 = 129\nexit" }),
      ...input(c),
      data_out: c.at(out),
      data_size_out: 10,
      retval: U32_UNTOUCHED,
      duration: U32_UNTOUCHED,
    };
    const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, fields);
    expect([outcome, attr.data_size_out, attr.retval]).toEqual(["ENOSPC", KEYS_SIZE, 129]);
    expect(attr.duration).not.toBe(U32_UNTOUCHED);
    expect([...out]).toEqual([14, 0, 14, 0, 0, 0, 0, 0, 0, 0, ...Array(6).fill(UNTOUCHED)]);
  });

  rule("a size of 0 sets no limit, and no data_out is fine", (c) => {
    const out = new Uint8Array(64).fill(UNTOUCHED);
    const prog_fd = c.program();
    expect(run(c, { prog_fd, ...input(c), data_out: c.at(out) })).toBe("ok");
    expect(out[KEYS_SIZE - 1]).toBe(0);
    expect(out[KEYS_SIZE]).toBe(UNTOUCHED);
    expect(run(c, { prog_fd, ...input(c) })).toBe("ok");
    const { attr } = c.answer(bpf.BPF_PROG_TEST_RUN, { prog_fd, ...input(c) });
    expect(attr.data_size_out).toBe(KEYS_SIZE);
  });

  rule("a bad data_out is EFAULT", (c) => {
    const fields = { prog_fd: c.program(), ...input(c), data_out: BAD_POINTER };
    expect(run(c, fields)).toBe("EFAULT");
  });

  rule("the program runs as often as it is told, 0 meaning once", (c) => {
    const map = c.map({ max_entries: 1 });
    const text = `
      r1 = map_value[m][0]
      r2 = 1
      lock *(u64 *)(r1 + 0) += r2
      r0 = 0
      exit`;
    const prog_fd = c.program({ text, constants: { m: map } });
    let total = 0n;
    for (const [repeat, runs] of [
      [0, 1n],
      [1, 1n],
      [1000, 1000n],
    ] as const) {
      expect(run(c, { prog_fd, ...input(c), repeat })).toBe("ok");
      const count = new Uint8Array(8);
      const element = { key: c.at(new Uint8Array(4)), value: c.at(count) };
      c.must(bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: map, ...element });
      total += runs;
      expect(new DataView(count.buffer).getBigUint64(0, true)).toBe(total);
    }
  });
}

function contexts({ rule }: Rules): void {
  const context = (fields: Parameters<typeof encode<typeof FLOW_KEYS>>[1], size = KEYS_SIZE) =>
    encode(FLOW_KEYS, fields, size);

  rule("a context in gives the flags, whatever their bits", (c) => {
    const program = c.program();
    for (const flags of [0, 7, 0xffff, 0xffffffff]) {
      const bytes = context({ flags });
      const given = { ctx_in: c.at(bytes), ctx_size_in: bytes.length };
      const ran = keysOf(c, program, frame(), given);
      expect([ran.outcome, ran.keys.flags]).toEqual(["ok", flags]);
    }
  });

  rule("a context in with anything but flags is EINVAL", (c) => {
    const prog_fd = c.program();
    for (let at = 0; at < KEYS_SIZE; at++) {
      const bytes = new Uint8Array(KEYS_SIZE);
      bytes[at] = 1;
      const fields = { ...input(c), ctx_in: c.at(bytes), ctx_size_in: bytes.length };
      const wanted = at >= 48 && at < 52 ? "ok" : "EINVAL";
      expect(run(c, { prog_fd, ...fields }), `byte ${at}`).toBe(wanted);
    }
  });

  rule("a long context has to end in zeros: else E2BIG; a short one is extended", (c) => {
    const prog_fd = c.program();
    const long = new Uint8Array(64);
    const given = { prog_fd, ...input(c), ctx_in: c.at(long), ctx_size_in: 64 };
    expect(run(c, given)).toBe("ok");
    long[63] = 1;
    expect(run(c, given)).toBe("E2BIG");
    const short = context({ flags: 7 }).subarray(0, 50);
    const ran = keysOf(c, prog_fd, frame(), { ctx_in: c.at(short), ctx_size_in: 50 });
    expect([ran.outcome, ran.keys.flags]).toEqual(["ok", 7]);
  });

  rule("a bad context is EFAULT", (c) => {
    const fields = { prog_fd: c.program(), ...input(c) };
    expect(run(c, { ...fields, ctx_in: BAD_POINTER, ctx_size_in: 56 })).toBe("EFAULT");
  });

  rule("a context out echoes the one that came in, and is not the result", (c) => {
    const program = offsets(c, 20, 30);
    const given = context({ flags: 5 });
    const out = new Uint8Array(64).fill(UNTOUCHED);
    const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, {
      prog_fd: program,
      ...input(c),
      ctx_in: c.at(given),
      ctx_size_in: given.length,
      ctx_out: c.at(out),
      ctx_size_out: out.length,
    });
    expect([outcome, attr.ctx_size_out]).toEqual(["ok", KEYS_SIZE]);
    expect([...out.subarray(0, KEYS_SIZE)]).toEqual([...given]);
    expect([...out.subarray(KEYS_SIZE)]).toEqual(Array(8).fill(UNTOUCHED));
  });

  rule("too little room for the context out is ENOSPC, with its size", (c) => {
    const given = context({ flags: 5 });
    const out = new Uint8Array(16).fill(UNTOUCHED);
    const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, {
      prog_fd: c.program(),
      ...input(c),
      ctx_in: c.at(given),
      ctx_size_in: given.length,
      ctx_out: c.at(out),
      ctx_size_out: 10,
    });
    expect([outcome, attr.ctx_size_out]).toEqual(["ENOSPC", KEYS_SIZE]);
  });

  rule("when data_out is too small the context out is not written", (c) => {
    const given = context({ flags: 5 });
    const out = new Uint8Array(64).fill(UNTOUCHED);
    const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, {
      prog_fd: c.program(),
      ...input(c),
      data_out: c.at(new Uint8Array(64)),
      data_size_out: 10,
      ctx_in: c.at(given),
      ctx_size_in: given.length,
      ctx_out: c.at(out),
      ctx_size_out: out.length,
    });
    expect([outcome, attr.ctx_size_out]).toEqual(["ENOSPC", 64]);
    expect(out[0]).toBe(UNTOUCHED);
  });

  rule("a context out without a context in is zeros", (c) => {
    const out = new Uint8Array(KEYS_SIZE).fill(UNTOUCHED);
    const fields = { ...input(c), ctx_out: c.at(out), ctx_size_out: out.length };
    expect(run(c, { prog_fd: c.program(), ...fields })).toBe("ok");
    expect([...out]).toEqual(Array(KEYS_SIZE).fill(0));
  });
}

function keys({ rule }: Rules): void {
  rule("the keys begin as zeros with both offsets at 14 and the frame's EtherType", (c) => {
    const { keys: found } = keysOf(c, c.program(), frame(60, 0x86dd));
    expect(found).toEqual({
      nhoff: 14,
      thoff: 14,
      addr_proto: 0,
      is_frag: 0,
      is_first_frag: 0,
      is_encap: 0,
      ip_proto: 0,
      n_proto: 0x86dd,
      sport: 0,
      dport: 0,
      ipv6_src: new Uint8Array(16),
      ipv6_dst: new Uint8Array(16),
      flags: 0,
      flow_label: new Uint8Array(4),
    });
  });

  const clamps: readonly (readonly [nhoff: number, thoff: number, n: number, t: number])[] = [
    [0, 0, 14, 14],
    [50, 20, 50, 50],
    [20, 30, 20, 30],
    [60, 60, 60, 60],
    [61, 61, 60, 60],
    [65535, 65535, 60, 60],
    [0, 65535, 14, 60],
  ];
  for (const [nhoff, thoff, wantNhoff, wantThoff] of clamps) {
    rule(`nhoff ${nhoff} and thoff ${thoff} of 60 become ${wantNhoff} and ${wantThoff}`, (c) => {
      for (const returns of [bpf.BPF_OK, bpf.BPF_DROP, bpf.BPF_FLOW_DISSECTOR_CONTINUE]) {
        const { keys: found } = keysOf(c, offsets(c, nhoff, thoff, returns), frame());
        expect([found.nhoff, found.thoff], `returns ${returns}`).toEqual([wantNhoff, wantThoff]);
      }
    });
  }

  rule("the keys are zeroed before every repetition", (c) => {
    const text = `
      r2 = *(u64 *)(r1 + 144)
      r0 = *(u16 *)(r2 + 4)
      *(u16 *)(r2 + 4) = 7
      exit`;
    expect(keysOf(c, c.program({ text }), frame(), { repeat: 10 }).retval).toBe(0);
  });

  rule("what a program writes to the keys comes back byte by byte", (c) => {
    const text = `
      r2 = *(u64 *)(r1 + 144)
      *(u8 *)(r2 + 9) = 6
      *(u32 *)(r2 + 16) = 0x01020304
      *(u64 *)(r2 + 32) = -2
      *(u8 *)(r2 + 55) = 0x77
      r0 = 0
      exit`;
    const { keys: found } = keysOf(c, c.program({ text }), frame());
    expect(found.ip_proto).toBe(6);
    expect([...found.ipv6_src.subarray(0, 5)]).toEqual([4, 3, 2, 1, 0]);
    expect([...found.ipv6_dst.subarray(0, 9)]).toEqual([254, 255, 255, 255, 255, 255, 255, 255, 0]);
    expect([...found.flow_label]).toEqual([0, 0, 0, 0x77]);
  });
}

function packet({ rule }: Rules): void {
  rule("data begins at the Ethernet header and data_end lies at the frame's end", (c) => {
    const text = `
      r2 = *(u32 *)(r1 + 76)
      r3 = *(u32 *)(r1 + 80)
      r0 = r3
      r0 -= r2
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      r0 = *(u8 *)(r2 + 12)
    out:
      exit`;
    const program = c.program({ text });
    expect(keysOf(c, program, frame(60, 0x0800)).retval).toBe(8);
    const length = "r2 = *(u32 *)(r1 + 76)\nr0 = *(u32 *)(r1 + 80)\nr0 -= r2\nexit";
    expect(keysOf(c, c.program({ text: length }), frame(60)).retval).toBe(60);
    expect(keysOf(c, c.program({ text: length }), frame(14)).retval).toBe(14);
  });

  rule("skb_load_bytes has no skb here: EFAULT, and its buffer is zeroed", (c) => {
    const text = (result: string): string => `
      *(u64 *)(r10 - 8) = -1
      r2 = 0
      r3 = r10
      r3 += -8
      r4 = 8
      call bpf_skb_load_bytes
      ${result}
      exit`;
    expect(keysOf(c, c.program({ text: text("") }), frame()).retval).toBe(0xfffffff2);
    const zeroed = text("r0 = *(u64 *)(r10 - 8)");
    expect(keysOf(c, c.program({ text: zeroed }), frame()).retval).toBe(0);
  });
}

function tailCalls({ rule }: Rules): void {
  rule("33 tail calls go through in a run, the next falls through", (c) => {
    const progs = c.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4, max_entries: 1 });
    const counter = c.map({ max_entries: 1 });
    const text = `
      r2 = map_value[counter][0]
      r3 = *(u64 *)(r2 + 0)
      r3 += 1
      *(u64 *)(r2 + 0) = r3
      r2 = map_fd[progs]
      r3 = 0
      call bpf_tail_call
      r0 = 77
      exit`;
    const program = c.program({ text, constants: { progs, counter } });
    const key = c.at(u32s(0));
    c.must(bpf.BPF_MAP_UPDATE_ELEM, { map_fd: progs, key, value: c.at(u32s(program)) });
    expect(keysOf(c, program, frame()).retval).toBe(77);
    const runs = new Uint8Array(8);
    c.must(bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: counter, key, value: c.at(runs) });
    expect(runs[0]).toBe(1 + bpf.MAX_TAIL_CALL_CNT);
  });

  rule("a tail call to an empty slot or past the end falls through", (c) => {
    const progs = c.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4, max_entries: 1 });
    for (const index of [0, 1, -1]) {
      const text = `
        r2 = map_fd[progs]
        r3 = ${index}
        call bpf_tail_call
        r0 = 77
        exit`;
      const program = c.program({ text, constants: { progs } });
      expect(keysOf(c, program, frame()).retval).toBe(77);
    }
  });

  rule(
    "a prog array whose last fd is closed lets its programs go, itself among them",
    async (c) => {
      const progs = c.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4, max_entries: 1 });
      const text = "r2 = map_fd[progs]\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit";
      const program = c.program({ text, constants: { progs } });
      const id = c.progId(program);
      const element = { key: c.at(u32s(0)), value: c.at(u32s(program)) };
      c.must(bpf.BPF_MAP_UPDATE_ELEM, { map_fd: progs, ...element });
      c.close(program);
      c.close(progs);
      await c.until("the ring is broken", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id));
    },
  );
}

/**
 * Loads of part of a context's field: what the kernel has fewer bytes of than the field, an access
 * as wide as these or wider finds again wherever in the field it is.
 */
const NARROW_LOADS: readonly (readonly [offset: number, size: number, value: number])[] = [
  // pkt_type: a byte, PACKET_MULTICAST.
  ...([4, 5, 6, 7] as const).map((offset) => [offset, 1, 2] as const),
  ...([4, 6] as const).map((offset) => [offset, 2, 2] as const),
  [4, 4, 2],
  // protocol: 2 bytes, 0x88b5 in the order of the network.
  [16, 1, 0x88],
  [17, 1, 0xb5],
  [18, 1, 0],
  [19, 1, 0],
  [16, 2, 0xb588],
  [18, 2, 0xb588],
  [16, 4, 0xb588],
  // len: 4 bytes, without the Ethernet header.
  [0, 1, 46],
  [1, 1, 0],
  [2, 2, 0],
  [0, 4, 46],
  // queue_mapping and the like: nothing.
  [14, 2, 0],
  [26, 2, 0],
  [30, 2, 0],
];

function narrowLoads({ rule }: Rules): void {
  rule("parts of a context's fields are what the kernel has of them", (c) => {
    const sizes: Readonly<Record<number, string>> = { 1: "u8", 2: "u16", 4: "u32" };
    const bytes = frame().fill(0xff, 0, 6);
    for (const [offset, size, value] of NARROW_LOADS) {
      const text = `r0 = *(${sizes[size]} *)(r1 + ${offset})\nexit`;
      const prog_fd = c.program({ type: bpf.BPF_PROG_TYPE_SOCKET_FILTER, text });
      const { attr } = c.answer(bpf.BPF_PROG_TEST_RUN, { prog_fd, ...input(c, bytes) });
      expect(attr.retval, `${size} bytes at ${offset}`).toBe(value);
      c.close(prog_fd);
    }
  });
}

/** struct bpf_sk_lookup as far as a test run takes it. */
const SK_LOOKUP_CONTEXT = {
  cookie: [0, "u64"],
  family: [8, "u32"],
  local_port: [60, "u32"],
  ingress_ifindex: [64, "u32"],
} as const;
const SK_LOOKUP_CONTEXT_SIZE = 72;
const AF_INET = 2;

function skLookup({ ruleOf }: Rules): void {
  ruleOf("skLookupRun", "sk_lookup runs on the context that it is given", (c) => {
    const prog_fd = c.program(SK_LOOKUP_PROGRAM);
    const ran = (fields: Partial<Values<typeof SK_LOOKUP_CONTEXT>>): string => {
      const bytes = encode(SK_LOOKUP_CONTEXT, fields, SK_LOOKUP_CONTEXT_SIZE);
      const { outcome, attr } = c.answer(bpf.BPF_PROG_TEST_RUN, {
        prog_fd,
        ctx_in: c.at(bytes),
        ctx_size_in: bytes.length,
      });
      return outcome === "ok" ? `returns ${attr.retval}` : outcome;
    };
    expect(ran({ family: AF_INET })).toBe("returns 1");
    expect(ran({ family: 0 })).toBe("EAFNOSUPPORT");
    expect(ran({ family: AF_INET, local_port: 65535 })).toBe("returns 1");
    expect(ran({ family: AF_INET, local_port: 70000 })).toBe("ERANGE");
    expect(ran({ family: AF_INET, cookie: 1n })).toBe("EINVAL");
  });
}

function otherTypes({ rule }: Rules): void {
  rule("sk_lookup takes no data and needs a context", (c) => {
    const prog_fd = c.program(SK_LOOKUP_PROGRAM);
    expect(run(c, { prog_fd, ...input(c) })).toBe("EINVAL");
    expect(run(c, { prog_fd })).toBe("EINVAL");
  });
}
