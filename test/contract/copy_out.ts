/**
 * Calls that can't give back what they have found: its place can be read, but not be written to.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import {
  BPF_LINK_INFO_SIZE,
  BPF_MAP_INFO_SIZE,
  BPF_PROG_INFO_SIZE,
  MAP_INFO,
} from "../../src/abi/info.ts";
import { decode } from "../../src/abi/layout.ts";
import { type Case, type Command, type Fields, u32s } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const ROOM = 256;
const FRAME: Uint8Array = new Uint8Array(60);

export const copyOut: Chapter = {
  title: "what can't be copied out",
  rules: (rules) => {
    infos(rules);
    elements(rules);
    others(rules);
  },
};

/** A call whose result goes to an address that can't be written to. */
function refused<C extends Command>(
  c: Case,
  command: C,
  fields: (address: bigint) => Fields<C>,
  bytes: Uint8Array = new Uint8Array(ROOM),
): void {
  const outcome = c.world.withReadOnly(bytes, (address) => c.outcome(command, fields(address)));
  expect(outcome, bpf.COMMAND_NAMES[command]).toBe("EFAULT");
}

function infos({ rule }: Rules): void {
  rule("info of an object is EFAULT", (c) => {
    const program = c.program();
    const objects = [
      [program, BPF_PROG_INFO_SIZE],
      [c.map(), BPF_MAP_INFO_SIZE],
      [c.link(program, c.netns()), BPF_LINK_INFO_SIZE],
    ] as const;
    for (const [bpf_fd, info_len] of objects) {
      refused(c, bpf.BPF_OBJ_GET_INFO_BY_FD, (info) => ({ bpf_fd, info_len, info }));
      refused(c, bpf.BPF_OBJ_GET_INFO_BY_FD, (info) => ({ bpf_fd, info_len: 4, info }));
    }
  });

  rule("info of which nothing is wanted is not", (c) => {
    c.world.withReadOnly(new Uint8Array(ROOM), (info) => {
      const fields = { bpf_fd: c.map(), info_len: 0, info };
      expect(c.outcome(bpf.BPF_OBJ_GET_INFO_BY_FD, fields)).toBe("ok");
    });
  });

  rule("info that can be written to is what it was", (c) => {
    const info = new Uint8Array(BPF_MAP_INFO_SIZE);
    const fields = { bpf_fd: c.map(), info_len: info.length, info: c.at(info) };
    expect(c.outcome(bpf.BPF_OBJ_GET_INFO_BY_FD, fields)).toBe("ok");
    expect(decode(MAP_INFO, info)).toMatchObject({ value_size: 8, max_entries: 4 });
  });
}

function elements({ rule }: Rules): void {
  const types = [
    ["array", bpf.BPF_MAP_TYPE_ARRAY],
    ["hash", bpf.BPF_MAP_TYPE_HASH],
    ["LRU hash", bpf.BPF_MAP_TYPE_LRU_HASH],
    ["per-CPU array", bpf.BPF_MAP_TYPE_PERCPU_ARRAY],
    ["per-CPU hash", bpf.BPF_MAP_TYPE_PERCPU_HASH],
  ] as const;
  for (const [name, map_type] of types) {
    rule(`values and keys of a map (${name}) are EFAULT, and stay where they are`, (c) => {
      const map_fd = c.map({ map_type });
      const key = c.at(u32s(1));
      const value = c.at(new Uint8Array(ROOM).fill(7));
      c.must(bpf.BPF_MAP_UPDATE_ELEM, { map_fd, key, value });
      refused(c, bpf.BPF_MAP_LOOKUP_ELEM, (address) => ({ map_fd, key, value: address }));
      refused(c, bpf.BPF_MAP_GET_NEXT_KEY, (address) => ({ map_fd, next_key: address }));
      const found = { map_fd, key, value: c.at(new Uint8Array(ROOM)) };
      expect(c.outcome(bpf.BPF_MAP_LOOKUP_ELEM, found)).toBe("ok");
    });

    rule(`a batch (${name}) is EFAULT, whichever of its places it is`, (c) => {
      const map_fd = c.map({ map_type });
      const value = c.at(new Uint8Array(ROOM).fill(7));
      c.must(bpf.BPF_MAP_UPDATE_ELEM, { map_fd, key: c.at(u32s(1)), value });
      const room = (): bigint => c.at(new Uint8Array(4 * ROOM));
      const places = { keys: room(), values: room(), out_batch: room() };
      for (const place of ["keys", "values", "out_batch"] as const) {
        refused(c, bpf.BPF_MAP_LOOKUP_BATCH, (address) => ({
          map_fd,
          count: 4,
          ...places,
          [place]: address,
        }));
      }
    });
  }
}

function others({ rule }: Rules): void {
  rule("ids of attached programs are EFAULT", (c) => {
    const netns = c.netns();
    c.link(c.program(), netns);
    refused(c, bpf.BPF_PROG_QUERY, (prog_ids) => ({
      target_fd: netns,
      attach_type: bpf.BPF_FLOW_DISSECTOR,
      prog_cnt: 4,
      prog_ids,
    }));
  });

  rule("a run's packet and context are EFAULT", (c) => {
    const prog_fd = c.program({ type: bpf.BPF_PROG_TYPE_XDP });
    const data_in = c.at(FRAME);
    const run = { prog_fd, data_in, data_size_in: FRAME.length };
    refused(c, bpf.BPF_PROG_TEST_RUN, (data_out) => ({ ...run, data_out, data_size_out: ROOM }));
    const dissector = c.program();
    const fields = { ...run, prog_fd: dissector };
    refused(c, bpf.BPF_PROG_TEST_RUN, (data_out) => ({ ...fields, data_out, data_size_out: ROOM }));
  });

  rule("a program's log is EFAULT", (c) => {
    refused(c, bpf.BPF_PROG_LOAD, (log_buf) => ({
      ...c.programFields(),
      log_level: 1,
      log_size: ROOM,
      log_buf,
    }));
  });
}
