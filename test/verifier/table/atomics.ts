/** Rows about atomic operations. */

import * as BPF from "../../../src/abi/bpf.ts";
import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 1\nexit";
/** r2 is the value of a map, r3 a number. */
const VALUE = "r2 = map_value[data][0]\nr3 = 1";
const PACKET =
  "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\nr3 = 1";

export const ATOMIC_ROWS: readonly Row[] = [
  accepted("an addition to a value", `${VALUE}\nlock *(u64 *)(r2 + 0) += r3\n${END}`),
  accepted("32 bits of it", `${VALUE}\nlock *(u32 *)(r2 + 4) += r3\n${END}`),
  accepted(
    "and, or, xor",
    `
      ${VALUE}
      lock *(u64 *)(r2 + 0) &= r3
      lock *(u64 *)(r2 + 0) |= r3
      lock *(u64 *)(r2 + 0) ^= r3
      ${END}`,
  ),
  refused(
    "EACCES",
    "misaligned",
    "at a multiple of 4 for 8 bytes",
    `${VALUE}\nlock *(u64 *)(r2 + 4) += r3\n${END}`,
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "behind the value",
    `${VALUE}\nlock *(u64 *)(r2 + 64) += r3\n${END}`,
  ),
  accepted("in the stack", `*(u64 *)(r10 - 8) = 0\nr3 = 1\nlock *(u64 *)(r10 - 8) += r3\n${END}`),
  refused(
    "EACCES",
    "not-a-pointer",
    "in the packet",
    `${PACKET}\nlock *(u64 *)(r2 + 0) += r3\nout:\n${END}`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "in the flow keys",
    `r2 = *(u64 *)(r1 + 144)\nr3 = 1\nlock *(u32 *)(r2 + 0) += r3\n${END}`,
    { type: "flow_dissector" },
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "at a number",
    `r2 = 8\nr3 = 1\nlock *(u64 *)(r2 + 0) += r3\n${END}`,
  ),
  refused(
    "EACCES",
    "maybe-null",
    "in what may be NULL",
    `
      *(u64 *)(r10 - 8) = 0
      r1 = map_fd[hash]
      r2 = r10
      r2 += -8
      call bpf_map_lookup_elem
      r3 = 1
      lock *(u64 *)(r0 + 0) += r3
      ${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "of a register that is nothing",
    `r2 = map_value[data][0]\nlock *(u64 *)(r2 + 0) += r7\n${END}`,
  ),
  refused(
    "EACCES",
    "map-access-forbidden",
    "in a map that programs only read",
    `r2 = map_value[rdonly][0]\nr3 = 1\nlock *(u64 *)(r2 + 0) += r3\n${END}`,
  ),
  accepted("an exchange", `${VALUE}\nr3 = xchg_64(r2 + 0, r3)\n${END}`),
  accepted(
    "a comparison and exchange",
    `${VALUE}\nr0 = 0\nr0 = cmpxchg_64(r2 + 0, r0, r3)\n${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "a comparison without r0",
    `${VALUE}\nr0 = cmpxchg_64(r2 + 0, r0, r3)\n${END}`,
  ),
  accepted(
    "a fetched number may be anything",
    `${VALUE}\nr3 = atomic_fetch_add((u64 *)(r2 + 0), r3)\nr0 = r3\nexit`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "and is no index",
    `${VALUE}\nr3 = atomic_fetch_add((u64 *)(r2 + 0), r3)\nr2 += r3\nr0 = *(u8 *)(r2 + 0)\n${END}`,
  ),
  accepted("load_acquire from a value", `${VALUE}\nr3 = load_acquire((u64 *)(r2 + 0))\n${END}`),
  accepted("store_release into a value", `${VALUE}\nstore_release((u64 *)(r2 + 0), r3)\n${END}`),
  refused(
    "EACCES",
    "not-a-pointer",
    "load_acquire from the context",
    `r3 = load_acquire((u32 *)(r1 + 12))\n${END}`,
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "a number that load_acquire reads from the stack is an index on each path",
    `
      r6 = r1
      call bpf_get_prandom_u32
      if r0 == 7 goto large
      *(u64 *)(r10 - 8) = 1
      goto both
    large:
      *(u64 *)(r10 - 8) = 100
    both:
      r1 = load_acquire((u64 *)(r10 - 8))
      r2 = map_value[data][0]
      r2 += r1
      r0 = *(u8 *)(r2 + 0)
      ${END}`,
    { flags: BPF.BPF_F_TEST_STATE_FREQ },
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "a number that store_release writes to the stack is an index on each path",
    `
      r6 = r1
      call bpf_get_prandom_u32
      if r0 == 7 goto large
      r3 = 1
      goto both
    large:
      r3 = 100
    both:
      store_release((u64 *)(r10 - 8), r3)
      r1 = *(u64 *)(r10 - 8)
      r2 = map_value[data][0]
      r2 += r1
      r0 = *(u8 *)(r2 + 0)
      ${END}`,
    { flags: BPF.BPF_F_TEST_STATE_FREQ },
  ),
];
