/** Network namespaces: opening, entering, asking, and what a packet meets there. */

import { expect, test } from "vitest";
import { BPF_FLOW_KEYS_SIZE } from "../../src/abi/flow_keys.ts";
import { BPF_FLOW_DISSECTOR_CONTINUE, NetNs } from "../../src/index.ts";
import type { Scene } from "./scenes.ts";
import { FLOW, FLOW_V2, refusal, UDP_PACKET } from "./stage.ts";

export const namespaces: Scene = (stage) => {
  test("a namespace is found by name, by path, by process and as one's own", () => {
    const { kernel, world } = stage();
    const name = stage().name();
    const created = stage().netns(name);
    using byName = NetNs.open(kernel, { name });
    using byPath = NetNs.open(kernel, { path: `/run/netns/${name}` });
    expect([byName.inode, byPath.inode]).toEqual([created.inode, created.inode]);
    expect([created.label, byPath.label]).toEqual([name, `/run/netns/${name}`]);
    using self = NetNs.open(kernel, "self");
    using byPid = NetNs.open(kernel, { pid: world.pid });
    expect(byPid.inode).toBe(self.inode);
    expect(self.inode).not.toBe(created.inode);
  });

  test("a name that is taken away leaves what holds the namespace alone", () => {
    const name = stage().name();
    const netns = stage().netns(name);
    const { inode } = netns;
    NetNs.remove(stage().kernel, name);
    expect(netns.inode).toBe(inode);
    refusal(() => NetNs.open(stage().kernel, { name }), "ENOENT", /no network namespace/);
  });

  test("enter runs a function inside, and comes back whatever it does", () => {
    const { kernel } = stage();
    const inode = (): number => {
      using self = NetNs.open(kernel, "self");
      return self.inode;
    };
    const netns = stage().netns();
    const home = inode();
    expect(netns.enter(inode)).toBe(netns.inode);
    expect(inode()).toBe(home);
    expect(() =>
      netns.enter(() => {
        throw new RangeError(`inside ${inode()}`);
      }),
    ).toThrow(new RangeError(`inside ${netns.inode}`));
    expect(inode()).toBe(home);
    expect(netns.enter(() => undefined)).toBeUndefined();
  });

  test("enter refuses a function that would go on when it is outside again", () => {
    expect(() =>
      stage()
        .netns()
        .enter(async () => 1),
    ).toThrow(new TypeError("call: must be synchronous, since it is inside only until it returns"));
  });

  test("a program is attached directly and detached, with nobody holding it", async () => {
    const netns = stage().netns();
    const [first, second] = [stage().program(), stage().program()];
    await stage().patiently(() => netns.enter(() => first.attach()));
    expect(netns.query()).toEqual([first.info.id]);
    netns.enter(() => second.attach());
    expect(netns.query(), "another one takes its place").toEqual([second.info.id]);
    netns.enter(() => second.detach());
    expect(netns.query()).toEqual([]);
  });

  test("a packet meets the program that is attached", async () => {
    const netns = stage().netns();
    expect(netns.dissect(UDP_PACKET)).toMatchObject({
      by: "linux",
      verdict: "continue",
      retval: null,
      keys: null,
      programId: null,
    });
    const all = stage().collection(FLOW);
    const dissect = all.program("dissect");
    const link = await stage().link(dissect, netns);
    const answer = netns.dissect(UDP_PACKET);
    expect(answer).toMatchObject({
      by: "bpf",
      verdict: "ok",
      retval: 0,
      programId: dissect.info.id,
      keys: { ipv4_src: "192.0.2.1", sport: 4660, dport: 53 },
    });
    const keysBytes = new Uint8Array(BPF_FLOW_KEYS_SIZE);
    expect(netns.dissect(UDP_PACKET, 0, keysBytes)).toEqual(answer);
    expect(keysBytes, "attached or by hand").toEqual(dissect.run(UDP_PACKET).data);
    expect(() => netns.dissect(UDP_PACKET, 0, keysBytes.subarray(1))).toThrow(
      new RangeError("keysBytes: 55 bytes are less than flow keys have"),
    );
    const newer = stage().collection(FLOW_V2).program("dissect");
    link.update(newer, { expect: dissect });
    expect(netns.dissect(UDP_PACKET).programId).toBe(newer.info.id);
  });

  test("a program that hands a packet on leaves no keys, one that drops it does", async () => {
    const netns = stage().netns();
    const link = await stage().link(stage().program(BPF_FLOW_DISSECTOR_CONTINUE), netns);
    expect(netns.dissect(UDP_PACKET)).toMatchObject({
      by: "linux",
      verdict: "continue",
      retval: BPF_FLOW_DISSECTOR_CONTINUE,
      keys: null,
    });
    link.update(stage().program(7));
    const { verdict, retval, keys } = netns.dissect(UDP_PACKET);
    expect({ verdict, retval }).toEqual({ verdict: "drop", retval: 7 });
    expect(keys).toMatchObject({ nhoff: 14, thoff: 14, n_proto: 0x0800 });
  });

  test("flags reach the program, and a frame may begin with its network header", async () => {
    const netns = stage().netns();
    const flags = stage().program("r1 = *(u64 *)(r1 + 144)\nr0 = *(u32 *)(r1 + 48)\nexit");
    const link = await stage().link(flags, netns);
    expect(netns.dissect(UDP_PACKET, 6).retval).toBe(6);
    link.update(stage().collection(FLOW).program("dissect"));
    const frame = { data: UDP_PACKET.subarray(14), networkOffset: 0, protocol: 0x0800 };
    const { keys } = netns.dissect(frame);
    expect(keys).toMatchObject({ nhoff: 0, thoff: 20, sport: 4660 });
  });

  test("a packet without a whole Ethernet header is the caller's mistake", () => {
    const netns = stage().netns();
    expect(() => netns.dissect(UDP_PACKET.subarray(0, 13))).toThrow(
      new RangeError("packet: 13 bytes are less than an Ethernet header's 14"),
    );
  });
};
