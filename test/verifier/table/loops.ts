/** Rows about loops, jumps and code that nothing leads to. */

import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 1\nexit";
const FUNCTIONS = { functions: ["main", "static"] } as const;

/** So many comparisons, each of which leaves a way to be walked later. */
function manyWays(count: number): string {
  const comparisons = Array.from({ length: count }, (_, i) => `if r0 == ${i} goto out`);
  return `call bpf_ktime_get_ns\n${comparisons.join("\n")}\nout:\n${END}`;
}

export const LOOP_ROWS: readonly Row[] = [
  accepted("ten rounds", `r6 = 0\nagain:\nr6 += 1\nif r6 < 10 goto again\n${END}`),
  accepted(
    "a thousand rounds downwards",
    `r6 = 1000\nagain:\nr6 -= 1\nif r6 != 0 goto again\n${END}`,
  ),
  accepted(
    "rounds that a number bounds",
    `
      r7 = *(u32 *)(r1 + 16)
      r7 &= 15
      r6 = 0
      again:
      if r6 >= r7 goto out
      r6 += 1
      goto again
      out:
      ${END}`,
  ),
  refused("EINVAL", "endless-loop", "goto itself", "again:\ngoto again"),
  refused(
    "EINVAL",
    "endless-loop",
    "no progress",
    `again:\ncall bpf_ktime_get_ns\nif r0 != 0 goto again\n${END}`,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "the counter stays as it is",
    `r6 = 0\nagain:\nr6 &= 1\nif r6 < 2 goto again\n${END}`,
  ),
  refused("EFAULT", "too-complex", "more ways than can wait", manyWays(8200)),
  refused(
    "EINVAL",
    "endless-loop",
    "a loop that may go on, round after round",
    `r6 = r1\nagain:\nr0 = *(u32 *)(r6 + 12)\nif r0 != 7 goto again\n${END}`,
  ),
  accepted(
    "may_goto ends by itself",
    `r6 = 0\nagain:\nr6 += 1\nmay_goto out\ngoto again\nout:\n${END}`,
  ),
  refused("EINVAL", "unreachable-code", "code behind an exit", `${END}\nr0 = 2\nexit`),
  refused("EINVAL", "unreachable-code", "code behind a jump", `goto out\nr0 = 7\nout:\n${END}`),
  refused("EINVAL", "bad-jump", "a jump beyond the end", `goto +5\n${END}`),
  refused("EINVAL", "bad-jump", "a jump before the start", `goto -3\n${END}`),
  refused(
    "EINVAL",
    "bad-jump",
    "a jump into the middle of a two-slot load",
    `r0 = 1\nif r0 == 1 goto +1\nr1 = 0x123456789abc ll\nexit`,
  ),
  refused("EINVAL", "bad-jump", "no exit at the end", "r0 = 1"),
  refused(
    "EINVAL",
    "bad-jump",
    "a conditional jump at the end",
    `again:\nr0 = 1\nif r0 == 1 goto again`,
  ),
  refused("EINVAL", "bad-jump", "a call beyond the end", `call +9\n${END}`, FUNCTIONS),
  refused(
    "EINVAL",
    "bad-jump",
    "a jump into another function",
    `call f\n${END}\nf:\nr0 = 1\nif r0 == 1 goto -3\nexit`,
    FUNCTIONS,
  ),
  accepted("gotol", `gotol out\nout:\n${END}`),
  refused("EINVAL", "unreachable-code", "gotol over code", `gotol out\nr0 = 5\nout:\n${END}`),
];
