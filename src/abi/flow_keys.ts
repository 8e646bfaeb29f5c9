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
 * those of the IP version that `addr_proto` names, the others being undefined.
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
  readonly ipv4_src?: string | undefined;
  readonly ipv4_dst?: string | undefined;
  readonly ipv6_src?: string | undefined;
  readonly ipv6_dst?: string | undefined;
  readonly flags: number;
  readonly flow_label: number;
}

// Engines know constants of this file; what is imported or exported they look up each time.
const IPV4 = ETH_P_IP;
const toText: typeof ipv4Text = ipv4Text;

/** Words of `struct bpf_flow_keys`. */
export const FLOW_KEYS_WORDS: number = BPF_FLOW_KEYS_SIZE / 4;

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
  const view = new DataView(bytes.buffer, bytes.byteOffset, BPF_FLOW_KEYS_SIZE);
  const words = new Int32Array(FLOW_KEYS_WORDS);
  for (let i = 0; i < words.length; i++) words[i] = view.getInt32(4 * i, true);
  return flowKeysOf(words);
}

/**
 * {@link decodeFlowKeys} of 14 words, whose lower bytes come first in the struct. There is one
 * literal, with nothing left to work out: putting the object together piece by piece takes longer
 * than programs take to fill the keys in.
 */
export function flowKeysOf(words: Int32Array): FlowKeys {
  const offsets = words[0] as number;
  const kinds = words[1] as number;
  const protocols = words[2] as number;
  const ports = words[3] as number;
  const label = words[13] as number;
  const addr_proto = kinds & 0xffff;
  let ipv4_src: string | undefined;
  let ipv4_dst: string | undefined;
  let ipv6_src: string | undefined;
  let ipv6_dst: string | undefined;
  if (addr_proto === IPV4) {
    ipv4_src = toText(words[4] as number);
    ipv4_dst = toText(words[5] as number);
  } else if (addr_proto === ETH_P_IPV6) {
    ipv6_src = ipv6Text(words, 4);
    ipv6_dst = ipv6Text(words, 8);
  }
  return {
    nhoff: offsets & 0xffff,
    thoff: offsets >>> 16,
    addr_proto,
    is_frag: (kinds & 0xff0000) !== 0,
    is_first_frag: kinds >>> 24 !== 0,
    is_encap: (protocols & 0xff) !== 0,
    ip_proto: (protocols >>> 8) & 0xff,
    n_proto: ((protocols >>> 8) & 0xff00) | (protocols >>> 24),
    sport: ((ports & 0xff) << 8) | ((ports >>> 8) & 0xff),
    dport: ((ports >>> 8) & 0xff00) | (ports >>> 24),
    ipv4_src,
    ipv4_dst,
    ipv6_src,
    ipv6_dst,
    flags: (words[12] as number) >>> 0,
    flow_label: ((label & 0xf00) << 8) | ((label >>> 8) & 0xff00) | (label >>> 24),
  };
}
