// A state machine over 64 bytes of a request: eight states, and branches that follow the text.
#include "common.h"

#ifndef ROUNDS
#define ROUNDS 64
#endif

enum { METHOD, PATH, VERSION, LINE_END, NAME, VALUE, QUERY, BAD };

SEC("xdp") int prog(struct xdp_md *ctx)
{
	__u8 *p = POINTER(ctx->data), *end = POINTER(ctx->data_end);

	if (p + 8 > end)
		return 0;
	__u64 x = *(__u64 *)p;
	/* Always 0, which a verifier can't know: so it takes states for numbers and merges them. */
	__u32 zero = ((x * x + x) & 1) * x;
	__u32 state = METHOD;
	__u64 tokens = 0, hash = 0, number = 0;
	for (int i = 0; i < ROUNDS; i++) {
		if (p + 1 > end)
			break;
		__u32 c = *p++;
		switch (state) {
		case METHOD:
			if (c == ' ') {
				state = PATH;
				tokens++;
			} else if (c >= 'A' && c <= 'Z') {
				hash = hash * 31 + c;
			} else {
				state = BAD;
			}
			break;
		case PATH:
			if (c == ' ') {
				state = VERSION;
				tokens++;
			} else if (c == '?') {
				state = QUERY;
			} else if (c == '%') {
				number++;
			} else {
				hash = hash * 33 + c;
			}
			break;
		case QUERY:
			if (c == ' ') {
				state = VERSION;
				tokens++;
			} else if (c == '&' || c == '=') {
				tokens += 2;
			} else {
				hash ^= c;
			}
			break;
		case VERSION:
			if (c == '\r')
				state = LINE_END;
			else if (c >= '0' && c <= '9')
				number = number * 10 + (c - '0');
			break;
		case LINE_END:
			state = c == '\n' ? NAME : BAD;
			break;
		case NAME:
			if (c == '\r') {
				state = LINE_END;
			} else if (c == ':') {
				state = VALUE;
				tokens++;
			} else {
				if (c >= 'A' && c <= 'Z')
					c |= 0x20;
				hash = hash * 37 + c;
			}
			break;
		case VALUE:
			if (c == '\r') {
				state = LINE_END;
				tokens++;
			} else if (c >= '0' && c <= '9') {
				number = number * 10 + (c - '0');
			} else if (c != ' ' && c != '\t') {
				hash += c;
			}
			break;
		default:
			if (c == '\n')
				state = NAME;
		}
		state = (state + zero) & 7;
	}
	hash ^= number + (tokens << 20);
	return FOLD(hash);
}
