/** Rows about instructions by themselves, and programs that don't hold together. */

import { BPF_F_SLEEPABLE, BPF_F_STRICT_ALIGNMENT } from "../../../src/abi/bpf.ts";
import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 1\nexit";
const BAD = "bad-instruction";

export const STRUCTURE_ROWS: readonly Row[] = [
  accepted("the smallest program", END),
  refused("EINVAL", BAD, "a division by the constant 0", `r2 = 1\nr2 /= 0\n${END}`),
  refused("EINVAL", BAD, "a remainder by the constant 0", `r2 = 1\nr2 %= 0\n${END}`),
  accepted("a division by a register, whatever it holds", `r2 = 1\nr3 = 0\nr2 /= r3\n${END}`),
  refused("EINVAL", BAD, "a shift by 64", `r2 = 1\nr2 <<= 64\n${END}`),
  refused("EINVAL", BAD, "a shift of 32 bits by 32", `w2 = 1\nw2 <<= 32\n${END}`),
  refused("EINVAL", BAD, "a shift by a negative number", `r2 = 1\nr2 >>= -1\n${END}`),
  accepted("a shift by 63", `r2 = 1\nr2 <<= 63\n${END}`),
  accepted("a signed division", `r2 = 9\nr2 s/= 2\n${END}`),
  refused(
    "EINVAL",
    "legacy-packet-load",
    "xdp: a load by BPF_LD",
    `r6 = r1\nr0 = *(u8 *)skb[12]\n${END}`,
  ),
  accepted("socket filter: a load by BPF_LD", `r6 = r1\nr0 = *(u8 *)skb[12]\nexit`, {
    type: "socket_filter",
  }),
  refused(
    "EINVAL",
    "legacy-packet-load",
    "socket filter: without the context in r6",
    `r6 = r10\nr0 = *(u8 *)skb[12]\nexit`,
    { type: "socket_filter" },
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "socket filter: with nothing in r6",
    "r0 = *(u8 *)skb[12]\nexit",
    { type: "socket_filter" },
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "socket filter: it destroys r1",
    `r6 = r1\nr0 = *(u8 *)skb[12]\nr0 = r1\nexit`,
    { type: "socket_filter" },
  ),
  refused(
    "EINVAL",
    "legacy-packet-load",
    "flow dissector: a load by BPF_LD",
    `r6 = r1\nr0 = *(u8 *)skb[12]\n${END}`,
    { type: "flow_dissector" },
  ),
  refused(
    "EINVAL",
    "helper-gpl-only",
    "a kernel function under another license",
    `call kfunc[1]\n${END}`,
    { license: "Apache-2.0" },
  ),
  refused("EINVAL", "sleepable", "a sleepable XDP program", END, { flags: BPF_F_SLEEPABLE }),
  accepted(
    "a packet is read without regard to alignment",
    `
      r2 = *(u32 *)(r1 + 0)
      r3 = *(u32 *)(r1 + 4)
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      r0 = *(u32 *)(r2 + 1)
      out:
      ${END}`,
  ),
  refused(
    "EACCES",
    "misaligned",
    "with BPF_F_STRICT_ALIGNMENT it isn't",
    `
      r2 = *(u32 *)(r1 + 0)
      r3 = *(u32 *)(r1 + 4)
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      r0 = *(u32 *)(r2 + 1)
      out:
      ${END}`,
    { flags: BPF_F_STRICT_ALIGNMENT },
  ),
  accepted(
    "with BPF_F_STRICT_ALIGNMENT, 2 bytes into Ethernet's header are aligned",
    `
      r2 = *(u32 *)(r1 + 0)
      r3 = *(u32 *)(r1 + 4)
      r4 = r2
      r4 += 14
      if r4 > r3 goto out
      r0 = *(u32 *)(r2 + 2)
      out:
      ${END}`,
    { flags: BPF_F_STRICT_ALIGNMENT },
  ),
  refused(
    "EACCES",
    "misaligned",
    "with BPF_F_STRICT_ALIGNMENT, a value",
    `r2 = map_value[data][0]\nr0 = *(u64 *)(r2 + 4)\n${END}`,
    { flags: BPF_F_STRICT_ALIGNMENT },
  ),
];
