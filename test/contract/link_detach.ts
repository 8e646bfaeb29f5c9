/**
 * BPF_LINK_DETACH: a link lets go of its namespace and lives on.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, CLOSED_FD } from "./case.ts";
import type { Chapter } from "./rules.ts";

function detach(c: Case, link: number): string {
  return c.outcome(bpf.BPF_LINK_DETACH, { link_fd: link });
}

export const linkDetach: Chapter = {
  title: "LINK_DETACH",
  rules: ({ rule }) => {
    rule("takes the program off the namespace; the link keeps id and program", (c) => {
      const netns = c.netns();
      const link = c.link(c.program(), netns);
      const before = c.linkInfo(link);
      expect(detach(c, link)).toBe("ok");
      expect(c.attached(netns)).toEqual([]);
      expect(c.linkInfo(link)).toEqual({ ...before, netns_ino: 0 });
    });

    rule("is a success however often it is called", (c) => {
      const link = c.link(c.program(), c.netns());
      for (let i = 0; i < 3; i++) expect(detach(c, link)).toBe("ok");
    });

    rule("of a link whose namespace is dead is a success", (c) => {
      const netns = c.netns();
      const link = c.link(c.program(), netns);
      c.close(netns);
      expect(detach(c, link)).toBe("ok");
      expect(detach(c, link)).toBe("ok");
    });

    rule("makes room at once, for a link or for a program attached directly", (c) => {
      const netns = c.netns();
      const program = c.program();
      const link = c.link(program, netns);
      expect(detach(c, link)).toBe("ok");
      const second = c.link(program, netns);
      expect(detach(c, second)).toBe("ok");
      expect(c.attach(program, netns)).toBe("ok");
      expect(c.detach(program, netns)).toBe("ok");
    });

    rule("and close of a detached link don't touch the link that came after it", (c) => {
      const netns = c.netns();
      const old = c.link(c.program(), netns);
      expect(detach(c, old)).toBe("ok");
      const program = c.program();
      c.link(program, netns);
      expect(detach(c, old)).toBe("ok");
      expect(c.attached(netns)).toEqual([c.progId(program)]);
      c.close(old);
      expect(c.attached(netns)).toEqual([c.progId(program)]);
    });

    rule("shows in every fd and pin of the link", (c) => {
      const link = c.link(c.program(), c.netns());
      const copy = c.dup(link);
      const byId = c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id: c.linkId(link) });
      const path = c.pin(link);
      expect(detach(c, byId)).toBe("ok");
      const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(path) });
      for (const fd of [link, copy, byId, pinned]) expect(c.linkInfo(fd).netns_ino).toBe(0);
    });

    rule("keeps the program until the link itself goes", (c) => {
      const program = c.program();
      const id = c.progId(program);
      const link = c.link(program, c.netns());
      c.close(program);
      expect(detach(c, link)).toBe("ok");
      expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id)).toBe(true);
      c.close(link);
      expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id)).toBe(false);
    });

    rule("of a closed fd is EBADF, of anything but a link EINVAL", (c) => {
      expect(detach(c, CLOSED_FD)).toBe("EBADF");
      expect(detach(c, c.program())).toBe("EINVAL");
    });
  },
};
