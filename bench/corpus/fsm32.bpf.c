// The state machine over 32 bytes.
#define ROUNDS 32
#include "fsm.bpf.c"
