/** Rows about numbers: what instructions and comparisons tell of a range. */

import { accepted, type Row, refused } from "./row.ts";

/**
 * r7 is a number of which nothing is known, r8 one of 32 bits; at the end it is an index into a
 * value of 64 bytes, from which one is read.
 */
function index(body: string): string {
  return `
    r6 = r1
    call bpf_ktime_get_ns
    r7 = r0
    r8 = *(u32 *)(r6 + 16)
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

export const NUMBER_ROWS: readonly Row[] = [
  unbounded("nothing is known", ""),
  good("&= 63", "r7 &= 63"),
  bad("&= 64 leaves two numbers, one of them too large", "r7 &= 64"),
  unbounded("%= 64 is not followed", "r7 %= 64"),
  good(">>= 58", "r7 >>= 58"),
  bad(">>= 57", "r7 >>= 57"),
  bad("s>>= 58 keeps the sign", "r7 s>>= 58"),
  good("a byte from memory, shifted", "r7 = *(u8 *)(r10 - 1)\nr7 >>= 2"),
  bad(
    "a signed byte from memory",
    "*(u64 *)(r10 - 8) = r7\nr7 = *(s8 *)(r10 - 1)\nif r7 s> 63 goto out",
  ),
  good(
    "a signed byte with both bounds",
    "*(u64 *)(r10 - 8) = r7\nr7 = *(s8 *)(r10 - 1)\nif r7 s> 63 goto out\nif r7 s< 0 goto out",
  ),
  good("if > 63 goto out", "if r7 > 63 goto out"),
  bad("if > 64 goto out", "if r7 > 64 goto out"),
  good("if >= 64 goto out", "if r7 >= 64 goto out"),
  unbounded("if s> 63 goto out, which leaves negative ones", "if r7 s> 63 goto out"),
  good("if s> 63 and s< 0 goto out", "if r7 s> 63 goto out\nif r7 s< 0 goto out"),
  bad("if s< 0 goto out, which leaves large ones", "if r7 s< 0 goto out"),
  bad("if s< -1 goto out leaves -1", "if r7 s> 63 goto out\nif r7 s< -1 goto out"),
  good("if == 5 goto there", "if r7 == 5 goto there\ngoto out\nthere:"),
  unbounded("if != 5 goto there", "if r7 != 5 goto there\ngoto out\nthere:"),
  good("if != 5 goto out", "if r7 != 5 goto out"),
  good("if w7 > 63 goto out tells all when the upper half is 0", "w7 = w7\nif w7 > 63 goto out"),
  unbounded("if w7 > 63 goto out tells nothing of the upper half", "if w7 > 63 goto out"),
  good("a 32-bit move clears the upper half", "if w7 > 63 goto out\nw7 = w7"),
  good("w7 &= 63", "w7 &= 63"),
  good("a 32-bit operation clears the upper half", "w7 >>= 26"),
  bad("w7 s>>= 26 keeps the sign", "w7 s>>= 26"),
  good(
    "if w7 s> 63, s< 0 with the upper half 0",
    "w7 = w7\nif w7 s> 63 goto out\nif w7 s< 0 goto out",
  ),
  bad("if w7 s> 63 alone", "w7 = w7\nif w7 s> 63 goto out"),
  good("if & 0xffffffc0 goto out", "w7 = w7\nif w7 & 0xffffffc0 goto out"),
  bad("if & 0x80 goto out", "w7 = w7\nif w7 & 0x80 goto out"),
  good("two bounds that meet", "if r7 < 60 goto out\nif r7 > 63 goto out"),
  good("minus the lower bound", "if r7 < 100 goto out\nif r7 > 163 goto out\nr7 -= 100"),
  bad("minus more than the lower bound", "if r7 < 100 goto out\nif r7 > 163 goto out\nr7 -= 101"),
  good("plus within the bounds", "r7 &= 31\nr7 += 32"),
  bad("plus beyond them", "r7 &= 31\nr7 += 33"),
  good("times 4", "r7 &= 15\nr7 *= 4"),
  bad("times 5", "r7 &= 15\nr7 *= 5"),
  good("times a register", "r7 &= 7\nr8 &= 7\nr7 *= r8"),
  bad("times a register that may be larger", "r7 &= 7\nr8 &= 15\nr7 *= r8"),
  good("or of small numbers", "r7 &= 31\nr8 &= 63\nr7 |= r8"),
  bad("or with a larger one", "r7 &= 31\nr8 &= 127\nr7 |= r8"),
  good("xor of small numbers", "r7 &= 31\nr8 &= 63\nr7 ^= r8"),
  good("and with a small register", "r8 &= 63\nr7 &= r8"),
  good("the sum of two registers", "r7 &= 31\nr8 &= 31\nr7 += r8"),
  bad("the sum of larger ones", "r7 &= 63\nr8 &= 1\nr7 += r8"),
  bad("a difference may be negative", "r7 &= 63\nr8 &= 1\nr7 -= r8"),
  good("a shift to the left", "r7 &= 3\nr7 <<= 4"),
  bad("a shift too far", "r7 &= 3\nr7 <<= 5"),
  unbounded("a shift by a register", "r7 &= 3\nr8 &= 7\nr7 <<= r8"),
  unbounded("nor by one that is bounded", "r7 &= 3\nr8 &= 4\nr7 <<= r8"),
  unbounded("nor to the right", "r7 &= 63\nr8 &= 7\nr7 >>= r8"),
  good("16 bits swapped and masked", "r7 = be16 r7\nr7 &= 63"),
  bad("16 bits swapped", "r7 &= 63\nr7 = be16 r7"),
  bad("negated", "r7 &= 63\nr7 = -r7"),
  good("negated twice is masked again", "r7 &= 63\nr7 = -r7\nr7 &= 63"),
  unbounded("divided by a register is not followed", "r7 = 640\nr8 |= 10\nr7 /= r8"),
  good("compared with a register that is bounded", "r8 &= 63\nif r7 > r8 goto out"),
  bad("compared with one that is less bounded", "r8 &= 64\nif r7 > r8 goto out"),
  good("equal to a register that is bounded", "r8 &= 63\nif r7 != r8 goto out"),
  good("a copy learns what its original is compared with", "r9 = r7\nif r9 > 63 goto out"),
  bad("a copy that was changed before does not", "r9 = r7\nr9 += 1\nr7 += 2\nif r9 > 63 goto out"),
  good("a copy to which a constant was added does", "r9 = r7\nr7 += 1\nif r9 > 62 goto out"),
  bad("and no more than that", "r9 = r7\nr7 += 1\nif r9 > 63 goto out"),
  good("a constant that is negative, made good", "r7 = -1\nr7 += 64"),
  bad("a constant that is too large", "r7 = 64"),
  bad("a constant that is negative", "r7 = -1"),
  good("a sign-extended byte of a small number", "r7 &= 63\nr7 = (s8)r7"),
  bad("a sign-extended byte", "r7 = (s8)r7"),
  good(
    "both ends of 32 bits, signed and unsigned",
    "w7 = w7\nif w7 s< 0 goto out\nif r7 >= 64 goto out",
  ),
  good(
    "a path that can't be taken is not walked",
    "r7 &= 63\nif r7 < 64 goto good\nr7 = 1000\ngood:",
  ),
  good("a 32-bit path that can't be taken", "w7 &= 63\nif w7 s>= 0 goto good\nr7 = 1000\ngood:"),
  bad(
    "-1, 0 or 1, masked, is not one of two numbers",
    "w7 = w7\nif w7 s< -1 goto out\nif w7 s> 1 goto out\nw7 &= 3\nif w7 != 1 goto out\nr7 = 1000",
  ),
  bad(
    "-1, 0 or 1 in 64 bits, masked, neither",
    "if r7 s< -1 goto out\nif r7 s> 1 goto out\nr7 &= 3\nif r7 != 1 goto out\nr7 = 1000",
  ),
  good(
    "-1 or 0, masked, is one of two numbers",
    "w7 s>>= 31\nw7 &= 3\nif w7 == 0 goto out\nif w7 == 3 goto out\nr7 = 1000",
  ),
  bad(
    "one of two bits, of different halves, is set: not both",
    `r9 = 0x100000001 ll
    if r7 & r9 goto set
    goto out
    set:
    r7 &= 1
    if r7 == 1 goto out
    r7 = 1000`,
  ),
  good(
    "the only bit that was tested is set",
    "if r7 & 32 goto set\ngoto out\nset:\nr7 &= 32\nif r7 == 32 goto out\nr7 = 1000",
  ),
  good(
    "the only bit that was tested is set, in the upper half",
    `r9 = 0x400000000 ll
    if r7 & r9 goto set
    goto out
    set:
    r7 >>= 34
    r7 &= 1
    if r7 == 1 goto out
    r7 = 1000`,
  ),
  bad(
    "a shift to the right takes bits of the upper half into the lower",
    "r9 = 0xff0000000000 ll\nr7 &= r9\nr7 >>= 24",
  ),
  good("and keeps what is known of them", "r9 = 0xfc0000000 ll\nr7 &= r9\nr7 >>= 30"),
  good(
    "the only number of a range that has such bits",
    `r7 &= 0x30
    r7 |= 8
    if r7 < 0x10 goto out
    if r7 > 0x20 goto out
    if r7 == 0x18 goto out
    r7 = 1000`,
  ),
  good(
    "the only number of a range that has such bits, in the upper half",
    `r9 = 0x3000000000 ll
    r7 &= r9
    r9 = 0x800000000 ll
    r7 |= r9
    r9 = 0x1000000000 ll
    if r7 < r9 goto out
    r9 = 0x2000000000 ll
    if r7 > r9 goto out
    r9 = 0x1800000000 ll
    if r7 == r9 goto out
    r7 = 1000`,
  ),
  bad(
    "one of two numbers of a range that have such bits",
    `r7 &= 0x30
    r7 |= 8
    if r7 < 0x10 goto out
    if r7 > 0x30 goto out
    if r7 == 0x18 goto out
    r7 = 1000`,
  ),
  good(
    "of 32 bits that are equal, the range is what both have",
    `r7 &= 63
    w8 = w8
    if w8 < 10 goto out
    if w8 > 100 goto out
    if w7 != w8 goto out
    r7 -= 10`,
  ),
  bad(
    "of 32 bits that are equal, no more than that",
    `r7 &= 63
    w8 = w8
    if w8 < 10 goto out
    if w8 > 100 goto out
    if w7 != w8 goto out
    r7 -= 11`,
  ),
  good(
    "of 32 bits that are equal, the signed range is what both have",
    `w7 = w7
    if w7 s< -20 goto out
    if w7 s> 53 goto out
    if w8 s< -10 goto out
    if w8 s> 100 goto out
    if w7 != w8 goto out
    w7 += 10`,
  ),
  good(
    "of 32 bits that are equal, the signed range ends where the first does",
    `w7 = w7
    if w7 s< -10 goto out
    if w7 s> 100 goto out
    if w8 s< -20 goto out
    if w8 s> 53 goto out
    if w7 != w8 goto out
    w7 += 10`,
  ),
  good(
    "of numbers that are equal, the signed range is what both have",
    `call bpf_ktime_get_ns
    if r7 s< -20 goto out
    if r7 s> 53 goto out
    if r0 s< -10 goto out
    if r0 s> 100 goto out
    if r7 != r0 goto out
    r7 += 10`,
  ),
  good(
    "of numbers that are equal, the range is what both have",
    `call bpf_ktime_get_ns
    if r7 < 5 goto out
    if r7 > 63 goto out
    if r0 < 10 goto out
    if r0 > 100 goto out
    if r7 != r0 goto out
    r7 -= 10`,
  ),
  good(
    "a difference of numbers on both sides of 2^63",
    `r9 = 0x7ffffffffffffff8 ll
    if r7 < r9 goto out
    r9 = 0x8000000000000028 ll
    if r7 > r9 goto out
    r7 -= 1
    r9 = 0x7ffffffffffffff7 ll
    r7 -= r9`,
  ),
  unbounded(
    "a difference of numbers on both sides of 2^63, one too far",
    `r9 = 0x7ffffffffffffff8 ll
    if r7 < r9 goto out
    r9 = 0x8000000000000028 ll
    if r7 > r9 goto out
    r7 -= 1
    r9 = 0x7ffffffffffffff8 ll
    r7 -= r9`,
  ),
  good(
    "a sum of numbers on both sides of 2^63",
    `r9 = 0x7ffffffffffffff8 ll
    if r7 < r9 goto out
    r9 = 0x8000000000000028 ll
    if r7 > r9 goto out
    r7 += 1
    r9 = 0x7ffffffffffffff9 ll
    r7 -= r9`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a path that leaves no number is walked where the bits alone would tell",
    `call bpf_get_prandom_u32
    r7 = r0
    r7 &= 0xffc0
    if r7 s<= 1 goto out
    if r7 >= 8 goto out
    r0 = *(u64 *)(r0 + 0)
    out:
    r0 = 1
    exit`,
  ),
  refused(
    "EACCES",
    "not-a-pointer",
    "a number that is compared with itself: both ways",
    `call bpf_get_prandom_u32
    if r0 <= r0 goto out
    r0 = *(u64 *)(r0 + 0)
    out:
    r0 = 1
    exit`,
  ),
  accepted(
    "of a number compared with itself, ranges that nothing is left of tell the bits",
    `call bpf_get_prandom_u32
    r6 = r0
    call bpf_get_prandom_u32
    if r0 s>= 65535 goto out
    if r6 & 0x7fffffff goto out
    if r6 s> r0 goto out
    if w6 >= w6 goto out
    r6 >>= 63
    if r6 == 1 goto out
    r0 = *(u64 *)(r0 + 0)
    out:
    r0 = 1
    exit`,
  ),
  accepted(
    "a range that a comparison turned round is the one number that is left",
    `call bpf_get_prandom_u32
    r0 &= 1
    r9 = r0
    if r9 >= r9 goto +0
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -8
    r1 += r9
    r0 = 1
    exit`,
  ),
];
