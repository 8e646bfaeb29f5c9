// 64 lookups in a hash map, every other of which finds nothing.
#include "common.h"
#include "lookups.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} values SEC(".maps");

#define KEY(x) (((x) & 2047) * 2654435761u)

SEC("xdp") int prog(struct xdp_md *ctx)
{
	LOOKUPS(&values, KEY, sum ^= i);
}
