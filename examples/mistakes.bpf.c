// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that verifiers refuse, each for one mistake that everybody makes, and one that is right:
 * `nslink verify examples/mistakes.bpf.o` says what is wrong with them.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[16]);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

/* Reads a header without asking whether the packet has one. */
SEC("flow_dissector")
int unchecked_packet(struct __sk_buff *skb)
{
	struct ethhdr *header = (void *)(long)skb->data;

	return header->h_proto == 0 ? BPF_DROP : BPF_OK;
}

/* Asks, but for one byte too few. */
SEC("xdp")
int off_by_one(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + sizeof(struct ethhdr) - 1 > (__u8 *)(long)ctx->data_end)
		return XDP_PASS;
	return data[sizeof(struct ethhdr) - 1] == 0 ? XDP_DROP : XDP_PASS;
}

/* A lookup may find nothing. */
SEC("xdp")
int unchecked_lookup(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *flow = bpf_map_lookup_elem(&flows, &key);

	(*flow)++;
	return XDP_PASS;
}

/* The index may be anything. */
SEC("xdp")
int unbounded_index(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *values = bpf_map_lookup_elem(&counters, &key);

	if (values)
		values[ctx->rx_queue_index]++;
	return XDP_PASS;
}

/* The loop ends by chance, which may be never. */
SEC("flow_dissector")
int endless_loop(struct __sk_buff *skb)
{
	while (bpf_get_prandom_u32())
		;
	return BPF_OK;
}

/* Sockets are looked up or not: there is no third answer. */
SEC("sk_lookup")
int wrong_verdict(struct bpf_sk_lookup *ctx)
{
	return ctx->local_port == 7 ? 2 : SK_PASS;
}

/* All of it as it should be. */
SEC("xdp")
int mended(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u32 key = 0;
	__u64 *values;

	if (data + sizeof(struct ethhdr) > (__u8 *)(long)ctx->data_end)
		return XDP_PASS;
	values = bpf_map_lookup_elem(&counters, &key);
	if (values)
		values[ctx->rx_queue_index & 15]++;
	return data[sizeof(struct ethhdr) - 1] == 0 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
