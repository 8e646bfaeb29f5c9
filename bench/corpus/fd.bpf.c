// A flow dissector: two VLAN tags, IPv4, IPv6 with extension headers, TCP and UDP.
#include "common.h"

struct ipv4 {
	__u8 version_length, tos;
	__u16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 source, destination;
};

struct ipv6 {
	__u32 label;
	__u16 length;
	__u8 next, limit;
	__u32 source[4], destination[4];
};

/* A bound on offsets that a verifier can follow. */
#define OFFSET(x) ((x) & 0x1ff)

SEC("flow_dissector") int prog(struct __sk_buff *skb)
{
	__u8 *data = POINTER(skb->data), *end = POINTER(skb->data_end), *p;
	struct bpf_flow_keys *keys = skb->flow_keys;
	__u32 offset = keys->nhoff & 0xff;
	__u16 protocol = keys->n_proto;
	__u8 transport = 0;

	for (int i = 0; i < 2; i++) {
		if (protocol != NET16(0x8100) && protocol != NET16(0x88a8))
			break;
		p = data + offset;
		if (p + 4 > end)
			return BPF_DROP;
		protocol = *(__u16 *)(p + 2);
		offset += 4;
	}
	keys->nhoff = offset;
	keys->n_proto = protocol;
	if (protocol == NET16(0x0800)) {
		struct ipv4 *ip = (void *)(data + offset);
		if ((__u8 *)(ip + 1) > end)
			return BPF_DROP;
		__u32 length = (ip->version_length & 15) * 4;
		if (ip->version_length >> 4 != 4 || length < sizeof(*ip))
			return BPF_DROP;
		keys->addr_proto = 0x0800;
		keys->ip_proto = ip->protocol;
		transport = ip->protocol;
		keys->ipv4_src = ip->source;
		keys->ipv4_dst = ip->destination;
		offset += length;
		if (ip->fragment & NET16(0x3fff)) {
			keys->is_frag = 1;
			if (ip->fragment & NET16(0x1fff)) {
				keys->thoff = offset;
				return BPF_OK;
			}
			keys->is_first_frag = 1;
		}
	} else if (protocol == NET16(0x86dd)) {
		struct ipv6 *ip = (void *)(data + offset);
		if ((__u8 *)(ip + 1) > end)
			return BPF_DROP;
		keys->addr_proto = 0x86dd;
		transport = ip->next;
		for (int i = 0; i < 4; i++) {
			keys->ipv6_src[i] = ip->source[i];
			keys->ipv6_dst[i] = ip->destination[i];
		}
		keys->flow_label = ip->label & 0xffff0f00;
		offset += sizeof(*ip);
		for (int i = 0; i < 6; i++) {
			p = data + OFFSET(offset);
			if (transport == 0 || transport == 43 || transport == 60) {
				if (p + 8 > end)
					return BPF_DROP;
				transport = p[0];
				offset = OFFSET(offset + (1 + p[1]) * 8);
			} else if (transport == 44) {
				if (p + 8 > end)
					return BPF_DROP;
				__u16 fragment = *(__u16 *)(p + 2);
				transport = p[0];
				offset += 8;
				keys->is_frag = 1;
				if (fragment & NET16(0xfff8)) {
					keys->ip_proto = transport;
					keys->thoff = offset;
					return BPF_OK;
				}
				keys->is_first_frag = 1;
			} else {
				break;
			}
		}
		keys->ip_proto = transport;
	} else {
		return BPF_DROP;
	}
	keys->thoff = offset;
	p = data + OFFSET(offset);
	if (transport == 6) {
		if (p + 20 > end || p[12] >> 4 < 5)
			return BPF_DROP;
	} else if (transport == 17) {
		if (p + 8 > end)
			return BPF_DROP;
	} else {
		return BPF_OK;
	}
	keys->sport = *(__u16 *)p;
	keys->dport = *(__u16 *)(p + 2);
	return BPF_OK;
}
