// What the parsers of link-layer headers share: numbers in packets, and what they answer.

/** What is answered for a packet whose link-layer header is cut off. */
export const SHORT_PACKET = -1;
/** What is answered for a packet whose header names no network protocol. */
export const NO_PROTOCOL_NAMED = -2;
/** What is answered for a packet of a link type that isn't read. */
export const LINK_TYPE_NOT_READ = -3;

export const ETH_P_802_3 = 0x0001;
export const ETH_P_802_2 = 0x0004;
export const ETH_P_PPPTALK = 0x0010;
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPX = 0x8137;
export const ETH_P_IPV6 = 0x86dd;
export const ETH_P_MPLS_UC = 0x8847;
export const ETH_P_MPLS_MC = 0x8848;
export const ETH_P_PPP_DISC = 0x8863;
export const ETH_P_PPP_SES = 0x8864;

/** A protocol has 16 bits; what is above is where its header begins. */
const PLACE_UNIT = 0x1_0000;

/**
 * Finds the network header in `bytes`, which hold a packet from `at` to `end`.
 *
 * @returns a {@link place}, counted from the first of `bytes`; or one of the numbers below 0 above.
 */
export type Finder = (bytes: Uint8Array, at: number, end: number) => number;

/** Where a network header begins, and its EtherType, in one number: no packet costs an object. */
export function place(at: number, protocol: number): number {
  return at * PLACE_UNIT + protocol;
}

/** Where the header of a {@link place} begins. */
export function offsetOf(found: number): number {
  return Math.floor(found / PLACE_UNIT);
}

/** The EtherType of a {@link place}. */
export function protocolOf(found: number): number {
  return found & 0xffff;
}

export function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

export function be16(bytes: Uint8Array, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}

export function le16(bytes: Uint8Array, at: number): number {
  return byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8);
}

export function be32(bytes: Uint8Array, at: number): number {
  return be16(bytes, at) * PLACE_UNIT + be16(bytes, at + 2);
}

export function le32(bytes: Uint8Array, at: number): number {
  return le16(bytes, at) + le16(bytes, at + 2) * PLACE_UNIT;
}

/** A header of fixed length, and where in it an EtherType stands. */
export function fixedHeader(length: number, protocolAt: number): Finder {
  return (bytes, at, end) =>
    end - at < length ? SHORT_PACKET : place(at + length, be16(bytes, at + protocolAt));
}

/** A header of fixed length with another one behind it. */
export function behind(length: number, next: Finder): Finder {
  return (bytes, at, end) => (end - at < length ? SHORT_PACKET : next(bytes, at + length, end));
}

/** An IP packet whose version says which. */
export const ipOfVersion: Finder = (bytes, at, end) => {
  if (at >= end) return SHORT_PACKET;
  const version = byteAt(bytes, at) >> 4;
  if (version === 4) return place(at, ETH_P_IP);
  return version === 6 ? place(at, ETH_P_IPV6) : NO_PROTOCOL_NAMED;
};

const AF_INET = 2;
/** AF_INET6 of NetBSD and OpenBSD, of FreeBSD, and of macOS: it differs, unlike AF_INET. */
const AF_INET6: ReadonlySet<number> = new Set([24, 28, 30]);

/** The EtherType of an address family of a BSD; {@link NO_PROTOCOL_NAMED} for all but IP. */
export function protocolOfFamily(family: number): number {
  if (family === AF_INET) return ETH_P_IP;
  return AF_INET6.has(family) ? ETH_P_IPV6 : NO_PROTOCOL_NAMED;
}

/**
 * A header of `length` bytes that begins with an address family, in the byte order of the machine
 * that captured or another. All families fit in a byte, so the order shows: the one non-zero byte
 * is the first or the last.
 */
export function familyHeader(length: number): Finder {
  return (bytes, at, end) => {
    if (end - at < length) return SHORT_PACKET;
    if (be16(bytes, at + 1) !== 0) return NO_PROTOCOL_NAMED;
    const [first, last] = [byteAt(bytes, at), byteAt(bytes, at + 3)];
    if (first !== 0 && last !== 0) return NO_PROTOCOL_NAMED;
    const protocol = protocolOfFamily(first | last);
    return protocol < 0 ? protocol : place(at + length, protocol);
  };
}
