/**
 * What a kernel can be asked about holders, pins and namespaces.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { O_PATH } from "../../src/kernel/file.ts";
import type { NetNsEntry, OpenObject } from "../../src/kernel.ts";
import { type Case, outcomeOf } from "../contract/case.ts";
import type { Chapter, Rules } from "../contract/rules.ts";

/** Fds of ours on an object, as the kernel lists them. */
function oursOn(c: Case, kind: OpenObject["kind"], id: number): readonly number[] {
  return c.kernel
    .openObjects()
    .filter((each) => each.pid === c.world.pid && each.kind === kind && each.id === id)
    .map(({ fd }) => fd);
}

function entryOf(c: Case, inode: number): NetNsEntry | undefined {
  return c.kernel.netns.list().find((entry) => entry.inode === inode);
}

export const whoHoldsWhat: Chapter = {
  title: "who holds what",
  rules: (rules) => {
    fds(rules);
    namespaces(rules);
    pins(rules);
  },
};

function fds({ rule }: Rules): void {
  rule("every fd on a link, a program, a map and a namespace is listed with its id", (c) => {
    const [program, map, netns] = [c.program(), c.map(), c.netns()];
    const link = c.link(program, netns);
    const byId = c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id: c.linkId(link) });
    const path = c.open(`/proc/self/fd/${netns}`, O_PATH);
    const copy = c.dup(program);
    expect(oursOn(c, "link", c.linkId(link))).toEqual([link, byId].sort((a, b) => a - b));
    expect(oursOn(c, "program", c.progId(program))).toEqual([program, copy]);
    expect(oursOn(c, "map", c.mapInfo(map).id)).toEqual([map]);
    expect(oursOn(c, "netns", c.kernel.netns.inode(netns))).toEqual([netns, path]);
  });

  rule("a closed fd is no longer listed, one of another process is", async (c) => {
    const map = c.map();
    const { id } = c.mapInfo(map);
    const holder = await c.world.holder(map);
    c.close(map);
    expect(oursOn(c, "map", id)).toEqual([]);
    const others = c.kernel.openObjects().filter((each) => each.kind === "map" && each.id === id);
    expect(others).toHaveLength(1);
    expect(others[0]?.command).not.toBe("");
    await holder.release();
    await c.until("the map goes", () => !c.exists(bpf.BPF_MAP_GET_FD_BY_ID, id));
  });

  rule("another user's task without capabilities doesn't see who holds what", async (c) => {
    const program = c.program();
    const id = c.progId(program);
    const holder = await c.world.holder(program);
    const others = (open: readonly OpenObject[]): number =>
      open.filter((each) => each.id === id && each.pid !== c.world.pid).length;
    const seen = c.world.unprivileged([], (kernel) => others(kernel.openObjects()), 65534);
    const seenByUs = others(c.kernel.openObjects());
    await holder.release();
    expect([seen, seenByUs]).toEqual([0, 1]);
  });
}

function namespaces({ rule, ruleOf }: Rules): void {
  rule("a namespace that only an fd holds is found, and can be opened by that", (c) => {
    const netns = c.netns();
    const inode = c.kernel.netns.inode(netns);
    expect(entryOf(c, inode)).toMatchObject({
      names: [],
      pids: [],
      fds: [{ pid: c.world.pid, fd: netns }],
    });
    const path = `/proc/${c.world.pid}/fd/${netns}`;
    expect(c.kernel.netns.inode(c.track(c.kernel.netns.open({ path })))).toBe(inode);
    expect(outcomeOf(c.kernel.netns.open({ path: `/proc/${c.world.pid}/fd/999999` }))).toBe(
      "ENOENT",
    );
  });

  rule("an fd on something else opens no namespace", (c) => {
    const path = `/proc/${c.world.pid}/fd/${c.program()}`;
    expect(outcomeOf(c.kernel.netns.open({ path }))).toBe("ENXIO");
  });

  rule("a cookie is one namespace's for good, whatever leads to it", (c) => {
    const name = c.name();
    expect(c.kernel.netns.create(name)).toBe(0);
    const netns = c.track(c.kernel.netns.open({ name }));
    const inode = c.kernel.netns.inode(netns);
    const named = entryOf(c, inode)?.cookie;
    expect(named).toBeTypeOf("bigint");
    c.kernel.netns.remove(name);
    expect(entryOf(c, inode)?.cookie).toBe(named);
    const cookies = c.kernel.netns.list().map(({ cookie }) => cookie);
    expect(new Set(cookies).size).toBe(cookies.length);
    const others = [c.netns(), c.netns()].map((fd) => entryOf(c, c.kernel.netns.inode(fd))?.cookie);
    expect(new Set([named, ...others]).size).toBe(3);
  });

  ruleOf("rootNetns", "one namespace is the root namespace", (c) => {
    const inode = c.kernel.netns.inode(c.track(c.world.openRoot()));
    const roots = c.kernel.netns.list().filter(({ isRoot }) => isRoot);
    expect(roots.map((each) => each.inode)).toEqual([inode]);
  });
}

function pins({ rule }: Rules): void {
  rule("our directory lies in a file system that is listed once", (c) => {
    const mounts = c.kernel.bpffs.mounts();
    expect(new Set(mounts).size).toBe(mounts.length);
    const ours = mounts.filter((path) => c.world.pinDirectory.startsWith(path));
    expect(ours).toHaveLength(1);
  });

  rule("a walk finds the pins of all directories below, and no directory", (c) => {
    const directory = `${c.world.pinDirectory}/walked`;
    const { bpffs } = c.kernel;
    expect(bpffs.walk(directory)).toBeLessThan(0);
    expect(bpffs.mkdir(directory)).toBe(0);
    expect(bpffs.mkdir(`${directory}/b`)).toBe(0);
    expect(bpffs.mkdir(`${directory}/c`)).toBe(0);
    const paths = [`${directory}/a`, `${directory}/b/a`, `${directory}/d`];
    const map = c.map();
    for (const path of paths) {
      c.must(bpf.BPF_OBJ_PIN, { pathname: c.string(path), bpf_fd: map });
    }
    const walked = bpffs.walk(directory);
    const file = bpffs.walk(`${directory}/a`);
    for (const path of paths) expect(bpffs.unlink(path)).toBe(0);
    for (const path of ["/b", "/c", ""]) expect(bpffs.rmdir(`${directory}${path}`)).toBe(0);
    expect(walked).toEqual(paths);
    expect(file).toBe(-20);
  });
}
