/**
 * A program is accepted that leaves its stack in a later round of a callback, if this breaks. Linux
 * 6.18 accepts it, and later versions don't, so that Linux isn't asked here.
 */

import { afterAll, beforeAll, expect, test } from "vitest";
import { BPF_F_TEST_STATE_FREQ } from "../../src/abi/bpf.ts";
import { embeddedJudge, type Judge } from "./table/judge.ts";
import { refused } from "./table/row.ts";

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

let judge: Judge;
beforeAll(() => {
  judge = embeddedJudge();
});
afterAll(() => judge[Symbol.dispose]());

test("what matters in a later round only is seen to matter", () => {
  const options = { functions: ["main", "static"], flags: BPF_F_TEST_STATE_FREQ } as const;
  const row = refused("EINVAL", "pointer-bounds", "a later round leaves the map", PROGRAM, options);
  const { log, ...verdict } = judge.judge(row);
  expect(verdict, log).toEqual({ errno: "EINVAL", cause: "pointer-bounds" });
  expect(log).toContain("a callback's path was cut short too early");
});
