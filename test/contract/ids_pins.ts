/**
 * Ids and pins: the two ways to an object that nobody has handed out an fd of.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { EACCES } from "../../src/abi/errno.ts";
import { cString } from "../../src/call.ts";
import { O_PATH } from "../../src/kernel/file.ts";
import type { Kernel } from "../../src/kernel.ts";
import { BAD_POINTER, type Case, CLOSED_FD, type Fields, outcomeOf, u32s } from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

/** The three kinds of object that have ids here. */
const KINDS = [
  [
    "prog",
    bpf.BPF_PROG_GET_NEXT_ID,
    bpf.BPF_PROG_GET_FD_BY_ID,
    (c: Case): number => c.program(),
    (c: Case, fd: number): number => c.progId(fd),
  ],
  [
    "map",
    bpf.BPF_MAP_GET_NEXT_ID,
    bpf.BPF_MAP_GET_FD_BY_ID,
    (c: Case): number => c.map(),
    (c: Case, fd: number): number => c.mapInfo(fd).id,
  ],
  [
    "link",
    bpf.BPF_LINK_GET_NEXT_ID,
    bpf.BPF_LINK_GET_FD_BY_ID,
    (c: Case): number => c.link(c.program(), c.netns()),
    (c: Case, fd: number): number => c.linkId(fd),
  ],
] as const;

const get = (c: Case, fields: Fields<typeof bpf.BPF_OBJ_GET>): string =>
  c.outcome(bpf.BPF_OBJ_GET, fields);
const pin = (c: Case, fields: Fields<typeof bpf.BPF_OBJ_PIN>): string =>
  c.outcome(bpf.BPF_OBJ_PIN, fields);

export const idsAndPins: Chapter = {
  title: "ids and pins",
  rules: (rules) => {
    ids(rules);
    pinning(rules);
    getting(rules);
    modes(rules);
    pinLife(rules);
    directories(rules);
    pathForms(rules);
    inDirectories(rules);
    strangers(rules);
  },
};

function ids({ rule }: Rules): void {
  for (const [kind, next, byId, make, idOf] of KINDS) {
    rule(`${kind}: the next id is the smallest above the start`, (c) => {
      const fd = make(c);
      const id = idOf(c, fd);
      const answer = c.answer(next, { start_id: id - 1, next_id: 0xdead });
      expect([answer.outcome, answer.attr.next_id]).toEqual(["ok", id]);
      const first = c.answer(next, { start_id: 0 });
      expect(first.attr.next_id).toBeLessThanOrEqual(id);
    });

    rule(`${kind}: after the last id comes ENOENT, and a start past INT_MAX is EINVAL`, (c) => {
      expect(c.outcome(next, { start_id: 0x7ffffffe })).toBe("ENOENT");
      expect(c.outcome(next, { start_id: 0x7fffffff })).toBe("EINVAL");
      expect(c.outcome(next, { start_id: 0xffffffff })).toBe("EINVAL");
    });

    rule(`${kind}: an id gives another fd of the same object`, (c) => {
      const fd = make(c);
      const again = c.must(byId, { id: idOf(c, fd) });
      expect(again).not.toBe(fd);
      expect(idOf(c, again)).toBe(idOf(c, fd));
    });

    rule(`${kind}: id 0, an unknown id and an id of the past are ENOENT`, (c) => {
      const fd = make(c);
      const id = idOf(c, fd);
      c.close(fd);
      for (const absent of [0, 0x7ffffffe, 0xffffffff, id]) {
        expect(c.outcome(byId, { id: absent }), `${absent}`).toBe("ENOENT");
      }
    });

    rule(`${kind}: ids go up`, (c) => {
      const first = idOf(c, make(c));
      expect(idOf(c, make(c))).toBeGreaterThan(first);
    });
  }

  rule("a map can be opened by id read-only or write-only, not with both or other flags", (c) => {
    const id = c.mapInfo(c.map()).id;
    const open = (open_flags: number): string =>
      c.outcome(bpf.BPF_MAP_GET_FD_BY_ID, { id, open_flags });
    expect(open(bpf.BPF_F_RDONLY)).toBe("ok");
    expect(open(bpf.BPF_F_WRONLY)).toBe("ok");
    expect(open(bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY)).toBe("EINVAL");
    expect(open(1)).toBe("EINVAL");
  });

  rule("the next_id field of MAP_GET_FD_BY_ID is ignored", (c) => {
    const id = c.mapInfo(c.map()).id;
    expect(c.outcome(bpf.BPF_MAP_GET_FD_BY_ID, { id, next_id: 7 })).toBe("ok");
  });
}

function pinning({ rule }: Rules): void {
  rule("links, programs and maps can be pinned, each many times", (c) => {
    for (const [, , , make, idOf] of KINDS) {
      const fd = make(c);
      for (const path of [c.pin(fd), c.pin(fd)]) {
        const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(path) });
        expect(idOf(c, pinned)).toBe(idOf(c, fd));
      }
    }
  });

  rule("a path that is taken is EEXIST, one that leads nowhere ENOENT", (c) => {
    const fd = c.map();
    const pathname = c.string(c.pin(fd));
    expect(pin(c, { pathname, bpf_fd: fd })).toBe("EEXIST");
    const nowhere = c.string(`${c.world.pinDirectory}/no/where`);
    expect(pin(c, { pathname: nowhere, bpf_fd: fd })).toBe("ENOENT");
    expect(pin(c, { pathname: c.string(""), bpf_fd: fd })).toBe("ENOENT");
  });

  rule("a directory that is not on bpffs is EPERM", (c) => {
    const pathname = c.string("/dev/contract");
    expect(pin(c, { pathname, bpf_fd: c.map() })).toBe("EPERM");
  });

  rule("a name with a dot is EPERM", (c) => {
    const fd = c.map();
    for (const name of ["a.b", ".a", "a."]) {
      const pathname = c.string(`${c.world.pinDirectory}/${name}`);
      expect(pin(c, { pathname, bpf_fd: fd }), name).toBe("EPERM");
    }
  });

  rule("an fd that is closed or no BPF object is EINVAL, before the path is looked at", (c) => {
    const pathname = c.string(`${c.world.pinDirectory}/no/where`);
    expect(pin(c, { pathname, bpf_fd: CLOSED_FD })).toBe("EINVAL");
    expect(pin(c, { pathname, bpf_fd: c.open("/dev/null") })).toBe("EINVAL");
    expect(pin(c, { pathname, bpf_fd: c.open("/proc/self/ns/net", O_PATH) })).toBe("EINVAL");
  });

  rule("flags are EINVAL, a bad pointer to the path EFAULT", (c) => {
    const fd = c.map();
    const pathname = c.string(c.pinPath());
    for (const file_flags of [1, bpf.BPF_F_RDONLY, bpf.BPF_F_WRONLY]) {
      expect(pin(c, { pathname, bpf_fd: fd, file_flags })).toBe("EINVAL");
    }
    expect(pin(c, { pathname, bpf_fd: fd, path_fd: 1 }), "path_fd without its flag").toBe("EINVAL");
    expect(pin(c, { pathname: BAD_POINTER, bpf_fd: fd })).toBe("EFAULT");
  });

  rule("with BPF_F_PATH_FD a relative path begins at path_fd", (c) => {
    const fd = c.map();
    const path = c.pinPath();
    const directory = c.open(c.world.pinDirectory, 0o200000);
    const pathname = c.string(path.slice(c.world.pinDirectory.length + 1));
    const there = { pathname, file_flags: bpf.BPF_F_PATH_FD, path_fd: directory };
    expect(pin(c, { ...there, bpf_fd: fd })).toBe("ok");
    expect(get(c, there)).toBe("ok");
    expect(get(c, { pathname: c.string(path) })).toBe("ok");
  });
}

function getting({ rule }: Rules): void {
  rule("OBJ_GET with bpf_fd or unknown flags is EINVAL", (c) => {
    const pathname = c.string(c.pin(c.map()));
    expect(get(c, { pathname, bpf_fd: 1 })).toBe("EINVAL");
    for (const file_flags of [1, 0x80000000, bpf.BPF_F_RDONLY | bpf.BPF_F_WRONLY]) {
      expect(get(c, { pathname, file_flags })).toBe("EINVAL");
    }
  });

  rule("OBJ_GET of nothing is ENOENT, of a file that is no pin EACCES", (c) => {
    expect(get(c, { pathname: c.string(`${c.world.pinDirectory}/nothing`) })).toBe("ENOENT");
    expect(get(c, { pathname: c.string("/dev/null") })).toBe("EACCES");
    expect(get(c, { pathname: c.string(c.world.pinDirectory) })).toBe("EACCES");
    expect(get(c, { pathname: BAD_POINTER })).toBe("EFAULT");
  });

  rule("open(2) of a pinned link is EIO", (c) => {
    const path = c.pin(c.link(c.program(), c.netns()));
    expect(c.track(c.kernel.open(path))).toBe(-5);
  });
}

function modes({ rule }: Rules): void {
  rule("a pinned map opens read-only or write-only, and then the other half is EPERM", (c) => {
    const pathname = c.string(c.pin(c.map()));
    const element = { key: c.at(u32s(0)), value: c.at(new Uint8Array(8)) };
    const open = (file_flags: number): number => c.must(bpf.BPF_OBJ_GET, { pathname, file_flags });
    const read = open(bpf.BPF_F_RDONLY);
    expect(c.outcome(bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: read, ...element })).toBe("ok");
    expect(c.outcome(bpf.BPF_MAP_UPDATE_ELEM, { map_fd: read, ...element })).toBe("EPERM");
    const write = open(bpf.BPF_F_WRONLY);
    expect(c.outcome(bpf.BPF_MAP_LOOKUP_ELEM, { map_fd: write, ...element })).toBe("EPERM");
    expect(c.outcome(bpf.BPF_MAP_UPDATE_ELEM, { map_fd: write, ...element })).toBe("ok");
  });

  rule("a pinned link opens with full access only, a program read-only too", (c) => {
    const link = c.string(c.pin(c.link(c.program(), c.netns())));
    const program = c.string(c.pin(c.program()));
    expect(get(c, { pathname: link, file_flags: bpf.BPF_F_RDONLY })).toBe("EINVAL");
    expect(get(c, { pathname: link, file_flags: bpf.BPF_F_WRONLY })).toBe("EINVAL");
    expect(get(c, { pathname: program, file_flags: bpf.BPF_F_RDONLY })).toBe("ok");
  });
}

function pinLife({ rule }: Rules): void {
  rule("a pin keeps a link attached; the last unlink lets it go in its own time", async (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const id = c.linkId(link);
    const [first, second] = [c.pin(link), c.pin(link)];
    c.close(link);
    expect(c.unpin(first)).toBe(0);
    expect(c.attached(netns), "one pin is left").toHaveLength(1);
    expect(c.unpin(second)).toBe(0);
    await c.until("the link goes", () => !c.exists(bpf.BPF_LINK_GET_FD_BY_ID, id));
    // Nobody can open it from then on, and its release is still to come.
    await c.until("it is released", () => c.attached(netns).length === 0);
  });

  rule("a pin keeps programs and maps; they go with the last unlink", async (c) => {
    for (const [kind, , byId, make, idOf] of KINDS) {
      const fd = make(c);
      const id = idOf(c, fd);
      const path = c.pin(fd);
      c.close(fd);
      expect(c.exists(byId, id)).toBe(true);
      c.unpin(path);
      await c.until(`the ${kind} goes`, () => !c.exists(byId, id));
    }
  });

  rule("a prog array lets go of its programs with its last fd or pin", async (c) => {
    const id = (fd: number): number => c.progId(fd);
    for (const isPinned of [false, true]) {
      const array = c.map({ map_type: bpf.BPF_MAP_TYPE_PROG_ARRAY, key_size: 4, value_size: 4 });
      const program = c.program();
      const entry = id(program);
      const fields = { map_fd: array, key: c.at(u32s(0)), value: c.at(u32s(program)) };
      c.must(bpf.BPF_MAP_UPDATE_ELEM, fields);
      c.close(program);
      const path = isPinned ? c.pin(array) : null;
      if (isPinned) {
        c.close(array);
        await c.world.turn();
      }
      expect(c.exists(bpf.BPF_PROG_GET_FD_BY_ID, entry)).toBe(true);
      if (path === null) c.close(array);
      else expect(c.unpin(path)).toBe(0);
      await c.until("the entry goes", () => !c.exists(bpf.BPF_PROG_GET_FD_BY_ID, entry));
    }
  });

  rule("an unpinned link can be pinned again while an fd holds it", async (c) => {
    const link = c.link(c.program(), c.netns());
    const path = c.pin(link);
    expect(c.kernel.bpffs.unlink(path)).toBe(0);
    expect(pin(c, { pathname: c.string(path), bpf_fd: link })).toBe("ok");
  });

  rule("a pinned link outlives its namespace, defunct", (c) => {
    const netns = c.netns();
    const link = c.link(c.program(), netns);
    const path = c.pin(link);
    c.close(link);
    c.close(netns);
    const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(path) });
    expect(c.linkInfo(pinned).netns_ino).toBe(0);
    const fields = { link_fd: pinned, new_prog_fd: c.program() };
    expect(c.outcome(bpf.BPF_LINK_UPDATE, fields)).toBe("ENOLINK");
  });

  rule("a link can be updated through a pin", (c) => {
    const netns = c.netns();
    const path = c.pin(c.link(c.program(), netns));
    const pinned = c.must(bpf.BPF_OBJ_GET, { pathname: c.string(path) });
    const next = c.program();
    c.must(bpf.BPF_LINK_UPDATE, { link_fd: pinned, new_prog_fd: next });
    expect(c.attached(netns)).toEqual([c.progId(next)]);
  });
}

function directories({ rule }: Rules): void {
  rule("directories are made, listed and removed; errors are those of files", (c) => {
    const { bpffs } = c.kernel;
    const directory = c.pinPath();
    expect(bpffs.mkdir(directory)).toBe(0);
    expect(bpffs.mkdir(directory), "EEXIST").toBe(-17);
    expect(bpffs.mkdir(`${directory}/a/b`), "ENOENT").toBe(-2);
    expect(bpffs.readdir(directory)).toEqual([]);
    const fields = { bpf_fd: c.map() };
    for (const name of ["two", "one"]) {
      c.must(bpf.BPF_OBJ_PIN, { ...fields, pathname: c.string(`${directory}/${name}`) });
    }
    expect(bpffs.readdir(directory)).toEqual(["one", "two"]);
    expect(bpffs.rmdir(directory), "ENOTEMPTY").toBe(-39);
    expect(bpffs.unlink(directory), "EISDIR").toBe(-21);
    expect(bpffs.rmdir(`${directory}/one`), "ENOTDIR").toBe(-20);
    expect(bpffs.readdir(`${directory}/one`), "ENOTDIR").toBe(-20);
    expect(bpffs.unlink(`${directory}/one`)).toBe(0);
    expect(bpffs.unlink(`${directory}/one`), "ENOENT").toBe(-2);
    expect(bpffs.unlink(`${directory}/two`)).toBe(0);
    expect(bpffs.rmdir(directory)).toBe(0);
    expect(bpffs.rmdir(directory), "ENOENT").toBe(-2);
    expect(bpffs.readdir(directory), "ENOENT").toBe(-2);
  });

  rule("what no directory can be removed by: its mount point, and names of dots", (c) => {
    const { bpffs } = c.kernel;
    const directory = c.pinPath();
    expect(bpffs.mkdir(directory)).toBe(0);
    const outcomes = (path: string): readonly string[] =>
      [bpffs.rmdir(path), bpffs.unlink(path), bpffs.mkdir(path)].map(outcomeOf);
    expect(outcomes(c.world.bpffsRoot)).toEqual(["EBUSY", "EISDIR", "EEXIST"]);
    expect(outcomes(`${c.world.bpffsRoot}/`)).toEqual(["EBUSY", "EISDIR", "EEXIST"]);
    expect(outcomes("/")).toEqual(["EBUSY", "EISDIR", "EEXIST"]);
    expect(outcomes(`${directory}/.`)).toEqual(["EINVAL", "EISDIR", "EEXIST"]);
    expect(outcomes(`${directory}/..`)).toEqual(["ENOTEMPTY", "EISDIR", "EEXIST"]);
    expect(bpffs.rmdir(`${directory}/`)).toBe(0);
  });

  rule("a directory's name may not have a dot either: EPERM", (c) => {
    expect(c.kernel.bpffs.mkdir(`${c.world.pinDirectory}/a.b`)).toBe(-1);
  });
}

/**
 * What each call says to a path below a directory that holds the pin `a` and the empty directory
 * `dir`: BPF_OBJ_PIN, BPF_OBJ_GET, mkdir, rmdir, unlink, open with O_PATH.
 */
const PATH_FORMS: readonly (readonly [path: string, ...outcomes: string[]])[] = [
  ["a/", "EEXIST", "ENOTDIR", "EEXIST", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["a//", "EEXIST", "ENOTDIR", "EEXIST", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["dir/../a/", "EEXIST", "ENOTDIR", "EEXIST", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["a/.", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["a/..", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["a/b", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["a/./", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  [`a/${"z".repeat(256)}`, "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR", "ENOTDIR"],
  ["dir/.", "EEXIST", "EACCES", "EEXIST", "EINVAL", "EISDIR", "ok"],
  ["dir/..", "EEXIST", "EACCES", "EEXIST", "ENOTEMPTY", "EISDIR", "ok"],
  [".", "EEXIST", "EACCES", "EEXIST", "EINVAL", "EISDIR", "ok"],
  ["..", "EEXIST", "EACCES", "EEXIST", "ENOTEMPTY", "EISDIR", "ok"],
  ["new/", "ENOENT", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["new//", "ENOENT", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["dir//new", "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["dir/../new", "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["./new", "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["none/.", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"],
  ["none/../x", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"],
  [`none/${"z".repeat(256)}`, "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"],
  ["x.y", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"],
  ["x.y/", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"],
  ["...", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"],
  ["z".repeat(255), "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["é".repeat(127), "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ["x\n\x7f y", "ok", "ENOENT", "ok", "ENOENT", "ENOENT", "ENOENT"],
  ...["z".repeat(256), "é".repeat(128), `${"z".repeat(256)}/`].map((name) => {
    return [name, ...Array<string>(6).fill("ENAMETOOLONG")] as const;
  }),
];

function pathForms({ rule }: Rules): void {
  rule("paths that end in odd ways are refused as Linux refuses them", (c) => {
    const { kernel } = c;
    const { bpffs } = kernel;
    const directory = c.pinPath();
    expect(bpffs.mkdir(directory)).toBe(0);
    expect(bpffs.mkdir(`${directory}/dir`)).toBe(0);
    const map = c.map();
    expect(pin(c, { bpf_fd: map, pathname: c.string(`${directory}/a`) })).toBe("ok");
    /** What was made goes again. */
    const undone = (outcome: string, undo: () => number): string => {
      if (outcome === "ok") expect(undo()).toBe(0);
      return outcome;
    };
    const seen = PATH_FORMS.map(([form]) => {
      const path = `${directory}/${form}`;
      const pathname = c.string(path);
      return [
        form,
        undone(pin(c, { bpf_fd: map, pathname }), () => bpffs.unlink(path)),
        get(c, { pathname }),
        undone(outcomeOf(bpffs.mkdir(path)), () => bpffs.rmdir(path)),
        outcomeOf(bpffs.rmdir(path)),
        outcomeOf(bpffs.unlink(path)),
        outcomeOf(c.track(kernel.open(path, O_PATH))),
      ];
    });
    expect(seen).toEqual(PATH_FORMS.map((row) => [...row]));
    expect(outcomeOf(bpffs.rmdir("/"))).toBe("EBUSY");
    bpffs.unlink(`${directory}/a`);
    bpffs.rmdir(`${directory}/dir`);
    expect(bpffs.rmdir(directory)).toBe(0);
  });

  rule("names of any bytes are names of their own", (c) => {
    const { bpffs } = c.kernel;
    const directory = c.pinPath();
    expect(bpffs.mkdir(directory)).toBe(0);
    // Bytes that are no UTF-8, as decodeName() has them; the second is the first's replacement.
    const names = ["\udcff", "\ufffd", "\udcfe", "\ufeffx", "x"];
    const map = c.map();
    for (const name of names) {
      const pathname = c.at(cString(`${directory}/${name}`));
      expect(pin(c, { bpf_fd: map, pathname }), JSON.stringify(name)).toBe("ok");
    }
    expect(bpffs.readdir(directory)).toEqual(names.toSorted());
    expect(bpffs.walk(directory)).toEqual(names.map((name) => `${directory}/${name}`).toSorted());
    for (const name of names) expect(bpffs.unlink(`${directory}/${name}`)).toBe(0);
    expect(bpffs.rmdir(directory)).toBe(0);
  });

  rule("a path with a NUL in it is EINVAL", (c) => {
    const { bpffs, netns } = c.kernel;
    const path = `${c.world.pinDirectory}\0x`;
    expect(bpffs.mkdir(path), "mkdir").toBe(-22);
    expect(bpffs.unlink(path), "unlink").toBe(-22);
    expect(c.kernel.open(path), "open").toBe(-22);
    expect(netns.create("a\0b"), "create").toBe(-22);
    expect(netns.remove("a\0b"), "remove").toBe(-22);
  });
}

function inDirectories({ rule }: Rules): void {
  rule("a directory's fd leads to what is in it, whatever becomes of its path", (c) => {
    const { kernel } = c;
    const { directories } = kernel;
    const path = c.pinPath();
    expect(kernel.bpffs.mkdir(path)).toBe(0);
    const fd = c.track(kernel.open(path, O_PATH));
    expect(directories.status(fd)).toMatchObject({
      type: "directory",
      fileSystem: "bpf",
      mode: 0o700,
    });
    expect(directories.mkdir(fd, "one", 0o1700)).toBe(0);
    expect(directories.mkdir(fd, "one", 0o1700), "EEXIST").toBe(-17);
    const one = c.track(directories.find(fd, "one"));
    expect(directories.status(one)).toMatchObject({ type: "directory", mode: 0o1700 });
    const link = c.link(c.program(), c.netns());
    const file_flags = bpf.BPF_F_PATH_FD;
    const inOne = { file_flags, path_fd: one, pathname: c.string("link") };
    expect(pin(c, { ...inOne, bpf_fd: link })).toBe("ok");
    expect(directories.list(one)).toEqual(["link"]);
    const pinned = c.track(directories.find(one, "link"));
    expect(directories.status(pinned)).toMatchObject({
      type: "regular file",
      fileSystem: "bpf",
      mode: 0o600,
    });
    expect(get(c, inOne)).toBe("ok");
    expect(directories.rmdir(fd, "one"), "ENOTEMPTY").toBe(-39);
    expect(directories.unlink(fd, "one"), "EISDIR").toBe(-21);
    expect(directories.rmdir(one, "link"), "ENOTDIR").toBe(-20);
    expect(directories.unlink(one, "link")).toBe(0);
    expect(directories.unlink(one, "link"), "ENOENT").toBe(-2);
    expect(directories.rmdir(fd, "one")).toBe(0);
    expect(directories.list(one), "it is gone").toEqual([]);
    expect(directories.find(CLOSED_FD, "x"), "EBADF").toBe(-9);
    expect(directories.find(link, "x"), "ENOTDIR").toBe(-20);
    expect(directories.status(CLOSED_FD), "EBADF").toBe(-9);
    expect(kernel.bpffs.rmdir(path)).toBe(0);
  });

  rule("a namespace's file, and a device, are told from pins", (c) => {
    const { directories } = c.kernel;
    const own = c.track(c.kernel.open("/proc/self/ns/net", O_PATH));
    expect(directories.status(own)).toMatchObject({ type: "regular file", fileSystem: "nsfs" });
    const device = c.track(c.kernel.open("/dev/null", O_PATH));
    expect(directories.status(device)).toMatchObject({
      type: "character device",
      fileSystem: "other",
    });
  });
}

/** Somebody who owns nothing. */
const STRANGER = 65534;

function strangers({ rule }: Rules): void {
  rule("a pin opens for its owner without capabilities, and for no other user", (c) => {
    const path = c.pin(c.link(c.program(), c.netns()));
    const attr = (): Uint8Array => c.attr(bpf.BPF_OBJ_GET, { pathname: c.string(path) });
    const open = (kernel: Kernel): string => {
      const fd = kernel.bpf(bpf.BPF_OBJ_GET, attr());
      if (fd >= 0) kernel.close(fd);
      return outcomeOf(fd);
    };
    expect(c.world.unprivileged([], open)).toBe("ok");
    expect(c.world.unprivileged([], open, STRANGER)).toBe("EACCES");
  });

  rule("a directory is its owner's alone", (c) => {
    const directory = c.pinPath();
    expect(c.kernel.bpffs.mkdir(directory)).toBe(0);
    const inside = `${directory}/map`;
    const map = c.map();
    c.must(bpf.BPF_OBJ_PIN, { pathname: c.string(inside), bpf_fd: map });
    const other = c.string(`${directory}/other`);
    const seen = c.world.unprivileged(
      [map],
      (kernel, [fd = -1]) => [
        kernel.bpf(bpf.BPF_OBJ_PIN, c.attr(bpf.BPF_OBJ_PIN, { pathname: other, bpf_fd: fd })),
        kernel.bpffs.unlink(inside),
        kernel.bpffs.mkdir(`${directory}/more`),
        kernel.bpffs.readdir(directory),
      ],
      STRANGER,
    );
    c.kernel.bpffs.unlink(inside);
    expect(c.kernel.bpffs.rmdir(directory)).toBe(0);
    expect(seen).toEqual([-EACCES, -EACCES, -EACCES, -EACCES]);
  });
}
