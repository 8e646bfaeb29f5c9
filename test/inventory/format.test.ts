/**
 * An explanation in words: a reader who has only the text has to know what would happen.
 */

import { afterEach, beforeEach, expect, test } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { explain, formatExplanation, listLinks } from "../../src/inventory/index.ts";
import { Case, SK_LOOKUP_PROGRAM } from "../contract/case.ts";
import { embeddedKind } from "../contract/embedded_world.ts";
import type { World } from "../contract/world.ts";

let world: World;
let c: Case;

beforeEach(async () => {
  world = await embeddedKind.open();
  c = new Case(world);
});

afterEach(() => world.end());

/** The text, with what differs from run to run left out. */
function textOf(link: number, earlier = listLinks(c.kernel)): readonly string[] {
  return formatExplanation(explain(c.kernel, c.linkId(link), { earlier })).map((line) =>
    line
      .replaceAll(/\(contract[0-9]*\)/g, "(name)")
      .replaceAll(/tag [0-9a-f]{16}/g, "tag T")
      .replaceAll(/pin[0-9]+/g, "pinN"),
  );
}

test("a link held by an fd, a pin and another task, in a named namespace", async () => {
  c.kernel.netns.create("blue");
  const netns = c.track(c.kernel.netns.open({ name: "blue" }));
  const link = c.link(c.program(), netns);
  c.pin(link);
  await world.holder(link);
  c.close(netns);
  expect(textOf(link)).toEqual([
    "Link 1: flow dissector, program 1 (name), tag T.",
    "It is attached to namespace blue (inode 4026531840).",
    "Packets of the namespace meet program 1.",
    "",
    "The link lives because of",
    "  process 1 (init), fd 5",
    "  process 2 (init), fd 3",
    "  the pin /sys/fs/bpf/contract/pinN",
    "The namespace lives because of",
    "  its name blue (ip netns del blue takes it away)",
    "",
    "What would happen:",
    "  process 1 (init) closes its fd: it stays attached; kept by 1 process and 1 pin; " +
      "packets meet program 1.",
    "  process 2 (init) closes its fd: it stays attached; kept by 1 process and 1 pin; " +
      "packets meet program 1.",
    "  every process closes its fds: it stays attached; kept by 1 pin; packets meet program 1.",
    "  /sys/fs/bpf/contract/pinN is unpinned: it stays attached; kept by 2 processes; " +
      "packets meet program 1.",
    "  it is detached: the link is detached; kept by 2 processes and 1 pin; " +
      "packets meet no program: Linux goes on by itself.",
    "  its namespace dies: the link is defunct for good; kept by 2 processes and 1 pin.",
  ]);
});

test("an sk_lookup link among others, in a namespace that an fd holds", () => {
  const netns = c.netns();
  const program = c.program(SK_LOOKUP_PROGRAM);
  c.link(program, netns, bpf.BPF_SK_LOOKUP);
  const link = c.link(program, netns, bpf.BPF_SK_LOOKUP);
  expect(textOf(link)).toEqual([
    "Link 2: sk_lookup, program 1 (name), tag T.",
    "It is attached to namespace (inode 4026531840).",
    "Packets of the namespace meet programs 1, 1 in turn.",
    "",
    "The link lives because of",
    "  process 1 (init), fd 6",
    "The namespace lives because of",
    "  process 1 (init), fd 3",
    "",
    "What would happen:",
    "  process 1 (init) closes its fd: nobody holds the link, and it is gone; " +
      "packets meet program 1.",
    "  it is detached: the link is detached; kept by 1 process; packets meet program 1.",
    "  its namespace dies: the link is defunct for good; kept by 1 process.",
  ]);
});

test("a link that is off its namespace, with and without knowledge of why", () => {
  const link = c.link(c.program(), c.netns());
  const earlier = listLinks(c.kernel);
  c.must(bpf.BPF_LINK_DETACH, { link_fd: link });
  expect(textOf(link, earlier)).toContain("It was detached, and can't be attached again.");
  expect(textOf(link, [])).toEqual([
    "Link 1: flow dissector, program 1 (name), tag T.",
    "It is defunct: its namespace died, or it was detached. The kernel doesn't tell which, " +
      "and it can't be attached again.",
    "",
    "The link lives because of",
    "  process 1 (init), fd 5",
    "",
    "What would happen:",
    "  process 1 (init) closes its fd: nobody holds the link, and it is gone.",
    "  it is detached: it stays defunct; kept by 1 process.",
  ]);
});

test("a link of the root namespace, where there is no death to tell of", () => {
  const link = c.link(c.program(), c.track(world.openRoot()));
  expect(textOf(link)).toContain("The namespace is the root namespace, which never dies.");
  expect(textOf(link).join("\n")).not.toContain("its namespace dies");
});
