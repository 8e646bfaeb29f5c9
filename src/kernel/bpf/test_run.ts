/**
 * BPF_PROG_TEST_RUN: what all program types have in common, and who runs which type. Mirrors
 * bpf_prog_test_run() in kernel/bpf/syscall.c in Linux.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import {
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "../../abi/bpf.ts";
import { EINVAL, ENOTSUPP } from "../../abi/errno.ts";
import type { Attr } from "../attr.ts";
import { testRunFlowDissector } from "../net/test_run_flow_dissector.ts";
import { testRunSkLookup } from "../net/test_run_sk_lookup.ts";
import { testRunSkb } from "../net/test_run_skb.ts";
import { testRunXdp } from "../net/test_run_xdp.ts";
import type { Task } from "../task.ts";
import { progFromFd } from "./prog_fd.ts";

/** BPF_PROG_TEST_RUN */
export function progTestRun(task: Task, attr: Attr): number {
  // An address and a size go together.
  if ((attr.u64(TEST_RUN.ctx_in) === 0n) !== (attr.u32(TEST_RUN.ctx_size_in) === 0)) return -EINVAL;
  if ((attr.u64(TEST_RUN.ctx_out) === 0n) !== (attr.u32(TEST_RUN.ctx_size_out) === 0)) {
    return -EINVAL;
  }
  const prog = progFromFd(task, attr.u32(TEST_RUN.prog_fd));
  if (typeof prog === "number") return prog;
  // A program that closes its own last fd on its way, through a hook, lives until it has returned.
  prog.get();
  try {
    switch (prog.type) {
      case BPF_PROG_TYPE_FLOW_DISSECTOR:
        return testRunFlowDissector(task, prog, attr);
      case BPF_PROG_TYPE_SOCKET_FILTER:
        return testRunSkb(task, prog, attr);
      case BPF_PROG_TYPE_XDP:
        return testRunXdp(task, prog, attr);
      case BPF_PROG_TYPE_SK_LOOKUP:
        return testRunSkLookup(task, attr);
      default:
        return -ENOTSUPP;
    }
  } finally {
    prog.put();
  }
}
