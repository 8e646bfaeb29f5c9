/**
 * BPF_LINK_UPDATE: the order of its checks, and the swap.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, CLOSED_FD, type Fields, SK_LOOKUP_PROGRAM, SOCKET_FILTER } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const REPLACE = bpf.BPF_F_REPLACE;

function update(c: Case, fields: Fields<typeof bpf.BPF_LINK_UPDATE>): string {
  return c.outcome(bpf.BPF_LINK_UPDATE, fields);
}

export const linkUpdate: Chapter = {
  title: "LINK_UPDATE",
  rules: (rules) => {
    swap(rules);
    order(rules);
    dead(rules);
  },
};

function swap({ rule }: Rules): void {
  rule("swaps the program in place; id and namespace stay", (c) => {
    const netns = c.netns();
    const [first, second] = [c.program(), c.program()];
    const link = c.link(first, netns);
    const before = c.linkInfo(link);
    expect(update(c, { link_fd: link, new_prog_fd: second })).toBe("ok");
    expect(c.linkInfo(link)).toEqual({ ...before, prog_id: c.progId(second) });
    expect(c.attached(netns)).toEqual([c.progId(second)]);
  });

  rule("to the program it has already is a success", (c) => {
    const program = c.program();
    const link = c.link(program, c.netns());
    expect(update(c, { link_fd: link, new_prog_fd: program })).toBe("ok");
    const compared = { flags: REPLACE, old_prog_fd: program };
    expect(update(c, { link_fd: link, new_prog_fd: program, ...compared })).toBe("ok");
  });

  rule("compares and swaps with BPF_F_REPLACE; a mismatch is EPERM and changes nothing", (c) => {
    const [first, second] = [c.program(), c.program()];
    const netns = c.netns();
    const link = c.link(first, netns);
    const swapTo = (next: number, old: number): string =>
      update(c, { link_fd: link, new_prog_fd: next, flags: REPLACE, old_prog_fd: old });
    expect(swapTo(second, second)).toBe("EPERM");
    expect(c.attached(netns)).toEqual([c.progId(first)]);
    expect(swapTo(second, first)).toBe("ok");
    expect(c.attached(netns)).toEqual([c.progId(second)]);
  });

  rule("drops the old program at once and holds the new one", async (c) => {
    const [first, second] = [c.program(), c.program()];
    const ids = [c.progId(first), c.progId(second)] as const;
    const link = c.link(first, c.netns());
    c.close(first);
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, ids[0]), "held by the link").toBe(true);
    expect(update(c, { link_fd: link, new_prog_fd: second })).toBe("ok");
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, ids[0]), "dropped").toBe(false);
    c.close(second);
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, ids[1]), "held by the link").toBe(true);
  });

  rule("an sk_lookup link keeps its position", (c) => {
    const netns = c.netns();
    const programs = [1, 2, 3].map(() => c.program(SK_LOOKUP_PROGRAM));
    const [a = CLOSED_FD, b = CLOSED_FD, other = CLOSED_FD] = programs;
    const link = c.link(a, netns, bpf.BPF_SK_LOOKUP);
    c.link(b, netns, bpf.BPF_SK_LOOKUP);
    expect(update(c, { link_fd: link, new_prog_fd: other })).toBe("ok");
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toEqual([c.progId(other), c.progId(b)]);
  });

  rule("the program's expected_attach_type is not compared", (c) => {
    const link = c.link(c.program(), c.netns());
    const odd = c.program({ expectedAttachType: bpf.BPF_SK_LOOKUP });
    expect(update(c, { link_fd: link, new_prog_fd: odd })).toBe("ok");
  });
}

function order({ rule }: Rules): void {
  rule("flags other than BPF_F_REPLACE are EINVAL, before any fd is looked up", (c) => {
    const link = c.link(c.program(), c.netns());
    for (const flags of [1, 2, 8, REPLACE | 1, 0x80000000]) {
      expect(update(c, { link_fd: link, new_prog_fd: c.program(), flags })).toBe("EINVAL");
      expect(update(c, { link_fd: CLOSED_FD, flags })).toBe("EINVAL");
    }
  });

  rule("link_fd is looked up before new_prog_fd", (c) => {
    expect(update(c, { link_fd: CLOSED_FD, new_prog_fd: c.map() })).toBe("EBADF");
    expect(update(c, { link_fd: c.program(), new_prog_fd: CLOSED_FD })).toBe("EINVAL");
  });

  rule("new_prog_fd is looked up before old_prog_fd", (c) => {
    const link = c.link(c.program(), c.netns());
    const old = { flags: REPLACE, old_prog_fd: c.map() };
    expect(update(c, { link_fd: link, new_prog_fd: CLOSED_FD, ...old })).toBe("EBADF");
    const stray = { old_prog_fd: 1 };
    expect(update(c, { link_fd: link, new_prog_fd: CLOSED_FD, ...stray })).toBe("EBADF");
  });

  rule("old_prog_fd without BPF_F_REPLACE is EINVAL", (c) => {
    const program = c.program();
    const link = c.link(program, c.netns());
    const stray = { old_prog_fd: program };
    expect(update(c, { link_fd: link, new_prog_fd: program, ...stray })).toBe("EINVAL");
  });

  rule("with BPF_F_REPLACE, old_prog_fd 0 is fd 0 and not 'none'", (c) => {
    const program = c.program();
    const link = c.link(program, c.netns());
    expect(update(c, { link_fd: link, new_prog_fd: program, flags: REPLACE })).toBe("EINVAL");
  });

  rule("a program of another type is EINVAL", (c) => {
    const link = c.link(c.program(), c.netns());
    for (const options of [SOCKET_FILTER, SK_LOOKUP_PROGRAM]) {
      expect(update(c, { link_fd: link, new_prog_fd: c.program(options) })).toBe("EINVAL");
    }
  });

  rule("EPERM for a mismatch wins over EINVAL for the type", (c) => {
    const link = c.link(c.program(), c.netns());
    const [wrongType, other] = [c.program(SOCKET_FILTER), c.program()];
    const compared = { flags: REPLACE, old_prog_fd: other };
    expect(update(c, { link_fd: link, new_prog_fd: wrongType, ...compared })).toBe("EPERM");
    const foreign = { flags: REPLACE, old_prog_fd: wrongType };
    expect(update(c, { link_fd: link, new_prog_fd: other, ...foreign })).toBe("EPERM");
  });
}

function dead({ rule }: Rules): void {
  rule("is ENOLINK from the last put of the namespace on, and for good", async (c) => {
    const program = c.program();
    const netns = c.netns();
    const link = c.link(program, netns);
    c.close(netns);
    expect(update(c, { link_fd: link, new_prog_fd: c.program() }), "at once").toBe("ENOLINK");
    await c.cleanedUp();
    expect(update(c, { link_fd: link, new_prog_fd: c.program() }), "later").toBe("ENOLINK");
    expect(update(c, { link_fd: link, new_prog_fd: program }), "same program").toBe("ENOLINK");
  });

  rule("of a dead link is EPERM and EINVAL before it is ENOLINK", (c) => {
    const program = c.program();
    const netns = c.netns();
    const link = c.link(program, netns);
    c.close(netns);
    const mismatch = { flags: REPLACE, old_prog_fd: c.program() };
    expect(update(c, { link_fd: link, new_prog_fd: program, ...mismatch })).toBe("EPERM");
    expect(update(c, { link_fd: link, new_prog_fd: c.program(SOCKET_FILTER) })).toBe("EINVAL");
    const match = { flags: REPLACE, old_prog_fd: program };
    expect(update(c, { link_fd: link, new_prog_fd: c.program(), ...match })).toBe("ENOLINK");
  });

  rule("after LINK_DETACH is ENOLINK", (c) => {
    const link = c.link(c.program(), c.netns());
    c.must(bpf.BPF_LINK_DETACH, { link_fd: link });
    expect(update(c, { link_fd: link, new_prog_fd: c.program() })).toBe("ENOLINK");
  });
}
