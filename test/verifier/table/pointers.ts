/** Rows about pointers: what may be computed with them, and registers that hold nothing. */

import { accepted, type Row, refused } from "./row.ts";

const ARITHMETIC = "pointer-arithmetic";
const END = "r0 = 1\nexit";

export const POINTER_ROWS: readonly Row[] = [
  refused("EACCES", "uninitialized-register", "r0 is returned without a value", "exit"),
  refused("EACCES", "uninitialized-register", "r2 is nothing at the start", `r0 = r2\nexit`),
  refused("EACCES", "uninitialized-register", "r6 is nothing at the start", `r6 += 1\n${END}`),
  refused(
    "EACCES",
    "uninitialized-register",
    "a helper destroys r1",
    `call bpf_ktime_get_ns\nr2 = r1\n${END}`,
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "and r5",
    `r5 = 1\ncall bpf_ktime_get_ns\nr5 += 1\n${END}`,
  ),
  accepted("but not r9", `r9 = 1\ncall bpf_ktime_get_ns\nr9 += 1\n${END}`),
  refused(
    "EACCES",
    "uninitialized-register",
    "a value on one path only",
    "r2 = *(u32 *)(r1 + 12)\nif r2 == 0 goto a\nr3 = 1\na:\nr0 = r3\nexit",
  ),
  accepted(
    "a value on both",
    "r2 = *(u32 *)(r1 + 12)\nr3 = 2\nif r2 == 0 goto a\nr3 = 1\na:\nr0 = r3\nexit",
  ),
  refused(
    "EACCES",
    "uninitialized-register",
    "compared with what is nothing",
    `if r1 > r4 goto a\na:\n${END}`,
  ),
  refused("EACCES", "uninitialized-register", "stored", `*(u64 *)(r10 - 8) = r7\n${END}`),
  refused(
    "EACCES",
    "uninitialized-register",
    "an address that is nothing",
    `r0 = *(u64 *)(r7 + 0)\n${END}`,
  ),
  refused("EACCES", "bad-instruction", "r10 is written", `r10 = 1\n${END}`),
  refused("EACCES", "bad-instruction", "something is added to r10", `r10 += -8\n${END}`),
  accepted("a constant is added to the stack", `r2 = r10\nr2 += -8\n*(u64 *)(r2 + 0) = 1\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is multiplied", `r2 = r10\nr2 *= 2\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is divided", `r2 = r10\nr2 /= 2\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is shifted", `r2 = r10\nr2 <<= 1\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is masked", `r2 = r10\nr2 &= -8\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is or-ed", `r2 = r10\nr2 |= 1\n${END}`),
  refused("EACCES", ARITHMETIC, "a pointer is xor-ed", `r2 = r10\nr2 ^= 1\n${END}`),
  refused(
    "EACCES",
    ARITHMETIC,
    "a map's value is subtracted from a number",
    `r2 = 4\nr3 = map_value[data][0]\nr2 -= r3\n${END}`,
  ),
  refused(
    "EACCES",
    ARITHMETIC,
    "a packet pointer is subtracted from a number",
    `r2 = 4\nr3 = *(u32 *)(r1 + 0)\nr2 -= r3\n${END}`,
  ),
  refused("EACCES", ARITHMETIC, "two pointers are added", `r2 = r10\nr2 += r1\n${END}`),
  accepted(
    "two pointers are subtracted, which leaves a number",
    `r2 = r10\nr3 = r10\nr2 -= r3\n${END}`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a number is no pointer",
    "r2 = 64\nr0 = *(u8 *)(r2 + 0)\nexit",
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "nor is the difference of two",
    "r2 = r10\nr3 = r10\nr2 -= r3\nr0 = *(u8 *)(r2 - 8)\nexit",
  ),
  refused("EACCES", "not-a-pointer", "nor 0", "r2 = 0\nr0 = *(u8 *)(r2 + 0)\nexit"),
  refused(
    "EACCES",
    "not-a-pointer",
    "nor the lower half of one",
    "r2 = r10\nw2 = w2\nr0 = *(u8 *)(r2 - 8)\nexit",
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "nor a negated one",
    `r2 = r10\nr2 = -r2\nr0 = *(u8 *)(r2 - 8)\nexit`,
  ),
  refused("EACCES", ARITHMETIC, "32 bits of a pointer are added to", `r2 = r10\nw2 += 8\n${END}`),
  refused(
    "EACCES",
    ARITHMETIC,
    "a pointer is subtracted from a number",
    `r2 = 8\nr2 -= r10\n${END}`,
  ),
  accepted("a pointer is added to a number", `r2 = -8\nr2 += r10\n*(u64 *)(r2 + 0) = 1\n${END}`),
  refused(
    "EACCES",
    ARITHMETIC,
    "a number is subtracted from r10",
    `r2 = *(u32 *)(r1 + 16)\nr2 &= 7\nr3 = r10\nr3 -= r2\nr3 *= 2\n${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "a number without bounds is added to the stack",
    `r2 = *(u64 *)(r10 - 8)\nr3 = r10\nr3 += r2\n${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "a constant of 512 MiB and more",
    `r2 = r10\nr2 += 0x20000000\n${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "a negative constant of 512 MiB and more",
    `r2 = r10\nr2 += -0x20000001\n${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "constants that come to it",
    `r2 = r10\nr2 += 0x1fffffff\nr2 += 0x1fffffff\n${END}`,
  ),
  refused(
    "EACCES",
    "context-access",
    "the context is moved and read",
    "r1 += 4\nr0 = *(u32 *)(r1 + 0)\nexit",
  ),
  refused(
    "EACCES",
    "context-access",
    "the context is moved back and read",
    "r1 += -4\nr0 = *(u32 *)(r1 + 8)\nexit",
  ),
  accepted(
    "the context is moved there and back",
    "r1 += 4\nr1 += -4\nr0 = *(u32 *)(r1 + 12)\nr0 = 1\nexit",
  ),
  refused(
    "EACCES",
    "context-access",
    "the context, moved by what is not known",
    "r2 = *(u32 *)(r1 + 12)\nr2 &= 4\nr1 += r2\nr0 = *(u32 *)(r1 + 12)\nexit",
  ),
  accepted("a pointer is returned by a task with CAP_PERFMON", "r0 = r1\nexit"),
  accepted(
    "pointers are compared by a task with CAP_PERFMON",
    `r2 = r10\nif r2 > r1 goto a\na:\n${END}`,
  ),
  accepted(
    "a pointer is stored into a map by a task with CAP_PERFMON",
    `r0 = map_value[data][0]\n*(u64 *)(r0 + 0) = r10\n${END}`,
  ),
  refused(
    "EACCES",
    "pointer-leak",
    "a pointer is stored into the context",
    `*(u64 *)(r1 + 48) = r10\n${END}`,
    { type: "socket_filter", without: "CAP_PERFMON" },
  ),
  refused(
    "EINVAL",
    "mixed-pointers",
    "one load for the context and for the stack",
    `
      r2 = *(u32 *)(r1 + 16)
      r3 = r10
      r3 += -128
      *(u32 *)(r10 - 112) = 1
      if r2 == 0 goto a
      r3 = r1
      a:
      r0 = *(u32 *)(r3 + 16)
      exit`,
  ),
  accepted(
    "one load for the stack and for a map",
    `
      r2 = *(u32 *)(r1 + 16)
      r3 = r10
      r3 += -8
      *(u64 *)(r10 - 8) = 1
      if r2 == 0 goto a
      r3 = map_value[data][0]
      a:
      r4 = *(u32 *)(r3 + 0)
      r0 = 1
      exit`,
  ),
];
