// SPDX-License-Identifier: Apache-2.0
/* Its second version: ICMPv6 is a flow as well, and packets are counted by IP protocol. */
#define ACCEPT_ICMPV6 1
#define COUNT_PROTOCOLS 1
#include "dissector.h"
