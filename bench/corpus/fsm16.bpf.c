// The state machine over 16 bytes.
#define ROUNDS 16
#include "fsm.bpf.c"
