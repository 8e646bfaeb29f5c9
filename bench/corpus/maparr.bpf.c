// 64 lookups in an array.
#include "common.h"
#include "lookups.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} values SEC(".maps");

#define KEY(x) ((x) & 4095)

SEC("xdp") int prog(struct xdp_md *ctx)
{
	LOOKUPS(&values, KEY, (void)0);
}
