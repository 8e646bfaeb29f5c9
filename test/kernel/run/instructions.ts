/**
 * Small programs for every family of instructions, each with what r0 holds at its end as u64. All
 * load on Linux as socket filters, and Linux's r0 has the same lower half.
 */

/** One program: its name, its text and r0. */
export type InstructionCase = readonly [name: string, text: string, r0: bigint];

const MINUS_ONE = 0xffff_ffff_ffff_ffffn;

/** A binary operation on two 64-bit immediates: `r0` and `r1`. */
function binary(a: string, operation: string, b: string): string {
  return `r0 = ${a} ll\nr1 = ${b} ll\n${operation}\nexit`;
}

const ARITHMETIC_64: readonly InstructionCase[] = [
  ["mov sign-extends an immediate", "r0 = -1\nexit", MINUS_ONE],
  ["mov copies 64 bits", binary("0", "r0 = r1", "0x123456789abcdef0"), 0x123456789abcdef0n],
  ["add carries into the upper half", binary("0xffffffff", "r0 += r1", "1"), 0x1_0000_0000n],
  ["add wraps around", binary("0xffffffffffffffff", "r0 += r1", "2"), 1n],
  ["add of a negative immediate", "r0 = 5\nr0 += -7\nexit", 0xffff_ffff_ffff_fffen],
  ["sub borrows from the upper half", binary("0x100000000", "r0 -= r1", "1"), 0xffff_ffffn],
  ["sub wraps around", binary("0", "r0 -= r1", "1"), MINUS_ONE],
  ["mul keeps the low 64 bits", binary("0xffffffffffffffff", "r0 *= r1", "3"), MINUS_ONE - 2n],
  [
    "mul of two wide numbers",
    binary("0x123456789", "r0 *= r1", "0x987654321"),
    0xd77d_742c_ce18_33a9n,
  ],
  ["div is unsigned", binary("0xffffffffffffffff", "r0 /= r1", "2"), 0x7fff_ffff_ffff_ffffn],
  ["div by a register of 0 is 0", binary("77", "r0 /= r1", "0"), 0n],
  ["div by a negative immediate is by a large number", "r0 = 7\nr0 /= -1\nexit", 0n],
  ["mod is unsigned", binary("0xffffffffffffffff", "r0 %= r1", "10"), 5n],
  ["mod by a register of 0 leaves the dividend", binary("77", "r0 %= r1", "0"), 77n],
  ["sdiv rounds towards 0", "r0 = -7\nr0 s/= 2\nexit", MINUS_ONE - 2n],
  ["sdiv by 0 is 0", "r0 = -7\nr1 = 0\nr0 s/= r1\nexit", 0n],
  [
    "sdiv of the smallest number by -1 wraps around",
    binary("0x8000000000000000", "r0 s/= r1", "0xffffffffffffffff"),
    0x8000_0000_0000_0000n,
  ],
  ["smod has the sign of the dividend", "r0 = -7\nr0 s%= 4\nexit", MINUS_ONE - 2n],
  ["smod by 0 leaves the dividend", "r0 = -7\nr1 = 0\nr0 s%= r1\nexit", MINUS_ONE - 6n],
  [
    "smod of the smallest number by -1 is 0",
    binary("0x8000000000000000", "r0 s%= r1", "0xffffffffffffffff"),
    0n,
  ],
  ["or", binary("0xf0f0f0f000000000", "r0 |= r1", "0x0f0f"), 0xf0f0_f0f0_0000_0f0fn],
  [
    "and with a negative immediate",
    "r0 = 0x123456789abcdef0 ll\nr0 &= -16\nexit",
    0x1234_5678_9abc_def0n,
  ],
  ["xor", binary("0xffffffffffffffff", "r0 ^= r1", "0xffffffff"), 0xffff_ffff_0000_0000n],
  ["lsh by less than 32", binary("0x80000001", "r0 <<= r1", "4"), 0x8_0000_0010n],
  ["lsh by 32", binary("0x80000001", "r0 <<= r1", "32"), 0x8000_0001_0000_0000n],
  ["lsh by more than 32", binary("0x80000001", "r0 <<= r1", "36"), 0x10_0000_0000n],
  ["lsh uses 6 bits of its count", binary("3", "r0 <<= r1", "65"), 6n],
  ["rsh by less than 32", binary("0x8000000100000000", "r0 >>= r1", "4"), 0x800_0000_1000_0000n],
  ["rsh by 32", binary("0x8000000100000000", "r0 >>= r1", "32"), 0x8000_0001n],
  ["rsh by 63", binary("0x8000000000000000", "r0 >>= r1", "63"), 1n],
  ["rsh by 64 does nothing", binary("9", "r0 >>= r1", "64"), 9n],
  ["arsh by less than 32", binary("0x8000000000000000", "r0 s>>= r1", "4"), 0xf800_0000_0000_0000n],
  ["arsh by 32", binary("0x8000000000000000", "r0 s>>= r1", "32"), 0xffff_ffff_8000_0000n],
  [
    "arsh by more than 32",
    binary("0x8000000000000000", "r0 s>>= r1", "60"),
    0xffff_ffff_ffff_fff8n,
  ],
  ["neg", "r0 = 1\nr0 = -r0\nexit", MINUS_ONE],
  ["neg of 0", "r0 = 0\nr0 = -r0\nexit", 0n],
  ["neg with an empty lower half", "r0 = 0x100000000 ll\nr0 = -r0\nexit", 0xffff_ffff_0000_0000n],
  ["movsx of 8 bits", "r1 = 0x1280\nr0 = (s8)r1\nexit", 0xffff_ffff_ffff_ff80n],
  ["movsx of 16 bits", "r1 = 0x127fff\nr0 = (s16)r1\nexit", 0x7fffn],
  ["movsx of 32 bits", "r1 = 0x180000000 ll\nr0 = (s32)r1\nexit", 0xffff_ffff_8000_0000n],
];

const ARITHMETIC_32: readonly InstructionCase[] = [
  ["mov32 zero-extends", "r0 = -1\nw0 = -2\nexit", 0xffff_fffen],
  ["mov32 of a register", binary("0", "w0 = w1", "0x123456789abcdef0"), 0x9abc_def0n],
  ["add32 drops the carry", binary("0xffffffff", "w0 += w1", "1"), 0n],
  ["add32 clears the upper half", binary("0xff00000001", "w0 += w1", "1"), 2n],
  ["sub32 wraps around", binary("0", "w0 -= w1", "1"), 0xffff_ffffn],
  ["mul32 keeps the low 32 bits", binary("0xffffffff", "w0 *= w1", "0xffffffff"), 1n],
  ["div32 is unsigned", binary("0xfffffffe", "w0 /= w1", "2"), 0x7fff_ffffn],
  ["div32 looks at the lower half of the divisor", binary("7", "w0 /= w1", "0x100000000"), 0n],
  ["mod32 by 0 leaves the lower half", binary("0xff00000007", "w0 %= w1", "0"), 7n],
  ["mod32 is unsigned", binary("0xffffffff", "w0 %= w1", "10"), 5n],
  ["sdiv32", "w0 = -7\nw0 s/= 2\nexit", 0xffff_fffdn],
  [
    "sdiv32 of the smallest number by -1",
    "w0 = 0x80000000\nw1 = -1\nw0 s/= w1\nexit",
    0x8000_0000n,
  ],
  ["sdiv32 by 0", "w0 = -7\nw1 = 0\nw0 s/= w1\nexit", 0n],
  ["smod32", "w0 = -7\nw0 s%= 4\nexit", 0xffff_fffdn],
  ["smod32 of the smallest number by -1", "w0 = 0x80000000\nw1 = -1\nw0 s%= w1\nexit", 0n],
  ["smod32 by 0", "w0 = -7\nw1 = 0\nw0 s%= w1\nexit", 0xffff_fff9n],
  ["or32", binary("0xff00000000", "w0 |= w1", "0x80000000"), 0x8000_0000n],
  ["and32", binary("0xffffffffffffffff", "w0 &= w1", "0x80000001"), 0x8000_0001n],
  ["xor32", binary("0xffffffffffffffff", "w0 ^= w1", "0x1"), 0xffff_fffen],
  ["lsh32", binary("0x80000001", "w0 <<= w1", "1"), 2n],
  ["lsh32 uses 5 bits of its count", binary("3", "w0 <<= w1", "33"), 6n],
  ["rsh32", binary("0xff80000000", "w0 >>= w1", "31"), 1n],
  ["arsh32", binary("0x80000000", "w0 s>>= w1", "31"), 0xffff_ffffn],
  ["neg32", "r0 = 1\nw0 = -w0\nexit", 0xffff_ffffn],
  ["movsx32 of 8 bits", "r1 = 0x80\nw0 = (s8)w1\nexit", 0xffff_ff80n],
  ["movsx32 of 16 bits", "r1 = 0x8000\nw0 = (s16)w1\nexit", 0xffff_8000n],
];

const BYTE_ORDER: readonly InstructionCase[] = [
  ["be16", "r0 = 0x1122334455667788 ll\nr0 = be16 r0\nexit", 0x8877n],
  ["be32", "r0 = 0x1122334455667788 ll\nr0 = be32 r0\nexit", 0x8877_6655n],
  ["be64", "r0 = 0x1122334455667788 ll\nr0 = be64 r0\nexit", 0x8877_6655_4433_2211n],
  ["le16 cuts", "r0 = 0x1122334455667788 ll\nr0 = le16 r0\nexit", 0x7788n],
  ["le32 cuts", "r0 = 0x1122334455667788 ll\nr0 = le32 r0\nexit", 0x5566_7788n],
  ["le64 does nothing", "r0 = 0x1122334455667788 ll\nr0 = le64 r0\nexit", 0x1122_3344_5566_7788n],
  ["bswap16", "r0 = 0x1122334455667788 ll\nr0 = bswap16 r0\nexit", 0x8877n],
  ["bswap32", "r0 = 0x1122334455667788 ll\nr0 = bswap32 r0\nexit", 0x8877_6655n],
  ["bswap64", "r0 = 0x1122334455667788 ll\nr0 = bswap64 r0\nexit", 0x8877_6655_4433_2211n],
];

/** A condition on r1 and r2 (or w1 and w2): 1 when it jumps. */
function jumps(a: string, condition: string, b: string): string {
  return `r1 = ${a} ll\nr2 = ${b} ll\nr0 = 1\nif ${condition} goto end\nr0 = 0\nend:\nexit`;
}

const NEGATIVE = "0xffffffffffffffff";

/** Ordered conditions: whether they hold of a smaller, an equal and a larger number. */
const ORDERED: readonly (readonly [string, ...(0 | 1)[]])[] = [
  ["==", 0, 1, 0],
  ["!=", 1, 0, 1],
  ["<", 1, 0, 0],
  ["<=", 1, 1, 0],
  [">", 0, 0, 1],
  [">=", 0, 1, 1],
  ["s<", 1, 0, 0],
  ["s<=", 1, 1, 0],
  ["s>", 0, 0, 1],
  ["s>=", 0, 1, 1],
];

/** Each of them, on 64 bits and on 32, with a register and with an immediate. */
const COMPARISONS: readonly InstructionCase[] = ORDERED.flatMap(([condition, ...holds]) =>
  ["6", "7", "8"].flatMap((number, i) => {
    const expected = BigInt(holds[i] ?? 0);
    const large = `0x70000000${number}`;
    const compare = (a: string, text: string, b: string): InstructionCase => [
      `${a} ${condition} ${b} (${text})`,
      jumps(a, text, b),
      expected,
    ];
    return [
      compare(number, `r1 ${condition} r2`, "7"),
      compare(large, `r1 ${condition} r2`, "0x700000007"),
      compare(number, `r1 ${condition} 7`, "7"),
      compare(large, `w1 ${condition} w2`, "0x900000007"),
      compare(large, `w1 ${condition} 7`, "7"),
    ];
  }),
);

const JUMPS: readonly InstructionCase[] = [
  ["jeq compares both halves", jumps("0x100000001", "r1 == r2", "1"), 0n],
  ["jeq32 compares the lower halves", jumps("0x100000001", "w1 == w2", "1"), 1n],
  ["jeq with a negative immediate", jumps(NEGATIVE, "r1 == -1", "0"), 1n],
  ["jne", jumps("0x100000001", "r1 != r2", "1"), 1n],
  ["jne32", jumps("0x100000001", "w1 != w2", "1"), 0n],
  ["jgt is unsigned", jumps(NEGATIVE, "r1 > r2", "1"), 1n],
  ["jgt of equal numbers", jumps("1", "r1 > r2", "1"), 0n],
  ["jgt with a negative immediate", jumps("5", "r1 > -1", "0"), 0n],
  ["jge of equal numbers", jumps("1", "r1 >= r2", "1"), 1n],
  ["jlt looks at the upper half first", jumps("0x1ffffffff", "r1 < r2", "0x200000000"), 1n],
  ["jlt32 looks at the lower half", jumps("0x1ffffffff", "w1 < w2", "0x200000000"), 0n],
  ["jle of equal numbers", jumps("7", "r1 <= r2", "7"), 1n],
  ["jsgt is signed", jumps(NEGATIVE, "r1 s> r2", "1"), 0n],
  ["jsgt32 is signed", jumps("0x80000000", "w1 s> w2", "1"), 0n],
  ["jsge of equal numbers", jumps(NEGATIVE, "r1 s>= r2", NEGATIVE), 1n],
  ["jslt is signed", jumps("0x8000000000000000", "r1 s< r2", "0"), 1n],
  ["jslt32 is signed", jumps("0xffffffff", "w1 s< w2", "0"), 1n],
  ["jsle with an immediate", jumps(NEGATIVE, "r1 s<= -1", "0"), 1n],
  ["jset in the upper half", jumps("0x8000000000000000", "r1 & r2", "0x8000000000000001"), 1n],
  [
    "jset32 not in the upper half",
    jumps("0x8000000000000000", "w1 & w2", "0x8000000000000001"),
    0n,
  ],
  ["ja goes forwards and backwards", "goto over\nback:\nexit\nover:\nr0 = 2\ngoto back", 2n],
  ["gotol", "gotol over\nback:\nexit\nover:\nr0 = 2\ngotol back", 2n],
  ["a loop", "r0 = 0\nr1 = 10\nagain:\nr0 += r1\nr1 += -1\nif r1 != 0 goto again\nexit", 55n],
];

/** 8 bytes on the stack, then something done to them, then r0. */
function stack(value: string, text: string): string {
  return `r1 = ${value} ll\n*(u64 *)(r10 - 8) = r1\n${text}\nexit`;
}

const MEMORY: readonly InstructionCase[] = [
  ["lddw", "r0 = 0xfedcba9876543210 ll\nexit", 0xfedc_ba98_7654_3210n],
  ["ldxb", stack("0x8877665544332211", "r0 = *(u8 *)(r10 - 2)"), 0x77n],
  ["ldxh", stack("0x8877665544332211", "r0 = *(u16 *)(r10 - 2)"), 0x8877n],
  ["ldxw", stack("0x8877665544332211", "r0 = *(u32 *)(r10 - 4)"), 0x8877_6655n],
  ["ldxdw", stack("0x8877665544332211", "r0 = *(u64 *)(r10 - 8)"), 0x8877_6655_4433_2211n],
  ["ldxsb", stack("0x8877665544332211", "r0 = *(s8 *)(r10 - 1)"), 0xffff_ffff_ffff_ff88n],
  ["ldxsh", stack("0x8877665544332211", "r0 = *(s16 *)(r10 - 2)"), 0xffff_ffff_ffff_8877n],
  ["ldxsw", stack("0x8877665544332211", "r0 = *(s32 *)(r10 - 4)"), 0xffff_ffff_8877_6655n],
  ["stb", stack("0", "*(u8 *)(r10 - 7) = -1\nr0 = *(u64 *)(r10 - 8)"), 0xff00n],
  ["sth", stack("0", "*(u16 *)(r10 - 6) = -2\nr0 = *(u64 *)(r10 - 8)"), 0xfffe_0000n],
  ["stw", stack("0", "*(u32 *)(r10 - 8) = -2\nr0 = *(u64 *)(r10 - 8)"), 0xffff_fffen],
  [
    "stdw sign-extends",
    stack("0", "*(u64 *)(r10 - 8) = -2\nr0 = *(u64 *)(r10 - 8)"),
    MINUS_ONE - 1n,
  ],
  ["stxb", stack("0", "r2 = 0x1234\n*(u8 *)(r10 - 8) = r2\nr0 = *(u64 *)(r10 - 8)"), 0x34n],
  ["stxh", stack("0", "r2 = 0x12345\n*(u16 *)(r10 - 8) = r2\nr0 = *(u64 *)(r10 - 8)"), 0x2345n],
  [
    "stxw",
    stack("0", "r2 = -1\n*(u32 *)(r10 - 4) = r2\nr0 = *(u64 *)(r10 - 8)"),
    0xffff_ffff_0000_0000n,
  ],
];

const LOAD = "r0 = *(u64 *)(r10 - 8)";

const ATOMICS: readonly InstructionCase[] = [
  [
    "atomic add",
    stack("0xffffffff", `r2 = 1\nlock *(u64 *)(r10 - 8) += r2\n${LOAD}`),
    0x1_0000_0000n,
  ],
  [
    "atomic add32 keeps to 32 bits",
    stack("0xffffffff", `r2 = 1\nlock *(u32 *)(r10 - 8) += r2\n${LOAD}`),
    0n,
  ],
  ["atomic or", stack("0xf0", `r2 = 0x0f\nlock *(u64 *)(r10 - 8) |= r2\n${LOAD}`), 0xffn],
  ["atomic and", stack("0xff", `r2 = 0x1f0\nlock *(u64 *)(r10 - 8) &= r2\n${LOAD}`), 0xf0n],
  ["atomic xor", stack("0xff", `r2 = 0x1f0\nlock *(u64 *)(r10 - 8) ^= r2\n${LOAD}`), 0x10fn],
  [
    "atomic fetch add gives the old value",
    stack(
      "40",
      "r0 = 2\nr0 = atomic_fetch_add((u64 *)(r10 - 8), r0)\nr1 = *(u64 *)(r10 - 8)\nr0 += r1",
    ),
    82n,
  ],
  [
    "atomic fetch add32 zero-extends the old value",
    stack("0xaaaaaaaaffffffff", "r0 = -1\nw0 = atomic_fetch_add((u32 *)(r10 - 8), w0)"),
    0xffff_ffffn,
  ],
  [
    "atomic fetch or",
    stack(
      "0xf0",
      `r2 = 0x0f\nr2 = atomic_fetch_or((u64 *)(r10 - 8), r2)\n${LOAD}\nr0 <<= 8\nr0 |= r2`,
    ),
    0xfff0n,
  ],
  [
    "atomic fetch and",
    stack(
      "0xff",
      `r2 = 0xf0\nr2 = atomic_fetch_and((u64 *)(r10 - 8), r2)\n${LOAD}\nr0 <<= 8\nr0 |= r2`,
    ),
    0xf0ffn,
  ],
  [
    "atomic fetch xor",
    stack(
      "0xff",
      `r2 = 0xf0\nr2 = atomic_fetch_xor((u64 *)(r10 - 8), r2)\n${LOAD}\nr0 <<= 8\nr0 |= r2`,
    ),
    0x0fffn,
  ],
  ["xchg", stack("7", `r2 = 9\nr2 = xchg_64(r10 - 8, r2)\n${LOAD}\nr0 *= 100\nr0 += r2`), 907n],
  ["xchg32", stack("0x700000007", `r2 = 9\nw2 = xchg32_32(r10 - 8, w2)\n${LOAD}`), 0x7_0000_0009n],
  [
    "cmpxchg of an equal value",
    stack(
      "7",
      "r0 = 7\nr2 = 9\nr0 = cmpxchg_64(r10 - 8, r0, r2)\nr1 = *(u64 *)(r10 - 8)\n" +
        "r0 *= 100\nr0 += r1",
    ),
    709n,
  ],
  [
    "cmpxchg of another value",
    stack(
      "7",
      "r0 = 8\nr2 = 9\nr0 = cmpxchg_64(r10 - 8, r0, r2)\nr1 = *(u64 *)(r10 - 8)\n" +
        "r0 *= 100\nr0 += r1",
    ),
    707n,
  ],
  [
    "cmpxchg32 compares the lower half of r0 and zero-extends it",
    stack("7", "r0 = 0x500000007 ll\nr2 = 9\nw0 = cmpxchg32_32(r10 - 8, w0, w2)"),
    7n,
  ],
  ["load_acquire", stack("7", "r0 = load_acquire((u64 *)(r10 - 8))"), 7n],
  ["store_release", stack("0", `r2 = 9\nstore_release((u32 *)(r10 - 8), w2)\n${LOAD}`), 9n],
];

const CALLS: readonly InstructionCase[] = [
  [
    "a function has registers r1 to r5 as arguments and its own stack",
    "*(u64 *)(r10 - 8) = 1\nr1 = 40\nr2 = 2\ncall f\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit\n" +
      "f:\n*(u64 *)(r10 - 8) = 7\nr0 = r1\nr0 += r2\nexit",
    43n,
  ],
  [
    "r6 to r9 outlive a call",
    "r6 = 1\nr7 = 2\nr8 = 3\nr9 = 4\ncall f\nr0 = r6\nr0 += r7\nr0 += r8\nr0 += r9\nexit\n" +
      "f:\nr6 = 9\nr7 = 9\nr8 = 9\nr9 = 9\nr0 = 0\nexit",
    10n,
  ],
  [
    "a function writes to its caller's stack",
    "*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\ncall f\nr0 = *(u64 *)(r10 - 8)\nexit\n" +
      "f:\n*(u64 *)(r1 + 0) = 5\nr0 = 0\nexit",
    5n,
  ],
];

/** All of them, by family. */
export const INSTRUCTION_CASES: Readonly<Record<string, readonly InstructionCase[]>> = {
  "64-bit arithmetic": ARITHMETIC_64,
  "32-bit arithmetic": ARITHMETIC_32,
  "byte order": BYTE_ORDER,
  jumps: JUMPS,
  comparisons: COMPARISONS,
  memory: MEMORY,
  atomics: ATOMICS,
  calls: CALLS,
};
