/**
 * `struct bpf_flow_keys`: what a flow dissector program fills in, 56 bytes.
 */

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
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const addrProto = view.getUint16(4, true);
  return {
    nhoff: view.getUint16(0, true),
    thoff: view.getUint16(2, true),
    addr_proto: addrProto,
    is_frag: view.getUint8(6) !== 0,
    is_first_frag: view.getUint8(7) !== 0,
    is_encap: view.getUint8(8) !== 0,
    ip_proto: view.getUint8(9),
    n_proto: view.getUint16(10, false),
    sport: view.getUint16(12, false),
    dport: view.getUint16(14, false),
    ...addresses(bytes, addrProto),
    flags: view.getUint32(48, true),
    flow_label: view.getUint32(52, false) & 0xfffff,
  };
}

function addresses(bytes: Uint8Array, addrProto: number): Partial<FlowKeys> {
  if (addrProto === ETH_P_IP) {
    return {
      ipv4_src: formatIPv4(bytes.subarray(16, 20)),
      ipv4_dst: formatIPv4(bytes.subarray(20, 24)),
    };
  }
  if (addrProto === ETH_P_IPV6) {
    return {
      ipv6_src: formatIPv6(bytes.subarray(16, 32)),
      ipv6_dst: formatIPv6(bytes.subarray(32, 48)),
    };
  }
  return {};
}

/** An IPv4 address as text: "192.0.2.1". */
export function formatIPv4(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 4)).join(".");
}

/** An IPv6 address as RFC 5952 writes it: lower case, the longest run of zeros as "::". */
export function formatIPv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  let best = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
