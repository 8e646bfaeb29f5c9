/**
 * A program is accepted that leaves its stack in a later round of a callback, if this breaks. Linux
 * 6.18 accepts it, and later versions don't, so that Linux isn't asked here.
 */

import { afterAll, beforeAll, expect, test } from "vitest";
import { BPF_F_TEST_STATE_FREQ } from "../../src/abi/bpf.ts";
import { embeddedJudge, type Judge } from "./table/judge.ts";
import { type Row, refused } from "./table/row.ts";

/** A round may read a map's value where the caller's stack says, and then may change that. */
const PROGRAM = `
  *(u64 *)(r10 - 8) = 0
  r1 = 100
  r2 = func[round]
  r3 = r10
  r4 = 0
  call bpf_loop
  r0 = 0
  exit
round:
  r7 = r2
  r8 = *(u64 *)(r7 - 8)
  call bpf_ktime_get_ns
  if r0 > 5 goto read
again:
  call bpf_ktime_get_ns
  if r0 > 5 goto change
end:
  r0 = 0
  exit
read:
  r1 = map_value[data][0]
  r1 += r8
  r0 = *(u8 *)(r1 + 0)
  goto again
change:
  *(u64 *)(r7 - 8) = 4096
  goto end`;

/**
 * A round may read a byte where a pointer in the caller's stack says, and then may put a number
 * there. That the slot is read is seen when the paths that put a number there are at their ends.
 */
function pointerGone(offset: number): string {
  return `
  r1 = map_value[data][0]
  *(u64 *)(r10 - ${offset}) = r1
  r1 = 100
  r2 = func[round]
  r3 = r10
  r4 = 0
  call bpf_loop
  r0 = 0
  exit
round:
  r7 = r2
  call bpf_ktime_get_ns
  if r0 > 5 goto read
again:
  call bpf_ktime_get_ns
  if r0 > 5 goto change
end:
  r0 = 0
  exit
read:
  r1 = *(u64 *)(r7 - ${offset})
  r0 = *(u8 *)(r1 + 0)
  goto again
change:
  *(u64 *)(r7 - ${offset}) = 4096
  goto end`;
}

let judge: Judge;
beforeAll(() => {
  judge = embeddedJudge();
});
afterAll(() => judge[Symbol.dispose]());

const OPTIONS = { functions: ["main", "static"], flags: BPF_F_TEST_STATE_FREQ } as const;

/** The program is refused, and only since it is walked again. */
function seenLate(row: Row): void {
  const { log, ...verdict } = judge.judge(row);
  expect(verdict, log).toEqual({ errno: row.errno, cause: row.cause });
  expect(log).toContain("a callback's path was cut short too early");
}

test("what matters in a later round only is seen to matter", () => {
  const title = "a later round leaves the map";
  seenLate(refused("EINVAL", "pointer-bounds", title, PROGRAM, OPTIONS));
});

// Slots 0 to 31 and 32 to 63 are in two words.
test.each([8, 256, 264, 512])("what a later round reads at fp-%i is seen to be read", (offset) => {
  const title = "a later round reads where a number says";
  seenLate(refused("EACCES", "not-a-pointer", title, pointerGone(offset), OPTIONS));
});
