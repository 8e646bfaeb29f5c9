// Breaks when a link-layer header isn't taken off as Linux's drivers do, or when tcpdump, where it
// is installed, finds another packet behind it.

import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  isLinkType,
  LINK_TYPES,
  type LinkType,
  linkTypeName,
  networkFrame,
  writePcap,
} from "../../src/packet/index.ts";
import { hex, unhex } from "./support.ts";

const hasTcpdump = spawnSync("tcpdump", ["--version"]).status === 0;
if (!hasTcpdump) console.log("tcpdump isn't installed: not comparing with it");

/** UDP from 10.0.0.1:1234 to 10.0.0.2:5678, and the same over IPv6. */
const V4 = "4500001c 00010000 4011 66ce 0a000001 0a000002 04d2162e 00080000";
const host = (number: string): string => `${"fe80".padEnd(30, "0")}${number}`;
const V6 = `60000000 0008 11 40 ${host("01")} ${host("02")} 04d2162e 00080000`;
const ARP = "0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002";

const TO_FROM = "020000000002 020000000001";
const SNAP = "aaaa03 000000";
const BRIDGE_TUNNEL = "aaaa03 0000f8";
const BRIDGED = "0080c2 0007";
const radiotap = (length: string, present: string, fields: string): string =>
  `0000 ${length} ${present} ${fields}`;
/** Frame control, duration, addresses and sequence control of 802.11. */
const wlan = (control: string, sequence = "1000"): string =>
  `${control} 0000 020000000002 020000000001 020000000003 ${sequence}`;
const zeros = (bytes: number): string => "00".repeat(bytes);
const nflog = (family: string, ...attributes: string[]): string =>
  `${family} 00 0000 ${attributes.join("")}`;

interface Case {
  readonly name: string;
  readonly linkType: LinkType;
  readonly header: string;
  /** What follows; its EtherType unless it is another one. */
  readonly payload?: string;
  readonly protocol?: number;
  /** Bytes of the header that the network stack is given all the same. */
  readonly kept?: number;
  /** Why tcpdump isn't asked. */
  readonly tcpdump?: string;
}

const CASES: readonly Case[] = [
  { name: "PPP, framed", linkType: 9, header: "ff03 0021" },
  { name: "PPP, bare", linkType: 9, header: "0021" },
  { name: "PPP, protocol in one byte", linkType: 9, header: "ff03 21" },
  { name: "PPP, IPv6", linkType: 9, header: "ff03 0057", payload: V6 },
  { name: "PPP in HDLC framing", linkType: 50, header: "ff03 0021" },
  { name: "PPP in HDLC framing, Cisco's", linkType: 50, header: "0f00 0800" },
  { name: "PPP of pppd", linkType: 166, header: "0103 0021" },
  { name: "PPP with direction", linkType: 204, header: "01 ff03 0021", tcpdump: "reads none" },
  {
    name: "PPPoE, session",
    linkType: 51,
    header: "1100 0001 001e 0021",
    protocol: 0x8864,
    kept: 8,
  },
  {
    name: "PPPoE, discovery",
    linkType: 51,
    header: "1109 0000 0000",
    payload: "",
    protocol: 0x8863,
    kept: 6,
    tcpdump: "there is no packet in it",
  },
  { name: "Cisco HDLC", linkType: 104, header: "0f00 0800" },
  { name: "Cisco HDLC, multicast, IPv6", linkType: 104, header: "8f00 86dd", payload: V6 },
  { name: "Cisco HDLC with direction", linkType: 205, header: "00 0f00 0800", tcpdump: "none" },
  { name: "Frame Relay, IP", linkType: 107, header: "1841 03 cc" },
  { name: "Frame Relay, IPv6", linkType: 107, header: "1841 03 8e", payload: V6 },
  { name: "Frame Relay, SNAP", linkType: 107, header: "1841 03 00 80 000000 0800" },
  { name: "Frame Relay, ARP", linkType: 107, header: "1841 03 00 80 000000 0806", payload: ARP },
  { name: "Frame Relay, four bytes of address", linkType: 107, header: "18400003 03 cc" },
  { name: "Frame Relay, Cisco's", linkType: 107, header: "1841 0800" },
  {
    name: "Frame Relay, bridged Ethernet",
    linkType: 107,
    header: `1841 03 00 80 ${BRIDGED} ${TO_FROM} 0800`,
  },
  { name: "Frame Relay with direction", linkType: 206, header: "01 1841 03 cc", tcpdump: "none" },
  { name: "SLIP", linkType: 8, header: `00 45 ${zeros(14)}` },
  { name: "SLIP, IPv6", linkType: 8, header: `01 60 ${zeros(14)}`, payload: V6 },
  {
    name: "SLIP of BSD/OS",
    linkType: 102,
    header: `00 16 ${zeros(22)}`,
    tcpdump: "looks at byte 16, libpcap's filters and the registry at byte 24",
  },
  { name: "multilink Frame Relay", linkType: 182, header: "c000 1841 03 cc" },
  {
    name: "NFLOG, little-endian",
    linkType: 239,
    header: nflog("02", "0800 0100 0800 0100", "2000 0900"),
  },
  {
    name: "NFLOG, big-endian",
    linkType: 239,
    header: nflog("02", "0008 0001 0800 0100", "0020 0009"),
    tcpdump: "the file's byte order counts there",
  },
  { name: "NFLOG, IPv6", linkType: 239, header: nflog("0a", "3400 0900"), payload: V6 },
  {
    name: "NFLOG, bridge",
    linkType: 239,
    header: nflog("07", "0800 0100 0800 0300", "0500 0a00 61000000", "2000 0900"),
    tcpdump: "tells of the family only",
  },
  { name: "DSA", linkType: 284, header: `${TO_FROM} c0080000 0800` },
  { name: "EDSA", linkType: 285, header: `${TO_FROM} dada0000 c0080000 86dd`, payload: V6 },
  { name: "Broadcom's tag", linkType: 281, header: `${TO_FROM} 00000008 0800` },
  { name: "Broadcom's tag in front", linkType: 282, header: `00000008 ${TO_FROM} 0800` },
  { name: "802.11", linkType: 105, header: `${wlan("0802")} ${SNAP} 0800` },
  { name: "802.11, QoS", linkType: 105, header: `${wlan("8802")} 0000 ${SNAP} 0800` },
  {
    name: "802.11, QoS and HT control",
    linkType: 105,
    header: `${wlan("8882")} 0000 00000000 ${SNAP} 0800`,
    tcpdump: "doesn't know of HT control",
  },
  {
    name: "802.11, four addresses",
    linkType: 105,
    header: `${wlan("0803")} 020000000004 ${BRIDGE_TUNNEL} 86dd`,
    payload: V6,
  },
  {
    name: "802.11, ARP",
    linkType: 105,
    header: `${wlan("0801")} ${SNAP} 0806`,
    payload: ARP,
  },
  {
    name: "radiotap",
    linkType: 127,
    header: `${radiotap("0800", "00000000", "")} ${wlan("0802")} ${SNAP} 0800`,
  },
  {
    name: "radiotap, flags behind a time, padded",
    linkType: 127,
    header: [
      radiotap("1100", "03000000", `${zeros(8)} 20`),
      wlan("8802"),
      "00000000",
      SNAP,
      "0800",
    ].join(" "),
  },
  {
    name: "radiotap, two words of presence, padded",
    linkType: 127,
    header: `${radiotap("0d00", "02000080", "00000000 20")} ${wlan("8802")} 0000 0000 ${SNAP} 0800`,
  },
  { name: "Prism", linkType: 119, header: `${zeros(144)} ${wlan("0802")} ${SNAP} 0800` },
  {
    name: "AVS",
    linkType: 163,
    header: `80211001 00000040 ${zeros(56)} ${wlan("0802")} ${SNAP} 0800`,
  },
  {
    name: "AVS in place of Prism",
    linkType: 119,
    header: `80211001 00000040 ${zeros(56)} ${wlan("0802")} ${SNAP} 0800`,
  },
  {
    name: "PPI with 802.11",
    linkType: 192,
    header: `00 00 0800 69000000 ${wlan("0802")} ${SNAP} 0800`,
  },
  { name: "PPI with Ethernet", linkType: 192, header: `00 00 0800 01000000 ${TO_FROM} 0800` },
  {
    name: "PKTAP with Ethernet",
    linkType: 258,
    header: `6c000000 01000000 01000000 ${zeros(96)} ${TO_FROM} 0800`,
  },
  { name: "FDDI", linkType: 10, header: `50 ${TO_FROM} ${SNAP} 0800` },
  { name: "Token Ring", linkType: 6, header: `1040 ${TO_FROM} ${SNAP} 0800` },
  {
    name: "Token Ring, source-routed",
    linkType: 6,
    header: `1040 020000000002 820000000001 06300011 0020 ${SNAP} 0800`,
  },
  { name: "Fibre Channel", linkType: 122, header: `${zeros(16)} ${SNAP} 0800` },
  { name: "ARCNET", linkType: 7, header: "0102 d4 00 0001" },
  { name: "ARCNET of RFC 1051", linkType: 7, header: "0102 f0" },
  { name: "ARCNET of Linux", linkType: 129, header: "0102 0000 d4 00 0001" },
  { name: "RFC 1483, LLC", linkType: 100, header: `${SNAP} 0800` },
  {
    name: "RFC 1483, bridged",
    linkType: 100,
    header: `aaaa03 ${BRIDGED} 0000 ${TO_FROM} 0800`,
  },
  { name: "RFC 2684, NLPID", linkType: 100, header: "fefe03 cc" },
  { name: "RFC 2364, PPP", linkType: 100, header: "fefe03 cf 0021" },
  { name: "classical IP, LLC", linkType: 106, header: `${SNAP} 0800` },
  { name: "classical IP, bare", linkType: 106, header: "" },
  { name: "SunATM, LLC", linkType: 123, header: `02 00 0020 ${SNAP} 0800` },
  { name: "SunATM, LANE", linkType: 123, header: `01 00 0020 0001 ${TO_FROM} 0800` },
  { name: "ENC", linkType: 109, header: "02000000 00000000 00000000" },
  { name: "PFLOG", linkType: 117, header: `3d 02 ${zeros(62)}` },
  { name: "PFLOG, IPv6", linkType: 117, header: `3d 18 ${zeros(62)}`, payload: V6 },
  { name: "IPNET", linkType: 226, header: `01 02 ${zeros(22)}` },
  { name: "IPNET, IPv6", linkType: 226, header: `01 1a ${zeros(22)}`, payload: V6 },
  { name: "IPoIB", linkType: 242, header: `${zeros(40)} 0800 0000` },
  { name: "Symantec's firewall", linkType: 99, header: `${zeros(6)} 0800 ${zeros(36)}` },
  { name: "IP over IEEE 1394", linkType: 138, header: `${zeros(16)} 0800` },
  {
    name: "MPLS",
    linkType: 219,
    header: "00040140",
    protocol: 0x8847,
    kept: 4,
    tcpdump: "reads none",
  },
  { name: "netANALYZER", linkType: 240, header: `00000000 ${TO_FROM} 0800` },
  {
    name: "netANALYZER, transparent",
    linkType: 241,
    header: `00000000 55555555555555d5 ${TO_FROM} 0800`,
  },
  {
    name: "Ethernet with preamble",
    linkType: 274,
    header: `55555555555555d5 ${TO_FROM} 0800`,
    tcpdump: "reads none",
  },
];

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  [V4, 0x0800],
  [V6, 0x86dd],
  [ARP, 0x0806],
]);
const SEEN: ReadonlyMap<string, RegExp> = new Map([
  [V4, /10\.0\.0\.1\.1234 > 10\.0\.0\.2\.5678: UDP/],
  [V6, /fe80::1\.1234 > fe80::2\.5678: UDP/],
  [ARP, /ARP, Request who-has 10\.0\.0\.2 tell 10\.0\.0\.1/],
]);

function tcpdump(linkType: LinkType, data: Uint8Array): string {
  const input = writePcap([{ timestampNs: 0n, data }], { linkType });
  const { stdout, stderr } = spawnSync("tcpdump", ["-nn", "-r", "-"], { input });
  return `${stdout}${stderr}`;
}

describe("the packet behind a link-layer header", () => {
  it.each(CASES)(
    "$name",
    ({ name, linkType, header, payload = V4, protocol, kept = 0, ...rest }) => {
      const data = unhex(`${header} ${payload}`);
      const frame = networkFrame({ linkType, data });
      expect(frame).toMatchObject({
        protocol: protocol ?? PROTOCOLS.get(payload),
        networkOffset: 0,
      });
      const from = unhex(header).length - kept;
      expect(frame.data && hex(frame.data)).toBe(hex(data.subarray(from)));
      if (!hasTcpdump) return;
      if (rest.tcpdump === undefined)
        expect(tcpdump(linkType, data)).toMatch(SEEN.get(payload) as RegExp);
      else console.log(`${name}: not compared with tcpdump: ${rest.tcpdump}`);
    },
  );

  it.each(CASES)("$name: cut off anywhere, it is short or begins where it did", (each) => {
    const { linkType, header, payload = V4, kept = 0 } = each;
    const whole = unhex(`${header} ${payload}`);
    const from = unhex(header).length - kept;
    for (let length = 0; length < whole.length; length++) {
      const frame = networkFrame({ linkType, data: whole.subarray(0, length) });
      if (frame.data === null) {
        expect(length).toBeLessThanOrEqual(Math.max(from, 6));
      } else if (length >= from) {
        expect(hex(frame.data)).toBe(hex(whole.subarray(from, length)));
      }
    }
  });
});

describe("a frame without a network packet", () => {
  it.each([
    ["PPP, LCP", 9, "ff03 c021 01010004"],
    ["PPP, compressed by Van Jacobson", 9, "ff03 002d 00"],
    ["Cisco HDLC, keepalive", 104, "8f00 8035 00000002"],
    ["Cisco HDLC, another address", 104, `1f00 0800 ${V4}`],
    ["Frame Relay, LMI", 107, "0001 03 08 0075"],
    ["SLIP, compressed", 8, `00 70 ${zeros(14)} 80`],
    ["802.11, beacon", 105, `${wlan("8000")} ${zeros(12)}`],
    ["802.11, acknowledgement", 105, "d400 0000 020000000001"],
    ["802.11, no data", 105, wlan("4801")],
    ["802.11, encrypted", 105, `${wlan("0842")} 00000020 ${zeros(20)}`],
    ["802.11, a later fragment", 105, `${wlan("0802", "1100")} ${SNAP} 0800 ${V4}`],
    ["802.11, several packets in one", 105, `${wlan("8802")} 8000 ${zeros(14)} ${SNAP} 0800 ${V4}`],
    ["radiotap that says it has no bytes", 127, `0000 0000 00000000 ${wlan("0802")}`],
    ["FDDI, SMT", 10, `41 ${TO_FROM} ${zeros(20)}`],
    ["Token Ring, MAC", 6, `1000 ${TO_FROM} ${zeros(20)}`],
    ["ARCNET, a fragment", 7, "0102 d4 01 0001 00"],
    ["NFLOG, an attribute without length", 239, nflog("02", "0000 0900")],
    ["multilink Frame Relay, a fragment", 182, `8000 1841 03 cc ${V4}`],
    ["PFLOG, no IP", 117, `3d 07 ${zeros(62)}`],
    ["PPI in PPI", 192, `00 00 0800 c0000000 00 00 0800 01000000 ${TO_FROM} 0800`],
    ["PPI that says it has no bytes", 192, `00 00 0000 01000000 ${TO_FROM} 0800`],
    ["PKTAP with USB", 258, `0c000000 01000000 bd000000 ${zeros(64)}`],
  ] as const)("%s", (_name, linkType, bytes) => {
    const frame = networkFrame({ linkType, data: unhex(bytes) });
    expect(frame).toEqual({ data: null, reason: "no-protocol" });
  });

  it("802.2 without SNAP is ETH_P_802_2, as Linux has it", () => {
    const frame = networkFrame({ linkType: 105, data: unhex(`${wlan("0802")} 424203 0000`) });
    expect(frame).toMatchObject({ protocol: 4, networkOffset: 0 });
    expect(frame.data && hex(frame.data)).toBe("4242030000");
  });

  it("a link type that isn't read", () => {
    for (const linkType of [3, 147, 189, 65_535]) {
      expect(isLinkType(linkType)).toBe(false);
      const frame = networkFrame({ linkType, data: new Uint8Array(64) });
      expect(frame).toEqual({ data: null, reason: "link-type" });
    }
  });
});

describe("link types", () => {
  it("all have a name and read anything", () => {
    for (const linkType of LINK_TYPES) {
      expect(isLinkType(linkType)).toBe(true);
      expect(linkTypeName(linkType)).toMatch(/^\d+ \(LINKTYPE_[A-Z0-9_]+\)$/);
      for (const fill of [0x00, 0x45, 0xaa, 0xff]) {
        for (let length = 0; length < 160; length++) {
          const frame = networkFrame({ linkType, data: new Uint8Array(length).fill(fill) });
          expect(frame.data === null || frame.data.length <= length).toBe(true);
        }
      }
    }
  });

  it("are named as tcpdump's registry does, read or not", () => {
    expect(linkTypeName(1)).toBe("1 (LINKTYPE_ETHERNET)");
    expect(linkTypeName(147)).toBe("147 (LINKTYPE_USER0)");
    expect(linkTypeName(162)).toBe("162 (LINKTYPE_USER15)");
    expect(linkTypeName(189)).toBe("189 (LINKTYPE_USB_LINUX)");
    expect(linkTypeName(195)).toBe("195 (LINKTYPE_IEEE802_15_4_WITHFCS)");
    expect(linkTypeName(201)).toBe("201 (LINKTYPE_BLUETOOTH_HCI_H4_WITH_PHDR)");
    expect(linkTypeName(227)).toBe("227 (LINKTYPE_CAN_SOCKETCAN)");
    expect(linkTypeName(249)).toBe("249 (LINKTYPE_USBPCAP)");
    expect(linkTypeName(252)).toBe("252 (LINKTYPE_WIRESHARK_UPPER_PDU)");
    expect(linkTypeName(253)).toBe("253 (LINKTYPE_NETLINK)");
    expect(linkTypeName(272)).toBe("272 (LINKTYPE_NORDIC_BLE)");
    expect(linkTypeName(280)).toBe("280 (LINKTYPE_VPP_DISPATCH)");
    expect(linkTypeName(290)).toBe("290 (LINKTYPE_ETW)");
    expect(linkTypeName(54_321)).toBe("54321");
  });
});
