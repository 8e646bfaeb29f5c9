// Breaks when the example capture lacks one of the kinds of traffic that it is there to show.

import { readFileSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CaptureReader, LINKTYPE_ETHERNET, networkFrame } from "../../src/packet/index.ts";

const FILE = new URL("../../examples/traffic.pcap", import.meta.url);

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const ARP = 0x0806;
const ETHERNET = 0x6558;

/** Header names by what announces them: an EtherType, or the number of an IP protocol. */
const PROTOCOLS: Readonly<Record<number, string>> = {
  0: "hopopts",
  1: "icmp",
  6: "tcp",
  17: "udp",
  44: "fragment",
  58: "icmpv6",
  60: "dstopts",
};

/** Names a packet's headers from outside in, and remarks on the way. */
function headers(bytes: Uint8Array, type: number, at: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (type) {
    case ETHERNET:
      return ["eth", ...headers(bytes, view.getUint16(at + 12), at + 14)];
    case 0x8100:
    case 0x88a8:
      return [
        type === 0x8100 ? "802.1q" : "802.1ad",
        ...headers(bytes, view.getUint16(at + 2), at + 4),
      ];
    case 0x8847:
      expect(view.getUint8(at + 2) & 1, "bottom of the label stack").toBe(1);
      return ["mpls", ...headers(bytes, view.getUint8(at + 4) >> 4 === 6 ? IPV6 : IPV4, at + 4)];
    case ARP:
      return ["arp"];
    case IPV4: {
      const headerLength = (view.getUint8(at) & 15) * 4;
      const fragment = view.getUint16(at + 6) & 0x3fff;
      const name = headerLength > 20 ? "ip+options" : "ip";
      if ((fragment & 0x1fff) !== 0) return [name, "later-fragment"];
      const inner = upper(bytes, view.getUint8(at + 9), at + headerLength);
      return [name, ...(fragment ? ["first-fragment"] : []), ...inner];
    }
    case IPV6: {
      const labelled = (view.getUint32(at) & 0xfffff) !== 0;
      return [labelled ? "ip6+label" : "ip6", ...upper(bytes, view.getUint8(at + 6), at + 40)];
    }
    default:
      throw new RangeError(`type: ${type}`);
  }
}

function upper(bytes: Uint8Array, protocol: number, at: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (protocol === 4) return headers(bytes, IPV4, at);
  if (protocol === 41) return headers(bytes, IPV6, at);
  if (protocol === 47) {
    const flags = view.getUint16(at);
    const words = [0x8000, 0x2000, 0x1000].filter((flag) => flags & flag).length;
    const name = words === 0 ? "gre" : `gre+${flags.toString(16)}`;
    return [name, ...headers(bytes, view.getUint16(at + 2), at + 4 + 4 * words)];
  }
  const name = PROTOCOLS[protocol] ?? `${protocol}`;
  if (protocol === 44) {
    const later = (view.getUint16(at + 2) & 0xfff8) !== 0;
    return later
      ? ["later-fragment"]
      : ["first-fragment", ...upper(bytes, view.getUint8(at), at + 8)];
  }
  if (protocol === 0 || protocol === 60) {
    const next = at + 8 + 8 * view.getUint8(at + 1);
    return [name, ...upper(bytes, view.getUint8(at), next)];
  }
  if (protocol === 17 && (view.getUint16(at) === 53 || view.getUint16(at + 2) === 53)) {
    return [name, "dns"];
  }
  return [name];
}

describe("examples/traffic.pcap", () => {
  const stacks = new Map<string, number>();
  let packets = 0;
  const reader = new CaptureReader((packet) => {
    packets++;
    expect(packet.linkType).toBe(LINKTYPE_ETHERNET);
    expect(packet.capturedLength).toBe(packet.originalLength);
    const frame = networkFrame(packet);
    if (frame.data === null) throw new RangeError(`packet ${packet.number}: ${frame.reason}`);
    const stack = headers(frame.data, frame.protocol, frame.networkOffset).join(" ");
    stacks.set(stack, (stacks.get(stack) ?? 0) + 1);
  });
  reader.push(readFileSync(FILE));
  reader.end();

  it("is small, and has a few hundred packets", () => {
    expect(packets).toBeGreaterThan(200);
    expect(packets).toBeLessThan(600);
    expect(statSync(FILE).size).toBeLessThan(200_000);
  });

  it.each([
    "arp",
    "ip tcp",
    "ip6+label tcp",
    "ip udp dns",
    "ip6 udp dns",
    "ip icmp",
    "ip6 icmpv6",
    "ip6 hopopts icmpv6",
    "ip6+label hopopts dstopts udp",
    "ip+options udp",
    "ip6+label udp",
    "ip first-fragment udp",
    "ip later-fragment",
    "ip6+label first-fragment udp",
    "ip6+label later-fragment",
    "802.1q arp",
    "802.1q ip tcp",
    "802.1q ip6+label tcp",
    "802.1ad 802.1q ip tcp",
    "802.1ad 802.1q ip6+label tcp",
    "ip ip tcp",
    "ip ip6+label tcp",
    "ip6+label ip tcp",
    "ip6+label ip6+label tcp",
    "ip gre ip tcp",
    "ip gre ip6+label tcp",
    "ip gre+b000 ip tcp",
    "ip gre+2000 eth ip tcp",
    "ip gre+2000 eth arp",
    "ip6+label gre ip tcp",
    "mpls ip tcp",
    "mpls ip6+label tcp",
  ])("has %s", (stack) => {
    expect([...stacks.keys()]).toContain(stack);
  });
});
