/**
 * BPF_PROG_QUERY: what is attached, and how much of it fits the caller's array.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BAD_POINTER, type Case, CLOSED_FD, type Fields, SK_LOOKUP_PROGRAM } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const UNTOUCHED = 0xeeeeeeee;

function query(c: Case, fields: Fields<typeof bpf.BPF_PROG_QUERY>): string {
  return c.outcome(bpf.BPF_PROG_QUERY, { attach_type: bpf.BPF_FLOW_DISSECTOR, ...fields });
}

export const progQuery: Chapter = {
  title: "PROG_QUERY",
  rules: (rules) => {
    answers(rules);
    order(rules);
  },
};

function answers({ rule }: Rules): void {
  rule("of a namespace with nothing counts 0 and leaves the array alone", (c) => {
    for (const type of [bpf.BPF_FLOW_DISSECTOR, bpf.BPF_SK_LOOKUP]) {
      const answer = c.query(c.netns(), type, 2);
      const ids = [UNTOUCHED, UNTOUCHED];
      expect(answer).toEqual({ outcome: "ok", count: 0, attachFlags: 0, ids });
    }
  });

  rule("gives the id and fills the rest of the array with zeros", (c) => {
    const netns = c.netns();
    const program = c.program();
    c.link(program, netns);
    const ids = [c.progId(program), 0, 0, 0];
    expect(c.query(netns)).toEqual({ outcome: "ok", count: 1, attachFlags: 0, ids });
  });

  rule("can't tell a program attached directly from a link", (c) => {
    const netns = c.netns();
    const program = c.program();
    expect(c.attach(program, netns)).toBe("ok");
    const ids = [c.progId(program), 0];
    const answer = c.query(netns, bpf.BPF_FLOW_DISSECTOR, 2);
    expect(answer).toEqual({ outcome: "ok", count: 1, attachFlags: 0, ids });
  });

  rule("without room or without an array only counts", (c) => {
    const netns = c.netns();
    c.link(c.program(), netns);
    const fields = { target_fd: netns, attach_type: bpf.BPF_FLOW_DISSECTOR };
    for (const room of [{ prog_cnt: 0, prog_ids: BAD_POINTER }, { prog_cnt: 4 }]) {
      const { outcome, attr } = c.answer(bpf.BPF_PROG_QUERY, { ...fields, ...room });
      expect([outcome, attr.prog_cnt]).toEqual(["ok", 1]);
    }
  });

  rule("with too little room gives the first ids, the full count and ENOSPC", (c) => {
    const netns = c.netns();
    const program = c.program(SK_LOOKUP_PROGRAM);
    for (let i = 0; i < 5; i++) c.link(program, netns, bpf.BPF_SK_LOOKUP);
    const id = c.progId(program);
    const answer = c.query(netns, bpf.BPF_SK_LOOKUP, 3);
    expect(answer).toEqual({ outcome: "ENOSPC", count: 5, attachFlags: 0, ids: [id, id, id] });
    expect(c.query(netns, bpf.BPF_SK_LOOKUP, 5).outcome).toBe("ok");
  });

  rule("with a bad array is EFAULT, if there is something to write", (c) => {
    const netns = c.netns();
    const fields = { target_fd: netns, prog_ids: BAD_POINTER, prog_cnt: 4 };
    expect(query(c, fields), "nothing attached").toBe("ok");
    c.link(c.program(), netns);
    expect(query(c, fields)).toBe("EFAULT");
  });

  rule("ignores the fields of other attach types", (c) => {
    const others = {
      prog_attach_flags: BAD_POINTER,
      link_ids: BAD_POINTER,
      link_attach_flags: BAD_POINTER,
      revision: 7n,
    };
    const netns = c.netns();
    c.link(c.program(), netns);
    expect(query(c, { target_fd: netns, ...others })).toBe("ok");
  });

  rule("asks about the target, not about the caller's own namespace", (c) => {
    const [here, there] = [c.netns(), c.netns()];
    c.link(c.program(), here);
    expect(c.inside(here, () => c.query(there).count)).toBe(0);
    expect(c.inside(there, () => c.query(here).count)).toBe(1);
  });
}

function order({ rule }: Rules): void {
  rule("query flags are EINVAL, before the target is looked up", (c) => {
    const netns = c.netns();
    for (const query_flags of [bpf.BPF_F_QUERY_EFFECTIVE, 2, 0x80000000]) {
      expect(query(c, { target_fd: netns, query_flags })).toBe("EINVAL");
      expect(query(c, { target_fd: CLOSED_FD, query_flags })).toBe("EINVAL");
    }
  });

  rule("an unknown attach type is EINVAL, before the target is looked up", (c) => {
    expect(query(c, { target_fd: CLOSED_FD, attach_type: 9999 })).toBe("EINVAL");
    expect(query(c, { target_fd: c.netns(), attach_type: 9999 })).toBe("EINVAL");
  });

  rule("a bad target is EBADF, one that is no network namespace EINVAL", (c) => {
    expect(query(c, { target_fd: CLOSED_FD })).toBe("EBADF");
    expect(query(c, { target_fd: c.open("/dev/null") })).toBe("EINVAL");
  });
}
