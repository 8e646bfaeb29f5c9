// 256 times a 64-bit multiplication, division and remainder.
#include "common.h"

SEC("xdp") int prog(struct xdp_md *ctx)
{
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);

	if (p + 8 > end)
		return 0;
	__u64 x = *(__u64 *)p, quotients = 0, remainders = 0;
	for (int i = 0; i < 256; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		__u64 divisor = (x >> 40) | 1;
		quotients += x / divisor;
		remainders ^= x % (divisor + 2);
	}
	return FOLD(quotients ^ remainders);
}
