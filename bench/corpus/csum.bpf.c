// The Internet checksum of 1500 bytes: 16-bit loads and additions.
#include "common.h"

SEC("xdp") int prog(struct xdp_md *ctx)
{
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);
	__u32 sum = 0;

	for (int i = 0; i < 750; i++) {
		if (p + 2 > end)
			break;
		sum += *(__u16 *)p;
		p += 2;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}
