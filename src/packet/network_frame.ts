// How a captured packet reaches a network stack: past its link-layer header, with the EtherType
// that the header, the address family or the IP version stands for.

import {
  DLT_RAW,
  DLT_RAW_OPENBSD,
  LINKTYPE_ETHERNET,
  LINKTYPE_IPV4,
  LINKTYPE_IPV6,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_LOOP,
  LINKTYPE_NULL,
  LINKTYPE_RAW,
  linkTypeName,
} from "./link_type.ts";

/** Length of an Ethernet header without VLAN tags, in bytes. */
export const ETH_HLEN = 14;
const SLL_HLEN = 16;
const SLL2_HLEN = 20;
const LOOPBACK_HLEN = 4;

const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

const AF_INET = 2;
/** AF_INET6 of NetBSD and OpenBSD, of FreeBSD, and of macOS: it differs, unlike AF_INET. */
const AF_INET6: ReadonlySet<number> = new Set([24, 28, 30]);

/** Devices whose cooked header's protocol field isn't an EtherType: FRAD, radiotap, netlink. */
const ARPHRD_WITHOUT_ETHERTYPE: ReadonlySet<number> = new Set([770, 803, 824]);

/** A packet as a network stack is given it. */
export interface NetworkFrame {
  /** For Ethernet the whole frame, for other link types what follows the link-layer header. */
  readonly data: Uint8Array;
  /** Where in {@link data} the header that {@link protocol} announces starts: 14 or 0. */
  readonly networkOffset: number;
  /** EtherType in host order, as the frame has it: 0x8100 where a VLAN tag comes first. */
  readonly protocol: number;
}

/** A packet that no network stack can be given. */
export interface NoNetworkFrame {
  readonly data: null;
  /** `short`: the link-layer header is cut off. `no-protocol`: it names no network protocol. */
  readonly reason: "short" | "no-protocol";
}

const SHORT: NoNetworkFrame = { data: null, reason: "short" };
const NO_PROTOCOL: NoNetworkFrame = { data: null, reason: "no-protocol" };

/** What {@link networkProtocol} says of a packet whose link-layer header is cut off. */
export const SHORT_PACKET = -1;
/** What {@link networkProtocol} says of a packet whose header names no network protocol. */
export const NO_PROTOCOL_NAMED = -2;

/**
 * Finds the network header of a captured packet.
 *
 * Only the link-layer header is looked at, so `data` may end anywhere after it. VLAN tags stay in
 * an Ethernet frame. No byte is copied: the answer's data is the packet's or a view of it.
 *
 * @param packet - its `data` begins with a link-layer header of type `linkType`.
 * @throws {RangeError} for a link type that isn't a {@link LinkType}.
 */
export function networkFrame(packet: {
  readonly linkType: number;
  readonly data: Uint8Array;
}): NetworkFrame | NoNetworkFrame {
  const { linkType, data } = packet;
  const protocol = networkProtocol(linkType, data, 0, data.length);
  if (protocol < 0) return protocol === SHORT_PACKET ? SHORT : NO_PROTOCOL;
  if (linkType === LINKTYPE_ETHERNET) return { data, networkOffset: ETH_HLEN, protocol };
  return { data: data.subarray(linkHeaderLength(linkType)), networkOffset: 0, protocol };
}

/** Bytes of a packet that a {@link NetworkFrame} leaves out: none of an Ethernet frame. */
export function linkHeaderLength(linkType: number): number {
  switch (linkType) {
    case LINKTYPE_LINUX_SLL:
      return SLL_HLEN;
    case LINKTYPE_LINUX_SLL2:
      return SLL2_HLEN;
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      return LOOPBACK_HLEN;
    default:
      return 0;
  }
}

/**
 * {@link networkFrame} without a frame: the EtherType of the packet of `length` bytes at `start`,
 * or {@link SHORT_PACKET} or {@link NO_PROTOCOL_NAMED}. Where the network header is follows from
 * the link type.
 *
 * @throws {RangeError} for a link type that isn't a {@link LinkType}.
 */
export function networkProtocol(
  linkType: number,
  bytes: Uint8Array,
  start: number,
  length: number,
): number {
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      return length < ETH_HLEN ? SHORT_PACKET : be16(bytes, start + 12);
    case DLT_RAW:
    case DLT_RAW_OPENBSD:
    case LINKTYPE_RAW:
      return length === 0 ? SHORT_PACKET : protocolOfVersion(byteAt(bytes, start) >> 4);
    case LINKTYPE_IPV4:
      return length === 0 ? SHORT_PACKET : ETH_P_IP;
    case LINKTYPE_IPV6:
      return length === 0 ? SHORT_PACKET : ETH_P_IPV6;
    case LINKTYPE_LINUX_SLL:
      if (length < SLL_HLEN) return SHORT_PACKET;
      return cookedProtocol(be16(bytes, start + 2), be16(bytes, start + 14));
    case LINKTYPE_LINUX_SLL2:
      if (length < SLL2_HLEN) return SHORT_PACKET;
      return cookedProtocol(be16(bytes, start + 8), be16(bytes, start));
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      return length < LOOPBACK_HLEN ? SHORT_PACKET : protocolOfFamily(bytes, start);
    default:
      throw new RangeError(`linkType: ${linkTypeName(linkType)} has no known network header`);
  }
}

function protocolOfVersion(version: number): number {
  if (version === 4) return ETH_P_IP;
  return version === 6 ? ETH_P_IPV6 : NO_PROTOCOL_NAMED;
}

function cookedProtocol(arphrd: number, protocol: number): number {
  return ARPHRD_WITHOUT_ETHERTYPE.has(arphrd) ? NO_PROTOCOL_NAMED : protocol;
}

/**
 * The family is in the byte order of the machine that captured (NULL) or big-endian (LOOP). All
 * families fit in a byte, so the order shows: the one non-zero byte is the first or the last.
 */
function protocolOfFamily(bytes: Uint8Array, start: number): number {
  if (byteAt(bytes, start + 1) !== 0 || byteAt(bytes, start + 2) !== 0) return NO_PROTOCOL_NAMED;
  const [first, last] = [byteAt(bytes, start), byteAt(bytes, start + 3)];
  if (first !== 0 && last !== 0) return NO_PROTOCOL_NAMED;
  const family = first | last;
  if (family === AF_INET) return ETH_P_IP;
  return AF_INET6.has(family) ? ETH_P_IPV6 : NO_PROTOCOL_NAMED;
}

function be16(data: Uint8Array, at: number): number {
  return (byteAt(data, at) << 8) | byteAt(data, at + 1);
}

/** Callers have compared `at` with the length. */
function byteAt(data: Uint8Array, at: number): number {
  return data[at] ?? 0;
}
