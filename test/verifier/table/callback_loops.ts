/** Rows about loops around callbacks and may_goto, and about loops within callbacks. */

import { accepted, type Row, refused } from "./row.ts";

const END = "r0 = 0\nexit";
const FUNCTIONS = { functions: ["main", "static"] } as const;
const TWO_FUNCTIONS = { functions: ["main", "static", "static"] } as const;

/** bpf_loop() calls `round` so many times, with a pointer to the stack. */
function loop(rounds: string): string {
  return `r1 = ${rounds}\nr2 = func[round]\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop`;
}

/** What follows the program's end: a callback. */
function round(body: string): string {
  return `round:\n${body}\nr0 = 0\nexit`;
}

/** Calls `round` for each element of a map. */
const FOR_EACH = `
    r1 = map_fd[array]
    r2 = func[round]
    r3 = 0
    r4 = 0
    call bpf_for_each_map_elem`;

/** A program whose callback does something with a loop of its own, around another callback. */
function nested(around: (inner: string) => string): string {
  const inner = "r1 = 4\nr2 = func[inner]\nr3 = 0\nr4 = 0\ncall bpf_loop";
  return `${loop("3")}\n${END}\n${round(around(inner))}\ninner:\nr0 = 1\nexit`;
}

export const CALLBACK_LOOP_ROWS: readonly Row[] = [
  accepted(
    "three rounds with a callback in each",
    `r6 = 0\nagain:\n${loop("2")}\nr6 += 1\nif r6 < 3 goto again\n${END}\n${round("")}`,
    FUNCTIONS,
  ),
  accepted(
    "endless rounds that begin where a callback may end, which are taken for the callback's",
    `again:\n${loop("2")}\nif r0 != 7 goto again\n${END}\n${round("")}`,
    FUNCTIONS,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "endless rounds that know a number by two names",
    `
      r6 = r1
      call bpf_get_prandom_u32
      r7 = r0
      again:
      r1 = r7
      call f
      ${loop("2")}
      if r6 < 5 goto again
      exit
      f:
      r7 = r1
      exit
      ${round("")}`,
    TWO_FUNCTIONS,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "a callback between may_goto and an endless jump",
    `
      r7 = *(u32 *)(r1 + 12)
      r7 &= 0xffff
      *(u64 *)(r10 - 8) = 0
      r9 = r10
      r9 += -8
      r6 = 0
      again:
      may_goto out
      *(u32 *)(r9 + 0) = 0
      if r6 < 3 goto again
      out:
      r1 = r7
      r2 = func[round]
      r3 = r9
      r4 = 0
      call bpf_loop
      if r6 != 5 goto again
      exit
      ${round("r7 = r1")}`,
    FUNCTIONS,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "may_goto that comes back to itself whichever way it goes",
    `r6 = 0\nagain:\nmay_goto out\nr6 &= 1\nout:\nif r6 < 3 goto again\n${END}`,
  ),
  refused(
    "EINVAL",
    "pointer-bounds",
    "an index that comes from three rounds of may_goto ago",
    `
      call bpf_get_prandom_u32
      r5 = 0
      r6 = 0
      r7 = 0
      r8 = 0
      r9 = 0
      if r0 == 7 goto large
    again:
      may_goto out
      r0 = map_value[data][0]
      r0 += r5
      r0 = *(u8 *)(r0 + 0)
      r5 = r6
      r6 = r7
      r7 = r8
      r8 = r9
      goto again
    large:
      r9 = 100
      goto again
    out:
      ${END}`,
  ),
  accepted(
    "may_goto out of rounds with a callback in each",
    `again:\nmay_goto out\n${loop("2")}\ngoto again\nout:\n${END}\n${round("")}`,
    FUNCTIONS,
  ),
  accepted(
    "a callback that counts on the stack",
    `*(u64 *)(r10 - 8) = 0\n${loop("100")}\n${END}\n` +
      round("r3 = *(u64 *)(r2 + 0)\nr3 += 1\n*(u64 *)(r2 + 0) = r3"),
    FUNCTIONS,
  ),
  accepted(
    "rounds within a callback",
    `${loop("100")}\n${END}\n${round("r3 = 0\nagain:\nr3 += 1\nif r3 < 5 goto again")}`,
    FUNCTIONS,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "endless rounds within a callback",
    `${loop("100")}\n${END}\n${round("again:\nif r1 > 5 goto again")}`,
    FUNCTIONS,
  ),
  accepted(
    "may_goto within a callback",
    `${loop("100")}\n${END}\n${round("again:\nmay_goto out\ngoto again\nout:")}`,
    FUNCTIONS,
  ),
  refused(
    "EINVAL",
    "endless-loop",
    "may_goto before endless rounds within a callback",
    `${loop("100")}\n${END}\n${round("may_goto again\nr3 = 1\nagain:\nif r1 > 5 goto again")}`,
    FUNCTIONS,
  ),
  accepted(
    "a callback that calls a callback",
    nested((inner) => inner),
    TWO_FUNCTIONS,
  ),
  accepted(
    "endless rounds around a callback within a callback, likewise",
    nested((inner) => `again:\n${inner}\nif r0 != 9 goto again`),
    TWO_FUNCTIONS,
  ),
  accepted(
    "elements of a map in each of three rounds",
    `r6 = 0\nagain:\n${FOR_EACH}\nr6 += 1\nif r6 < 3 goto again\n${END}\n${round("")}`,
    FUNCTIONS,
  ),
  accepted(
    "elements of a map in endless rounds, likewise",
    `again:\n${FOR_EACH}\nif r0 != 9 goto again\n${END}\n${round("")}`,
    FUNCTIONS,
  ),
];
