/**
 * What a task without any capability may do where kernel.unprivileged_bpf_disabled is 0. What a
 * verifier makes of its programs stands in the verifier's table.
 */

import { expect } from "vitest";
import { BTF_LOAD } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { BPF_PROG_INFO_SIZE, PROG_INFO } from "../../src/abi/info.ts";
import { decode, encode, type Layout, type Values } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { type Case, type Command, type Fields, LAYOUTS, outcomeOf } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const { BPF_PROG_LOAD: LOAD, BPF_MAP_CREATE: CREATE } = bpf;

function result<C extends Command>(kernel: Kernel, command: C, fields: Fields<C>): number {
  const values = fields as Partial<Values<Layout>>;
  return kernel.bpf(command, encode(LAYOUTS[command] as Layout, values));
}

/** bpf(2) by field name; an fd that comes back is closed at once. */
function call<C extends Command>(kernel: Kernel, command: C, fields: Fields<C>): string {
  const made = result(kernel, command, fields);
  if (made > 0) kernel.close(made);
  return outcomeOf(made);
}

/** Runs calls as a task that has copies of the fds and no capability. */
function unprivileged(
  c: Case,
  fds: readonly number[],
  calls: (kernel: Kernel, theirs: readonly number[]) => void,
): void {
  c.world.unprivileged(fds, calls);
}

/** A socket filter, unless fields say otherwise. */
function program(c: Case, text: string, fields: Fields<typeof LOAD> = {}): Fields<typeof LOAD> {
  const insns = assemble(text);
  return {
    ...c.programFields({ type: bpf.BPF_PROG_TYPE_SOCKET_FILTER }),
    insns: c.at(insns),
    insn_cnt: insns.length / 8,
    ...fields,
  };
}

/** Branches in a row. */
const DECISIONS = 8;
const END = "r0 = 0\nexit";

export const unprivilegedChapter: Chapter = {
  title: "a task without capabilities, where it is let in",
  rules: (rules) => {
    programs(rules);
    maps(rules);
    stillNeeded(rules);
  },
};

function programs({ rule }: Rules): void {
  rule("loads socket filters and nothing else", (c) => {
    unprivileged(c, [], (kernel) => {
      expect(call(kernel, LOAD, program(c, END))).toBe("ok");
      for (const prog_type of [2, 3, 5, 6, 22, 30, 999]) {
        expect(call(kernel, LOAD, program(c, END, { prog_type })), `${prog_type}`).toBe("EPERM");
      }
    });
  });

  rule("loads 4096 instructions: E2BIG comes before EPERM and after EINVAL", (c) => {
    const long = (slots: number): string => `${"r0 = 0\n".repeat(slots - 1)}exit`;
    unprivileged(c, [], (kernel) => {
      expect(call(kernel, LOAD, program(c, long(4096)))).toBe("ok");
      expect(call(kernel, LOAD, program(c, long(4097)))).toBe("E2BIG");
      const xdp = { prog_type: bpf.BPF_PROG_TYPE_XDP };
      expect(call(kernel, LOAD, program(c, long(4097), xdp))).toBe("E2BIG");
      expect(call(kernel, LOAD, program(c, long(4097), { prog_flags: 1 << 20 }))).toBe("EINVAL");
    });
  });

  rule("is walked all ways: states that differ in a number nobody uses are not the same", (c) => {
    const bits = Array.from({ length: DECISIONS }, (_, i) => 2 ** i);
    const decide = (bit: number): string => `if r0 & ${bit} goto past${bit}\nr6 += ${bit}`;
    const text = `r6 = 0
      call bpf_get_prandom_u32
      ${bits.map((bit) => `${decide(bit)}\npast${bit}:`).join("\n")}
      ${END}`;
    const walked = (kernel: Kernel): number => {
      const fd = result(kernel, LOAD, program(c, text));
      const bytes = new Uint8Array(BPF_PROG_INFO_SIZE);
      const info = { bpf_fd: fd, info_len: bytes.length, info: c.at(bytes) };
      expect(call(kernel, bpf.BPF_OBJ_GET_INFO_BY_FD, info)).toBe("ok");
      kernel.close(fd);
      return decode(PROG_INFO, bytes).verified_insns;
    };
    expect(walked(c.kernel)).toBeLessThan(2 ** DECISIONS);
    unprivileged(c, [], (kernel) => expect(walked(kernel)).toBeGreaterThan(2 ** DECISIONS));
  });

  rule("runs what it has loaded, and sees no lengths of its code", (c) => {
    const data = { data_in: c.at(new Uint8Array(60)), data_size_in: 60 };
    const bytes = new Uint8Array(BPF_PROG_INFO_SIZE);
    const info = { info_len: bytes.length, info: c.at(bytes) };
    unprivileged(c, [], (kernel) => {
      const fd = result(kernel, LOAD, program(c, END));
      expect(call(kernel, bpf.BPF_PROG_TEST_RUN, { prog_fd: fd, ...data })).toBe("ok");
      expect(call(kernel, bpf.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, ...info })).toBe("ok");
      kernel.close(fd);
    });
    const seen = decode(PROG_INFO, bytes);
    expect([seen.type, seen.xlated_prog_len, seen.jited_prog_len]).toEqual([1, 0, 0]);
  });

  rule("a tail call goes through one map of its own, or through any of others'", (c) => {
    const array = { map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, key_size: 4, value_size: 4 };
    const make = (kernel: Kernel): number => result(kernel, CREATE, { ...array, max_entries: 1 });
    const through = (a: number, b: number): Fields<typeof LOAD> =>
      program(
        c,
        `r6 = r1
        call bpf_get_prandom_u32
        r2 = map_fd[${a}]
        if r0 == 0 goto past
        r2 = map_fd[${b}]
        past:
        r1 = r6
        r3 = 0
        call bpf_tail_call
        ${END}`,
      );
    const roots = [make(c.kernel), make(c.kernel)];
    unprivileged(c, roots, (kernel, [first = -1, second = -1]) => {
      const own = make(kernel);
      expect(call(kernel, LOAD, through(own, own))).toBe("ok");
      expect(call(kernel, LOAD, through(first, second))).toBe("ok");
      expect(call(kernel, LOAD, through(own, first))).toBe("EINVAL");
      expect(call(kernel, LOAD, through(first, own))).toBe("EINVAL");
      kernel.close(own);
    });
    for (const fd of roots) c.kernel.close(fd);
  });
}

function maps({ rule }: Rules): void {
  const plain = { key_size: 4, value_size: 8, max_entries: 4 };
  const { BPF_MAP_TYPE_ARRAY: ARRAY, BPF_MAP_TYPE_HASH: HASH } = bpf;
  const { BPF_MAP_TYPE_LRU_HASH: LRU, BPF_MAP_TYPE_LRU_PERCPU_HASH: PERCPU_LRU } = bpf;

  rule("makes plain arrays and hash maps, but none that forget: EPERM after EINVAL", (c) => {
    unprivileged(c, [], (kernel) => {
      for (const map_type of [
        ARRAY,
        HASH,
        bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
        bpf.BPF_MAP_TYPE_PERCPU_HASH,
      ]) {
        expect(call(kernel, CREATE, { ...plain, map_type }), `${map_type}`).toBe("ok");
      }
      for (const map_type of [LRU, PERCPU_LRU]) {
        expect(call(kernel, CREATE, { ...plain, map_type }), `${map_type}`).toBe("EPERM");
        expect(call(kernel, CREATE, { ...plain, map_type, key_size: 0 })).toBe("EINVAL");
      }
    });
  });

  rule("makes no array of more than 2^31 entries, and no hash map with a seed of 0", (c) => {
    const huge = { ...plain, max_entries: 2 ** 31 + 1 };
    unprivileged(c, [], (kernel) => {
      expect(call(kernel, CREATE, { ...huge, map_type: ARRAY })).toBe("E2BIG");
      const seeded = { ...plain, map_type: HASH, map_flags: bpf.BPF_F_ZERO_SEED };
      expect(call(kernel, CREATE, seeded)).toBe("EPERM");
    });
  });

  rule("reads and writes what it has made, from outside and by a program", (c) => {
    const key = c.at(new Uint8Array(4));
    const value = new Uint8Array(8);
    unprivileged(c, [], (kernel) => {
      const map = result(kernel, CREATE, { ...plain, map_type: ARRAY });
      const text = `*(u32 *)(r10 - 4) = 0
        r1 = map_fd[${map}]
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto past
        *(u64 *)(r0 + 0) = 7
        past:
        ${END}`;
      const prog = result(kernel, LOAD, program(c, text));
      const data = { data_in: c.at(new Uint8Array(60)), data_size_in: 60 };
      expect(call(kernel, bpf.BPF_PROG_TEST_RUN, { prog_fd: prog, ...data })).toBe("ok");
      const element = { map_fd: map, key, value: c.at(value) };
      expect(call(kernel, bpf.BPF_MAP_LOOKUP_ELEM, element)).toBe("ok");
      expect(call(kernel, bpf.BPF_MAP_UPDATE_ELEM, element)).toBe("ok");
      kernel.close(prog);
      kernel.close(map);
    });
    expect([...value]).toEqual([7, 0, 0, 0, 0, 0, 0, 0]);
  });
}

function stillNeeded({ rule }: Rules): void {
  rule("loads no types, and opens nothing by id: EPERM", (c) => {
    unprivileged(c, [], (kernel) => {
      const types = encode(BTF_LOAD, { btf: c.at(new Uint8Array(24)), btf_size: 24 });
      expect(outcomeOf(kernel.bpf(bpf.BPF_BTF_LOAD, types))).toBe("EPERM");
      expect(call(kernel, bpf.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe("EPERM");
      expect(call(kernel, bpf.BPF_MAP_GET_FD_BY_ID, { id: 1 })).toBe("EPERM");
      const attach_type = bpf.BPF_FLOW_DISSECTOR;
      expect(call(kernel, bpf.BPF_PROG_QUERY, { target_fd: 0, attach_type })).toBe("EPERM");
    });
  });
}
