// 64 lookups in a map, of keys that follow from the packet.
#pragma once

#define LOOKUPS(map, key_of, on_miss)                                         \
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);          \
	if (p + 8 > end)                                                      \
		return 0;                                                     \
	__u64 seed = *(__u32 *)p, sum = 0;                                    \
	for (int i = 0; i < 64; i++) {                                        \
		seed = (seed * 1103515245 + 12345) & 0x7fffffff;              \
		__u32 key = key_of(seed >> 8);                                \
		__u64 *value = bpf_map_lookup_elem(map, &key);                \
		if (value)                                                    \
			sum += *value;                                        \
		else                                                          \
			on_miss;                                              \
	}                                                                     \
	return FOLD(sum)
