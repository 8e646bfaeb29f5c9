// SPDX-License-Identifier: Apache-2.0
/* The example flow dissector: parses as the dissector among Linux's own BPF tests does. */
#define ACCEPT_ICMPV6 0
#define COUNT_PROTOCOLS 0
#include "dissector.h"
