/**
 * Memory that callers hand to the kernel stays alive until a long job ends if this breaks: a loop
 * of calls without a pause would hold a buffer for each of them.
 */

import { expect, test } from "vitest";
import { BPF_MAP_TYPE_ARRAY } from "../../src/abi/bpf.ts";
import { BpfMap } from "../../src/index.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";

const VALUE_BYTES = 1 << 18;
const CALLS = 1_000;
/** All buffers of the loop together: far more than the engine leaves uncollected by itself. */
const ALL_BYTES: number = VALUE_BYTES * CALLS;

test("a loop of calls in one job lets go of each call's buffers", () => {
  using kernel = EmbeddedKernel.boot();
  using map = BpfMap.create(kernel, {
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: VALUE_BYTES,
    maxEntries: 1,
  });
  const key = new Uint8Array(4);
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let call = 0; call < CALLS; call++) {
    map.get(key);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(most).toBeLessThan(ALL_BYTES / 2);
});
