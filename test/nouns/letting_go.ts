/** A namespace is kept alive by something of ours that doesn't say so, if this breaks. */

import { expect, test } from "vitest";
import { BPF_MAP_TYPE_ARRAY, BpfError, NetNs } from "../../src/index.ts";
import { explain, takeInventory } from "../../src/inventory/index.ts";
import { until } from "../contract/world.ts";
import type { Scene } from "./scenes.ts";
import { FLOW } from "./stage.ts";

export const lettingGo: Scene = (stage) => {
  test("a namespace dies while all that doesn't hold it is alive", async () => {
    const { kernel } = stage();
    const name = stage().name();
    const netns = stage().netns(name);
    const { identity } = netns;
    const collection = stage().collection(FLOW);
    const map = stage().map({ type: BPF_MAP_TYPE_ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
    const link = await stage().link(collection.program("dissect"), netns);
    const { id } = link.info;
    const inventory = takeInventory(kernel);
    const explanation = explain(kernel, id);
    expect(explanation.link.namespace?.inode).toBe(netns.inode);
    netns.query();
    netns.dissect(new Uint8Array(60));
    netns.enter(() => kernel.netns.list());
    expect(() => netns.enter(() => map.set(new Uint8Array(4), new Uint8Array(4), 1 << 20))).toThrow(
      BpfError,
    );
    expect(NetNs.isAlive(kernel, identity)).toBe(true);
    using again = NetNs.reopen(kernel, identity);
    expect(again.inode).toBe(netns.inode);
    again[Symbol.dispose]();
    netns[Symbol.dispose]();
    expect(link.info.netnsInode, "its name holds it").toBe(identity.inode);
    NetNs.remove(kernel, name);
    await until(stage().world, "the link is defunct", () => link.info.netnsInode === 0);
    expect(NetNs.isAlive(kernel, identity)).toBe(false);
    expect(() => NetNs.reopen(kernel, identity)).toThrow(/^netns.reopen: ENOENT: .* is dead$/);
    expect(inventory.links.some((each) => each.id === id)).toBe(true);
  });

  test("a NetNs that is open hides the death, and its identity tells of it", async () => {
    const { kernel } = stage();
    const name = stage().name();
    const netns = stage().netns(name);
    const link = await stage().link(stage().program(), netns);
    NetNs.remove(kernel, name);
    expect(link.info.netnsInode).toBe(netns.inode);
    expect(NetNs.isAlive(kernel, netns.identity)).toBe(true);
    const { identity } = netns;
    netns[Symbol.dispose]();
    await until(stage().world, "the link is defunct", () => link.info.netnsInode === 0);
    expect(NetNs.isAlive(kernel, identity)).toBe(false);
    // Inode numbers are used again; identities aren't.
    const others = Array.from({ length: 4 }, () => stage().netns());
    expect(others.map((other) => other.identity)).not.toContainEqual(identity);
    expect(NetNs.isAlive(kernel, identity)).toBe(false);
  });

  test("a link that was detached leaves its namespace alive, as its identity says", async () => {
    const netns = stage().netns();
    const link = await stage().link(stage().program(), netns);
    const { identity } = netns;
    link.detach();
    expect(link.info.netnsInode).toBe(0);
    expect(NetNs.isAlive(stage().kernel, identity)).toBe(true);
  });
};
