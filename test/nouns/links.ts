/** Links: their life, updates with and without a condition, and their end. */

import { expect, test } from "vitest";
import {
  BPF_FLOW_DISSECTOR,
  BPF_LINK_TYPE_NETNS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_SK_LOOKUP,
  Link,
  NetNs,
} from "../../src/index.ts";
import type { Scene } from "./scenes.ts";
import { refusal } from "./stage.ts";

export const links: Scene = (stage) => {
  test("a link attaches its program, and closing the link takes it off", async () => {
    const netns = stage().netns();
    const program = stage().program();
    const link = await stage().link(program, netns);
    expect(link.info).toEqual({
      type: BPF_LINK_TYPE_NETNS,
      id: link.info.id,
      programId: program.info.id,
      netnsInode: netns.inode,
      attachType: BPF_FLOW_DISSECTOR,
    });
    expect(netns.query()).toEqual([program.info.id]);
    link[Symbol.dispose]();
    expect(netns.query()).toEqual([]);
  });

  test("update swaps the program in place", async () => {
    const netns = stage().netns();
    const [first, second] = [stage().program(0), stage().program(2)];
    const link = await stage().link(first, netns);
    const { id } = link.info;
    link.update(second);
    expect(link.info).toMatchObject({ id, programId: second.info.id });
    expect(netns.query()).toEqual([second.info.id]);
    link.update(second);
    expect(link.info.programId, "the same again is no mistake").toBe(second.info.id);
  });

  test("update swaps if the expectation holds, and else changes nothing", async () => {
    const netns = stage().netns();
    const [first, second, third] = [stage().program(), stage().program(), stage().program()];
    const link = await stage().link(first, netns);
    link.update(second, { expect: first });
    expect(netns.query()).toEqual([second.info.id]);
    const { info } = link;
    refusal(
      () => link.update(third, { expect: first }),
      "EPERM",
      new RegExp(
        `link ${info.id} runs program ${second.info.id} .*, ` +
          `not the expected .*${first.info.id} .*look again`,
      ),
    );
    expect(link.info).toEqual(info);
  });

  test("a detached link stays, for good without a namespace, and twice is harmless", async () => {
    const netns = stage().netns();
    const program = stage().program();
    const link = await stage().link(program, netns);
    const { id } = link.info;
    link.detach();
    expect(link.info).toMatchObject({ id, netnsInode: 0, programId: program.info.id });
    expect(netns.query()).toEqual([]);
    link.detach();
    refusal(() => link.update(program), "ENOLINK", /is defunct: .*attach a new link$/);
    const next = await stage().link(program, netns);
    link[Symbol.dispose]();
    expect(netns.query(), "the new link's program stays").toEqual([program.info.id]);
    expect(next.info.netnsInode).toBe(netns.inode);
  });

  test("a link outlives its namespace, defunct", async () => {
    const name = stage().name();
    const netns = stage().netns(name);
    const program = stage().program();
    const link = await stage().link(program, netns);
    const { id } = link.info;
    NetNs.remove(stage().kernel, name);
    expect(link.info.netnsInode, "the fd holds the namespace").toBe(netns.inode);
    netns[Symbol.dispose]();
    expect(link.info).toMatchObject({ id, netnsInode: 0, programId: program.info.id });
    refusal(
      () => link.update(program),
      "ENOLINK",
      new RegExp(`link ${id} is defunct: .*namespace is gone; .*attach a new link$`),
    );
    link.detach();
  });

  test("a pinned link holds its program on though everybody's fds are closed", async () => {
    const netns = stage().netns();
    const program = stage().program();
    const link = await stage().link(program, netns);
    const path = stage().path();
    link.pin(path);
    link[Symbol.dispose]();
    program[Symbol.dispose]();
    expect(netns.query()).toEqual([program.info.id]);
    using again = Link.fromPin(stage().kernel, path);
    expect(again.info.programId).toBe(program.info.id);
    expect(stage().kernel.bpffs.unlink(path)).toBe(0);
  });

  test("sk_lookup programs take a link as well, and several", async () => {
    const netns = stage().netns();
    const options = { type: BPF_PROG_TYPE_SK_LOOKUP, expectedAttachType: BPF_SK_LOOKUP };
    const [first, second] = [stage().program(1, options), stage().program(1, options)];
    const link = await stage().link(first, netns);
    await stage().link(second, netns);
    expect(link.info.attachType).toBe(BPF_SK_LOOKUP);
    expect(netns.query(BPF_SK_LOOKUP)).toEqual([first.info.id, second.info.id]);
    expect(netns.query()).toEqual([]);
  });
};
