/**
 * The syscall frame: what bpf(2) makes of a command, an attr and its size, before it looks at
 * anything else.
 */

import { expect } from "vitest";
import { BPF_ATTR_MAX_SIZE, BPF_ATTR_SIZE } from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { O_DIRECTORY, O_PATH, O_RDWR } from "../../src/kernel/file.ts";
import {
  type Case,
  CLOSED_FD,
  type Command,
  type Fields,
  outcomeOf,
  SOCKET_FILTER,
} from "./case.ts";
import type { Chapter, Rules } from "./rules.ts";

/** A command, fields that fail at the first look-up, how, and where zeros must begin. */
type Tail = {
  [C in Command]: readonly [
    command: C,
    fields: (c: Case) => Fields<C>,
    outcome: string,
    end: number,
  ];
}[Command];

const missingPath = (c: Case): Fields<typeof bpf.BPF_OBJ_GET> => ({
  pathname: c.string(`${c.world.pinDirectory}/nothing`),
});
const mapFd = (): { map_fd: number } => ({ map_fd: CLOSED_FD });
const flowDissector = bpf.BPF_FLOW_DISSECTOR;
/** The largest id to start from; no object is that old. */
const lastStart = (): { start_id: number } => ({ start_id: 0x7ffffffe });

/** Ends of the attrs of Linux 6.18, as its BTF has them. */
const TAILS: readonly Tail[] = [
  [bpf.BPF_MAP_CREATE, (c) => c.mapFields(), "ok", 92],
  [bpf.BPF_MAP_LOOKUP_ELEM, mapFd, "EBADF", 32],
  [bpf.BPF_MAP_UPDATE_ELEM, mapFd, "EBADF", 32],
  [bpf.BPF_MAP_LOOKUP_AND_DELETE_ELEM, mapFd, "EBADF", 32],
  [bpf.BPF_MAP_DELETE_ELEM, mapFd, "EBADF", 16],
  [bpf.BPF_MAP_GET_NEXT_KEY, mapFd, "EBADF", 24],
  [bpf.BPF_MAP_FREEZE, mapFd, "EBADF", 4],
  [bpf.BPF_MAP_LOOKUP_BATCH, mapFd, "EBADF", 56],
  [bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH, mapFd, "EBADF", 56],
  [bpf.BPF_MAP_UPDATE_BATCH, mapFd, "EBADF", 56],
  [bpf.BPF_MAP_DELETE_BATCH, mapFd, "EBADF", 56],
  [bpf.BPF_OBJ_GET, missingPath, "ENOENT", 20],
  [
    bpf.BPF_PROG_ATTACH,
    () => ({ attach_bpf_fd: CLOSED_FD, attach_type: flowDissector }),
    "EBADF",
    32,
  ],
  [
    bpf.BPF_PROG_DETACH,
    () => ({ attach_bpf_fd: CLOSED_FD, attach_type: flowDissector }),
    "EBADF",
    32,
  ],
  [bpf.BPF_PROG_TEST_RUN, () => ({ prog_fd: CLOSED_FD }), "EBADF", 76],
  [bpf.BPF_PROG_GET_NEXT_ID, lastStart, "ENOENT", 8],
  [bpf.BPF_MAP_GET_NEXT_ID, lastStart, "ENOENT", 8],
  [bpf.BPF_LINK_GET_NEXT_ID, lastStart, "ENOENT", 8],
  [bpf.BPF_PROG_GET_FD_BY_ID, () => ({ id: 0 }), "ENOENT", 4],
  [bpf.BPF_LINK_GET_FD_BY_ID, () => ({ id: 0 }), "ENOENT", 4],
  [bpf.BPF_MAP_GET_FD_BY_ID, () => ({ id: 0 }), "ENOENT", 12],
  [bpf.BPF_OBJ_GET_INFO_BY_FD, () => ({ bpf_fd: CLOSED_FD }), "EBADFD", 16],
  [bpf.BPF_PROG_QUERY, () => ({ target_fd: CLOSED_FD, attach_type: flowDissector }), "EBADF", 64],
  [bpf.BPF_LINK_CREATE, () => ({ prog_fd: CLOSED_FD }), "EBADF", 60],
  [bpf.BPF_LINK_UPDATE, () => ({ link_fd: CLOSED_FD }), "EBADF", 16],
  [bpf.BPF_LINK_DETACH, () => ({ link_fd: CLOSED_FD }), "EBADF", 4],
];

/** A call that looks one fd up, and how a closed fd fails in it. */
type Role = readonly [what: string, accepts: string, call: (c: Case, fd: number) => string];

const ROLES: readonly Role[] = [
  ["LINK_CREATE prog_fd", "prog", (c, fd) => c.linking(fd, c.netns())],
  ["LINK_CREATE target_fd", "netns", (c, fd) => c.linking(c.program(), fd)],
  ["LINK_UPDATE link_fd", "link", (c, fd) => update(c, { link_fd: fd, new_prog_fd: c.program() })],
  [
    "LINK_UPDATE new_prog_fd",
    "prog",
    (c, fd) => update(c, { link_fd: c.link(c.program(), c.netns()), new_prog_fd: fd }),
  ],
  [
    "LINK_UPDATE old_prog_fd",
    "prog",
    (c, fd) => {
      const link = c.link(c.program(), c.netns());
      const fields = { link_fd: link, new_prog_fd: c.program(), flags: bpf.BPF_F_REPLACE };
      return update(c, { ...fields, old_prog_fd: fd });
    },
  ],
  ["LINK_DETACH link_fd", "link", (c, fd) => c.outcome(bpf.BPF_LINK_DETACH, { link_fd: fd })],
  ["PROG_ATTACH attach_bpf_fd", "prog", (c, fd) => c.attach(fd, c.netns())],
  ["PROG_DETACH attach_bpf_fd", "prog", (c, fd) => c.detach(fd, c.netns())],
  ["PROG_QUERY target_fd", "netns", (c, fd) => c.query(fd).outcome],
  ["TEST_RUN prog_fd", "prog", (c, fd) => c.outcome(bpf.BPF_PROG_TEST_RUN, { prog_fd: fd })],
  ["MAP_LOOKUP_ELEM map_fd", "map", (c, fd) => element(c, bpf.BPF_MAP_LOOKUP_ELEM, fd)],
  ["MAP_UPDATE_ELEM map_fd", "map", (c, fd) => element(c, bpf.BPF_MAP_UPDATE_ELEM, fd)],
  [
    "MAP_DELETE_ELEM map_fd",
    "map",
    (c, fd) => c.outcome(bpf.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: c.at(new Uint8Array(8)) }),
  ],
  [
    "MAP_GET_NEXT_KEY map_fd",
    "map",
    (c, fd) =>
      c.outcome(bpf.BPF_MAP_GET_NEXT_KEY, { map_fd: fd, next_key: c.at(new Uint8Array(8)) }),
  ],
  ["MAP_FREEZE map_fd", "map", (c, fd) => c.outcome(bpf.BPF_MAP_FREEZE, { map_fd: fd })],
];

function update(c: Case, fields: Fields<typeof bpf.BPF_LINK_UPDATE>): string {
  return c.outcome(bpf.BPF_LINK_UPDATE, fields);
}

function element(
  c: Case,
  command: typeof bpf.BPF_MAP_LOOKUP_ELEM | typeof bpf.BPF_MAP_UPDATE_ELEM,
  fd: number,
): string {
  const pointers = { key: c.at(new Uint8Array(8)), value: c.at(new Uint8Array(64)) };
  return c.outcome(command, { map_fd: fd, ...pointers });
}

/** Files of every kind. */
const FILES: Readonly<Record<string, (c: Case) => number>> = {
  prog: (c) => c.program(SOCKET_FILTER),
  map: (c) => c.map(),
  link: (c) => c.link(c.program(), c.netns()),
  netns: (c) => c.netns(),
  "/dev/null": (c) => c.open("/dev/null", O_RDWR),
  "mount namespace": (c) => c.open("/proc/self/ns/mnt"),
  "UTS namespace": (c) => c.open("/proc/self/ns/uts"),
  directory: (c) => c.open(c.world.pinDirectory, O_DIRECTORY),
};

export const frame: Chapter = {
  title: "the syscall frame",
  rules: (rules) => {
    sizes(rules);
    edges(rules);
    tails(rules);
    lookUps(rules);
    returnedFds(rules);
  },
};

function sizes({ rule }: Rules): void {
  rule("a size over a page is E2BIG, before anything else", (c) => {
    const attr = new Uint8Array(BPF_ATTR_MAX_SIZE + 1);
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr))).toBe("E2BIG");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, null, attr.length))).toBe("E2BIG");
    expect(outcomeOf(c.raw(9999, attr))).toBe("E2BIG");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, null, 0xffffffff))).toBe("E2BIG");
  });

  rule("a page of an attr is read when all past the union is zero", (c) => {
    const attr = c.attr(bpf.BPF_LINK_DETACH, { link_fd: CLOSED_FD }, BPF_ATTR_MAX_SIZE);
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr))).toBe("EBADF");
  });

  rule("a byte past a command's fields is EINVAL inside the union and E2BIG past it", (c) => {
    for (let at = 4; at < 256; at++) {
      const attr = c.attr(bpf.BPF_LINK_DETACH, { link_fd: CLOSED_FD }, 256);
      attr[at] = 1;
      const wanted = at < BPF_ATTR_SIZE ? "EINVAL" : "E2BIG";
      expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr)), `byte ${at}`).toBe(wanted);
    }
    const attr = new Uint8Array(BPF_ATTR_MAX_SIZE);
    attr[BPF_ATTR_MAX_SIZE - 1] = 1;
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr))).toBe("E2BIG");
  });

  rule("a null attr is EFAULT, and with size 0 an attr of zeros", (c) => {
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, null, 16))).toBe("EFAULT");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, null, 200))).toBe("EFAULT");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_GET_FD_BY_ID, null, 0))).toBe("ENOENT");
    expect(outcomeOf(c.raw(bpf.BPF_MAP_CREATE, null, 0))).toBe("EINVAL");
  });

  rule("an unknown or negative command is EINVAL, once the attr has been read", (c) => {
    const attr = new Uint8Array(BPF_ATTR_SIZE + 8);
    for (const command of [38, 9999, -1, -0x80000000]) {
      expect(outcomeOf(c.raw(command, attr)), `command ${command}`).toBe("EINVAL");
      expect(outcomeOf(c.raw(command, null, 16))).toBe("EFAULT");
    }
    attr[BPF_ATTR_SIZE] = 1;
    expect(outcomeOf(c.raw(9999, attr))).toBe("E2BIG");
  });

  rule("bytes beyond the size that was passed are not seen", (c) => {
    const attr = c.attr(bpf.BPF_LINK_DETACH, { link_fd: CLOSED_FD }, 16);
    attr[4] = 1;
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr))).toBe("EINVAL");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_DETACH, attr, 4))).toBe("EBADF");
    const create = c.attr(bpf.BPF_LINK_CREATE, {
      prog_fd: c.program(),
      target_fd: c.netns(),
      attach_type: flowDissector,
      flags: 1,
    });
    expect(outcomeOf(c.raw(bpf.BPF_LINK_CREATE, create))).toBe("EINVAL");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_CREATE, create, 12))).toBe("ok");
  });

  rule("a size that ends inside a field takes the bytes there are", (c) => {
    const id = c.attr(bpf.BPF_LINK_GET_FD_BY_ID, { id: 0x7f000000 });
    expect(outcomeOf(c.raw(bpf.BPF_LINK_GET_FD_BY_ID, id, 3))).toBe("ENOENT");
    const start = c.attr(bpf.BPF_LINK_GET_NEXT_ID, { start_id: 0x7fffffff }, 4);
    expect(outcomeOf(c.raw(bpf.BPF_LINK_GET_NEXT_ID, start))).toBe("EINVAL");
    expect(outcomeOf(c.raw(bpf.BPF_LINK_GET_NEXT_ID, start, 3))).not.toBe("EINVAL");
  });
}

function edges({ rule }: Rules): void {
  rule("nothing is written past the attr that was given", (c) => {
    const page = new Uint8Array(256).fill(0xee);
    const size = 28;
    const fields = { target_fd: c.netns(), attach_type: flowDissector };
    page.set(c.attr(bpf.BPF_PROG_QUERY, fields).subarray(0, size));
    expect(c.raw(bpf.BPF_PROG_QUERY, page.subarray(0, size))).toBe(0);
    expect(page.subarray(size).every((byte) => byte === 0xee)).toBe(true);
  });

  rule("output fields are written where they lie, past the size too", (c) => {
    const netns = c.netns();
    c.link(c.program(), netns);
    const fields = { target_fd: netns, attach_type: flowDissector };
    const attr = new Uint8Array(64).fill(0xee);
    attr.set(c.attr(bpf.BPF_PROG_QUERY, fields).subarray(0, 12));
    expect(c.raw(bpf.BPF_PROG_QUERY, attr, 12)).toBe(0);
    const words = new Uint32Array(attr.buffer);
    expect([words[3], words[4], words[6], words[7]]).toEqual([0, 0xeeeeeeee, 1, 0xeeeeeeee]);
  });

  rule("a size past the end of the attr is the caller's mistake", (c) => {
    expect(() => c.raw(bpf.BPF_LINK_DETACH, new Uint8Array(4), 8)).toThrow(RangeError);
  });
}

function tails({ rule }: Rules): void {
  for (const [command, fields, outcome, end] of TAILS) {
    rule(`${bpf.COMMAND_NAMES[command]} insists on zeros from byte ${end} on`, (c) => {
      const attr = (): Uint8Array => c.attr(command, fields(c) as Fields<Command>, BPF_ATTR_SIZE);
      expect(outcomeOf(c.raw(command, attr())), "all zero").toBe(outcome);
      for (const at of [end, BPF_ATTR_SIZE - 1]) {
        const spoilt = attr();
        spoilt[at] = 1;
        expect(outcomeOf(c.raw(command, spoilt)), `byte ${at}`).toBe("EINVAL");
      }
    });
  }
}

function lookUps({ rule }: Rules): void {
  for (const [what, accepts, call] of ROLES) {
    rule(`${what}: a closed or O_PATH fd is EBADF, a file of another kind EINVAL`, (c) => {
      expect(call(c, CLOSED_FD), "closed").toBe("EBADF");
      expect(call(c, 0xffffffff), "-1").toBe("EBADF");
      expect(call(c, c.open("/proc/self/ns/net", O_PATH)), "O_PATH").toBe("EBADF");
      for (const [kind, open] of Object.entries(FILES)) {
        if (kind !== accepts) expect(call(c, open(c)), kind).toBe("EINVAL");
      }
    });
  }
}

function returnedFds({ rule }: Rules): void {
  rule("fds are close-on-exec; links are read-only, programs and maps read-write", (c) => {
    const link = c.link(c.program(), c.netns());
    const byId = c.must(bpf.BPF_LINK_GET_FD_BY_ID, { id: c.linkId(link) });
    const flags = (fd: number): string | undefined =>
      /^flags:\t(.*)$/m.exec(c.kernel.fdinfo(fd))?.[1];
    expect(flags(link)).toBe("02000000");
    expect(flags(byId)).toBe("02000000");
    expect(flags(c.program())).toBe("02000002");
    expect(flags(c.map())).toBe("02000002");
  });

  rule("an fd number is the lowest free one", (c) => {
    const first = c.map();
    const second = c.map();
    c.close(first);
    expect(c.map()).toBe(first);
    c.close(second);
    c.close(first);
    expect(c.dup(c.map())).toBeLessThanOrEqual(Math.max(first, second));
  });
}
