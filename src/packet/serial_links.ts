// Link-layer headers of lines between two machines: PPP, Cisco's HDLC, Frame Relay, SLIP, and ATM,
// which took their ways of naming a protocol over.

import {
  be16,
  behind,
  byteAt,
  ETH_P_IP,
  ETH_P_IPV6,
  ETH_P_IPX,
  ETH_P_MPLS_MC,
  ETH_P_MPLS_UC,
  ETH_P_PPP_DISC,
  ETH_P_PPP_SES,
  ETH_P_PPPTALK,
  type Finder,
  ipOfVersion,
  NO_PROTOCOL_NAMED,
  place,
  SHORT_PACKET,
} from "./header_bytes.ts";
import { ethernetFrame, llc, snap } from "./ieee802.ts";

/** Protocols that Linux's PPP hands to the network stack; the others are its own business. */
const PPP_PROTOCOLS: ReadonlyMap<number, number> = new Map([
  [0x0021, ETH_P_IP],
  [0x0029, ETH_P_PPPTALK],
  [0x002b, ETH_P_IPX],
  [0x0057, ETH_P_IPV6],
  [0x0281, ETH_P_MPLS_UC],
  [0x0283, ETH_P_MPLS_MC],
]);
const PPP_CONTROL = 0x03;
/** Address and control bytes, which may be left out. */
const PPP_ADDRESS_CONTROL = 0xff03;

/** A protocol of PPP, in one byte or two: only the last byte of one is odd (RFC 1661). */
const pppProtocol: Finder = (bytes, at, end) => {
  if (at >= end) return SHORT_PACKET;
  const isOneByte = (byteAt(bytes, at) & 1) === 1;
  if (!isOneByte && end - at < 2) return SHORT_PACKET;
  const protocol = PPP_PROTOCOLS.get(isOneByte ? byteAt(bytes, at) : be16(bytes, at));
  if (protocol === undefined) return NO_PROTOCOL_NAMED;
  return place(at + (isOneByte ? 1 : 2), protocol);
};

/** PPP, with address and control or without. */
export const ppp: Finder = (bytes, at, end) => {
  const isFramed = end - at >= 2 && be16(bytes, at) === PPP_ADDRESS_CONTROL;
  return pppProtocol(bytes, isFramed ? at + 2 : at, end);
};

/** PPP in HDLC-like framing, or Cisco's HDLC, which the first byte tells. */
export const pppHdlc: Finder = (bytes, at, end) => {
  return isCiscoAddress(byteAt(bytes, at)) ? ciscoHdlc(bytes, at, end) : ppp(bytes, at, end);
};

/** PPP with the direction in the place of the address. */
export const pppWithDirection: Finder = (bytes, at, end) => {
  if (end - at < 2) return SHORT_PACKET;
  const isFramed = byteAt(bytes, at + 1) === PPP_CONTROL;
  return pppProtocol(bytes, at + (isFramed ? 2 : 1), end);
};

const PPPOE_HLEN = 6;

/** PPPoE without its Ethernet header: what Linux is given with one of two EtherTypes. */
export const pppoe: Finder = (bytes, at, end) => {
  if (end - at < PPPOE_HLEN) return SHORT_PACKET;
  return place(at, byteAt(bytes, at + 1) === 0 ? ETH_P_PPP_SES : ETH_P_PPP_DISC);
};

const CISCO_UNICAST = 0x0f;
const CISCO_MULTICAST = 0x8f;
/** The protocols that Linux takes from a line with Cisco's HDLC. */
const CISCO_PROTOCOLS: ReadonlySet<number> = new Set([ETH_P_IP, ETH_P_IPX, ETH_P_IPV6]);

function isCiscoAddress(address: number): boolean {
  return address === CISCO_UNICAST || address === CISCO_MULTICAST;
}

export const ciscoHdlc: Finder = (bytes, at, end) => {
  if (end - at < 4) return SHORT_PACKET;
  const protocol = be16(bytes, at + 2);
  const isKnown = isCiscoAddress(byteAt(bytes, at)) && CISCO_PROTOCOLS.has(protocol);
  return isKnown ? place(at + 4, protocol) : NO_PROTOCOL_NAMED;
};

const FR_UI = 0x03;
const FR_PAD = 0x00;
const NLPID_SNAP = 0x80;
const NLPID_IPV6 = 0x8e;
const NLPID_IP = 0xcc;
const NLPID_PPP = 0xcf;
/** The longest address of Q.922, in bytes. */
const MAX_ADDRESS = 4;
/** What is less is no EtherType. */
const MIN_ETHERTYPE = 0x0600;

/** Network Layer Protocol ID (RFC 2427, RFC 2684). @param pad - before a bridged frame. */
function nlpid(bytes: Uint8Array, start: number, end: number, pad: number): number {
  const at = byteAt(bytes, start) === FR_PAD ? start + 1 : start;
  if (at >= end) return SHORT_PACKET;
  switch (byteAt(bytes, at)) {
    case NLPID_IP:
      return place(at + 1, ETH_P_IP);
    case NLPID_IPV6:
      return place(at + 1, ETH_P_IPV6);
    case NLPID_PPP:
      return pppProtocol(bytes, at + 1, end);
    case NLPID_SNAP:
      return snap(bytes, at + 1, end, pad);
    default:
      return NO_PROTOCOL_NAMED;
  }
}

/** Frame Relay: an address, then Cisco's EtherType or what RFC 2427 has. */
export const frameRelay: Finder = (bytes, at, end) => {
  let length = 1;
  // The lowest bit is set in the last byte of an address, which has two at least.
  while (length < MAX_ADDRESS && (byteAt(bytes, at + length) & 1) === 0) length++;
  const next = at + length + 1;
  if (next + 2 > end) return SHORT_PACKET;
  const isAddress = (byteAt(bytes, at) & 1) === 0 && (byteAt(bytes, at + length) & 1) === 1;
  if (!isAddress) return NO_PROTOCOL_NAMED;
  if (byteAt(bytes, next) === FR_UI) return nlpid(bytes, next + 1, end, 0);
  const type = be16(bytes, next);
  return type >= MIN_ETHERTYPE ? place(next + 2, type) : NO_PROTOCOL_NAMED;
};

/** Begin and end of a frame, and what is about the line itself (FRF.16). */
const MFR_BEGIN_END = 0xc0;
const MFR_BITS = 0xe0;

/** Multilink Frame Relay: only a frame that isn't split can be read. */
export const multilinkFrameRelay: Finder = (bytes, at, end) => {
  if (end - at < 2) return SHORT_PACKET;
  const isWhole = (byteAt(bytes, at) & MFR_BITS) === MFR_BEGIN_END;
  return isWhole ? frameRelay(bytes, at + 2, end) : NO_PROTOCOL_NAMED;
};

/** SLIP: a header of the program that captured, then IP. */
export const slip: Finder = behind(16, ipOfVersion);
export const slipBsdos: Finder = behind(24, ipOfVersion);

/** Bytes between a SNAP header and a bridged frame on ATM. */
const ATM_BRIDGE_PAD = 2;
const NLPID_SAPS = 0xfefe;
const SNAP_SAPS = 0xaaaa;

/** Multiprotocol encapsulation over ATM (RFC 2684). */
export const atm: Finder = (bytes, at, end) => {
  if (end - at < 4) return SHORT_PACKET;
  const isUi = byteAt(bytes, at + 2) === FR_UI;
  if (isUi && be16(bytes, at) === NLPID_SAPS) return nlpid(bytes, at + 3, end, ATM_BRIDGE_PAD);
  if (!isUi || be16(bytes, at) !== SNAP_SAPS) return llc(bytes, at, end);
  return snap(bytes, at + 3, end, ATM_BRIDGE_PAD);
};

/** Classical IP over ATM: with the header of RFC 2684, or IP at once. */
export const classicalIp: Finder = (bytes, at, end) => {
  const hasHeader = end - at >= 2 && be16(bytes, at) === SNAP_SAPS;
  return hasHeader ? atm(bytes, at, end) : ipOfVersion(bytes, at, end);
};

const SUNATM_LANE = 1;
const SUNATM_LLC = 2;

/** SunATM: what kind of traffic, and of which circuit. */
export const sunAtm: Finder = (bytes, at, end) => {
  if (end - at < 4) return SHORT_PACKET;
  switch (byteAt(bytes, at) & 0x0f) {
    case SUNATM_LANE:
      // A client's number comes first.
      return ethernetFrame(bytes, at + 6, end);
    case SUNATM_LLC:
      return atm(bytes, at + 4, end);
    default:
      return NO_PROTOCOL_NAMED;
  }
};
