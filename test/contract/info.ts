/**
 * BPF_OBJ_GET_INFO_BY_FD: how much is written, what is checked, and what the fields hold.
 */

import { createHash } from "node:crypto";
import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import {
  BPF_LINK_INFO_SIZE,
  BPF_MAP_INFO_SIZE,
  BPF_PROG_INFO_SIZE,
  PROG_INFO,
} from "../../src/abi/info.ts";
import { decode, encode } from "../../src/abi/layout.ts";
import { assemble } from "../../src/asm/index.ts";
import { BAD_POINTER, type Case, CLOSED_FD, OBJECT_NAME } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const PAGE = 4096;
const UNTOUCHED = 0xee;

function ask(
  c: Case,
  fd: number,
  bytes: Uint8Array,
  length: number = bytes.length,
): { outcome: string; length: number } {
  const fields = { bpf_fd: fd, info_len: length, info: c.at(bytes) };
  const { outcome, attr } = c.answer(bpf.BPF_OBJ_GET_INFO_BY_FD, fields);
  return { outcome, length: attr.info_len };
}

function name(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
}

export const objectInfo: Chapter = {
  title: "OBJ_GET_INFO_BY_FD",
  rules: (rules) => {
    order(rules);
    lengths(rules);
    link(rules);
    program(rules);
    programArrays(rules);
    map(rules);
  },
};

function order({ rule }: Rules): void {
  rule("a closed fd is EBADFD, a file of another kind EINVAL", (c) => {
    const bytes = new Uint8Array(BPF_LINK_INFO_SIZE);
    expect(ask(c, CLOSED_FD, bytes).outcome).toBe("EBADFD");
    expect(ask(c, 0xffffffff, bytes).outcome).toBe("EBADFD");
    expect(ask(c, c.open("/dev/null"), bytes).outcome).toBe("EINVAL");
    expect(ask(c, c.netns(), bytes).outcome).toBe("EINVAL");
  });

  rule("the fd is looked up before the length is checked", (c) => {
    const bytes = new Uint8Array(PAGE + 1);
    expect(ask(c, CLOSED_FD, bytes).outcome).toBe("EBADFD");
    expect(ask(c, c.open("/dev/null"), bytes).outcome).toBe("EINVAL");
  });

  rule("a bad pointer is EFAULT", (c) => {
    for (const [fd, size] of objects(c)) {
      const fields = { bpf_fd: fd, info_len: size, info: BAD_POINTER };
      expect(c.outcome(bpf.BPF_OBJ_GET_INFO_BY_FD, fields)).toBe("EFAULT");
    }
  });
}

function objects(c: Case): readonly (readonly [fd: number, size: number])[] {
  return [
    [c.link(c.program(), c.netns()), BPF_LINK_INFO_SIZE],
    [c.program(), BPF_PROG_INFO_SIZE],
    [c.map(), BPF_MAP_INFO_SIZE],
  ];
}

function lengths({ rule }: Rules): void {
  rule("more than a page is E2BIG", (c) => {
    for (const [fd] of objects(c))
      expect(ask(c, fd, new Uint8Array(PAGE + 1)).outcome).toBe("E2BIG");
  });

  rule("more than the struct is fine if the excess is zero; the length comes back", (c) => {
    for (const [fd, size] of objects(c)) {
      expect(ask(c, fd, new Uint8Array(256))).toEqual({ outcome: "ok", length: size });
      const spoilt = new Uint8Array(256);
      spoilt[255] = 1;
      expect(ask(c, fd, spoilt)).toEqual({ outcome: "E2BIG", length: 256 });
      expect(ask(c, fd, new Uint8Array(PAGE))).toEqual({ outcome: "ok", length: size });
    }
  });

  rule("a short length truncates, down to nothing", (c) => {
    for (const [fd] of objects(c)) {
      const whole = c.info(fd, 8);
      const bytes = new Uint8Array(8);
      expect(ask(c, fd, bytes, 4)).toEqual({ outcome: "ok", length: 4 });
      expect([...bytes]).toEqual([...whole.subarray(0, 4), 0, 0, 0, 0]);
      expect(ask(c, fd, bytes.fill(0), 0)).toEqual({ outcome: "ok", length: 0 });
      expect([...bytes]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    }
  });

  rule("the pad at the end of a program's info has to be zero", (c) => {
    const bytes = new Uint8Array(BPF_PROG_INFO_SIZE);
    bytes[BPF_PROG_INFO_SIZE - 1] = 1;
    expect(ask(c, c.program(), bytes).outcome).toBe("E2BIG");
  });
}

function link({ rule }: Rules): void {
  rule("a link's fields lie where Linux has them; the other bytes come back as they were", (c) => {
    const netns = c.netns();
    const program = c.program();
    const fd = c.link(program, netns);
    const bytes = new Uint8Array(BPF_LINK_INFO_SIZE).fill(UNTOUCHED);
    expect(ask(c, fd, bytes)).toEqual({ outcome: "ok", length: BPF_LINK_INFO_SIZE });
    const words = new Uint32Array(bytes.buffer);
    expect([...words.subarray(0, 6)]).toEqual([
      5,
      c.linkId(fd),
      c.progId(program),
      0xeeeeeeee,
      c.kernel.netns.inode(netns),
      17,
    ]);
    expect(bytes.subarray(24).every((byte) => byte === UNTOUCHED)).toBe(true);
  });
}

function program({ rule }: Rules): void {
  rule("a program's type, name, tag and counts", (c) => {
    const text = "r0 = 129\nexit";
    const before = c.progInfo(c.program());
    const info = c.progInfo(c.program({ text }));
    expect(info.type).toBe(bpf.BPF_PROG_TYPE_FLOW_DISSECTOR);
    expect(info.id).toBeGreaterThan(before.id);
    expect(info.name).toEqual(name(OBJECT_NAME));
    expect(info.xlated_prog_len).toBe(16);
    expect([info.nr_map_ids, info.ifindex, info.btf_id]).toEqual([0, 0, 0]);
    expect([info.nr_jited_ksyms, info.nr_prog_tags]).toEqual([1, 1]);
    expect([info.nr_func_info, info.nr_line_info, info.nr_jited_line_info]).toEqual([0, 0, 0]);
    expect([info.func_info_rec_size, info.line_info_rec_size]).toEqual([8, 16]);
    expect(info.jited_line_info_rec_size).toBe(8);
    expect(info.created_by_uid).toBe(0);
    expect([info.run_time_ns, info.run_cnt, info.recursion_misses]).toEqual([0n, 0n, 0n]);
    expect(info.verified_insns).toBe(2);
    expect(info.load_time).toBeGreaterThanOrEqual(before.load_time);
    expect([info.attach_btf_obj_id, info.attach_btf_id]).toEqual([0, 0]);
  });

  rule("the tag is the beginning of the SHA-256 of the instructions", (c) => {
    const text = "r0 = 129\nexit";
    const digest = createHash("sha256").update(assemble(text)).digest();
    const { tag } = c.progInfo(c.program({ text }));
    expect(Buffer.from(tag).toString("hex")).toBe(digest.subarray(0, 8).toString("hex"));
    expect(Buffer.from(tag).toString("hex")).toBe("aa6b1ed072f93130");
  });

  rule("the tag doesn't depend on the number of a map's fd", (c) => {
    const text = "r1 = map_fd[m]\nr0 = 0\nexit";
    const tags = [c.map(), c.map()].map((m) => {
      const { tag } = c.progInfo(c.program({ text, constants: { m } }));
      return Buffer.from(tag).toString("hex");
    });
    expect(tags[0]).toBe(tags[1]);
  });

  rule("gpl_compatible says whether the license is", (c) => {
    for (const [license, gpl] of [
      ["GPL", 1],
      ["GPL v2", 1],
      ["Dual MIT/GPL", 1],
      ["Dual BSD/GPL", 1],
      ["Apache-2.0", 0],
      ["", 0],
    ] as const) {
      const { gpl_compatible } = c.progInfo(c.program({ license }));
      expect(gpl_compatible & 1, license).toBe(gpl);
    }
  });
}

function programArrays({ rule }: Rules): void {
  const withMap = (c: Case, m: number): number =>
    c.program({ text: "r1 = map_fd[m]\nr1 = map_fd[m]\nr0 = 0\nexit", constants: { m } });

  rule("the ids of its maps are counted, and copied as far as there is room", (c) => {
    const map = c.map();
    const fd = withMap(c, map);
    const ids = new Uint32Array(2).fill(7);
    const fields = { nr_map_ids: 2, map_ids: c.at(new Uint8Array(ids.buffer)) };
    const bytes = encode(PROG_INFO, fields, BPF_PROG_INFO_SIZE);
    expect(ask(c, fd, bytes).outcome).toBe("ok");
    expect(decode(PROG_INFO, bytes).nr_map_ids).toBe(1);
    expect([...ids]).toEqual([c.mapInfo(map).id, 7]);
    const room = encode(PROG_INFO, {}, BPF_PROG_INFO_SIZE);
    expect(ask(c, fd, room).outcome).toBe("ok");
    expect(decode(PROG_INFO, room).nr_map_ids, "no room").toBe(1);
  });

  rule("a bad pointer to map ids is EFAULT", (c) => {
    const fd = withMap(c, c.map());
    const bytes = encode(PROG_INFO, { nr_map_ids: 2, map_ids: BAD_POINTER }, BPF_PROG_INFO_SIZE);
    expect(ask(c, fd, bytes).outcome).toBe("EFAULT");
  });

  rule("the instructions come back, as many as fit", (c) => {
    const fd = c.program({ text: "r0 = 129\nexit" });
    const insns = new Uint8Array(16).fill(UNTOUCHED);
    const fields = { xlated_prog_len: 16, xlated_prog_insns: c.at(insns) };
    expect(ask(c, fd, encode(PROG_INFO, fields, BPF_PROG_INFO_SIZE)).outcome).toBe("ok");
    expect(Buffer.from(insns).toString("hex")).toBe("b7000000810000009500000000000000");
    const short = new Uint8Array(16).fill(UNTOUCHED);
    const half = { xlated_prog_len: 8, xlated_prog_insns: c.at(short) };
    const bytes = encode(PROG_INFO, half, BPF_PROG_INFO_SIZE);
    expect(ask(c, fd, bytes).outcome).toBe("ok");
    expect(decode(PROG_INFO, bytes).xlated_prog_len).toBe(16);
    expect(Buffer.from(short).toString("hex")).toBe("b700000081000000eeeeeeeeeeeeeeee");
  });

  rule("a program's tags come back, one a function", (c) => {
    const fd = c.program();
    const tag = new Uint8Array(8);
    const fields = { nr_prog_tags: 1, prog_tags: c.at(tag) };
    expect(ask(c, fd, encode(PROG_INFO, fields, BPF_PROG_INFO_SIZE)).outcome).toBe("ok");
    expect(tag).toEqual(c.progInfo(fd).tag);
  });

  rule("record sizes have to be exact when records are asked for", (c) => {
    const fd = c.program();
    const outcome = (fields: Parameters<typeof encode<typeof PROG_INFO>>[1]): string =>
      ask(c, fd, encode(PROG_INFO, fields, BPF_PROG_INFO_SIZE)).outcome;
    expect(outcome({ nr_func_info: 1, func_info_rec_size: 4 })).toBe("EINVAL");
    expect(outcome({ nr_func_info: 1, func_info_rec_size: 8 })).toBe("ok");
    expect(outcome({ nr_line_info: 1, line_info_rec_size: 4 })).toBe("EINVAL");
    expect(outcome({ nr_jited_line_info: 1, jited_line_info_rec_size: 4 })).toBe("EINVAL");
    expect(outcome({ func_info_rec_size: 4 })).toBe("EINVAL");
  });
}

function map({ rule }: Rules): void {
  rule("a map's info is what it was created with", (c) => {
    const info = c.mapInfo(c.map({ map_type: bpf.BPF_MAP_TYPE_HASH, key_size: 12, map_flags: 1 }));
    expect(info).toEqual({
      type: bpf.BPF_MAP_TYPE_HASH,
      id: expect.any(Number),
      key_size: 12,
      value_size: 8,
      max_entries: 4,
      map_flags: 1,
      name: name(OBJECT_NAME),
      ifindex: 0,
      btf_vmlinux_value_type_id: 0,
      netns_dev: 0n,
      netns_ino: 0n,
      btf_id: 0,
      btf_key_type_id: 0,
      btf_value_type_id: 0,
      btf_vmlinux_id: 0,
      map_extra: 0n,
      hash: 0n,
      hash_size: 0,
    });
  });
}
