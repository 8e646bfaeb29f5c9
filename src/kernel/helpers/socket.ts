/**
 * Helpers on sockets. The embedded kernel has none, so that a lookup finds nothing, whatever it
 * looks for and in whatever namespace.
 */

import { EINVAL } from "../../abi/errno.ts";
import { BPF_FUNC } from "../../abi/helpers.ts";
import { BPF_REG_1, BPF_REG_2, BPF_REG_3 } from "../../abi/insn.ts";
import type { Helper } from "./helper.ts";

/** BPF_SK_LOOKUP_F_REPLACE and BPF_SK_LOOKUP_F_NO_REUSEPORT. */
const ASSIGN_FLAGS = 0b11;

/**
 * struct bpf_sock *bpf_sk_lookup_tcp(ctx, tuple, tuple_size, netns, flags), and its kin: 0. Linux
 * also returns that for a size that no tuple has, and for flags.
 */
const lookup: Helper = (caller, registers) => {
  caller.checkContext(BPF_REG_1);
  caller.checkRead(caller.address(BPF_REG_2, 0), registers.low(BPF_REG_3));
  return 0;
};

/** long bpf_sk_release(sock): there is nothing to release, since no lookup finds any. */
const release: Helper = () => 0;

/** long bpf_sk_assign(ctx, sock, flags): the socket is 0, which takes back what was selected. */
const assign: Helper = (caller, registers) => {
  caller.checkContext(BPF_REG_1);
  const isKnown = registers.high(BPF_REG_3) === 0 && registers.low(BPF_REG_3) <= ASSIGN_FLAGS;
  return isKnown ? 0 : -EINVAL;
};

export const SOCKET_HELPERS: ReadonlyMap<number, Helper> = new Map([
  [BPF_FUNC.sk_lookup_tcp, lookup],
  [BPF_FUNC.sk_lookup_udp, lookup],
  [BPF_FUNC.skc_lookup_tcp, lookup],
  [BPF_FUNC.sk_release, release],
  [BPF_FUNC.sk_assign, assign],
]);
