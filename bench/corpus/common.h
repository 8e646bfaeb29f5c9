// What all programs of the benchmark share.
#pragma once
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define POINTER(x) ((void *)(long)(x))
/* A 16-bit number in network byte order. */
#define NET16(x) ((__u16)((((x) & 0xff) << 8) | (((x) >> 8) & 0xff)))
/* What is left of 64 bits in 32. */
#define FOLD(x) ((__u32)((x) ^ ((x) >> 32)))

char _license[] SEC("license") = "GPL";
