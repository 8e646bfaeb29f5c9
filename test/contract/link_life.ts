/**
 * What keeps a link alive, what it keeps alive, and what its fds say about it.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { type Case, CLOSED_FD } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

const linkExists = (c: Case, id: number): boolean => c.exists(bpf.BPF_LINK_GET_FD_BY_ID, id);
const progExists = (c: Case, id: number): boolean => c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id);

/** The lines of fdinfo after those that every file has. */
function ownLines(c: Case, fd: number): string {
  return c.kernel.fdinfo(fd).replace(/^(?:(?:pos|flags|mnt_id|ino):\t.*\n)*/, "");
}

export const linkLife: Chapter = {
  title: "the life of a link",
  rules: (rules) => {
    closing(rules);
    defunct(rules);
    names(rules);
  },
};

function closing({ rule }: Rules): void {
  rule("the last close detaches before it returns; id and program are gone", (c) => {
    const netns = c.netns();
    const program = c.program();
    const progId = c.progId(program);
    const link = c.link(program, netns);
    const id = c.linkId(link);
    c.close(program);
    expect(progExists(c, progId), "the link holds the program").toBe(true);
    c.close(link);
    expect(c.attached(netns)).toEqual([]);
    expect(linkExists(c, id)).toBe(false);
    expect(progExists(c, progId)).toBe(false);
  });

  rule("any fd of the link keeps it: dup, by id, from a pin", async (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const id = c.linkId(link);
    const path = c.pin(link);
    const copies = [
      c.dup(link),
      c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id }),
      c.must(bpf.BPF_OBJ_GET, { pathname: c.string(path) }),
    ];
    c.close(link);
    c.unpin(path);
    for (const fd of copies) {
      expect(c.attached(netns)).toHaveLength(1);
      c.close(fd);
    }
    // The pin lets go in its own time.
    await c.until("the link goes", () => !linkExists(c, id));
  });

  rule("an fd in another task keeps it", async (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const id = c.linkId(link);
    const holder = await c.world.holder(link);
    c.close(link);
    expect(c.attached(netns)).toHaveLength(1);
    await holder.release();
    await c.until("the link goes with its last holder", () => !linkExists(c, id));
    expect(c.attached(netns)).toEqual([]);
  });

  rule("a link doesn't keep its namespace alive", (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    expect(c.linkInfo(link).netns_ino).toBe(c.kernel.netns.inode(netns));
    c.close(netns);
    expect(c.linkInfo(link).netns_ino).toBe(0);
  });

  rule("a program can be loaded, linked and closed: the link is enough", (c) => {
    const netns = c.netns();
    const program = c.program();
    const id = c.progId(program);
    c.link(program, netns);
    c.close(program);
    expect(c.attached(netns)).toEqual([id]);
  });
}

function defunct({ rule }: Rules): void {
  rule("with its namespace dead a link keeps id and program and shows inode 0", async (c) => {
    const netns = c.netns();
    const program = c.program();
    const progId = c.progId(program);
    const link = c.link(program, netns);
    const before = c.linkInfo(link);
    c.close(program);
    c.close(netns);
    expect(c.linkInfo(link), "at once").toEqual({ ...before, netns_ino: 0 });
    await c.cleanedUp();
    expect(c.linkInfo(link), "after cleanup").toEqual({ ...before, netns_ino: 0 });
    expect(progExists(c, progId)).toBe(true);
    c.close(link);
    expect(linkExists(c, before.id)).toBe(false);
    expect(progExists(c, progId)).toBe(false);
  });

  rule("a defunct link can still be found, opened, pinned and walked to", (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const id = c.linkId(link);
    c.close(netns);
    const byId = c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id });
    expect(c.linkInfo(byId)).toEqual(c.linkInfo(link));
    const next = c.answer(bpf.BPF_LINK_GET_NEXT_ID, { start_id: id - 1 });
    expect(next.attr.next_id).toBe(id);
    const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(c.pin(link)) });
    expect(c.linkId(pinned)).toBe(id);
  });

  rule("closing a link between the death of its namespace and the cleanup is safe", async (c) => {
    const netns = c.netns();
    const program = c.program();
    const progId = c.progId(program);
    const link = c.link(program, netns);
    c.close(program);
    c.close(netns);
    c.close(link);
    expect(progExists(c, progId)).toBe(false);
    await c.cleanedUp();
    expect(progExists(c, progId)).toBe(false);
  });
}

function names({ rule }: Rules): void {
  rule("an fd from LINK_CREATE is named bpf_link, any other bpf-link", (c) => {
    const link = c.link(c.program(), c.netns());
    const byId = c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id: c.linkId(link) });
    const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(c.pin(link)) });
    expect(c.kernel.fdname(link)).toBe("anon_inode:bpf_link");
    expect(c.kernel.fdname(c.dup(link))).toBe("anon_inode:bpf_link");
    expect(c.kernel.fdname(byId)).toBe("anon_inode:bpf-link");
    expect(c.kernel.fdname(pinned)).toBe("anon_inode:bpf-link");
    expect(c.kernel.fdname(c.program())).toBe("anon_inode:bpf-prog");
    expect(c.kernel.fdname(c.map())).toBe("anon_inode:bpf-map");
    expect(c.kernel.fdname(CLOSED_FD)).toBe("");
    expect(c.kernel.fdinfo(CLOSED_FD)).toBe("");
  });

  rule("a namespace's fd is named by its inode, or by the path that it was opened by", (c) => {
    const { netns } = c.kernel;
    const name = c.name();
    netns.create(name);
    const byName = c.track(netns.open({ name }));
    const own = c.inside(byName, () => c.track(netns.open("self")));
    expect(c.kernel.fdname(own)).toBe(`net:[${netns.inode(own)}]`);
    expect(c.kernel.fdname(byName)).toBe(`/run/netns/${name}`);
    netns.remove(name);
    expect(c.kernel.fdname(byName), "its mount is gone").toBe("/");
  });

  rule("fdinfo of a link has its state, alive and dead", (c) => {
    const netns = c.netns();
    const program = c.program();
    const link = c.link(program, netns);
    const { id, prog_id } = c.linkInfo(link);
    const tag = Buffer.from(c.progInfo(program).tag).toString("hex");
    const lines = (inode: number): string =>
      `link_type:\tnetns\nlink_id:\t${id}\nprog_tag:\t${tag}\nprog_id:\t${prog_id}\n` +
      `netns_ino:\t${inode}\nattach_type:\t17\n`;
    expect(ownLines(c, link)).toBe(lines(c.kernel.netns.inode(netns)));
    c.close(netns);
    expect(ownLines(c, link)).toBe(lines(0));
  });

  rule("fdinfo of a program and of a map has their properties", (c) => {
    const keys = (fd: number): readonly string[] =>
      ownLines(c, fd)
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.replace(/:\t.*$/, ""));
    const program = c.program();
    expect(keys(program)).toEqual([
      "prog_type",
      "prog_jited",
      "prog_tag",
      "memlock",
      "prog_id",
      "run_time_ns",
      "run_cnt",
      "recursion_misses",
      "verified_insns",
    ]);
    expect(ownLines(c, program)).toContain("prog_type:\t22\n");
    const map = c.map({ value_size: 8, max_entries: 4 });
    const { id } = c.mapInfo(map);
    const text = ownLines(c, map).replace(/memlock:\t\d+/, "memlock:\t…");
    expect(text).toBe(
      "map_type:\t2\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t4\nmap_flags:\t0x0\n" +
        `map_extra:\t0x0\nmemlock:\t…\nmap_id:\t${id}\nfrozen:\t0\n`,
    );
    c.must(bpf.BPF_MAP_FREEZE, { map_fd: map });
    expect(ownLines(c, map)).toContain("frozen:\t1\n");
  });
}
