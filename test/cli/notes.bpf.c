/* Dissectors of which `nslink run` has something to say on standard error: see run_notes.test.ts.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ROUNDS (1 << 23)

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} jumps SEC(".maps");

int chain(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} again SEC(".maps") = {
	.values = { [0] = (void *)&chain },
};

/* One slot is empty, one isn't there. */
SEC("flow_dissector") int misses(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &jumps, 1);
	bpf_tail_call_static(skb, &jumps, 7);
	return BPF_DROP;
}

/* Calls itself until it may no longer. */
SEC("flow_dissector") int chain(struct __sk_buff *skb)
{
	bpf_tail_call_static(skb, &again, 0);
	return BPF_OK;
}

SEC("flow_dissector") int loud(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;

	bpf_printk("protocol %x%c[2J", bpf_ntohs(keys->n_proto), 27);
	bpf_printk("flags %d\n%d", keys->flags, 7);
	return BPF_OK;
}

static long inner(__u32 index, void *context)
{
	return 0;
}

static long outer(__u32 index, void *context)
{
	bpf_loop(ROUNDS, inner, context, 0);
	return 0;
}

/* Runs for years on packets of IPv6. */
SEC("flow_dissector") int nested(struct __sk_buff *skb)
{
	struct bpf_flow_keys *keys = skb->flow_keys;

	if (keys->n_proto == bpf_htons(ETH_P_IPV6))
		bpf_loop(ROUNDS, outer, 0, 0);
	return BPF_OK;
}

char _license[] SEC("license") = "GPL";
