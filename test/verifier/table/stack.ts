/** Rows about the stack: its bounds, what was written, and pointers kept there. */

import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 1\nexit";
/** r2 becomes a multiple of 8 from 0 to 24. */
const INDEX = "r2 = *(u32 *)(r1 + 16)\nr2 &= 24";

/** Zeros beside a spilled register are an index, after something was done to the register. */
function besideSpilled(meanwhile: string): string {
  return `
      r7 = *(u32 *)(r1 + 16)
      *(u32 *)(r10 - 4) = 0
      *(u32 *)(r10 - 8) = r7
      ${meanwhile}
      r8 = *(u16 *)(r10 - 2)
      r9 = map_value[data][0]
      r9 += r8
      r0 = *(u8 *)(r9 + 1)
      ${END}`;
}

export const STACK_ROWS: readonly Row[] = [
  accepted("the deepest byte", `*(u8 *)(r10 - 512) = 1\n${END}`),
  refused("EACCES", "stack-bounds", "one byte deeper", `*(u8 *)(r10 - 513) = 1\n${END}`),
  refused("EACCES", "stack-bounds", "at r10", `*(u8 *)(r10 + 0) = 1\n${END}`),
  refused(
    "EACCES",
    "stack-bounds",
    "across r10",
    `*(u64 *)(r10 - 8) = 1\nr2 = r10\nr2 += -4\n*(u32 *)(r2 + 4) = 1\n${END}`,
  ),
  refused("EACCES", "stack-bounds", "above r10", `r0 = *(u64 *)(r10 + 8)\n${END}`),
  refused("EACCES", "misaligned", "a word that is not aligned", `*(u32 *)(r10 - 6) = 1\n${END}`),
  refused(
    "EACCES",
    "misaligned",
    "a doubleword at a multiple of 4",
    `*(u64 *)(r10 - 12) = 1\n${END}`,
  ),
  accepted("what was never written, by a task with CAP_PERFMON", `r2 = *(u64 *)(r10 - 8)\n${END}`),
  refused(
    "EACCES",
    "map-value-bounds",
    "zeros beside a register that was spilled and overwritten are any number",
    besideSpilled("*(u8 *)(r10 - 7) = r7"),
  ),
  accepted("zeros beside a register that was spilled are zeros", besideSpilled("")),
  accepted("what was written", `*(u64 *)(r10 - 8) = 7\nr0 = *(u64 *)(r10 - 8)\n${END}`),
  accepted("parts of what was written", `*(u64 *)(r10 - 8) = 7\nr0 = *(u8 *)(r10 - 3)\n${END}`),
  accepted(
    "a pointer, back as it was",
    `*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 12)\n${END}`,
  ),
  refused("EACCES", "stack-spill", "a pointer stored in part", `*(u32 *)(r10 - 8) = r1\n${END}`),
  refused("EACCES", "stack-spill", "a byte of a pointer stored", `*(u8 *)(r10 - 8) = r10\n${END}`),
  refused(
    "EACCES",
    "stack-spill",
    "a pointer loaded in part",
    `*(u64 *)(r10 - 8) = r1\nr2 = *(u32 *)(r10 - 8)\n${END}`,
  ),
  refused(
    "EACCES",
    "stack-spill",
    "a pointer loaded from its middle",
    `*(u64 *)(r10 - 8) = r1\nr2 = *(u32 *)(r10 - 4)\n${END}`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a pointer that was overwritten in part",
    `
      *(u64 *)(r10 - 8) = r1
      *(u8 *)(r10 - 8) = 0
      r2 = *(u64 *)(r10 - 8)
      r0 = *(u32 *)(r2 + 12)
      exit`,
  ),
  accepted(
    "a number keeps its range",
    `
      r2 = *(u32 *)(r1 + 16)
      r2 &= 7
      *(u64 *)(r10 - 8) = r2
      r3 = *(u64 *)(r10 - 8)
      r4 = r10
      r4 += -16
      r4 += r3
      *(u8 *)(r4 + 0) = 1
      ${END}`,
  ),
  accepted(
    "so does one of 32 bits",
    `
      r2 = *(u32 *)(r1 + 16)
      r2 &= 7
      *(u32 *)(r10 - 8) = r2
      r3 = *(u32 *)(r10 - 8)
      r4 = r10
      r4 += -16
      r4 += r3
      *(u8 *)(r4 + 0) = 1
      ${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "a number whose neighbours are loaded with it has none",
    `
      r2 = *(u32 *)(r1 + 16)
      r2 &= 7
      *(u32 *)(r10 - 8) = r2
      r3 = *(u64 *)(r10 - 8)
      r4 = r10
      r4 += -16
      r4 += r3
      *(u8 *)(r4 + 0) = 1
      ${END}`,
  ),
  accepted(
    "a variable offset within the stack",
    `${INDEX}\nr3 = r10\nr3 += -32\nr3 += r2\n*(u64 *)(r3 + 0) = 1\n${END}`,
  ),
  refused(
    "EINVAL",
    "stack-bounds",
    "a variable offset that may leave it",
    `${INDEX}\nr3 = r10\nr3 += -16\nr3 += r2\n*(u64 *)(r3 + 0) = 1\n${END}`,
  ),
  refused(
    "EACCES",
    "stack-bounds",
    "a variable offset that may be below it",
    `${INDEX}\nr3 = r10\nr2 -= 24\nr3 += -496\nr3 += r2\n*(u64 *)(r3 + 0) = 1\n${END}`,
  ),
  refused(
    "EACCES",
    "stack-bounds",
    "an offset that may be anything",
    `r2 = *(u32 *)(r1 + 16)\nr3 = r10\nr3 += -8\nr3 += r2\n*(u8 *)(r3 + 0) = 1\n${END}`,
  ),
  refused(
    "EACCES",
    "misaligned",
    "a variable offset that may not be aligned",
    `r2 = *(u32 *)(r1 + 16)\nr2 &= 7\nr3 = r10\nr3 += -32\nr3 += r2\n*(u64 *)(r3 + 0) = 1\n${END}`,
  ),
  accepted(
    "a variable offset over a pointer makes it a number",
    `
      ${INDEX}
      *(u64 *)(r10 - 16) = r1
      r3 = r10
      r3 += -32
      r3 += r2
      *(u64 *)(r3 + 0) = 1
      r4 = *(u64 *)(r10 - 16)
      ${END}`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "which can't be followed",
    `
      ${INDEX}
      *(u64 *)(r10 - 16) = r1
      r3 = r10
      r3 += -32
      r3 += r2
      *(u64 *)(r3 + 0) = 1
      r4 = *(u64 *)(r10 - 16)
      r0 = *(u32 *)(r4 + 12)
      exit`,
  ),
  refused(
    "EACCES",
    "stack-uninitialized",
    "a helper reads what was never written, of a key",
    `r1 = map_fd[hash]\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\n${END}`,
    { without: "CAP_PERFMON" },
  ),
  accepted(
    "a helper may read it with CAP_PERFMON",
    `r1 = map_fd[hash]\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\n${END}`,
  ),
  refused(
    "EINVAL",
    "stack-bounds",
    "a helper is passed a key that leaves the stack",
    `
      r1 = map_fd[hash]
      *(u64 *)(r10 - 8) = 0
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      ${END}`,
  ),
  refused(
    "EACCES",
    "stack-bounds",
    "a helper is passed r10 itself",
    `r1 = map_fd[hash]\nr2 = r10\ncall bpf_map_lookup_elem\n${END}`,
  ),
  accepted(
    "nearly 512 bytes for a helper",
    `
      r2 = 0
      r1 = r10
      r1 += -512
      r3 = 4
      *(u64 *)(r10 - 512) = 0
      r1 = map_fd[hash]
      r2 = r10
      r2 += -512
      call bpf_map_lookup_elem
      ${END}`,
  ),
];
