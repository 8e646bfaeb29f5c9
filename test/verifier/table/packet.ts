/** Rows about packets: what was compared with the end, and what that allows. */

import { accepted, type Row, refused, withOptions } from "./row.ts";

const UNCHECKED = "unchecked-packet-access";

/** r2 is the packet, r3 its end; `body` stands behind a comparison that allows `bytes`. */
function behind(bytes: number, body: string): string {
  return `
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += ${bytes}
    if r4 > r3 goto out
    ${body}
  out:
    r0 = 1
    exit`;
}

/** r2 is the packet, r3 its end, r4 14 bytes into it; `compare` leads to `safe`, or does not. */
function compared(compare: string, fallsThrough: string, safe: string): string {
  return `
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    ${compare}
    ${fallsThrough}
    r0 = 1
    exit
  safe:
    ${safe}
    r0 = 1
    exit`;
}

const LAST = "r0 = *(u8 *)(r2 + 13)";
const BEYOND = "r0 = *(u8 *)(r2 + 14)";
/** r5 becomes a number below 16. */
const SMALL = "r5 = *(u8 *)(r2 + 0)\nr5 &= 15";

export const PACKET_ROWS: readonly Row[] = [
  refused(
    "EACCES",
    UNCHECKED,
    "nothing was compared",
    "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit",
  ),
  accepted("the last byte that was compared", behind(14, LAST)),
  refused("EACCES", UNCHECKED, "one byte more", behind(14, BEYOND)),
  accepted("a halfword that ends where the comparison does", behind(14, "r0 = *(u16 *)(r2 + 12)")),
  refused("EACCES", UNCHECKED, "a halfword across it", behind(14, "r0 = *(u16 *)(r2 + 13)")),
  refused("EACCES", UNCHECKED, "a doubleword across it", behind(14, "r0 = *(u64 *)(r2 + 8)")),
  refused("EACCES", UNCHECKED, "before the packet", behind(14, "r0 = *(u8 *)(r2 - 1)")),
  refused(
    "EACCES",
    UNCHECKED,
    "on the way that the comparison leads to",
    compared("if r4 > r3 goto safe", LAST, LAST),
  ),
  accepted("if p <= end goto safe", compared("if r4 <= r3 goto safe", "", LAST)),
  refused(
    "EACCES",
    UNCHECKED,
    "if p <= end goto elsewhere",
    compared("if r4 <= r3 goto safe", LAST, ""),
  ),
  accepted("if end >= p goto safe", compared("if r3 >= r4 goto safe", "", LAST)),
  refused(
    "EACCES",
    UNCHECKED,
    "if end >= p goto elsewhere",
    compared("if r3 >= r4 goto safe", LAST, ""),
  ),
  accepted("if end < p goto elsewhere", compared("if r3 < r4 goto safe", LAST, "")),
  refused("EACCES", UNCHECKED, "if end < p goto there", compared("if r3 < r4 goto safe", "", LAST)),
  accepted("if p < end goto safe: one byte more", compared("if r4 < r3 goto safe", "", BEYOND)),
  accepted(
    "if p >= end goto elsewhere: one byte more",
    compared("if r4 >= r3 goto safe", BEYOND, ""),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "if p >= end: two bytes more",
    compared("if r4 >= r3 goto safe", "r0 = *(u8 *)(r2 + 15)", ""),
  ),
  accepted("if end > p goto safe: one byte more", compared("if r3 > r4 goto safe", "", BEYOND)),
  accepted(
    "if end <= p goto elsewhere: one byte more",
    compared("if r3 <= r4 goto safe", BEYOND, ""),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "if p == end says nothing",
    compared("if r4 == r3 goto safe", "", LAST),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a signed comparison says nothing",
    compared("if r4 s<= r3 goto safe", "", LAST),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a comparison of 32 bits says nothing",
    compared("if w4 <= w3 goto safe", "", LAST),
  ),
  accepted("the pointer that was compared knows it too", behind(14, "r0 = *(u8 *)(r4 - 1)")),
  refused("EACCES", UNCHECKED, "and its end is the end", behind(14, "r0 = *(u8 *)(r4 + 0)")),
  accepted(
    "a copy from before knows it",
    `
      r5 = *(u32 *)(r1 + 0)
      r3 = *(u32 *)(r1 + 4)
      r2 = r5
      r2 += 8
      if r2 > r3 goto out
      r0 = *(u64 *)(r5 + 0)
      out:
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a packet loaded once more knows nothing",
    behind(8, "r5 = *(u32 *)(r1 + 0)\nr0 = *(u64 *)(r5 + 0)"),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a variable offset",
    behind(14, `${SMALL}\nr2 += r5\nr0 = *(u8 *)(r2 + 0)`),
  ),
  accepted(
    "a variable offset that was compared",
    behind(14, `${SMALL}\nr2 += r5\nr4 = r2\nr4 += 4\nif r4 > r3 goto out\nr0 = *(u32 *)(r2 + 0)`),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a variable offset, compared with another",
    behind(14, `${SMALL}\nr4 = r2\nr4 += r5\nr2 += r5\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 0)`),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "a variable offset that may be negative",
    behind(
      14,
      `
        r5 = *(u8 *)(r2 + 0)
        r5 -= 1
        r2 += r5
        r4 = r2
        r4 += 1
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 + 0)`,
    ),
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "an offset of 64 KiB and more finds no range",
    behind(
      14,
      `
        r5 = *(u32 *)(r2 + 0)
        r5 &= 0x1ffff
        r2 += r5
        r4 = r2
        r4 += 1
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 + 0)`,
    ),
  ),
  accepted(
    "an offset below 64 KiB does",
    behind(
      14,
      `
        r5 = *(u32 *)(r2 + 0)
        r5 &= 0x7fff
        r2 += r5
        r4 = r2
        r4 += 1
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 + 0)`,
    ),
  ),
  accepted("XDP programs write packets", behind(14, "*(u16 *)(r2 + 12) = 8")),
  refused(
    "EACCES",
    UNCHECKED,
    "but not beyond the comparison",
    behind(14, "*(u32 *)(r2 + 12) = 8"),
  ),
  accepted(
    "metadata before the packet",
    `
      r2 = *(u32 *)(r1 + 8)
      r3 = *(u32 *)(r1 + 0)
      r4 = r2
      r4 += 4
      if r4 > r3 goto out
      r0 = *(u32 *)(r2 + 0)
      out:
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    UNCHECKED,
    "metadata compared with the packet's end",
    `
      r2 = *(u32 *)(r1 + 8)
      r3 = *(u32 *)(r1 + 4)
      r4 = r2
      r4 += 4
      if r4 > r3 goto out
      r0 = *(u32 *)(r2 + 0)
      out:
      r0 = 1
      exit`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "the end of the packet is no pointer to read by",
    "r3 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r3 - 1)\nexit",
  ),
  refused(
    "EACCES",
    "pointer-arithmetic",
    "nothing is added to the end",
    "r3 = *(u32 *)(r1 + 4)\nr3 += 4\nr0 = 0\nexit",
  ),
  accepted(
    "the length of the packet is a number",
    "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr3 -= r2\nr0 = 1\nexit",
  ),
  accepted(
    "spilled and filled, the packet keeps what is known",
    behind(8, "*(u64 *)(r10 - 8) = r2\nr5 = *(u64 *)(r10 - 8)\nr0 = *(u64 *)(r5 + 0)"),
  ),
  ...withOptions({ type: "flow_dissector" }, [
    accepted(
      "a flow dissector reads what it compared",
      `
        r2 = *(u32 *)(r1 + 76)
        r3 = *(u32 *)(r1 + 80)
        r4 = r2
        r4 += 4
        if r4 > r3 goto out
        r0 = *(u32 *)(r2 + 0)
        out:
        r0 = 0
        exit`,
    ),
    refused(
      "EACCES",
      "packet-write",
      "a flow dissector writes no packets",
      `
        r2 = *(u32 *)(r1 + 76)
        r3 = *(u32 *)(r1 + 80)
        r4 = r2
        r4 += 4
        if r4 > r3 goto out
        *(u32 *)(r2 + 0) = 1
        out:
        r0 = 0
        exit`,
    ),
    accepted(
      "flow keys are written",
      "r2 = *(u64 *)(r1 + 144)\n*(u16 *)(r2 + 0) = 14\nr0 = 0\nexit",
    ),
    accepted("to their last byte", "r2 = *(u64 *)(r1 + 144)\nr0 = *(u32 *)(r2 + 52)\nr0 = 0\nexit"),
    refused(
      "EACCES",
      "flow-keys-access",
      "and no further",
      "r2 = *(u64 *)(r1 + 144)\nr0 = *(u32 *)(r2 + 56)\nexit",
    ),
    refused(
      "EACCES",
      "flow-keys-access",
      "nor across their end",
      "r2 = *(u64 *)(r1 + 144)\nr0 = *(u64 *)(r2 + 52)\nexit",
    ),
    refused(
      "EACCES",
      "flow-keys-access",
      "nor before them",
      "r2 = *(u64 *)(r1 + 144)\nr0 = *(u8 *)(r2 - 1)\nexit",
    ),
    refused(
      "EACCES",
      "pointer-arithmetic",
      "nothing variable is added to flow keys",
      `
        r2 = *(u64 *)(r1 + 144)
        r3 = *(u16 *)(r2 + 0)
        r3 &= 7
        r2 += r3
        r0 = *(u8 *)(r2 + 0)
        exit`,
    ),
  ]),
];
