// How a captured packet reaches a network stack: past its link-layer header, with the EtherType
// that the header, the address family or the IP version stands for.

import { NO_PROTOCOL_NAMED, SHORT_PACKET } from "./header_bytes.ts";
import { LINKTYPE_ETHERNET } from "./link_type.ts";
import { findNetworkHeader, headerOffset, headerProtocol } from "./network_header.ts";

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
  /**
   * `short`: the link-layer header is cut off. `no-protocol`: it names no network protocol.
   * `link-type`: link-layer headers of this type are not read.
   */
  readonly reason: "short" | "no-protocol" | "link-type";
}

const SHORT: NoNetworkFrame = { data: null, reason: "short" };
const NO_PROTOCOL: NoNetworkFrame = { data: null, reason: "no-protocol" };
const LINK_TYPE: NoNetworkFrame = { data: null, reason: "link-type" };

/**
 * Finds the network header of a captured packet.
 *
 * Only the link-layer header is looked at, so `data` may end anywhere after it. VLAN tags stay in
 * an Ethernet frame. What Linux's drivers take off before the network stack sees a packet is left
 * out: the tag of a switch (DSA), a header of 802.11 with LLC and SNAP, PPP, and the like. No byte
 * is copied: the answer's data is the packet's or a view of it.
 *
 * @param packet - its `data` begins with a link-layer header of type `linkType`.
 */
export function networkFrame(packet: {
  readonly linkType: number;
  readonly data: Uint8Array;
}): NetworkFrame | NoNetworkFrame {
  const { linkType, data } = packet;
  const found = findNetworkHeader(linkType, data, 0, data.length);
  if (found === SHORT_PACKET) return SHORT;
  if (found === NO_PROTOCOL_NAMED) return NO_PROTOCOL;
  if (found < 0) return LINK_TYPE;
  const [offset, protocol] = [headerOffset(found), headerProtocol(found)];
  if (linkType === LINKTYPE_ETHERNET) return { data, networkOffset: offset, protocol };
  return { data: data.subarray(offset), networkOffset: 0, protocol };
}
