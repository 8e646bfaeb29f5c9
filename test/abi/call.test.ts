/** Two calls share one attr if this breaks: one made while another's fields are read or written. */

import { expect, test } from "vitest";
import { GET_NEXT_ID, MAP_DELETE_ELEM } from "../../src/abi/attr.ts";
import { decode } from "../../src/abi/layout.ts";
import { bpfResult, tryBpf } from "../../src/call.ts";
import type { Kernel } from "../../src/kernel.ts";

const [OUTER, INNER] = [1, 2];

/** A kernel that is only called. */
function kernelOf(bpf: (command: number, attr: Uint8Array) => number): Kernel {
  return { bpf } as Partial<Kernel> as Kernel;
}

test("a kernel that calls again has an attr for each call", () => {
  const seen: unknown[] = [];
  const kernel = kernelOf((command, attr) => {
    if (command === OUTER) {
      bpfResult(kernel, INNER, MAP_DELETE_ELEM, { map_fd: 77, key: 78n });
      seen.push(decode(GET_NEXT_ID, attr));
    }
    return 0;
  });
  bpfResult(kernel, OUTER, GET_NEXT_ID, { start_id: 5 });
  expect(seen).toMatchObject([{ start_id: 5, next_id: 0 }]);
  const { attr } = tryBpf(kernel, OUTER, GET_NEXT_ID, { start_id: 6 });
  expect(attr).toMatchObject({ start_id: 6, next_id: 0 });
  expect(seen[1]).toMatchObject({ start_id: 6 });
});

test("values that call when they are read have an attr of their own", () => {
  const seen: unknown[] = [];
  const kernel = kernelOf((command, attr) => {
    if (command === OUTER) seen.push(decode(MAP_DELETE_ELEM, attr));
    return 0;
  });
  bpfResult(kernel, OUTER, MAP_DELETE_ELEM, {
    map_fd: 3,
    get key() {
      bpfResult(kernel, INNER, MAP_DELETE_ELEM, { map_fd: 77, key: 78n });
      return 4n;
    },
  });
  expect(seen).toEqual([expect.objectContaining({ map_fd: 3, key: 4n })]);
});

test("an attr that is used again has nothing left of the last call", () => {
  const seen: unknown[] = [];
  const kernel = kernelOf((_command, attr) => {
    seen.push(decode(MAP_DELETE_ELEM, attr));
    return 0;
  });
  bpfResult(kernel, OUTER, MAP_DELETE_ELEM, { map_fd: 3, key: 4n });
  bpfResult(kernel, OUTER, MAP_DELETE_ELEM, { map_fd: 5 });
  expect(seen[1]).toMatchObject({ map_fd: 5, key: 0n });
});
