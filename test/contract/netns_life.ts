/**
 * Network namespaces: their names, what keeps them alive, and being inside one.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { O_PATH } from "../../src/kernel/file.ts";
import { type Case, CLOSED_FD, outcomeOf } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

/** Whether the namespace of a link is alive. */
const alive = (c: Case, link: number): boolean => c.linkInfo(link).netns_ino !== 0;

export const netnsLife: Chapter = {
  title: "network namespaces",
  rules: (rules) => {
    naming(rules);
    keeping(rules);
    dying(rules);
    entering(rules);
    listing(rules);
  },
};

function naming({ rule }: Rules): void {
  rule("a name can be taken once; taken away, it is ENOENT", (c) => {
    const { netns } = c.kernel;
    const name = c.name();
    expect(outcomeOf(netns.open({ name }))).toBe("ENOENT");
    expect(outcomeOf(netns.remove(name))).toBe("ENOENT");
    expect(netns.create(name)).toBe(0);
    expect(outcomeOf(netns.create(name))).toBe("EEXIST");
    expect(netns.remove(name)).toBe(0);
    expect(outcomeOf(c.track(netns.open({ name })))).toBe("ENOENT");
  });

  rule("a name that is no file name is EINVAL", (c) => {
    for (const name of ["", ".", "..", "a/b"]) {
      expect(outcomeOf(c.kernel.netns.create(name)), name).toBe("EINVAL");
      expect(outcomeOf(c.kernel.netns.remove(name)), name).toBe("EINVAL");
      expect(outcomeOf(c.track(c.kernel.netns.open({ name }))), name).toBe("EINVAL");
    }
  });

  rule("a namespace opens by name, by path and as one's own, with one inode", (c) => {
    const { netns } = c.kernel;
    const name = c.name();
    netns.create(name);
    const byName = c.track(netns.open({ name }));
    const byPath = c.track(netns.open({ path: `/run/netns/${name}` }));
    expect(netns.inode(byPath)).toBe(netns.inode(byName));
    const own = c.inside(byName, () => c.track(netns.open("self")));
    expect(netns.inode(own)).toBe(netns.inode(byName));
    const home = netns.inode(c.track(netns.open("self")));
    expect(home).not.toBe(netns.inode(byName));
    expect(netns.inode(c.track(netns.open({ pid: c.world.pid })))).toBe(home);
  });

  rule("each new namespace is another one", (c) => {
    const inodes = [c.netns(), c.netns(), c.netns()].map((fd) => c.kernel.netns.inode(fd));
    expect(new Set(inodes).size).toBe(3);
  });

  rule("a process that isn't there is ENOENT, a file that is no namespace EINVAL", (c) => {
    const { netns } = c.kernel;
    expect(outcomeOf(c.track(netns.open({ pid: 0x7ffffff0 })))).toBe("ENOENT");
    expect(outcomeOf(c.track(netns.open({ path: "/run/netns/nobody-made-this" })))).toBe("ENOENT");
    expect(outcomeOf(c.track(netns.open({ path: "/dev/null" })))).toBe("EINVAL");
    expect(outcomeOf(c.track(netns.open({ path: "/proc/self/ns/uts" })))).toBe("EINVAL");
  });

  rule("the inode of a closed or O_PATH fd is EBADF, of another file EINVAL", (c) => {
    const { netns } = c.kernel;
    expect(outcomeOf(netns.inode(CLOSED_FD))).toBe("EBADF");
    expect(outcomeOf(netns.inode(c.open("/proc/self/ns/net", O_PATH)))).toBe("EBADF");
    expect(outcomeOf(netns.inode(c.open("/dev/null")))).toBe("EINVAL");
    expect(outcomeOf(netns.inode(c.map()))).toBe("EINVAL");
  });
}

function keeping({ rule }: Rules): void {
  rule("an fd keeps a namespace, and so does a dup of it", (c) => {
    const netns = c.netns();
    const copy = c.dup(netns);
    const link = c.link(c.program(), netns);
    c.close(netns);
    expect(alive(c, link)).toBe(true);
    c.close(copy);
    expect(alive(c, link)).toBe(false);
  });

  rule("a name keeps a namespace", (c) => {
    const { netns } = c.kernel;
    const name = c.name();
    netns.create(name);
    const fd = c.track(netns.open({ name }));
    const link = c.link(c.program(), fd);
    c.close(fd);
    expect(alive(c, link)).toBe(true);
    expect(netns.remove(name)).toBe(0);
    expect(alive(c, link)).toBe(false);
  });

  rule("an O_PATH fd keeps a namespace", (c) => {
    const { netns } = c.kernel;
    const name = c.name();
    netns.create(name);
    const fd = c.track(netns.open({ name }));
    const link = c.link(c.program(), fd);
    const path = c.open(`/run/netns/${name}`, O_PATH);
    c.close(fd);
    netns.remove(name);
    expect(alive(c, link)).toBe(true);
    c.close(path);
    expect(alive(c, link)).toBe(false);
  });

  rule("a task inside keeps a namespace until it leaves", (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    c.inside(netns, () => {
      c.close(netns);
      expect(alive(c, link)).toBe(true);
    });
    expect(alive(c, link)).toBe(false);
  });

  rule("an fd in another task keeps a namespace", async (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const holder = await c.world.holder(netns);
    c.close(netns);
    expect(alive(c, link)).toBe(true);
    await holder.release();
    await c.until("the namespace dies", () => !alive(c, link));
  });

  rule("neither a link nor a program attached directly keeps a namespace", async (c) => {
    const netns = c.netns();
    const program = c.program();
    const id = c.progId(program);
    expect(c.attach(program, netns)).toBe("ok");
    c.close(program);
    c.close(netns);
    await c.until("the program goes", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, id));
  });
}

function dying({ rule }: Rules): void {
  rule("with the last holder a namespace is dead at once: inode 0, ENOLINK", (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    c.close(netns);
    expect(c.linkInfo(link).netns_ino).toBe(0);
    const fields = { link_fd: link, new_prog_fd: c.program() };
    expect(c.outcome(bpf.BPF_LINK_UPDATE, fields)).toBe("ENOLINK");
  });

  rule("all links of a namespace go defunct with it", async (c) => {
    const netns = c.netns();
    const lookup = c.program({
      type: bpf.BPF_PROG_TYPE_SK_LOOKUP,
      expectedAttachType: bpf.BPF_SK_LOOKUP,
      text: "r0 = 1\nexit",
    });
    const links = [
      c.link(c.program(), netns),
      c.link(lookup, netns, bpf.BPF_SK_LOOKUP),
      c.link(lookup, netns, bpf.BPF_SK_LOOKUP),
    ];
    c.close(netns);
    for (const link of links) expect(alive(c, link)).toBe(false);
    await c.cleanedUp();
    for (const link of links) {
      expect(alive(c, link)).toBe(false);
      expect(c.outcome(bpf.BPF_LINK_DETACH, { link_fd: link })).toBe("ok");
    }
  });
}

function entering({ rule }: Rules): void {
  rule("enter runs a function inside and comes back, when it throws, too", (c) => {
    const { netns } = c.kernel;
    const own = (): number => {
      const fd = netns.open("self");
      const inode = netns.inode(fd);
      c.kernel.close(fd);
      return inode;
    };
    const home = own();
    const fd = c.netns();
    expect(netns.enter(fd, own)).toEqual({ value: netns.inode(fd) });
    expect(own()).toBe(home);
    const fails = (): never => {
      throw new RangeError("from inside");
    };
    expect(() => netns.enter(fd, fails)).toThrow("from inside");
    expect(own()).toBe(home);
  });

  rule("enter nests", (c) => {
    const { netns } = c.kernel;
    const [outer, inner] = [c.netns(), c.netns()];
    const own = (): number => netns.inode(c.track(netns.open("self")));
    c.inside(outer, () => {
      expect(c.inside(inner, own)).toBe(netns.inode(inner));
      expect(own()).toBe(netns.inode(outer));
    });
  });

  rule("enter is refused with the errno, and the function not run", (c) => {
    let runs = 0;
    const count = (): number => runs++;
    const enter = (fd: number): string => {
      const entered = c.kernel.netns.enter(fd, count);
      return "errno" in entered ? outcomeOf(entered.errno) : "ok";
    };
    expect(enter(CLOSED_FD)).toBe("EBADF");
    expect(enter(c.open("/proc/self/ns/net", O_PATH))).toBe("EBADF");
    expect(enter(c.open("/dev/null"))).toBe("EINVAL");
    expect(enter(c.map())).toBe("EINVAL");
    expect(runs).toBe(0);
  });
}

function listing({ rule }: Rules): void {
  rule("list has every namespace that has a name or a process, each once", (c) => {
    const { netns } = c.kernel;
    const names = [c.name(), c.name()];
    for (const name of names) netns.create(name);
    const inodes = names.map((name) => netns.inode(c.track(netns.open({ name }))));
    const listed = netns.list();
    for (const [i, name] of names.entries()) {
      const found = listed.filter((entry) => entry.inode === inodes[i]);
      expect(found).toMatchObject([{ names: [name], pids: [], fds: [{ pid: c.world.pid }] }]);
    }
    const home = netns.inode(c.track(netns.open("self")));
    expect(listed.find((entry) => entry.inode === home)?.pids).toContain(c.world.pid);
    expect(new Set(listed.map(({ inode }) => inode)).size).toBe(listed.length);
  });
}
