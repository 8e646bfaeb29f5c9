/**
 * A task whose table of fds is full: what has to have an fd fails, and leaves nothing.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, CLOSED_FD, type Command, type Fields, outcomeOf } from "./case.ts";
import type { Chapter } from "./rules.ts";

/** bpf(2) on a task that can't be given an fd. */
function cramped<C extends Command>(
  c: Case,
  fds: readonly number[],
  command: C,
  fields: (...theirs: readonly number[]) => Fields<C>,
): string {
  return c.world.withFullTable(fds, (kernel, theirs) => {
    const bytes = c.attr(command, fields(...theirs));
    c.remap();
    return outcomeOf(kernel.bpf(command, bytes));
  });
}

export const fdTable: Chapter = {
  title: "a full table of fds",
  rules: ({ rule }) => {
    rule("whatever gives out an fd is EMFILE", (c) => {
      const program = c.program();
      const map = c.map();
      const link = c.link(program, c.netns());
      const pathname = c.string(c.pin(link));
      const [load, create] = [c.programFields(), c.mapFields()];
      const [progId, mapId, linkId] = [c.progId(program), c.mapInfo(map).id, c.linkId(link)];
      expect(cramped(c, [], bpf.BPF_PROG_LOAD, () => load)).toBe("EMFILE");
      expect(cramped(c, [], bpf.BPF_MAP_CREATE, () => create)).toBe("EMFILE");
      expect(cramped(c, [], bpf.BPF_OBJ_GET, () => ({ pathname }))).toBe("EMFILE");
      expect(cramped(c, [], bpf.BPF_PROG_GET_FD_BY_ID, () => ({ id: progId }))).toBe("EMFILE");
      expect(cramped(c, [], bpf.BPF_MAP_GET_FD_BY_ID, () => ({ id: mapId }))).toBe("EMFILE");
      expect(cramped(c, [], bpf.BPF_LINK_GET_FD_BY_ID, () => ({ id: linkId }))).toBe("EMFILE");
      const dup = c.world.withFullTable([map], (kernel, [fd = -1]) => kernel.dup(fd));
      expect(outcomeOf(dup)).toBe("EMFILE");
      const open = c.world.withFullTable([], (kernel) => kernel.open("/dev/null"));
      expect(outcomeOf(open)).toBe("EMFILE");
    });

    rule("a link that gets no fd is not attached, and holds no program", async (c) => {
      const netns = c.netns();
      const program = c.program();
      const id = c.progId(program);
      const create = (prog_fd = -1, target_fd = -1): Fields<typeof bpf.BPF_LINK_CREATE> => ({
        prog_fd,
        target_fd,
        attach_type: bpf.BPF_FLOW_DISSECTOR,
      });
      expect(cramped(c, [program, netns], bpf.BPF_LINK_CREATE, create)).toBe("EMFILE");
      expect(c.attached(netns)).toEqual([]);
      c.close(program);
      await c.until("the program goes", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id));
      expect(c.linking(c.program(), netns)).toBe("ok");
    });

    rule("the fd is asked for after the target's check and before what is attached", (c) => {
      const netns = c.netns();
      const program = c.program();
      c.link(program, netns);
      const create =
        (target_fd: number) =>
        (prog_fd = -1, netnsFd = -1) => ({
          prog_fd,
          target_fd: target_fd === CLOSED_FD ? CLOSED_FD : netnsFd,
          attach_type: bpf.BPF_FLOW_DISSECTOR,
        });
      const fds = [program, netns];
      expect(cramped(c, fds, bpf.BPF_LINK_CREATE, create(CLOSED_FD))).toBe("EBADF");
      expect(cramped(c, fds, bpf.BPF_LINK_CREATE, create(netns)), "not E2BIG").toBe("EMFILE");
    });

    rule("updates, detaches, queries and runs need none", (c) => {
      const netns = c.netns();
      const program = c.program();
      const link = c.link(program, netns);
      const fds = [link, program, netns];
      const update = (link_fd = -1, new_prog_fd = -1) => ({ link_fd, new_prog_fd });
      expect(cramped(c, fds, bpf.BPF_LINK_UPDATE, update)).toBe("ok");
      const query = (_link = -1, _program = -1, target_fd = -1) => ({
        target_fd,
        attach_type: bpf.BPF_FLOW_DISSECTOR,
      });
      expect(cramped(c, fds, bpf.BPF_PROG_QUERY, query)).toBe("ok");
      expect(cramped(c, fds, bpf.BPF_LINK_DETACH, (link_fd = -1) => ({ link_fd }))).toBe("ok");
    });
  },
};
