/**
 * Who may do what: a task without capabilities that was handed fds, which is enough for most.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BPF_LINK_INFO_SIZE, BPF_PROG_INFO_SIZE, PROG_INFO } from "../../src/abi/info.ts";
import { decode, encode, type Layout, type Values } from "../../src/abi/layout.ts";
import type { Kernel } from "../../src/kernel.ts";
import { type Case, type Command, type Fields, LAYOUTS, outcomeOf } from "./case.ts";
import { unprivilegedBpf } from "./open_to_all.ts";
import type { Chapter, Rules } from "./rules.ts";

/** bpf(2) by field name on another task's kernel; an fd that comes back is closed at once. */
function call<C extends Command>(kernel: Kernel, command: C, fields: Fields<C>): string {
  const values = fields as Partial<Values<Layout>>;
  const result = kernel.bpf(command, encode(LAYOUTS[command] as Layout, values));
  if (result > 0) kernel.close(result);
  return outcomeOf(result);
}

/** Runs calls as a task that has copies of the fds and no capability. */
function unprivileged(
  c: Case,
  fds: readonly number[],
  calls: (kernel: Kernel, fd: (index: number) => number) => void,
): void {
  c.world.unprivileged(fds, (kernel, theirs) => {
    c.remap();
    calls(kernel, (index) => theirs[index] ?? -1);
  });
}

export const capabilities: Chapter = {
  title: "capabilities",
  rules: (rules) => {
    needed(rules);
    notNeeded(rules);
    hidden(rules);
  },
};

function needed({ rule }: Rules): void {
  rule("programs and maps can't be made: EPERM", (c) => {
    // Of types that nobody may have without CAP_BPF, whatever the sysctl is.
    const [program, map] = [
      c.programFields(),
      c.mapFields({ map_type: bpf.BPF_MAP_TYPE_LRU_HASH }),
    ];
    const isOpen = unprivilegedBpf(c.world.kernel) === 0;
    unprivileged(c, [], (kernel) => {
      expect(call(kernel, bpf.BPF_PROG_LOAD, program)).toBe("EPERM");
      expect(call(kernel, bpf.BPF_MAP_CREATE, map)).toBe("EPERM");
      expect(call(kernel, bpf.BPF_MAP_CREATE, c.mapFields())).toBe(isOpen ? "ok" : "EPERM");
    });
  });

  rule("PROG_QUERY is EPERM before anything else is looked at", (c) => {
    unprivileged(c, [c.netns()], (kernel, fd) => {
      const query = { target_fd: fd(0), attach_type: bpf.BPF_FLOW_DISSECTOR };
      expect(call(kernel, bpf.BPF_PROG_QUERY, query)).toBe("EPERM");
      expect(call(kernel, bpf.BPF_PROG_QUERY, { query_flags: 2 })).toBe("EPERM");
      expect(call(kernel, bpf.BPF_PROG_QUERY, { attach_type: 9999 })).toBe("EPERM");
    });
  });

  rule("ids can't be walked or opened: EPERM before ENOENT, and after EINVAL", (c) => {
    const id = c.linkId(c.link(c.program(), c.netns()));
    unprivileged(c, [], (kernel) => {
      for (const next of [
        bpf.BPF_PROG_GET_NEXT_ID,
        bpf.BPF_MAP_GET_NEXT_ID,
        bpf.BPF_LINK_GET_NEXT_ID,
      ] as const) {
        expect(call(kernel, next, { start_id: 0 })).toBe("EPERM");
        expect(call(kernel, next, { start_id: 0x7fffffff })).toBe("EINVAL");
      }
      for (const byId of [
        bpf.BPF_PROG_GET_FD_BY_ID,
        bpf.BPF_MAP_GET_FD_BY_ID,
        bpf.BPF_LINK_GET_FD_BY_ID,
      ] as const) {
        expect(call(kernel, byId, { id: 0 })).toBe("EPERM");
      }
      expect(call(kernel, bpf.BPF_LINK_GET_FD_BY_ID, { id })).toBe("EPERM");
    });
  });
}

function notNeeded({ rule }: Rules): void {
  rule("links can be created, updated and detached by whoever holds the fds", (c) => {
    const netns = c.netns();
    const [program, other] = [c.program(), c.program()];
    const link = c.link(program, netns);
    unprivileged(c, [link, other], (kernel, fd) => {
      const update = { link_fd: fd(0), new_prog_fd: fd(1) };
      expect(call(kernel, bpf.BPF_LINK_UPDATE, update)).toBe("ok");
      expect(call(kernel, bpf.BPF_LINK_DETACH, { link_fd: fd(0) })).toBe("ok");
    });
    expect(c.attached(netns)).toEqual([]);
    unprivileged(c, [program, netns], (kernel, fd) => {
      const create = {
        prog_fd: fd(0),
        target_fd: fd(1),
        attach_type: bpf.BPF_FLOW_DISSECTOR,
      };
      expect(call(kernel, bpf.BPF_LINK_CREATE, create)).toBe("ok");
    });
  });

  rule("a program can be attached to one's own namespace and detached again", (c) => {
    const netns = c.netns();
    const program = c.program();
    c.inside(netns, () => {
      unprivileged(c, [program], (kernel, fd) => {
        const fields = { attach_bpf_fd: fd(0), attach_type: bpf.BPF_FLOW_DISSECTOR };
        expect(call(kernel, bpf.BPF_PROG_ATTACH, fields)).toBe("ok");
        expect(call(kernel, bpf.BPF_PROG_DETACH, fields)).toBe("ok");
      });
    });
  });

  rule("programs can be run, and elements of maps read and written", (c) => {
    const data = { data_in: c.at(new Uint8Array(60)), data_size_in: 60 };
    const element = { key: c.at(new Uint8Array(4)), value: c.at(new Uint8Array(8)) };
    unprivileged(c, [c.program(), c.map()], (kernel, fd) => {
      expect(call(kernel, bpf.BPF_PROG_TEST_RUN, { prog_fd: fd(0), ...data })).toBe("ok");
      expect(call(kernel, bpf.BPF_MAP_UPDATE_ELEM, { map_fd: fd(1), ...element })).toBe("ok");
      expect(call(kernel, bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: fd(1), ...element })).toBe("ok");
    });
  });

  rule("a link's info can be read", (c) => {
    const info = { info_len: BPF_LINK_INFO_SIZE, info: c.at(new Uint8Array(BPF_LINK_INFO_SIZE)) };
    unprivileged(c, [c.link(c.program(), c.netns())], (kernel, fd) => {
      expect(call(kernel, bpf.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd(0), ...info })).toBe("ok");
    });
  });
}

function hidden({ rule }: Rules): void {
  rule("a program's info shows no code: its lengths are 0", (c) => {
    const bytes = new Uint8Array(BPF_PROG_INFO_SIZE);
    const info = { info_len: bytes.length, info: c.at(bytes) };
    const program = c.program();
    unprivileged(c, [program], (kernel, fd) => {
      expect(call(kernel, bpf.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd(0), ...info })).toBe("ok");
    });
    const seen = decode(PROG_INFO, bytes);
    expect(seen.id).toBe(c.progId(program));
    expect(seen).toMatchObject({
      jited_prog_len: 0,
      xlated_prog_len: 0,
      nr_jited_ksyms: 0,
      nr_jited_func_lens: 0,
      nr_func_info: 0,
      nr_line_info: 0,
      nr_jited_line_info: 0,
    });
  });
}
