/**
 * What a packet meets in a namespace: whose program runs, and what becomes of its keys.
 */

import { expect } from "vitest";
import * as bpf from "../../src/abi/bpf.ts";
import { BPF_FLOW_KEYS_SIZE, decodeFlowKeys, type FlowKeys } from "../../src/abi/flow_keys.ts";
import type { Dissection, Frame } from "../../src/kernel.ts";
import { type Case, CLOSED_FD, outcomeOf } from "./case.ts";
import type { Chapter } from "./rules.ts";

const ETHERTYPE = 0x88b5;

/** An Ethernet frame of 60 bytes. */
function ethernet(): Frame {
  const data = new Uint8Array(60);
  data.set([ETHERTYPE >> 8, ETHERTYPE & 0xff], 12);
  return { data, networkOffset: 14, protocol: ETHERTYPE };
}

/** A packet of 46 bytes that begins at its network header. */
const bare: Frame = { data: new Uint8Array(46), networkOffset: 0, protocol: ETHERTYPE };

function dissect(
  c: Case,
  netns: number,
  packet: Uint8Array | Frame = ethernet(),
  flags: number = 0,
  keysBytes?: Uint8Array,
): Dissection {
  const outcome = c.kernel.netns.dissect(netns, packet, flags, keysBytes);
  if (typeof outcome === "number") throw new RangeError(`dissect: ${outcomeOf(outcome)}`);
  return outcome;
}

function keysOf({ keys }: Dissection): FlowKeys {
  if (keys === null) throw new RangeError("no keys");
  return keys;
}

const returning = (c: Case, number: number): number => c.program({ text: `r0 = ${number}\nexit` });

export const dissection: Chapter = {
  title: "a packet's way",
  rules: ({ rule }) => {
    rule("with nothing attached it is Linux's own dissector's", (c) => {
      expect(dissect(c, c.netns())).toEqual({
        by: "linux",
        verdict: "continue",
        retval: null,
        keys: null,
        programId: null,
      });
    });

    rule("the linked program runs; its return value is the verdict", (c) => {
      for (const [returns, verdict] of [
        [bpf.BPF_OK, "ok"],
        [bpf.BPF_DROP, "drop"],
        [77, "drop"],
      ] as const) {
        const netns = c.netns();
        const program = returning(c, returns);
        c.link(program, netns);
        const found = dissect(c, netns);
        const programId = c.progId(program);
        expect(found).toMatchObject({ by: "bpf", verdict, retval: returns, programId });
        expect(keysOf(found)).toMatchObject({ nhoff: 14, thoff: 14, n_proto: ETHERTYPE });
      }
    });

    rule("CONTINUE hands the packet on, and its keys are dropped", (c) => {
      const netns = c.netns();
      const program = returning(c, bpf.BPF_FLOW_DISSECTOR_CONTINUE);
      c.link(program, netns);
      expect(dissect(c, netns)).toEqual({
        by: "linux",
        verdict: "continue",
        retval: bpf.BPF_FLOW_DISSECTOR_CONTINUE,
        keys: null,
        programId: c.progId(program),
      });
    });

    rule("a program attached directly runs as a linked one does", (c) => {
      const netns = c.netns();
      const program = c.program();
      expect(c.attach(program, netns)).toBe("ok");
      expect(dissect(c, netns).programId).toBe(c.progId(program));
    });

    rule("after an update the new program runs, after a detach none", (c) => {
      const netns = c.netns();
      const link = c.link(c.program(), netns);
      const next = c.program();
      c.must(bpf.BPF_LINK_UPDATE, { link_fd: link, new_prog_fd: next });
      expect(dissect(c, netns).programId).toBe(c.progId(next));
      c.must(bpf.BPF_LINK_DETACH, { link_fd: link });
      expect(dissect(c, netns).by).toBe("linux");
    });

    rule("a link in one namespace is nothing to another", (c) => {
      c.link(c.program(), c.netns());
      expect(dissect(c, c.netns()).by).toBe("linux");
    });

    rule("a packet without an Ethernet header has its offsets from its network header", (c) => {
      const netns = c.netns();
      c.link(c.program(), netns);
      const found = keysOf(dissect(c, netns, bare));
      expect(found).toMatchObject({ nhoff: 0, thoff: 0, n_proto: ETHERTYPE });
    });

    rule("a packet with an Ethernet header says itself what follows it", (c) => {
      const netns = c.netns();
      c.link(c.program(), netns);
      const { data } = ethernet();
      expect(dissect(c, netns, data)).toEqual(dissect(c, netns, ethernet()));
      expect(c.kernel.netns.dissect(netns, data.subarray(0, 13), 0)).toBe(-22);
    });

    rule("the keys are given out as they are, too, where there are any", (c) => {
      const netns = c.netns();
      const link = c.link(returning(c, 77), netns);
      const bytes = new Uint8Array(BPF_FLOW_KEYS_SIZE + 1).fill(0xee);
      const { keys } = dissect(c, netns, ethernet(), 5, bytes);
      expect(keys).toMatchObject({ nhoff: 14, thoff: 14, n_proto: ETHERTYPE, flags: 5 });
      expect(decodeFlowKeys(bytes)).toEqual(keys);
      expect(bytes.at(-1)).toBe(0xee);
      bytes.fill(0xee);
      c.must(bpf.BPF_LINK_DETACH, { link_fd: link });
      expect(dissect(c, netns, ethernet(), 5, bytes).keys).toBeNull();
      expect(new Set(bytes)).toEqual(new Set([0xee]));
    });

    rule("what one packet came to stays as it is when the next one comes", (c) => {
      const netns = c.netns();
      c.link(c.program(), netns);
      const first = dissect(c, netns, ethernet(), 1);
      const copy = structuredClone(first);
      expect(dissect(c, netns, bare, 2)).not.toEqual(copy);
      expect(first).toEqual(copy);
    });

    rule("the flags reach the program's keys", (c) => {
      const netns = c.netns();
      c.link(c.program(), netns);
      for (const flags of [0, 1, 7]) {
        expect(keysOf(dissect(c, netns, ethernet(), flags)).flags).toBe(flags);
      }
    });

    rule("an fd that is no namespace is EBADF or EINVAL", (c) => {
      const outcome = (fd: number): Dissection | number =>
        c.kernel.netns.dissect(fd, ethernet(), 0);
      expect(outcome(CLOSED_FD)).toBe(-9);
      expect(outcome(c.open("/dev/null"))).toBe(-22);
    });
  },
};
