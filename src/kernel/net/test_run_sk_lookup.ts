/**
 * BPF_PROG_TEST_RUN of sk_lookup programs. Mirrors the checks of bpf_prog_test_run_sk_lookup() in
 * Linux; there are no sockets here to look up, so a call that passes them is not supported.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import { EAFNOSUPPORT, EINVAL, ENOTSUPP, ERANGE } from "../../abi/errno.ts";
import type { Attr } from "../attr.ts";
import type { Task } from "../task.ts";
import { isZeroBut, readContext } from "./test_run.ts";

const SK_LOOKUP_SIZE = 72;
// Offsets in struct bpf_sk_lookup.
const FAMILY = 8;
const LOCAL_PORT = 60;
const INGRESS_IFINDEX = 64;

const AF_INET = 2;
const AF_INET6 = 10;
const MAX_PORT = 0xffff;

export function testRunSkLookup(task: Task, attr: Attr): number {
  const unused = [TEST_RUN.flags, TEST_RUN.cpu, TEST_RUN.batch_size] as const;
  if (unused.some((field) => attr.u32(field) !== 0)) return -EINVAL;
  if (attr.u32(TEST_RUN.data_size_in) !== 0 || attr.u64(TEST_RUN.data_in) !== 0n) return -EINVAL;
  if (attr.u32(TEST_RUN.data_size_out) !== 0 || attr.u64(TEST_RUN.data_out) !== 0n) return -EINVAL;
  const context = readContext(task, attr, SK_LOOKUP_SIZE);
  if (context === null) return -EINVAL;
  if (typeof context === "number") return context;
  if (!isZeroBut(context, [[FAMILY, INGRESS_IFINDEX]])) return -EINVAL;
  const view = new DataView(context.buffer);
  if (view.getUint32(LOCAL_PORT, true) > MAX_PORT) return -ERANGE;
  const family = view.getUint32(FAMILY, true);
  return family === AF_INET || family === AF_INET6 ? -ENOTSUPP : -EAFNOSUPPORT;
}
