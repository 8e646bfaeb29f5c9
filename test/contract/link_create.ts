/**
 * BPF_LINK_CREATE on network namespaces: the order of its checks, and what a failure leaves.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { O_PATH } from "../../src/kernel/file.ts";
import { CLOSED_FD, outcomeOf, SK_LOOKUP_PROGRAM, SOCKET_FILTER } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

/** Links that one namespace may have of a kind. */
const MAX_SK_LOOKUP_LINKS = 64;
/** How often something is tried that another process may disturb. */
const ATTEMPTS = 20;

export const linkCreate: Chapter = {
  title: "LINK_CREATE",
  rules: (rules) => {
    order(rules);
    occupied(rules);
    ids(rules);
    skLookup(rules);
  },
};

function order({ rule }: Rules): void {
  rule("prog_fd is looked up before the attach type is compared", (c) => {
    expect(c.linking(CLOSED_FD, c.netns(), 9999)).toBe("EBADF");
    expect(c.linking(c.map(), c.netns(), 9999)).toBe("EINVAL");
  });

  rule("the attach type must fit the program", (c) => {
    const flow = c.program();
    const netns = c.netns();
    expect(c.linking(flow, netns, 9999), "unknown").toBe("EINVAL");
    expect(c.linking(flow, netns, bpf.MAX_BPF_ATTACH_TYPE), "first unknown").toBe("EINVAL");
    expect(c.linking(flow, netns, bpf.BPF_SK_LOOKUP)).toBe("EINVAL");
    expect(c.linking(flow, netns, bpf.BPF_CGROUP_INET_INGRESS)).toBe("EINVAL");
    expect(c.linking(c.program(SK_LOOKUP_PROGRAM), netns)).toBe("EINVAL");
    expect(c.linking(c.program(SOCKET_FILTER), netns)).toBe("EINVAL");
    expect(c.attached(netns)).toEqual([]);
  });

  rule("the attach type is compared before the target is looked at", (c) => {
    expect(c.linking(c.program(), CLOSED_FD, bpf.BPF_SK_LOOKUP)).toBe("EINVAL");
  });

  rule("any flag is EINVAL, before the target is looked at", (c) => {
    const fields = { prog_fd: c.program(), attach_type: bpf.BPF_FLOW_DISSECTOR };
    const netns = c.netns();
    for (const flags of [1, bpf.BPF_F_REPLACE, 0x80000000]) {
      expect(c.outcome(bpf.BPF_LINK_CREATE, { ...fields, target_fd: netns, flags })).toBe("EINVAL");
    }
    const closed = { ...fields, target_fd: CLOSED_FD, flags: 1 };
    expect(c.outcome(bpf.BPF_LINK_CREATE, closed)).toBe("EINVAL");
  });

  rule("an O_PATH fd of a namespace is not one to attach to", (c) => {
    expect(c.linking(c.program(), c.open("/proc/self/ns/net", O_PATH))).toBe("EBADF");
  });

  rule("a link that is created is attached, and its fd says what it is", (c) => {
    const program = c.program();
    const netns = c.netns();
    const link = c.link(program, netns);
    expect(c.linkInfo(link)).toEqual({
      type: bpf.BPF_LINK_TYPE_NETNS,
      id: expect.any(Number),
      prog_id: c.progId(program),
      netns_ino: c.kernel.netns.inode(netns),
      attach_type: bpf.BPF_FLOW_DISSECTOR,
    });
    expect(c.attached(netns)).toEqual([c.progId(program)]);
  });

  rule("bytes 16 to 59 are accepted and ignored, byte 60 is not", (c) => {
    for (const [at, wanted] of [
      [16, "ok"],
      [37, "ok"],
      [59, "ok"],
      [60, "EINVAL"],
    ] as const) {
      const fields = {
        prog_fd: c.program(),
        target_fd: c.netns(),
        attach_type: bpf.BPF_FLOW_DISSECTOR,
      };
      const attr = c.attr(bpf.BPF_LINK_CREATE, fields, 64);
      attr[at] = 123;
      expect(outcomeOf(c.raw(bpf.BPF_LINK_CREATE, attr)), `byte ${at}`).toBe(wanted);
    }
  });

  rule("the caller's own namespace has no say: the target's does", (c) => {
    const [here, there] = [c.netns(), c.netns()];
    c.inside(here, () => c.link(c.program(), there));
    expect(c.attached(here)).toEqual([]);
    expect(c.attached(there)).toHaveLength(1);
  });
}

function occupied({ rule }: Rules): void {
  rule("a namespace takes one flow dissector link: the next is E2BIG", (c) => {
    const program = c.program();
    const netns = c.netns();
    c.link(program, netns);
    expect(c.linking(program, netns), "same program").toBe("E2BIG");
    expect(c.linking(c.program(), netns), "another program").toBe("E2BIG");
    expect(c.attached(netns)).toEqual([c.progId(program)]);
  });

  rule("the same program may be linked to many namespaces", (c) => {
    const program = c.program();
    const namespaces = [c.netns(), c.netns(), c.netns()];
    for (const netns of namespaces) c.link(program, netns);
    for (const netns of namespaces) expect(c.attached(netns)).toEqual([c.progId(program)]);
  });

  rule("a program attached directly is in the way: EEXIST, the same program too", (c) => {
    const program = c.program();
    const netns = c.netns();
    expect(c.attach(program, netns)).toBe("ok");
    expect(c.linking(c.program(), netns)).toBe("EEXIST");
    expect(c.linking(program, netns)).toBe("EEXIST");
    expect(c.detach(program, netns)).toBe("ok");
    expect(c.linking(program, netns)).toBe("ok");
  });

  rule("a refused link leaves no fd, no link and no reference to the program", async (c) => {
    const netns = c.netns();
    c.link(c.program(), netns);
    const refused = c.program();
    const id = c.progId(refused);
    const next = c.map();
    c.close(next);
    expect(c.linking(refused, netns)).toBe("E2BIG");
    expect(c.map()).toBe(next);
    c.close(refused);
    await c.until("the refused program goes", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id));
  });
}

function ids({ rule }: Rules): void {
  rule("a refused link burns an id", (c) => {
    // Links of other processes take ids too, so the exact distance needs a quiet moment.
    const distances: number[] = [];
    for (let i = 0; i < ATTEMPTS && distances.at(-1) !== 2; i++) {
      const netns = c.netns();
      const first = c.link(c.program(), netns);
      const before = c.linkId(first);
      expect(c.linking(c.program(), netns)).toBe("E2BIG");
      c.close(first);
      distances.push(c.linkId(c.link(c.program(), netns)) - before);
    }
    expect(Math.min(...distances)).toBe(2);
  });

  rule("a refusal before the link is primed burns none", (c) => {
    const distances: number[] = [];
    for (let i = 0; i < ATTEMPTS && distances.at(-1) !== 1; i++) {
      const program = c.program();
      const before = c.linkId(c.link(program, c.netns()));
      expect(c.linking(program, c.map())).toBe("EINVAL");
      expect(c.linking(program, CLOSED_FD)).toBe("EBADF");
      distances.push(c.linkId(c.link(program, c.netns())) - before);
    }
    expect(Math.min(...distances)).toBe(1);
  });

  rule("an id that was given back is not the next to be given out", (c) => {
    const netns = c.netns();
    const first = c.link(c.program(), netns);
    const id = c.linkId(first);
    c.close(first);
    expect(c.linkId(c.link(c.program(), netns))).toBeGreaterThan(id);
  });
}

function skLookup({ rule }: Rules): void {
  rule("sk_lookup takes 64 links, the same program many times; the next is E2BIG", (c) => {
    const program = c.program(SK_LOOKUP_PROGRAM);
    const netns = c.netns();
    for (let i = 0; i < MAX_SK_LOOKUP_LINKS; i++) c.link(program, netns, bpf.BPF_SK_LOOKUP);
    expect(c.linking(program, netns, bpf.BPF_SK_LOOKUP)).toBe("E2BIG");
    expect(c.query(netns, bpf.BPF_SK_LOOKUP, 64).count).toBe(MAX_SK_LOOKUP_LINKS);
  });

  rule("sk_lookup links keep their order: gaps close, new ones go to the end", (c) => {
    const netns = c.netns();
    const programs = [1, 2, 3, 4].map(() => c.program(SK_LOOKUP_PROGRAM));
    const ids = programs.map((fd) => c.progId(fd));
    const links = programs.slice(0, 3).map((fd) => c.link(fd, netns, bpf.BPF_SK_LOOKUP));
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toEqual(ids.slice(0, 3));
    c.must(bpf.BPF_LINK_DETACH, { link_fd: at(links, 1) });
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toEqual([ids[0], ids[2]]);
    c.link(at(programs, 3), netns, bpf.BPF_SK_LOOKUP);
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toEqual([ids[0], ids[2], ids[3]]);
    c.close(at(links, 0));
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toEqual([ids[2], ids[3]]);
  });

  rule("sk_lookup and the flow dissector don't see each other", (c) => {
    const netns = c.netns();
    const lookup = c.link(c.program(SK_LOOKUP_PROGRAM), netns, bpf.BPF_SK_LOOKUP);
    expect(c.attached(netns)).toEqual([]);
    c.link(c.program(), netns);
    expect(c.attached(netns)).toHaveLength(1);
    expect(c.attached(netns, bpf.BPF_SK_LOOKUP)).toHaveLength(1);
    expect(c.linkInfo(lookup).attach_type).toBe(bpf.BPF_SK_LOOKUP);
  });
}

function at(fds: readonly number[], index: number): number {
  return fds[index] ?? CLOSED_FD;
}
