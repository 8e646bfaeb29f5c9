// FNV-1a over 1500 bytes: one byte and one multiplication after the other.
#include "common.h"

SEC("xdp") int prog(struct xdp_md *ctx)
{
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);
	__u64 hash = 0xcbf29ce484222325ull;

	for (int i = 0; i < 1500; i++) {
		if (p + 1 > end)
			break;
		hash ^= *p++;
		hash *= 0x100000001b3ull;
	}
	return FOLD(hash);
}
