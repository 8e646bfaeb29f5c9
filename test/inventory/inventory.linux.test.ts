/**
 * The inventory of this machine's Linux, with links of ours among whatever else there is.
 */

import { beforeAll, expect, test } from "vitest";
import { BPF_SK_LOOKUP } from "../../src/abi/bpf.ts";
import { explain, formatExplanation } from "../../src/inventory/index.ts";
import { Case, SK_LOOKUP_PROGRAM } from "../contract/case.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { runChapters } from "../contract/rules.ts";
import { until, type World } from "../contract/world.ts";
import { CHAPTERS } from "./chapters.ts";

// include/linux/socket.h, net.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;

await describeOnLinux("the inventory", async () => {
  // Not before it is known that koffi can be loaded.
  const { linuxKind, objectsLeft, traces } = await import("../contract/linux_world.ts");
  const libc = await import("../../src/linux/libc.ts");
  const { cookieById, cookieBySocket } = await import("../../src/linux/netns.ts");
  const before = traces();
  let world: World;
  beforeAll(async () => {
    world = await linuxKind.open();
  });

  runChapters(CHAPTERS, linuxKind, () => world);

  test("a namespace that only a socket holds lives, and nobody can say why", async () => {
    const c = new Case(world);
    const netns = c.netns();
    const link = c.link(c.program(SK_LOOKUP_PROGRAM), netns, BPF_SK_LOOKUP);
    const socket = c.inside(netns, () => libc.socket(AF_UNIX, SOCK_DGRAM));
    const inode = c.kernel.netns.inode(netns);
    c.close(netns);
    const explanation = explain(c.kernel, c.linkId(link));
    libc.close(socket);
    expect(explanation).toMatchObject({
      link: { state: "attached", namespace: { inode, cookie: null, names: [], holders: [] } },
      isNamespaceHeldUnseen: true,
      now: { packets: null },
    });
    expect(formatExplanation(explanation).join("\n")).toContain("a socket, a thread or a mount");
    await c.until("the namespace dies", () => c.linkInfo(link).netns_ino === 0);
    c.end();
  });

  test("older kernels' way to a netns cookie leads to the same", () => {
    const c = new Case(world);
    const netns = c.netns();
    const cookie = cookieBySocket(netns);
    // Linux 6.18 has a call for it; before, there is the socket only.
    expect(cookieById(netns) ?? cookie).toBe(cookie);
    expect(cookie).toBeTypeOf("bigint");
    expect(cookieBySocket(c.map())).toBeNull();
    c.end();
  });

  test("looking leaves nothing behind: no program, fd, mount or change of namespace", async () => {
    await until(world, "programs and maps go", () => objectsLeft(world) === 0);
    await world.end();
    expect(traces()).toEqual(before);
  });
});
