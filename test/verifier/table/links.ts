/**
 * Rows about links: copies and sums of one number, of which one learns what another is compared
 * with.
 */

import { accepted, type Row, refused } from "./row.ts";

/**
 * r7 is any number of 64 bits; at the end it is an index into a value of 64 bytes, from which one
 * is read.
 */
function index(body: string): string {
  return `
    r6 = r1
    call bpf_ktime_get_ns
    r7 = r0
    ${body}
    r0 = map_value[data][0]
    r0 += r7
    r3 = *(u8 *)(r0 + 0)
  out:
    r0 = 1
    exit`;
}

function good(title: string, body: string): Row {
  return accepted(title, index(body));
}

function bad(title: string, body: string): Row {
  return refused("EACCES", "map-value-bounds", title, index(body));
}

/** What is added to a pointer must have bounds from both sides. */
function unbounded(title: string, body: string): Row {
  return refused("EINVAL", "pointer-bounds", title, index(body));
}

/** A sum of 32 bits with a number that may have more tells nothing of the number's upper half. */
function upperHalf(title: string, body: string): Row {
  return bad(title, `${body}\nr7 >>= 32`);
}

const FILL_32 = "if r7 > 63 goto out\nr7 = *(u32 *)(r10 - 48)";

export const LINK_ROWS: readonly Row[] = [
  good("a copy", "r8 = r7\nif r8 > 63 goto out"),
  good("a sum of 64 bits", "r8 = r7\nr8 += 3\nif r8 != 8 goto out"),
  good("a difference of 64 bits", "r8 = r7\nr8 -= 3\nif r8 != 8 goto out"),
  bad("a difference of 64 bits, one too large", "r8 = r7\nr8 -= 3\nif r8 != 61 goto out"),
  upperHalf("w8 += 3, then equal", "r8 = r7\nw8 += 3\nif r8 != 8 goto out"),
  upperHalf("w8 += 0, then equal", "r8 = r7\nw8 += 0\nif r8 != 5 goto out"),
  upperHalf("w8 -= 3, then equal", "r8 = r7\nw8 -= 3\nif r8 != 2 goto out"),
  upperHalf("w8 += 3, then a range", "r8 = r7\nw8 += 3\nif r8 > 10 goto out\nif r8 < 3 goto out"),
  upperHalf("w8 += 3, then a 32-bit comparison", "r8 = r7\nw8 += 3\nif w8 != 8 goto out"),
  upperHalf("w8 += w9", "r8 = r7\nr9 = 3\nw8 += w9\nif r8 != 8 goto out"),
  upperHalf(
    "w8 += 3, and the number in the stack",
    "r8 = r7\n*(u64 *)(r10 - 8) = r7\nw8 += 3\nif r8 != 8 goto out\nr7 = *(u64 *)(r10 - 8)",
  ),
  upperHalf(
    "w8 += 3 of a number filled from the stack",
    "*(u64 *)(r10 - 8) = r7\nr8 = *(u64 *)(r10 - 8)\nw8 += 3\nif r8 != 8 goto out",
  ),
  bad(
    "w8 += 3 of a number one bit too wide",
    "r7 <<= 31\nr7 >>= 31\nr8 = r7\nw8 += 3\nif r8 != 8 goto out",
  ),
  unbounded(
    "w7 += 3 tells nothing when the number that it was is compared",
    "r8 = r7\nw7 += 3\nif w8 != 2 goto out\nr7 = r8",
  ),
  good("w8 += 3 of 32 bits", "w7 = w7\nr8 = r7\nw8 += 3\nif r8 != 8 goto out"),
  good("w8 += -3 of 32 bits", "w7 = w7\nr8 = r7\nw8 += -3\nif r8 != 8 goto out"),
  good("w7 += 3 of 32 bits", "w7 = w7\nr8 = r7\nw7 += 3\nif r8 != 8 goto out"),
  bad("w7 += 3 of 32 bits, one too large", "w7 = w7\nr8 = r7\nw7 += 3\nif r8 != 61 goto out"),
  good(
    "w7 += 3 of 32 bits may wrap around",
    "w7 = w7\nr8 = r7\nw7 += 3\nr1 = 0xfffffffe ll\nif r8 != r1 goto out",
  ),
  good("two sums of 32 bits", "w7 = w7\nr8 = r7\nw8 += 3\nw7 += 5\nif r8 != 8 goto out"),
  bad("sums of both widths", "w7 = w7\nr8 = r7\nr8 += 3\nw7 += 3\nif r8 != 8 goto out"),
  unbounded("a sum of a sum", "r8 = r7\nr8 += 3\nr8 += 3\nif r8 != 8 goto out"),
  unbounded("a sum with itself", "r8 = r7\nr8 += r8\nif r8 != 8 goto out"),
  unbounded("a product of a sum", "r8 = r7\nr8 += 3\nr8 *= 1\nif r8 != 8 goto out"),
  good(
    "a copy of a product of a sum, to which the same is added",
    "r7 += 5\nr7 *= 3\nr8 = r7\nr8 += 5\nif r8 != 8 goto out\nr7 += 60",
  ),
  good("le64 changes nothing", "r8 = r7\nr8 = le64 r8\nif r8 > 63 goto out"),
  unbounded("be64 does", "r8 = r7\nr8 = be64 r8\nif r8 > 63 goto out"),
  unbounded("le32 does", "r8 = r7\nr8 = le32 r8\nif r8 > 63 goto out"),
  bad("le32 is taken to do so always", "w7 = w7\nr8 = r7\nr8 = le32 r8\nif r8 > 63 goto out"),
  good(
    "filled with the sign extended, which is 0",
    "r7 &= 127\n*(u64 *)(r10 - 8) = r7\nr8 = *(s8 *)(r10 - 8)\nif r8 > 63 goto out",
  ),
  good(
    "spilled as a word, filled with the sign extended, which is 0",
    "r7 &= 0x7fffffff\n*(u32 *)(r10 - 8) = r7\nr8 = *(s32 *)(r10 - 8)\nif r8 > 63 goto out",
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "filled with the sign extended, which may be 1",
    index("r7 &= 255\n*(u64 *)(r10 - 8) = r7\nr8 = *(s8 *)(r10 - 8)\nif r8 > 63 goto out"),
    // Right as it is: but Linux takes r7 for -1 where r8 is, and then r7 + 1 for 0.
    { onLinux: { errno: "", cause: "" } },
  ),
  refused(
    "EACCES",
    "map-value-bounds",
    "filled with the sign extended, which is 1",
    index(
      "r7 &= 255\n*(u64 *)(r10 - 8) = r7\nr8 = *(s8 *)(r10 - 8)\nif r8 != -1 goto out\nr7 += 1",
    ),
    { onLinux: { errno: "", cause: "" } },
  ),
  bad(
    "filled with the sign extended, of a higher byte",
    "r7 &= 127\n*(u64 *)(r10 - 8) = r7\nr8 = *(s8 *)(r10 - 7)\nif r8 > 63 goto out",
  ),
  bad(
    "moved with the sign extended, which may be 1",
    "r7 &= 255\nr8 = (s8)r7\nif r8 > 63 goto out",
  ),
  good("moved with the sign extended, which is 0", "r7 &= 127\nr8 = (s8)r7\nif r8 > 63 goto out"),
  good("six numbers learn", copies(5, "if r7 > 63 goto out\nr7 = *(u64 *)(r10 - 40)")),
  unbounded("a seventh doesn't", copies(6, "if r7 > 63 goto out\nr7 = *(u64 *)(r10 - 48)")),
  unbounded(
    "nor is a seventh linked with what it is filled into",
    copies(
      6,
      "if r7 > 63 goto out\nr7 = *(u64 *)(r10 - 48)\nif r7 > 63 goto out\nr7 = *(u64 *)(r10 - 48)",
    ),
  ),
  bad("nor is a seventh of 32 bits", `w7 = w7\n${copies(6, `${FILL_32}\n${FILL_32}`, "u32")}`),
  good(
    "three copies, two of them compared with each other",
    "r8 = r7\nr9 = r7\nif r8 s> r9 goto out\nif r9 > 63 goto out\nr1 = r8",
  ),
  unbounded(
    "of four, those that come last take too many places",
    "r5 = r7\nr8 = r7\nr9 = r7\nif r5 s> r7 goto out\nif r7 > 63 goto out\nr5 += r8\nr7 = r9",
  ),
  unbounded(
    "nor does a comparison of a register with itself leave places for them",
    "r5 = r7\nr8 = r7\nr9 = r7\nif r5 == r5 goto +0\nif r7 > 63 goto out\nr5 += r8\nr7 = r9",
  ),
];

/** Spills r7 so often. */
function copies(count: number, then: string, size: "u32" | "u64" = "u64"): string {
  const spills = Array.from({ length: count }, (_, i) => `*(${size} *)(r10 - ${8 * (i + 1)}) = r7`);
  return [...spills, then].join("\n");
}
