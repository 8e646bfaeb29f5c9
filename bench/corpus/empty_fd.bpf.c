// A dissector that does nothing at all: what a run of one costs by itself.
#include "common.h"

SEC("flow_dissector") int prog(struct __sk_buff *skb)
{
	return BPF_OK;
}
