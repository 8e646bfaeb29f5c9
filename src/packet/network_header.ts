// Where the network header of a captured packet is, by link type: the way to it is data.

import {
  avs,
  ipnet,
  nflog,
  PKTAP,
  PPI,
  pflog,
  prism,
  radiotap,
  wrapped,
} from "./capture_headers.ts";
import {
  be16,
  behind,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_MPLS_UC,
  type Finder,
  familyHeader,
  fixedHeader,
  ipOfVersion,
  LINK_TYPE_NOT_READ,
  NO_PROTOCOL_NAMED,
  offsetOf,
  place,
  protocolOf,
  SHORT_PACKET,
} from "./header_bytes.ts";
import {
  arcnet,
  ethernetFrame,
  fddi,
  ieee80211,
  ipOverFibreChannel,
  tokenRing,
} from "./ieee802.ts";
import * as LINKTYPE from "./link_type.ts";
import {
  atm,
  ciscoHdlc,
  classicalIp,
  frameRelay,
  multilinkFrameRelay,
  ppp,
  pppHdlc,
  pppoe,
  pppWithDirection,
  slip,
  slipBsdos,
  sunAtm,
} from "./serial_links.ts";

/** Length of an Ethernet header without VLAN tags, in bytes. */
export const ETH_HLEN = 14;

/** Devices whose cooked header's protocol field isn't an EtherType: FRAD, radiotap, netlink. */
const ARPHRD_WITHOUT_ETHERTYPE: ReadonlySet<number> = new Set([770, 803, 824]);

function cooked(length: number, arphrdAt: number, protocolAt: number): Finder {
  return (bytes, at, end) => {
    if (end - at < length) return SHORT_PACKET;
    if (ARPHRD_WITHOUT_ETHERTYPE.has(be16(bytes, at + arphrdAt))) return NO_PROTOCOL_NAMED;
    return place(at + length, be16(bytes, at + protocolAt));
  };
}

/** A packet of one protocol from its first byte on. */
function always(protocol: number): Finder {
  return (_bytes, at, end) => (at >= end ? SHORT_PACKET : place(at, protocol));
}

/**
 * An Ethernet frame as a switch sends it to the host that runs it, with a tag of its own: the host
 * takes the tag out. In the middle of the frame a tag stands before the EtherType.
 */
function switchTag(length: number): Finder {
  return fixedHeader(ETH_HLEN + length, ETH_HLEN + length - 2);
}

/** Preamble and start of frame, which captures of some taps have. */
const PREAMBLE = 8;

const FINDERS: Readonly<Record<LINKTYPE.LinkType, Finder>> = {
  [LINKTYPE.LINKTYPE_NULL]: familyHeader(4),
  [LINKTYPE.LINKTYPE_ETHERNET]: fixedHeader(ETH_HLEN, ETH_HLEN - 2),
  [LINKTYPE.LINKTYPE_IEEE802_5]: tokenRing,
  [LINKTYPE.LINKTYPE_ARCNET_BSD]: arcnet(2),
  [LINKTYPE.LINKTYPE_SLIP]: slip,
  [LINKTYPE.LINKTYPE_PPP]: ppp,
  [LINKTYPE.LINKTYPE_FDDI]: fddi,
  [LINKTYPE.DLT_RAW]: ipOfVersion,
  [LINKTYPE.DLT_RAW_OPENBSD]: ipOfVersion,
  [LINKTYPE.LINKTYPE_PPP_HDLC]: pppHdlc,
  [LINKTYPE.LINKTYPE_PPP_ETHER]: pppoe,
  [LINKTYPE.LINKTYPE_SYMANTEC_FIREWALL]: fixedHeader(44, 6),
  [LINKTYPE.LINKTYPE_ATM_RFC1483]: atm,
  [LINKTYPE.LINKTYPE_RAW]: ipOfVersion,
  [LINKTYPE.LINKTYPE_SLIP_BSDOS]: slipBsdos,
  [LINKTYPE.LINKTYPE_C_HDLC]: ciscoHdlc,
  [LINKTYPE.LINKTYPE_IEEE802_11]: ieee80211(false),
  [LINKTYPE.LINKTYPE_ATM_CLIP]: classicalIp,
  [LINKTYPE.LINKTYPE_FRELAY]: frameRelay,
  [LINKTYPE.LINKTYPE_LOOP]: familyHeader(4),
  [LINKTYPE.LINKTYPE_ENC]: familyHeader(12),
  [LINKTYPE.LINKTYPE_LINUX_SLL]: cooked(16, 2, 14),
  [LINKTYPE.LINKTYPE_PFLOG]: pflog,
  [LINKTYPE.LINKTYPE_IEEE802_11_PRISM]: prism,
  [LINKTYPE.LINKTYPE_IP_OVER_FC]: ipOverFibreChannel,
  [LINKTYPE.LINKTYPE_SUNATM]: sunAtm,
  [LINKTYPE.LINKTYPE_IEEE802_11_RADIOTAP]: radiotap,
  [LINKTYPE.LINKTYPE_ARCNET_LINUX]: arcnet(4),
  [LINKTYPE.LINKTYPE_APPLE_IP_OVER_IEEE1394]: fixedHeader(18, 16),
  [LINKTYPE.LINKTYPE_IEEE802_11_AVS]: avs,
  [LINKTYPE.LINKTYPE_PPP_PPPD]: pppWithDirection,
  [LINKTYPE.LINKTYPE_MFR]: multilinkFrameRelay,
  [LINKTYPE.LINKTYPE_PPI]: wrapped(PPI, insideOf(LINKTYPE.LINKTYPE_PPI)),
  [LINKTYPE.LINKTYPE_PPP_WITH_DIR]: behind(1, ppp),
  [LINKTYPE.LINKTYPE_C_HDLC_WITH_DIR]: behind(1, ciscoHdlc),
  [LINKTYPE.LINKTYPE_FRELAY_WITH_DIR]: behind(1, frameRelay),
  [LINKTYPE.LINKTYPE_MPLS]: always(ETH_P_MPLS_UC),
  [LINKTYPE.LINKTYPE_IPNET]: ipnet,
  [LINKTYPE.LINKTYPE_IPV4]: always(ETH_P_IP),
  [LINKTYPE.LINKTYPE_IPV6]: always(ETH_P_IPV6),
  [LINKTYPE.LINKTYPE_NFLOG]: nflog,
  [LINKTYPE.LINKTYPE_NETANALYZER]: behind(4, ethernetFrame),
  [LINKTYPE.LINKTYPE_NETANALYZER_TRANSPARENT]: behind(4 + PREAMBLE, ethernetFrame),
  [LINKTYPE.LINKTYPE_IPOIB]: fixedHeader(44, 40),
  [LINKTYPE.LINKTYPE_PKTAP]: wrapped(PKTAP, insideOf(LINKTYPE.LINKTYPE_PKTAP)),
  [LINKTYPE.LINKTYPE_ETHERNET_MPACKET]: behind(PREAMBLE, ethernetFrame),
  [LINKTYPE.LINKTYPE_LINUX_SLL2]: cooked(20, 8, 0),
  [LINKTYPE.LINKTYPE_DSA_TAG_BRCM]: switchTag(4),
  [LINKTYPE.LINKTYPE_DSA_TAG_BRCM_PREPEND]: switchTag(4),
  [LINKTYPE.LINKTYPE_DSA_TAG_DSA]: switchTag(4),
  [LINKTYPE.LINKTYPE_DSA_TAG_EDSA]: switchTag(8),
};

/** What may be inside of a wrapper: anything but another wrapper. */
function insideOf(wrapper: number): (linkType: number) => Finder | undefined {
  return (linkType) => {
    const isWrapper = linkType === LINKTYPE.LINKTYPE_PPI || linkType === LINKTYPE.LINKTYPE_PKTAP;
    return linkType === wrapper || isWrapper ? undefined : finderOf(linkType);
  };
}

/** Finders by link type; an array is looked up in a fraction of an object's time. */
const BY_NUMBER: readonly (Finder | undefined)[] = Array.from(
  { length: 1 + Math.max(...Object.keys(FINDERS).map(Number)) },
  (_, linkType) => FINDERS[linkType as LINKTYPE.LinkType],
);

function finderOf(linkType: number): Finder | undefined {
  return BY_NUMBER[linkType];
}

/** Whether packets of link type `number` are read here. */
export function isLinkType(number: number): number is LINKTYPE.LinkType {
  return finderOf(number) !== undefined;
}

/** The link types that are read, ascending. */
export const LINK_TYPES: readonly LINKTYPE.LinkType[] = Object.keys(FINDERS).map(
  (key) => Number(key) as LINKTYPE.LinkType,
);

/**
 * Finds the network header of the packet of `length` bytes at `start`, without an object for it.
 *
 * @returns what {@link headerOffset} and {@link headerProtocol} take; or, less than 0,
 *   {@link SHORT_PACKET}, {@link NO_PROTOCOL_NAMED} or {@link LINK_TYPE_NOT_READ}.
 */
export function findNetworkHeader(
  linkType: number,
  bytes: Uint8Array,
  start: number,
  length: number,
): number {
  if (linkType === LINKTYPE.LINKTYPE_ETHERNET) {
    return length < ETH_HLEN ? SHORT_PACKET : place(ETH_HLEN, be16(bytes, start + ETH_HLEN - 2));
  }
  const finder = finderOf(linkType);
  if (finder === undefined) return LINK_TYPE_NOT_READ;
  const end = start + length;
  const found = finder(bytes, start, end);
  if (found < 0) return found;
  const offset = offsetOf(found) - start;
  return offset > length ? SHORT_PACKET : place(offset, protocolOf(found));
}

/** Bytes before the network header that {@link findNetworkHeader} found. */
export const headerOffset: typeof offsetOf = offsetOf;

/** EtherType of the network header that {@link findNetworkHeader} found, in host order. */
export const headerProtocol: typeof protocolOf = protocolOf;
