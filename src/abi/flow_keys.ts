/**
 * `struct bpf_flow_keys`: what a flow dissector program fills in, 56 bytes.
 */

import { ipv4Text, ipv6Text } from "./ip_text.ts";

/** sizeof(struct bpf_flow_keys) */
export const BPF_FLOW_KEYS_SIZE = 56;

/** Ethernet's numbers for the two IP versions (include/uapi/linux/if_ether.h). */
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;
/** Bytes of an Ethernet header. */
export const ETH_HLEN = 14;

/** struct bpf_flow_keys; the address bytes are those of IPv6, IPv4 lies in 16..19 and 20..23. */
export const FLOW_KEYS = {
  nhoff: [0, "u16"],
  thoff: [2, "u16"],
  addr_proto: [4, "u16"],
  is_frag: [6, "u8"],
  is_first_frag: [7, "u8"],
  is_encap: [8, "u8"],
  ip_proto: [9, "u8"],
  n_proto: [10, "be16"],
  sport: [12, "be16"],
  dport: [14, "be16"],
  ipv6_src: [16, 16],
  ipv6_dst: [32, 16],
  flags: [48, "u32"],
  flow_label: [52, 4],
} as const;

/**
 * Flow keys as an object. Offsets are in bytes from the start of the packet's data; numbers are in
 * host order (`flow_label` without version and traffic class); addresses are text, and there are
 * those of the IP version that `addr_proto` names.
 */
export interface FlowKeys {
  readonly nhoff: number;
  readonly thoff: number;
  readonly addr_proto: number;
  readonly is_frag: boolean;
  readonly is_first_frag: boolean;
  readonly is_encap: boolean;
  readonly ip_proto: number;
  readonly n_proto: number;
  readonly sport: number;
  readonly dport: number;
  readonly ipv4_src?: string;
  readonly ipv4_dst?: string;
  readonly ipv6_src?: string;
  readonly ipv6_dst?: string;
  readonly flags: number;
  readonly flow_label: number;
}

/**
 * Reads `struct bpf_flow_keys`.
 *
 * @param bytes - 56 bytes as the program left them.
 * @throws {RangeError} when there are fewer.
 */
export function decodeFlowKeys(bytes: Uint8Array): FlowKeys {
  if (bytes.length < BPF_FLOW_KEYS_SIZE) {
    throw new RangeError(`flow keys are ${BPF_FLOW_KEYS_SIZE} bytes, not ${bytes.length}`);
  }
  return flowKeysAt(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
}

/**
 * {@link decodeFlowKeys} of bytes in a view. There is a literal for each IP version: putting the
 * object together from parts takes longer than programs take to fill the keys in.
 */
export function flowKeysAt(view: DataView, offset: number): FlowKeys {
  const nhoff = view.getUint16(offset, true);
  const thoff = view.getUint16(offset + 2, true);
  const addr_proto = view.getUint16(offset + 4, true);
  const is_frag = view.getUint8(offset + 6) !== 0;
  const is_first_frag = view.getUint8(offset + 7) !== 0;
  const is_encap = view.getUint8(offset + 8) !== 0;
  const ip_proto = view.getUint8(offset + 9);
  const n_proto = view.getUint16(offset + 10, false);
  const sport = view.getUint16(offset + 12, false);
  const dport = view.getUint16(offset + 14, false);
  const flags = view.getUint32(offset + 48, true);
  const flow_label = view.getUint32(offset + 52, false) & 0xfffff;
  if (addr_proto === ETH_P_IP) {
    return {
      nhoff,
      thoff,
      addr_proto,
      is_frag,
      is_first_frag,
      is_encap,
      ip_proto,
      n_proto,
      sport,
      dport,
      ipv4_src: ipv4Text(view.getInt32(offset + 16, false)),
      ipv4_dst: ipv4Text(view.getInt32(offset + 20, false)),
      flags,
      flow_label,
    };
  }
  if (addr_proto === ETH_P_IPV6) {
    return {
      nhoff,
      thoff,
      addr_proto,
      is_frag,
      is_first_frag,
      is_encap,
      ip_proto,
      n_proto,
      sport,
      dport,
      ipv6_src: ipv6Text(view, offset + 16),
      ipv6_dst: ipv6Text(view, offset + 32),
      flags,
      flow_label,
    };
  }
  return {
    nhoff,
    thoff,
    addr_proto,
    is_frag,
    is_first_frag,
    is_encap,
    ip_proto,
    n_proto,
    sport,
    dport,
    flags,
    flow_label,
  };
}
