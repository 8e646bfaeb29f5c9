/**
 * Links, direct attachments and pins in the lists, with everything that is said about them.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import {
  explain,
  type LinkEntry,
  listDirect,
  listLinks,
  listPins,
} from "../../src/inventory/index.ts";
import { O_PATH } from "../../src/kernel/file.ts";
import { type Case, OBJECT_NAME, SK_LOOKUP_PROGRAM } from "../contract/case.ts";
import type { Chapter, Rules } from "../contract/rules.ts";

function entryOf(c: Case, id: number, earlier?: readonly LinkEntry[]): LinkEntry | undefined {
  const options = earlier === undefined ? {} : { earlier };
  return listLinks(c.kernel, options).find((entry) => entry.id === id);
}

/** A link, once no test of the root rule stands in the way. */
async function linkIn(c: Case, program: number, netns: number): Promise<number> {
  let fd = -1;
  const fields = { prog_fd: program, target_fd: netns, attach_type: bpf.BPF_FLOW_DISSECTOR };
  await c.until("a link", () => {
    fd = c.call(bpf.BPF_LINK_CREATE, fields);
    return fd >= 0;
  });
  return fd;
}

export const lists: Chapter = {
  title: "the lists",
  rules: (rules) => {
    linkLists(rules);
    directLists(rules);
    pinLists(rules);
    refusals(rules);
  },
};

function linkLists({ rule }: Rules): void {
  rule("a link is listed with program, namespace, pins and holders", async (c) => {
    const name = c.name();
    expect(c.kernel.netns.create(name)).toBe(0);
    const netns = c.track(c.kernel.netns.open({ name }));
    const program = c.program();
    const link = await linkIn(c, program, netns);
    const [id, copy, pin] = [c.linkId(link), c.dup(link), c.pin(link)];
    const { tag } = c.progInfo(program);
    const entry = entryOf(c, id);
    expect(entry).toEqual({
      id,
      type: bpf.BPF_LINK_TYPE_NETNS,
      attachType: bpf.BPF_FLOW_DISSECTOR,
      program: { id: c.progId(program), name: OBJECT_NAME, tag: hex(tag) },
      namespace: {
        inode: c.kernel.netns.inode(netns),
        cookie: expect.any(BigInt),
        isRoot: false,
        names: [name],
        pids: [],
        holders: [{ pid: c.world.pid, command: expect.any(String), fds: [netns] }],
      },
      state: "attached",
      pins: [pin],
      holders: [{ pid: c.world.pid, command: expect.any(String), fds: [link, copy] }],
    });
  });

  rule("links are listed by id, and looking doesn't keep one that goes", async (c) => {
    const link = await linkIn(c, c.program(), c.netns());
    const ids = listLinks(c.kernel).map((entry) => entry.id);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    const id = c.linkId(link);
    expect(ids).toContain(id);
    c.close(link);
    expect(entryOf(c, id)).toBeUndefined();
  });

  rule("a link of a dead namespace is defunct, with or without an earlier look", async (c) => {
    const netns = c.netns();
    const link = await linkIn(c, c.program(), netns);
    const [id, earlier] = [c.linkId(link), listLinks(c.kernel)];
    c.close(netns);
    expect(entryOf(c, id)).toMatchObject({ state: "defunct", namespace: null });
    expect(entryOf(c, id, earlier)?.state).toBe("defunct");
    await c.cleanedUp();
    expect(entryOf(c, id, earlier)?.state).toBe("defunct");
    // Another namespace may have the dead one's inode number by now, but not its cookie.
    for (let i = 0; i < 8; i++) c.netns();
    expect(entryOf(c, id, earlier)?.state).toBe("defunct");
  });

  rule("a detached link answers as a defunct one, unless it was seen before", async (c) => {
    const netns = c.netns();
    const detached = await linkIn(c, c.program(), netns);
    const earlier = listLinks(c.kernel);
    c.must(bpf.BPF_LINK_DETACH, { link_fd: detached });
    const other = c.netns();
    const defunct = await linkIn(c, c.program(), other);
    c.close(other);
    // Byte by byte and errno by errno the same, but for ids and tags.
    const answers = (link: number): unknown => [
      { ...c.linkInfo(link), id: 0, prog_id: 0 },
      c.kernel.fdinfo(link).replaceAll(/^(ino|link_id|prog_id):\t.*$/gm, "$1"),
      c.outcome(bpf.BPF_LINK_UPDATE, { link_fd: link, new_prog_fd: c.program() }),
      c.outcome(bpf.BPF_LINK_DETACH, { link_fd: link }),
    ];
    expect(answers(detached)).toEqual(answers(defunct));
    expect(entryOf(c, c.linkId(detached))?.state).toBe("defunct");
    expect(entryOf(c, c.linkId(detached), earlier)?.state).toBe("detached");
    // What is known once stays known when the namespace is gone, too.
    const known = listLinks(c.kernel, { earlier });
    c.close(netns);
    expect(entryOf(c, c.linkId(detached), known)?.state).toBe("detached");
    expect(entryOf(c, c.linkId(detached), earlier)?.state).toBe("defunct");
  });
}

function directLists({ rule }: Rules): void {
  rule("a program attached directly is listed, a linked one is not", async (c) => {
    const [netns, linked] = [c.netns(), c.netns()];
    const program = c.program();
    await c.until("PROG_ATTACH", () => c.attach(program, netns) === "ok");
    await linkIn(c, program, linked);
    c.link(c.program(SK_LOOKUP_PROGRAM), linked, bpf.BPF_SK_LOOKUP);
    const inodes = [netns, linked].map((fd) => c.kernel.netns.inode(fd));
    const direct = listDirect(c.kernel).filter((entry) => inodes.includes(entry.namespace.inode));
    expect(direct).toMatchObject([
      {
        attachType: bpf.BPF_FLOW_DISSECTOR,
        program: { id: c.progId(program), name: OBJECT_NAME },
        namespace: { inode: inodes[0], names: [], holders: [{ fds: [netns] }] },
        state: "attached",
      },
    ]);
    expect(c.detach(program, netns)).toBe("ok");
    expect(listDirect(c.kernel).map((entry) => entry.namespace.inode)).not.toContain(inodes[0]);
  });
}

function pinLists({ rule }: Rules): void {
  rule("links, programs and maps are found at their pins", async (c) => {
    const [program, map] = [c.program(), c.map()];
    const link = await linkIn(c, program, c.netns());
    const paths = [link, program, map].map((fd) => c.pin(fd));
    const found = listPins(c.kernel).filter(({ path }) => paths.includes(path));
    expect(found).toEqual([
      { path: paths[0], kind: "link", id: c.linkId(link) },
      { path: paths[1], kind: "program", id: c.progId(program) },
      { path: paths[2], kind: "map", id: c.mapInfo(map).id },
    ]);
  });

  rule("a link is explained by its pin as by its id", async (c) => {
    const link = await linkIn(c, c.program(), c.netns());
    const pin = c.pin(link);
    expect(explain(c.kernel, pin)).toEqual(explain(c.kernel, c.linkId(link)));
    const wrong = c.pin(c.map());
    expect(() => explain(c.kernel, wrong)).toThrow(`link: a map is pinned at ${wrong}`);
    expect(() => explain(c.kernel, c.pinPath())).toThrow("BPF_OBJ_GET: ENOENT");
  });
}

function refusals({ rule }: Rules): void {
  rule("without capabilities the list is refused, not empty", (c) => {
    const refused = c.world.unprivileged([], (kernel) => {
      try {
        return listLinks(kernel).length;
      } catch (error) {
        return String(error);
      }
    });
    expect(refused).toContain("EPERM");
  });

  rule("a link that nothing visible holds is said to be held unseen", async (c) => {
    const link = await linkIn(c, c.program(), c.netns());
    const id = c.linkId(link);
    const pin = c.pin(link);
    expect(explain(c.kernel, id).isHeldUnseen).toBe(false);
    // An O_PATH fd holds the pin, which is unlinked, which holds the link.
    const path = c.open(pin, O_PATH);
    c.close(link);
    c.unpin(pin);
    const { isHeldUnseen, link: entry, foretold } = explain(c.kernel, id);
    expect(isHeldUnseen).toBe(true);
    expect(entry).toMatchObject({ state: "attached", pins: [], holders: [] });
    expect(foretold.map(({ event }) => event.kind)).toEqual(["detach", "netnsDeath"]);
    c.close(path);
    await c.until("the link goes", () => entryOf(c, id) === undefined);
  });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
