/** Rows about what tasks without all capabilities may load. */

import { FOUND } from "./maps.ts";
import { accepted, type Row, refused, withOptions } from "./row.ts";

const END = "r0 = 1\nexit";

/** A helper reads eight bytes of the stack, which r3 was spilled to. */
const SPILLED_KEY = `
    *(u64 *)(r10 - 8) = r3
    r1 = map_fd[hash]
    r2 = r10
    r2 += -8
    call bpf_map_lookup_elem
    ${END}`;

export const CAPABILITY_ROWS: readonly Row[] = [
  refused("EPERM", "", "nothing without CAP_BPF", END, { without: "CAP_BPF" }),
  refused("EPERM", "", "no XDP program without CAP_NET_ADMIN", END, { without: "CAP_NET_ADMIN" }),
  refused("EPERM", "", "no flow dissector without CAP_NET_ADMIN", END, {
    without: "CAP_NET_ADMIN",
    type: "flow_dissector",
  }),
  accepted("but sk_lookup", END, { without: "CAP_NET_ADMIN", type: "sk_lookup" }),
  accepted("and socket filters", END, { without: "CAP_NET_ADMIN", type: "socket_filter" }),
  accepted("a helper reads a pointer from the stack", `r3 = r1\n${SPILLED_KEY}`),
  ...withOptions({ without: "CAP_PERFMON" }, [
    accepted("a program without secrets", END),
    refused("EACCES", "pointer-leak", "a pointer is returned", "r0 = r1\nexit"),
    refused(
      "EACCES",
      "pointer-leak",
      "a pointer is stored into a map",
      `${FOUND}\n*(u64 *)(r0 + 0) = r10\nout:\n${END}`,
    ),
    refused(
      "EACCES",
      "pointer-leak",
      "a pointer is added to a map's value",
      `${FOUND}\nlock *(u64 *)(r0 + 0) += r10\nout:\n${END}`,
    ),
    refused("EACCES", "pointer-leak", "32 bits of a pointer are moved", `w2 = w10\n${END}`),
    refused("EACCES", "pointer-leak", "a pointer is negated", `r2 = r10\nr2 = -r2\n${END}`),
    refused(
      "EACCES",
      "pointer-arithmetic",
      "a pointer is subtracted from another",
      `r2 = r10\nr3 = r10\nr2 -= r3\n${END}`,
    ),
    refused(
      "EACCES",
      "pointer-comparison",
      "a pointer is compared with a number",
      `r2 = 64\nif r1 > r2 goto a\na:\n${END}`,
    ),
    refused(
      "EACCES",
      "pointer-comparison",
      "pointers are compared",
      `r2 = r10\nif r2 > r1 goto a\na:\n${END}`,
    ),
    accepted("a pointer is compared with 0", `${FOUND}\nout:\n${END}`),
    accepted(
      "packet pointers are compared with the end",
      `
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r4 = r2
        r4 += 8
        if r4 > r3 goto out
        r0 = *(u64 *)(r2 + 0)
        out:
        ${END}`,
    ),
    refused(
      "EACCES",
      "stack-uninitialized",
      "a stack slot that was never written is read",
      `r0 = *(u64 *)(r10 - 8)\n${END}`,
    ),
    refused(
      "EACCES",
      "stack-uninitialized",
      "a byte of one",
      `*(u32 *)(r10 - 8) = 1\nr0 = *(u64 *)(r10 - 8)\n${END}`,
    ),
    refused(
      "EACCES",
      "stack-uninitialized",
      "a helper reads a pointer from the stack, which CAP_PERFMON allows",
      `r3 = r1\n${SPILLED_KEY}`,
    ),
    accepted(
      "a helper reads a number from the stack that was spilled",
      `r3 = *(u32 *)(r1 + 16)\n${SPILLED_KEY}`,
    ),
    refused(
      "EACCES",
      "pointer-leak",
      "a pointer in the stack is overwritten in part",
      `*(u64 *)(r10 - 8) = r1\n*(u32 *)(r10 - 8) = 0\n${END}`,
    ),
    refused(
      "EACCES",
      "pointer-leak",
      "a stack offset that is not known",
      `
        r2 = *(u32 *)(r1 + 16)
        r2 &= 8
        r3 = r10
        r3 += -16
        r3 += r2
        *(u64 *)(r10 - 8) = 0
        *(u64 *)(r10 - 16) = 0
        r0 = *(u64 *)(r3 + 0)
        ${END}`,
    ),
    refused(
      "EINVAL",
      "helper-not-for-type",
      "trace_printk",
      `*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${END}`,
    ),
    accepted(
      "an index into a value, bounded by a mask",
      `${FOUND}\nr7 = *(u32 *)(r6 + 16)\nr7 &= 31\nr0 += r7\nr3 = *(u8 *)(r0 + 0)\nout:\n${END}`,
    ),
    refused(
      "EINVAL",
      "endless-loop",
      "a bounded loop, which a processor may guess to go on",
      `r6 = 0\nagain:\nr6 += 1\nif r6 < 10 goto again\n${END}`,
    ),
    refused(
      "EACCES",
      "speculative-access",
      "a pointer and a number that depend on the path",
      `
      ${FOUND}
      r7 = *(u32 *)(r6 + 16)
      r8 = *(u32 *)(r6 + 12)
      r7 &= 7
      if r8 == 0 goto add
      r7 = r0
      r0 = 3
    add:
      r7 += r0
    out:
      ${END}`,
    ),
    accepted("functions", `call f\n${END}\nf:\nr0 = 0\nexit`),
  ]),
];
