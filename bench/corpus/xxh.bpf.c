// The inner loop of XXH64 over 1500 bytes: eight bytes at a time, rotations and multiplications.
#include "common.h"

#define P1 11400714785074694791ull
#define P2 14029467366897019727ull
#define P3 1609587929392839161ull
#define P4 9650029242287828579ull
#define P5 2870177450012600261ull
#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

SEC("xdp") int prog(struct xdp_md *ctx)
{
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);
	__u64 hash = P5 + 1500;

	for (int i = 0; i < 187; i++) {
		if (p + 8 > end)
			break;
		__u64 lane = *(__u64 *)p * P2;
		hash ^= ROTATE(lane, 31) * P1;
		hash = ROTATE(hash, 27) * P1 + P4;
		p += 8;
	}
	if (p + 4 <= end) {
		hash ^= *(__u32 *)p * P1;
		hash = ROTATE(hash, 23) * P2 + P3;
	}
	hash ^= hash >> 33;
	hash *= P2;
	hash ^= hash >> 29;
	hash *= P3;
	hash ^= hash >> 32;
	return FOLD(hash);
}
