/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow dissector that flow.bpf.c and flow-v2.bpf.c are made of.
 *
 * One program a header type, chained by tail calls through `next_program`. Every program finds its
 * header at keys->thoff, writes what it learned into the keys, moves thoff past the header and goes
 * on. Keys are written as soon as they are known and stay when a later header turns out broken:
 * whoever looks at a dropped packet sees how far it was understood.
 *
 * Linux allows 33 tail calls a packet. So only headers that can be followed by any number of others
 * are programs; transport headers and GRE are parsed in place by the program in front of them.
 *
 * A file that includes this one chooses what it wants first:
 *   ACCEPT_ICMPV6    1: ICMPv6 is dissected; 0: it is dropped, as every unknown protocol is
 *   COUNT_PROTOCOLS  1: dissected IP packets are counted in the map proto_packets; 0: nothing is
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "headers.h"

/* Packets from this IPv4 address (127.0.0.127), sent without options, are left to Linux. */
#define LEFT_TO_LINUX 0x7f00007f

/* The verifier follows offsets into a packet up to here, and thoff can't hold more. */
#define MAX_OFFSET 0xffff

enum program {
	VLAN,
	MPLS,
	IPV4,
	IPV6,
	IPV6_OPTIONS,
	IPV6_FRAGMENT,
	PROGRAMS,
};

struct program_array {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PROGRAMS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
};

/* The parsers, by header type. Defined behind them, at the end. */
extern struct program_array next_program;

#if COUNT_PROTOCOLS
/* IP packets that were dissected, by the innermost IP protocol. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} proto_packets SEC(".maps");
#endif

/* The end of an IP packet that was understood as far as it had to be. */
static __always_inline int dissected(const struct bpf_flow_keys *keys)
{
#if COUNT_PROTOCOLS
	__u32 protocol = keys->ip_proto;
	__u64 *packets = bpf_map_lookup_elem(&proto_packets, &protocol);

	if (packets)
		*packets += 1;
#endif
	return BPF_OK;
}

/*
 * The `size` bytes at thoff: in place where the packet has them in its linear part, else fetched
 * into `copy`. NULL where the packet ends before.
 */
static __always_inline void *header_at_thoff(struct __sk_buff *skb, void *copy, __u32 size)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 offset = skb->flow_keys->thoff;

	if (offset + size > MAX_OFFSET)
		return NULL;
	if (data + offset + size <= data_end)
		return data + offset;
	return bpf_skb_load_bytes(skb, offset, copy, size) == 0 ? copy : NULL;
}

/* Whether the packet has at least `length` bytes, be they linear or not. */
static __always_inline bool packet_has(struct __sk_buff *skb, __u32 length)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u8 last;

	return data + length <= data_end || bpf_skb_load_bytes(skb, length - 1, &last, 1) == 0;
}

/* Hands over to the parser for an Ethernet type. Drops where none is, or no tail call is left. */
static __always_inline int parse_by_type(struct __sk_buff *skb, __be16 type)
{
	switch (type) {
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		bpf_tail_call_static(skb, &next_program, VLAN);
		break;
	case bpf_htons(ETH_P_MPLS_UC):
	case bpf_htons(ETH_P_MPLS_MC):
		bpf_tail_call_static(skb, &next_program, MPLS);
		break;
	case bpf_htons(ETH_P_IP):
		bpf_tail_call_static(skb, &next_program, IPV4);
		break;
	case bpf_htons(ETH_P_IPV6):
		bpf_tail_call_static(skb, &next_program, IPV6);
		break;
	}
	return BPF_DROP;
}

/* A packet within the packet: parsed as well, unless the caller asked to stop here. */
static __always_inline int parse_inner(struct __sk_buff *skb, __be16 type)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct ethernet_header *ethernet, copy;

	keys->is_encap = true;
	if (keys->flags & BPF_FLOW_DISSECTOR_F_STOP_AT_ENCAP)
		return dissected(keys);

	if (type == bpf_htons(ETH_P_TEB)) {
		ethernet = header_at_thoff(skb, &copy, sizeof(copy));
		if (!ethernet)
			return BPF_DROP;
		type = ethernet->type;
		keys->thoff += sizeof(*ethernet);
	}
	return parse_by_type(skb, type);
}

/* GRE of version 0, with what it carries. Any other version ends the dissection in front of it. */
static __always_inline int parse_gre(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct gre_header *gre, copy;
	__u16 length = sizeof(*gre);

	gre = header_at_thoff(skb, &copy, sizeof(copy));
	if (!gre)
		return BPF_DROP;
	if (gre->flags & bpf_htons(GRE_VERSION_BITS))
		return dissected(keys);

	if (gre->flags & bpf_htons(GRE_HAS_CHECKSUM))
		length += GRE_OPTIONAL_FIELD;
	if (gre->flags & bpf_htons(GRE_HAS_KEY))
		length += GRE_OPTIONAL_FIELD;
	if (gre->flags & bpf_htons(GRE_HAS_SEQUENCE))
		length += GRE_OPTIONAL_FIELD;
	keys->thoff += length;
	return parse_inner(skb, gre->type);
}

/* TCP: the ports, once the whole header with its options is known to be there. */
static __always_inline int parse_tcp(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct tcp_header *tcp, copy;
	__u32 words;

	tcp = header_at_thoff(skb, &copy, sizeof(copy));
	if (!tcp)
		return BPF_DROP;
	words = tcp->words >> 4;
	if (words < TCP_MIN_HEADER_WORDS || !packet_has(skb, keys->thoff + words * 4))
		return BPF_DROP;

	keys->sport = tcp->source;
	keys->dport = tcp->destination;
	return dissected(keys);
}

/* UDP and UDP-Lite, whose ports lie in the same place. */
static __always_inline int parse_udp(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct udp_header *udp, copy;

	udp = header_at_thoff(skb, &copy, sizeof(copy));
	if (!udp)
		return BPF_DROP;
	keys->sport = udp->source;
	keys->dport = udp->destination;
	return dissected(keys);
}

/* ICMP and ICMPv6 have no ports: the header must be there, and that is all. */
static __always_inline int parse_icmp(struct __sk_buff *skb)
{
	struct icmp_header copy;

	if (!header_at_thoff(skb, &copy, sizeof(copy)))
		return BPF_DROP;
	return dissected(skb->flow_keys);
}

/* What an IP header of either version can be followed by. */
static __always_inline int parse_ip_payload(struct __sk_buff *skb, __u8 protocol)
{
	switch (protocol) {
	case PROTO_TCP:
		return parse_tcp(skb);
	case PROTO_UDP:
	case PROTO_UDP_LITE:
		return parse_udp(skb);
	case PROTO_ICMP:
#if ACCEPT_ICMPV6
	case PROTO_ICMPV6:
#endif
		return parse_icmp(skb);
	case PROTO_IPV4:
		return parse_inner(skb, bpf_htons(ETH_P_IP));
	case PROTO_IPV6:
		return parse_inner(skb, bpf_htons(ETH_P_IPV6));
	case PROTO_GRE:
		return parse_gre(skb);
	default:
		return BPF_DROP;
	}
}

/* What an IPv6 header can be followed by: extension headers too. */
static __always_inline int parse_ipv6_next(struct __sk_buff *skb, __u8 next)
{
	switch (next) {
	case PROTO_HOP_BY_HOP:
	case PROTO_DESTINATION_OPTIONS:
		bpf_tail_call_static(skb, &next_program, IPV6_OPTIONS);
		return BPF_DROP;
	case PROTO_FRAGMENT:
		bpf_tail_call_static(skb, &next_program, IPV6_FRAGMENT);
		return BPF_DROP;
	default:
		return parse_ip_payload(skb, next);
	}
}

/*
 * Marks a fragment. True where a parser should go on: only the first fragment has the headers that
 * follow, and its ports only if the caller wants them, as the other fragments have none.
 */
static __always_inline bool enter_fragment(struct bpf_flow_keys *keys, bool first)
{
	keys->is_frag = true;
	if (!first)
		return false;
	keys->is_first_frag = true;
	return keys->flags & BPF_FLOW_DISSECTOR_F_PARSE_1ST_FRAG;
}

/* The entry: chooses by the packet's Ethernet type, which Linux has put into the keys. */
SEC("flow_dissector")
int dissect(struct __sk_buff *skb)
{
	__be16 type = skb->flow_keys->n_proto;
	struct ipv4_header *ip, copy;

	if (type == bpf_htons(ETH_P_IP)) {
		ip = header_at_thoff(skb, &copy, sizeof(copy));
		if (ip && (ip->version_words & 0x0f) == IPV4_MIN_HEADER_WORDS &&
		    ip->source == bpf_htonl(LEFT_TO_LINUX))
			return BPF_FLOW_DISSECTOR_CONTINUE;
	}
	return parse_by_type(skb, type);
}

/*
 * VLAN tags: one tag, or an 802.1Q tag inside an 802.1AD one; deeper stacks are dropped. The
 * network header begins behind the tags, so nhoff moves too, and n_proto becomes the tagged type.
 *
 * Whether there is an outer tag is read from n_proto, the type of the frame. A frame inside a
 * tunnel may therefore have one tag only, of either kind.
 */
SEC("flow_dissector")
int parse_vlan(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct vlan_tag *tag, copy;

	if (keys->n_proto == bpf_htons(ETH_P_8021AD)) {
		tag = header_at_thoff(skb, &copy, sizeof(copy));
		if (!tag || tag->type != bpf_htons(ETH_P_8021Q))
			return BPF_DROP;
		keys->nhoff += sizeof(*tag);
		keys->thoff += sizeof(*tag);
	}

	tag = header_at_thoff(skb, &copy, sizeof(copy));
	if (!tag)
		return BPF_DROP;
	keys->nhoff += sizeof(*tag);
	keys->thoff += sizeof(*tag);
	if (tag->type == bpf_htons(ETH_P_8021Q) || tag->type == bpf_htons(ETH_P_8021AD))
		return BPF_DROP;

	keys->n_proto = tag->type;
	return parse_by_type(skb, tag->type);
}

/* MPLS says nothing about what it carries: the dissection ends well in front of the first label. */
SEC("flow_dissector")
int parse_mpls(struct __sk_buff *skb)
{
	struct mpls_entry copy;

	return header_at_thoff(skb, &copy, sizeof(copy)) ? BPF_OK : BPF_DROP;
}

/* IPv4: addresses and protocol; options are stepped over, fragments marked. */
SEC("flow_dissector")
int parse_ipv4(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct ipv4_header *ip, copy;
	__u16 words;

	ip = header_at_thoff(skb, &copy, sizeof(copy));
	if (!ip)
		return BPF_DROP;
	words = ip->version_words & 0x0f;
	if (words < IPV4_MIN_HEADER_WORDS)
		return BPF_DROP;

	keys->addr_proto = ETH_P_IP;
	keys->ipv4_src = ip->source;
	keys->ipv4_dst = ip->destination;
	keys->ip_proto = ip->protocol;
	keys->thoff += words * 4;
	if (!packet_has(skb, keys->thoff))
		return BPF_DROP;

	if (ip->fragment & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET) &&
	    !enter_fragment(keys, !(ip->fragment & bpf_htons(IPV4_FRAGMENT_OFFSET))))
		return dissected(keys);
	return parse_ip_payload(skb, ip->protocol);
}

/* IPv6: addresses, flow label and next header. A flow label names the flow, so it may be enough. */
SEC("flow_dissector")
int parse_ipv6(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct ipv6_header *ip, copy;

	ip = header_at_thoff(skb, &copy, sizeof(copy));
	if (!ip)
		return BPF_DROP;

	keys->addr_proto = ETH_P_IPV6;
	__builtin_memcpy(keys->ipv6_src, ip->source, sizeof(ip->source));
	__builtin_memcpy(keys->ipv6_dst, ip->destination, sizeof(ip->destination));
	keys->thoff += sizeof(*ip);
	keys->ip_proto = ip->next;
	keys->flow_label = ip->version_class_label & bpf_htonl(IPV6_FLOW_LABEL);

	if (keys->flow_label && keys->flags & BPF_FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL)
		return dissected(keys);
	return parse_ipv6_next(skb, ip->next);
}

/* IPv6 hop-by-hop and destination options: stepped over. */
SEC("flow_dissector")
int parse_ipv6_opts(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct ipv6_options *options, copy;

	options = header_at_thoff(skb, &copy, sizeof(copy));
	if (!options)
		return BPF_DROP;
	keys->thoff += (options->units + 1) * 8;
	keys->ip_proto = options->next;
	return parse_ipv6_next(skb, options->next);
}

/* The IPv6 fragment header. */
SEC("flow_dissector")
int parse_ipv6_frag(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct ipv6_fragment *fragment, copy;

	fragment = header_at_thoff(skb, &copy, sizeof(copy));
	if (!fragment)
		return BPF_DROP;
	keys->thoff += sizeof(*fragment);
	keys->ip_proto = fragment->next;
	if (!enter_fragment(keys, !(fragment->offset & bpf_htons(IPV6_FRAGMENT_OFFSET))))
		return dissected(keys);
	return parse_ipv6_next(skb, fragment->next);
}

/* The loader reads this and puts the programs into the map. */
struct program_array next_program SEC(".maps") = {
	.values = {
		[VLAN] = &parse_vlan,
		[MPLS] = &parse_mpls,
		[IPV4] = &parse_ipv4,
		[IPV6] = &parse_ipv6,
		[IPV6_OPTIONS] = &parse_ipv6_opts,
		[IPV6_FRAGMENT] = &parse_ipv6_frag,
	},
};

char license_[] SEC("license") = "Apache-2.0";
