// Breaks when a packet of some link type reaches the network stack at a wrong place or protocol.

import { describe, expect, it } from "vitest";
import { networkFrame } from "../../src/packet/index.ts";
import { hex, unhex } from "./support.ts";

const MACS = "020000000002 020000000001";
/** Packet type, ARPHRD type, address length, address. */
const SLL = (arphrd: string): string => `0000 ${arphrd} 0006 0200000000010000`;
/** Reserved, interface, ARPHRD type, packet type, address length, address. */
const SLL2 = (arphrd: string): string => `0000 00000003 ${arphrd} 00 06 0200000000010000`;

describe("networkFrame", () => {
  it.each([
    ["Ethernet, IPv4", 1, `${MACS} 0800 45aa`, 14, 0x0800, `${MACS} 0800 45aa`],
    ["Ethernet, header only", 1, `${MACS} 86dd`, 14, 0x86dd, `${MACS} 86dd`],
    ["Ethernet, VLAN", 1, `${MACS} 8100 0064 0800`, 14, 0x8100, `${MACS} 8100 0064 0800`],
    ["Ethernet, 802.3 length", 1, `${MACS} 0026 4242`, 14, 0x0026, `${MACS} 0026 4242`],
    ["DLT_RAW, IPv4", 12, "45aa", 0, 0x0800, "45aa"],
    ["DLT_RAW of OpenBSD, IPv6", 14, "60aa", 0, 0x86dd, "60aa"],
    ["raw, IPv4", 101, "4f", 0, 0x0800, "4f"],
    ["raw, IPv6", 101, "6f", 0, 0x86dd, "6f"],
    ["raw IPv4, whatever it holds", 228, "6f", 0, 0x0800, "6f"],
    ["raw IPv6, whatever it holds", 229, "4f", 0, 0x86dd, "4f"],
    ["cooked v1", 113, `${SLL("0001")} 86dd 60aa`, 0, 0x86dd, "60aa"],
    ["cooked v1, nothing behind", 113, `${SLL("0304")} 0800`, 0, 0x0800, ""],
    ["cooked v2", 276, `0800 ${SLL2("0001")} 45aa`, 0, 0x0800, "45aa"],
    ["cooked v2, VLAN", 276, `8100 ${SLL2("0001")} 0064 0800`, 0, 0x8100, "00640800"],
    ["NULL, IPv4, little-endian", 0, "02000000 45", 0, 0x0800, "45"],
    ["NULL, IPv4, big-endian", 0, "00000002 45", 0, 0x0800, "45"],
    ["NULL, IPv6 of NetBSD", 0, "18000000 60", 0, 0x86dd, "60"],
    ["NULL, IPv6 of FreeBSD", 0, "1c000000 60", 0, 0x86dd, "60"],
    ["NULL, IPv6 of macOS", 0, "0000001e 60", 0, 0x86dd, "60"],
    ["LOOP, IPv4", 108, "00000002 45", 0, 0x0800, "45"],
    ["LOOP, IPv6 of OpenBSD", 108, "00000018 60", 0, 0x86dd, "60"],
  ])("%s", (_, linkType, bytes, networkOffset, protocol, rest) => {
    const frame = networkFrame({ linkType, data: unhex(bytes) });
    expect(frame).toMatchObject({ networkOffset, protocol });
    expect(frame.data && hex(frame.data)).toBe(rest.replaceAll(" ", ""));
  });

  it.each([
    ["Ethernet", 1, 14],
    ["raw", 101, 1],
    ["raw IPv4", 228, 1],
    ["raw IPv6", 229, 1],
    ["cooked v1", 113, 16],
    ["cooked v2", 276, 20],
    ["NULL", 0, 4],
    ["LOOP", 108, 4],
  ])("%s: says so when the header is cut off", (_, linkType, headerLength) => {
    for (let length = 0; length < headerLength; length++) {
      const frame = networkFrame({ linkType, data: new Uint8Array(length).fill(0x45) });
      expect(frame).toEqual({ data: null, reason: "short" });
    }
  });

  it.each([
    ["raw, version 5", 101, "55"],
    ["cooked v1 of netlink", 113, `${SLL("0338")} 0000 00`],
    ["cooked v2 of radiotap", 276, `0004 ${SLL2("0323")} 00`],
    ["NULL, a family that is no IP", 0, "07000000 00"],
    ["NULL, families at both ends", 0, "02000002 45"],
    ["NULL, no family", 0, "00020000 45"],
  ])("%s: says that there is no network protocol", (_, linkType, bytes) => {
    const frame = networkFrame({ linkType, data: unhex(bytes) });
    expect(frame).toEqual({ data: null, reason: "no-protocol" });
  });
});
