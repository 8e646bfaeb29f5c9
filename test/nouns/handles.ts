/** What all nouns share: an fd that is closed once, pins, ids, and fds that others opened. */

import { expect, test } from "vitest";
import {
  BPF_MAP_TYPE_ARRAY,
  BpfMap,
  type Kernel,
  Link,
  type NetNs,
  Program,
} from "../../src/index.ts";
import type { Scene } from "./scenes.ts";
import type { Stage } from "./stage.ts";

const ARRAY = { type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 };

/** One of each kind. */
async function cast(stage: Stage): Promise<{ all: (Program | BpfMap | Link | NetNs)[] }> {
  const netns = stage.netns();
  const program = stage.program();
  return { all: [program, stage.map(ARRAY), await stage.link(program, netns), netns] };
}

export const handles: Scene = (stage) => {
  test("disposing closes the fd, and a second time is harmless", async () => {
    const { kernel } = stage();
    for (const each of (await cast(stage())).all) {
      const { fd } = each;
      expect(kernel.fdname(fd)).not.toBe("");
      each[Symbol.dispose]();
      expect(kernel.fdname(fd)).toBe("");
      each[Symbol.dispose]();
      expect(() => each.fd).toThrow(new TypeError(`fd ${fd} is disposed already`));
    }
  });

  test("a second dispose doesn't close somebody else's fd of the same number", () => {
    const first = stage().map(ARRAY);
    const { fd } = first;
    first[Symbol.dispose]();
    const second = stage().map(ARRAY);
    expect(second.fd, "the lowest free number is given again").toBe(fd);
    first[Symbol.dispose]();
    expect(second.info.type).toBe(BPF_MAP_TYPE_ARRAY);
    expect(stage().kernel.fdname(fd)).toBe("anon_inode:bpf-map");
  });

  test("`using` closes at the end of the block, also when it is left by an exception", () => {
    const { kernel } = stage();
    const fds: number[] = [];
    expect(() => {
      using map = BpfMap.create(kernel, ARRAY);
      fds.push(map.fd);
      throw new RangeError("out of here");
    }).toThrow("out of here");
    expect(fds.map((fd) => kernel.fdname(fd))).toEqual([""]);
  });

  test("a pin holds the object while nobody has an fd, and gives it back", async () => {
    const { kernel } = stage();
    const program = stage().program(7);
    const map = stage().map(ARRAY);
    const link = await stage().link(program, stage().netns());
    const noun = [
      { object: program, open: (path: string) => Program.fromPin(kernel, path) },
      { object: map, open: (path: string) => BpfMap.fromPin(kernel, path) },
      { object: link, open: (path: string) => Link.fromPin(kernel, path) },
    ];
    for (const { object, open } of noun) {
      const path = stage().path();
      const before = object.info;
      object.pin(path);
      object[Symbol.dispose]();
      using again = open(path);
      expect(again.info).toEqual(before);
      expect(kernel.bpffs.unlink(path)).toBe(0);
    }
  });

  test("an id leads to the same object, with an fd of its own", async () => {
    const { kernel } = stage();
    const program = stage().program();
    using sameProgram = Program.fromId(kernel, program.info.id);
    expect(sameProgram.info).toEqual(program.info);
    expect(sameProgram.fd).not.toBe(program.fd);
    const map = stage().map(ARRAY);
    using sameMap = BpfMap.fromId(kernel, map.info.id);
    expect(sameMap.info).toEqual(map.info);
    const link = await stage().link(program, stage().netns());
    using sameLink = Link.fromId(kernel, link.info.id);
    expect(sameLink.info).toEqual(link.info);
  });

  test("an fd is taken over if it is of the right kind, and closed if it isn't", async () => {
    const { kernel } = stage();
    const { all } = await cast(stage());
    const nouns = [
      { kind: "program", open: (fd: number) => Program.fromFd(kernel, fd) },
      { kind: "map", open: (fd: number) => BpfMap.fromFd(kernel, fd) },
      { kind: "link", open: (fd: number) => Link.fromFd(kernel, fd) },
    ];
    for (const [right, { kind, open }] of nouns.entries()) {
      for (const [given, object] of all.entries()) {
        const fd = kernel.dup(object.fd);
        if (given === right) {
          open(fd)[Symbol.dispose]();
        } else {
          expect(() => open(fd)).toThrow(TypeError);
          expect(() => open(kernel.dup(object.fd))).toThrow(
            new RegExp(`^fd: ${fd} is open on .+, which is no ${kind}$`),
          );
        }
        expect(kernel.fdname(fd)).toBe("");
      }
      expect(() => open(12_345)).toThrow(new TypeError("fd: 12345 is not open"));
    }
  });

  test("a pin of another kind is no program, and leaves no fd open", () => {
    const { kernel } = stage();
    const path = stage().path();
    stage().map(ARRAY).pin(path);
    const free = lowestFreeFd(kernel);
    expect(() => Program.fromPin(kernel, path)).toThrow(/bpf-map, which is no program$/);
    expect(() => Link.fromPin(kernel, path)).toThrow(/bpf-map, which is no link$/);
    expect(lowestFreeFd(kernel)).toBe(free);
    kernel.bpffs.unlink(path);
  });

  test("a path with a NUL in it is refused: the kernel would see another one", () => {
    const map = stage().map(ARRAY);
    expect(() => map.pin(`${stage().path()}\0.txt`)).toThrow(/has a NUL in it$/);
    expect(() => BpfMap.fromPin(stage().kernel, "/sys/fs\0/bpf")).toThrow(TypeError);
  });
};

function lowestFreeFd(kernel: Kernel): number {
  using map = BpfMap.create(kernel, ARRAY);
  return map.fd;
}
