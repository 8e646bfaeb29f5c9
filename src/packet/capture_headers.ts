// Headers that captures have before those of the link, made by whatever captured.

import {
  be16,
  be32,
  byteAt,
  ETH_P_IP,
  ETH_P_IPV6,
  type Finder,
  le16,
  le32,
  NO_PROTOCOL_NAMED,
  place,
  protocolOfFamily,
  SHORT_PACKET,
} from "./header_bytes.ts";
import { ieee80211 } from "./ieee802.ts";

// 802.11 with facts about how it was received.

const RADIOTAP_HLEN = 8;
/** Bits of the words that say what is present. */
const RADIOTAP_TSFT = 1 << 0;
const RADIOTAP_FLAGS = 1 << 1;
const RADIOTAP_MORE_WORDS = 0x80;
const TSFT_BYTES = 8;
/** In its flags: the frame's header was filled up to a multiple of 4 bytes. */
const RADIOTAP_F_DATAPAD = 0x20;

export const radiotap: Finder = (bytes, at, end) => {
  if (end - at < RADIOTAP_HLEN) return SHORT_PACKET;
  const length = le16(bytes, at + 2);
  if (length < RADIOTAP_HLEN) return NO_PROTOCOL_NAMED;
  if (end - at < length) return SHORT_PACKET;
  const present = byteAt(bytes, at + 4);
  let field = RADIOTAP_HLEN;
  // The last byte of a word says whether another word follows it.
  while (field <= length && (byteAt(bytes, at + field - 1) & RADIOTAP_MORE_WORDS) !== 0) field += 4;
  if ((present & RADIOTAP_TSFT) !== 0) field = Math.ceil(field / 8) * 8 + TSFT_BYTES;
  const hasFlags = (present & RADIOTAP_FLAGS) !== 0 && field < length;
  const isPadded = hasFlags && (byteAt(bytes, at + field) & RADIOTAP_F_DATAPAD) !== 0;
  return ieee80211(isPadded)(bytes, at + length, end);
};

const PRISM_HLEN = 144;
/** Versions 1 and 2 of the header of AVS, which cards send as Prism's, too. */
const AVS_COOKIES: ReadonlySet<number> = new Set([0x80211001, 0x80211002]);
const AVS_MIN_HLEN = 8;

export const prism: Finder = (bytes, at, end) => {
  if (end - at >= AVS_MIN_HLEN && AVS_COOKIES.has(be32(bytes, at))) return avs(bytes, at, end);
  if (end - at < PRISM_HLEN) return SHORT_PACKET;
  return ieee80211(false)(bytes, at + PRISM_HLEN, end);
};

export const avs: Finder = (bytes, at, end) => {
  if (end - at < AVS_MIN_HLEN) return SHORT_PACKET;
  const length = be32(bytes, at + 4);
  if (length < AVS_MIN_HLEN) return NO_PROTOCOL_NAMED;
  if (end - at < length) return SHORT_PACKET;
  return ieee80211(false)(bytes, at + length, end);
};

// Netlink's log.

const NFLOG_HLEN = 4;
const NFLOG_ATTRIBUTE_HLEN = 4;
const NFULA_PACKET_HDR = 1;
const NFULA_PAYLOAD = 9;
const AF_INET = 2;
const AF_INET6 = 10;

/** A family of Linux, a version, a group, and attributes in the byte order of the machine. */
export const nflog: Finder = (bytes, start, end) => {
  if (end - start < NFLOG_HLEN) return SHORT_PACKET;
  const family = byteAt(bytes, start);
  const first = start + NFLOG_HLEN;
  // Types fit in a byte, so the order shows.
  const isLittleEndian = byteAt(bytes, first + 3) === 0;
  const u16 = isLittleEndian ? le16 : be16;
  let protocol = 0;
  // Ends: each attribute is at least as long as its header.
  for (let at = first; end - at >= NFLOG_ATTRIBUTE_HLEN; ) {
    const length = u16(bytes, at);
    if (length < NFLOG_ATTRIBUTE_HLEN) return NO_PROTOCOL_NAMED;
    const type = u16(bytes, at + 2);
    const value = at + NFLOG_ATTRIBUTE_HLEN;
    if (type === NFULA_PACKET_HDR && value + 2 <= end) protocol = be16(bytes, value);
    if (type === NFULA_PAYLOAD) {
      if (family === AF_INET) return place(value, ETH_P_IP);
      if (family === AF_INET6) return place(value, ETH_P_IPV6);
      return protocol === 0 ? NO_PROTOCOL_NAMED : place(value, protocol);
    }
    at += Math.ceil(length / 4) * 4;
  }
  return SHORT_PACKET;
};

/** OpenBSD's log of its packet filter: its length, without padding, and a family come first. */
export const pflog: Finder = (bytes, at, end) => {
  if (end - at < 2) return SHORT_PACKET;
  const length = Math.ceil(byteAt(bytes, at) / 4) * 4;
  if (end - at < length) return SHORT_PACKET;
  const protocol = protocolOfFamily(byteAt(bytes, at + 1));
  return protocol < 0 || length < 4 ? NO_PROTOCOL_NAMED : place(at + length, protocol);
};

const IPNET_HLEN = 24;
/** Families of Solaris. */
const IPNET_PROTOCOLS: ReadonlyMap<number, number> = new Map([
  [2, ETH_P_IP],
  [26, ETH_P_IPV6],
]);

export const ipnet: Finder = (bytes, at, end) => {
  if (end - at < IPNET_HLEN) return SHORT_PACKET;
  const protocol = IPNET_PROTOCOLS.get(byteAt(bytes, at + 1));
  return protocol === undefined ? NO_PROTOCOL_NAMED : place(at + IPNET_HLEN, protocol);
};

// Headers that say what link type follows.

/** Where a header has its own length and the link type that follows it, all little-endian. */
export interface Wrapper {
  readonly minLength: number;
  readonly length: (bytes: Uint8Array, at: number) => number;
  readonly linkTypeAt: number;
}

export const PPI: Wrapper = {
  minLength: 8,
  length: (bytes, at) => le16(bytes, at + 2),
  linkTypeAt: 4,
};

/** Of Apple's. */
export const PKTAP: Wrapper = { minLength: 12, length: le32, linkTypeAt: 8 };

/** @param finderOf - for a link type that may be inside; undefined for one that isn't read. */
export function wrapped(
  { minLength, length: lengthOf, linkTypeAt }: Wrapper,
  finderOf: (linkType: number) => Finder | undefined,
): Finder {
  return (bytes, at, end) => {
    if (end - at < minLength) return SHORT_PACKET;
    const length = lengthOf(bytes, at);
    if (length < minLength) return NO_PROTOCOL_NAMED;
    if (end - at < length) return SHORT_PACKET;
    const finder = finderOf(le32(bytes, at + linkTypeAt));
    return finder === undefined ? NO_PROTOCOL_NAMED : finder(bytes, at + length, end);
  };
}
