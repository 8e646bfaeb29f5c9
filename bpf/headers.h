/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol headers as they lie on the wire, and the numbers in them that the dissector knows. */
#pragma once

#include <linux/types.h>

enum ip_protocol {
	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_IPV4 = 4,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_IPV6 = 41,
	PROTO_FRAGMENT = 44,
	PROTO_GRE = 47,
	PROTO_ICMPV6 = 58,
	PROTO_DESTINATION_OPTIONS = 60,
	PROTO_UDP_LITE = 136,
};

struct ethernet_header {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
};

/* What follows an Ethernet type of 802.1Q or 802.1AD: the tag, then the type of what it tags. */
struct vlan_tag {
	__be16 control;
	__be16 type;
};

struct mpls_entry {
	__be32 label_class_bottom_ttl;
};

#define IPV4_MIN_HEADER_WORDS 5
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff

struct ipv4_header {
	__u8 version_words; /* version in the high four bits, length in 32-bit words in the low */
	__u8 service;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

#define IPV6_FLOW_LABEL 0x000fffff

struct ipv6_header {
	__be32 version_class_label;
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

/* How the hop-by-hop and the destination options begin; the options themselves follow. */
struct ipv6_options {
	__u8 next;
	__u8 units; /* of 8 bytes, the first not counted */
};

#define IPV6_FRAGMENT_OFFSET 0xfff8

struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

#define GRE_HAS_CHECKSUM 0x8000
#define GRE_HAS_KEY 0x2000
#define GRE_HAS_SEQUENCE 0x1000
#define GRE_VERSION_BITS 0x0007
#define GRE_OPTIONAL_FIELD 4 /* bytes that each of the three optional fields takes */

struct gre_header {
	__be16 flags;
	__be16 type;
};

#define TCP_MIN_HEADER_WORDS 5

struct tcp_header {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 words; /* the header's length in 32-bit words, in the high four bits */
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct udp_header {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 checksum;
};

/* The first 8 bytes, which every ICMP and ICMPv6 message has. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};
