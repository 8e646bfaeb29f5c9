// The state machine over 256 bytes: more than verifiers look at.
#define ROUNDS 256
#include "fsm.bpf.c"
