/**
 * BPF_PROG_ATTACH and BPF_PROG_DETACH: a flow dissector without a link.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, CLOSED_FD, type Fields, SK_LOOKUP_PROGRAM, SOCKET_FILTER } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

type AttachFields = Fields<typeof bpf.BPF_PROG_ATTACH>;

const attachWith = (c: Case, netns: number, fields: AttachFields): string =>
  c.directly(bpf.BPF_PROG_ATTACH, netns, fields);
const detachWith = (c: Case, netns: number, fields: AttachFields): string =>
  c.directly(bpf.BPF_PROG_DETACH, netns, fields);

export const progAttach: Chapter = {
  title: "PROG_ATTACH and PROG_DETACH",
  rules: (rules) => {
    attaching(rules);
    attachOrder(rules);
    detaching(rules);
    withLinks(rules);
    holding(rules);
  },
};

function attaching({ rule }: Rules): void {
  rule("attach goes to the namespace that the caller is in", (c) => {
    const [here, there] = [c.netns(), c.netns()];
    const program = c.program();
    expect(c.attach(program, here)).toBe("ok");
    expect(c.attached(here)).toEqual([c.progId(program)]);
    expect(c.attached(there)).toEqual([]);
  });

  rule("attach of another program replaces; of the same one it is EINVAL", (c) => {
    const netns = c.netns();
    const [first, second] = [c.program(), c.program()];
    expect(c.attach(first, netns)).toBe("ok");
    expect(c.attach(first, netns)).toBe("EINVAL");
    expect(c.attach(second, netns)).toBe("ok");
    expect(c.attached(netns)).toEqual([c.progId(second)]);
  });

  rule("sk_lookup can't be attached or detached directly", (c) => {
    const fields = {
      attach_bpf_fd: c.program(SK_LOOKUP_PROGRAM),
      attach_type: bpf.BPF_SK_LOOKUP,
    };
    const netns = c.netns();
    expect(attachWith(c, netns, fields)).toBe("EINVAL");
    expect(detachWith(c, netns, fields)).toBe("EINVAL");
  });

  rule("the same program may be attached in many namespaces", (c) => {
    const program = c.program();
    for (const netns of [c.netns(), c.netns()]) expect(c.attach(program, netns)).toBe("ok");
  });
}

function attachOrder({ rule }: Rules): void {
  rule("an unknown attach type is EINVAL, before the program is looked up", (c) => {
    const fields = { attach_bpf_fd: CLOSED_FD, attach_type: 9999 };
    expect(attachWith(c, c.netns(), fields)).toBe("EINVAL");
  });

  rule("flags that nobody knows are EINVAL, before the program is looked up", (c) => {
    const netns = c.netns();
    for (const attach_flags of [8, 16, 32, 0x80, 0x100, 0x2000, 0x80000000]) {
      expect(attachWith(c, netns, { attach_bpf_fd: CLOSED_FD, attach_flags })).toBe("EINVAL");
      expect(attachWith(c, netns, { attach_bpf_fd: c.program(), attach_flags })).toBe("EINVAL");
    }
  });

  rule("flags of other types are EINVAL, after the program is looked up", (c) => {
    const netns = c.netns();
    for (const attach_flags of [
      bpf.BPF_F_ALLOW_OVERRIDE,
      bpf.BPF_F_ALLOW_MULTI,
      bpf.BPF_F_PREORDER,
    ]) {
      expect(attachWith(c, netns, { attach_bpf_fd: CLOSED_FD, attach_flags })).toBe("EBADF");
      expect(attachWith(c, netns, { attach_bpf_fd: c.program(), attach_flags })).toBe("EINVAL");
    }
    const replace = { attach_flags: bpf.BPF_F_REPLACE };
    expect(attachWith(c, netns, { attach_bpf_fd: c.program(), ...replace })).toBe("EINVAL");
  });

  rule("relative_fd and expected_revision are EINVAL, before the program is looked up", (c) => {
    const netns = c.netns();
    for (const field of [{ relative_fd: 1 }, { expected_revision: 1n }]) {
      expect(attachWith(c, netns, { attach_bpf_fd: CLOSED_FD, ...field })).toBe("EINVAL");
    }
  });

  rule("target_fd and replace_bpf_fd are EINVAL, after the program is looked up", (c) => {
    const netns = c.netns();
    for (const field of [{ target_fd: netns }, { replace_bpf_fd: 1 }]) {
      expect(attachWith(c, netns, { attach_bpf_fd: CLOSED_FD, ...field })).toBe("EBADF");
      expect(attachWith(c, netns, { attach_bpf_fd: c.program(), ...field })).toBe("EINVAL");
    }
    expect(c.attached(netns)).toEqual([]);
  });

  rule("a program of another type is EINVAL", (c) => {
    const netns = c.netns();
    for (const options of [SOCKET_FILTER, SK_LOOKUP_PROGRAM]) {
      expect(c.attach(c.program(options), netns)).toBe("EINVAL");
    }
  });
}

function detaching({ rule }: Rules): void {
  rule("detach takes off the program that is named, and no other", (c) => {
    const netns = c.netns();
    const [program, other] = [c.program(), c.program()];
    expect(c.detach(program, netns), "nothing attached").toBe("ENOENT");
    expect(c.attach(program, netns)).toBe("ok");
    expect(c.detach(other, netns), "another program").toBe("ENOENT");
    expect(c.detach(program, netns)).toBe("ok");
    expect(c.attached(netns)).toEqual([]);
    expect(c.detach(program, netns), "again").toBe("ENOENT");
  });

  rule("detach looks its program up: fd 0 is fd 0", (c) => {
    const netns = c.netns();
    expect(c.attach(c.program(), netns)).toBe("ok");
    expect(c.detach(0, netns)).toBe("EINVAL");
    expect(c.detach(CLOSED_FD, netns)).toBe("EBADF");
    expect(c.detach(c.program(SOCKET_FILTER), netns)).toBe("EINVAL");
  });

  rule("detach with flags, target, relative_fd or revision is EINVAL", (c) => {
    const netns = c.netns();
    const program = c.program();
    expect(c.attach(program, netns)).toBe("ok");
    for (const field of [
      { attach_flags: 1 },
      { target_fd: netns },
      { relative_fd: 1 },
      { expected_revision: 1n },
    ]) {
      expect(detachWith(c, netns, { attach_bpf_fd: program, ...field })).toBe("EINVAL");
      expect(detachWith(c, netns, { attach_bpf_fd: CLOSED_FD, ...field })).toBe("EINVAL");
    }
    expect(c.attached(netns)).toEqual([c.progId(program)]);
  });

  rule("detach ignores replace_bpf_fd", (c) => {
    const netns = c.netns();
    const program = c.program();
    expect(c.attach(program, netns)).toBe("ok");
    const fields = { attach_bpf_fd: program, replace_bpf_fd: CLOSED_FD };
    expect(detachWith(c, netns, fields)).toBe("ok");
  });

  rule("detach with an unknown attach type is EINVAL", (c) => {
    const fields = { attach_bpf_fd: c.program(), attach_type: 9999 };
    expect(detachWith(c, c.netns(), fields)).toBe("EINVAL");
  });
}

function withLinks({ rule }: Rules): void {
  rule("with a link there, attach is EEXIST and detach EINVAL", (c) => {
    const netns = c.netns();
    const [linked, other] = [c.program(), c.program()];
    c.link(linked, netns);
    expect(c.attach(other, netns)).toBe("EEXIST");
    expect(c.attach(linked, netns)).toBe("EEXIST");
    expect(c.detach(other, netns)).toBe("EINVAL");
    expect(c.detach(linked, netns)).toBe("EINVAL");
    expect(c.attached(netns)).toEqual([c.progId(linked)]);
  });
}

function holding({ rule }: Rules): void {
  rule("the namespace holds its program, and lets it go when another takes its place", (c) => {
    const netns = c.netns();
    const [first, second] = [c.program(), c.program()];
    const id = c.progId(first);
    expect(c.attach(first, netns)).toBe("ok");
    c.close(first);
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id)).toBe(true);
    expect(c.attach(second, netns)).toBe("ok");
    expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id)).toBe(false);
  });

  rule("a program attached directly goes with its namespace", async (c) => {
    const netns = c.netns();
    const program = c.program();
    const id = c.progId(program);
    expect(c.attach(program, netns)).toBe("ok");
    c.close(program);
    c.close(netns);
    await c.until("the program goes", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id));
  });
}
