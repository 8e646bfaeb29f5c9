// Link-layer headers of IEEE 802 and of what took its LLC over: how a frame names the protocol in
// it by LLC and SNAP, and the headers before that.

import {
  be16,
  behind,
  byteAt,
  ETH_P_802_2,
  ETH_P_802_3,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  type Finder,
  le16,
  NO_PROTOCOL_NAMED,
  place,
  SHORT_PACKET,
} from "./header_bytes.ts";

const ETH_HLEN = 14;
/** The smallest EtherType; what is less is a length. */
const ETH_P_802_3_MIN = 0x0600;
const LLC_HLEN = 3;
const SNAP_HLEN = 8;
/** DSAP, SSAP and control of SNAP: 0xaa, 0xaa, 3. */
const SNAP_SAPS = 0xaaaa;
const LLC_UI = 3;
const OUI_ETHERTYPE = 0x000000;
/** RFC 1042's twin for bridges between networks (IEEE 802.1H). */
const OUI_BRIDGE_TUNNEL = 0x0000f8;
/** OUI and protocol ids of bridged frames, with their check sequence and without (RFC 2427). */
const OUI_BRIDGED = 0x0080c2;
const BRIDGED_ETHERNET: ReadonlySet<number> = new Set([1, 7]);

/** An Ethernet frame inside of something else: as eth_type_trans() of Linux reads it. */
export const ethernetFrame: Finder = (bytes, at, end) => {
  if (end - at < ETH_HLEN) return SHORT_PACKET;
  const type = be16(bytes, at + 12);
  if (type >= ETH_P_802_3_MIN) return place(at + ETH_HLEN, type);
  const isRaw802 = end - at >= ETH_HLEN + 2 && be16(bytes, at + ETH_HLEN) === 0xffff;
  return place(at + ETH_HLEN, isRaw802 ? ETH_P_802_3 : ETH_P_802_2);
};

/**
 * What follows the SNAP header's first three bytes: an OUI and a protocol id.
 *
 * @param pad - bytes between it and a bridged frame.
 */
export function snap(bytes: Uint8Array, at: number, end: number, pad: number): number {
  if (end - at < 5) return SHORT_PACKET;
  const oui = (byteAt(bytes, at) << 16) | be16(bytes, at + 1);
  const protocol = be16(bytes, at + 3);
  if (oui === OUI_ETHERTYPE || oui === OUI_BRIDGE_TUNNEL) return place(at + 5, protocol);
  if (oui !== OUI_BRIDGED || !BRIDGED_ETHERNET.has(protocol)) return NO_PROTOCOL_NAMED;
  return ethernetFrame(bytes, at + 5 + pad, end);
}

/** LLC, by which SNAP may name an EtherType; everything else is ETH_P_802_2 to Linux. */
export const llc: Finder = (bytes, at, end) => {
  if (end - at < LLC_HLEN) return SHORT_PACKET;
  const isSnap = be16(bytes, at) === SNAP_SAPS && byteAt(bytes, at + 2) === LLC_UI;
  if (!isSnap) return place(at, ETH_P_802_2);
  if (end - at < SNAP_HLEN) return SHORT_PACKET;
  const found = snap(bytes, at + LLC_HLEN, end, 0);
  return found === NO_PROTOCOL_NAMED ? place(at, ETH_P_802_2) : found;
};

// IEEE 802.11.

const FC_TYPE = 0x000c;
const FC_TYPE_DATA = 0x0008;
/** Of data frames: without data, and with quality of service. */
const FC_NO_DATA = 0x0040;
const FC_QOS = 0x0080;
const FC_FOUR_ADDRESSES = 0x0300;
const FC_PROTECTED = 0x4000;
/** In frames with quality of service: 4 bytes of HT control. */
const FC_ORDER = 0x8000;
const QOS_AMSDU = 0x80;
const FRAGMENT_NUMBER = 0x000f;

/** @param isPadded - whether the frame's header was filled up to a multiple of 4 bytes. */
export function ieee80211(isPadded: boolean): Finder {
  return (bytes, at, end) => {
    if (end - at < 2) return SHORT_PACKET;
    const control = le16(bytes, at);
    if ((control & FC_TYPE) !== FC_TYPE_DATA || (control & FC_NO_DATA) !== 0) {
      return NO_PROTOCOL_NAMED;
    }
    const hasQos = (control & FC_QOS) !== 0;
    const qosAt = (control & FC_FOUR_ADDRESSES) === FC_FOUR_ADDRESSES ? 30 : 24;
    const length = qosAt + (hasQos ? 2 : 0) + (hasQos && (control & FC_ORDER) !== 0 ? 4 : 0);
    if (end - at < length) return SHORT_PACKET;
    // A later fragment begins in the middle of a packet; an A-MSDU is several; a protected frame
    // can't be read.
    const isFragment = (le16(bytes, at + 22) & FRAGMENT_NUMBER) !== 0;
    const isAggregate = hasQos && (byteAt(bytes, at + qosAt) & QOS_AMSDU) !== 0;
    if (isFragment || isAggregate || (control & FC_PROTECTED) !== 0) return NO_PROTOCOL_NAMED;
    return llc(bytes, at + (isPadded ? Math.ceil(length / 4) * 4 : length), end);
  };
}

// Token Ring, FDDI, Fibre Channel, ARCNET.

const TR_HLEN = 14;
const TR_FRAME_TYPE_LLC = 0x40;

/** IEEE 802.5: access control, frame control, two addresses, and maybe a source route. */
export const tokenRing: Finder = (bytes, at, end) => {
  if (end - at < TR_HLEN) return SHORT_PACKET;
  if ((byteAt(bytes, at + 1) & 0xc0) !== TR_FRAME_TYPE_LLC) return NO_PROTOCOL_NAMED;
  const isRouted = (byteAt(bytes, at + 8) & 0x80) !== 0;
  const routeLength = isRouted ? byteAt(bytes, at + TR_HLEN) & 0x1f : 0;
  return llc(bytes, at + TR_HLEN + routeLength, end);
};

const FDDI_HLEN = 13;
const FDDI_FC_LLC = 0x50;

export const fddi: Finder = (bytes, at, end) => {
  if (end - at < FDDI_HLEN) return SHORT_PACKET;
  if ((byteAt(bytes, at) & 0xf0) !== FDDI_FC_LLC) return NO_PROTOCOL_NAMED;
  return llc(bytes, at + FDDI_HLEN, end);
};

/** Two network addresses of Fibre Channel (RFC 2625). */
export const ipOverFibreChannel: Finder = behind(16, llc);

const ARCNET_PROTOCOLS: ReadonlyMap<number, number> = new Map([
  [212, ETH_P_IP],
  [213, ETH_P_ARP],
  [196, ETH_P_IPV6],
  [240, ETH_P_IP],
  [241, ETH_P_ARP],
]);
/** Types of RFC 1051, whose header ends right behind the type. */
const ARCNET_OLD: ReadonlySet<number> = new Set([240, 241]);

/** @param typeAt - where the type stands: Linux has two bytes more before it. */
export function arcnet(typeAt: number): Finder {
  return (bytes, at, end) => {
    if (end - at <= typeAt) return SHORT_PACKET;
    const type = byteAt(bytes, at + typeAt);
    const protocol = ARCNET_PROTOCOLS.get(type);
    if (protocol === undefined) return NO_PROTOCOL_NAMED;
    // Behind the type: whether it is a fragment, and a sequence number.
    const length = typeAt + (ARCNET_OLD.has(type) ? 1 : 4);
    if (end - at < length) return SHORT_PACKET;
    const isFragment = !ARCNET_OLD.has(type) && byteAt(bytes, at + typeAt + 1) !== 0;
    return isFragment ? NO_PROTOCOL_NAMED : place(at + length, protocol);
  };
}
