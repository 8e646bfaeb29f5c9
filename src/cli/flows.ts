/**
 * Flow keys as people read them.
 */

import type { FlowKeys } from "../abi/flow_keys.ts";

/** Names of IP protocols that captures are full of. */
const IP_PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, "ICMP"],
  [2, "IGMP"],
  [4, "IPIP"],
  [6, "TCP"],
  [17, "UDP"],
  [41, "IPv6"],
  [47, "GRE"],
  [50, "ESP"],
  [58, "ICMPv6"],
  [132, "SCTP"],
  [136, "UDPLite"],
]);

/** Names of what follows an Ethernet header. */
const ETHERTYPES: ReadonlyMap<number, string> = new Map([
  [0x0800, "IPv4"],
  [0x0806, "ARP"],
  [0x8100, "802.1Q"],
  [0x86dd, "IPv6"],
  [0x8847, "MPLS"],
  [0x8848, "MPLS multicast"],
  [0x88a8, "802.1AD"],
]);

/** "TCP", or the number of the protocol; what follows Ethernet when no IP header was found. */
export function protocolName(keys: FlowKeys): string {
  if (keys.addr_proto === 0) {
    const hex = `0x${keys.n_proto.toString(16).padStart(4, "0")}`;
    return ETHERTYPES.get(keys.n_proto) ?? hex;
  }
  return ipProtocolName(keys.ip_proto);
}

/** "TCP"; "IP 253" for a number without a common name. */
export function ipProtocolName(protocol: number): string {
  return IP_PROTOCOLS.get(protocol) ?? `IP ${protocol}`;
}

/** "192.0.2.1:80 -> 192.0.2.2:1234"; "" without addresses. */
export function endpoints(keys: FlowKeys): string {
  const source = keys.ipv4_src ?? keys.ipv6_src;
  const destination = keys.ipv4_dst ?? keys.ipv6_dst;
  if (source === undefined || destination === undefined) return "";
  return `${endpoint(source, keys.sport)} -> ${endpoint(destination, keys.dport)}`;
}

function endpoint(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What is special about a packet: "encap first-frag label=0xbeeef". */
export function traits(keys: FlowKeys): string {
  return [
    keys.is_encap ? ["encap"] : [],
    keys.is_frag ? [keys.is_first_frag ? "first-frag" : "frag"] : [],
    keys.flow_label === 0 ? [] : [`label=0x${keys.flow_label.toString(16).padStart(5, "0")}`],
  ]
    .flat()
    .join(" ");
}
