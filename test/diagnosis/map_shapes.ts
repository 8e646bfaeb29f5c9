/**
 * Maps made of random fields: what is said of a refused one has to be true, which the kernel itself
 * shows, for it takes the map with the fields that are said to be right.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import { MAP_CREATE } from "../../src/abi/attr.ts";
import { BPF_MAP_CREATE, BPF_MAP_TYPE_ARENA } from "../../src/abi/bpf.ts";
import { EINVAL, ENOTSUPP } from "../../src/abi/errno.ts";
import { tryBpf } from "../../src/call.ts";
import { diagnose } from "../../src/index.ts";
import type { Kernel } from "../../src/kernel.ts";

/** Sizes around the limits of the types, none of which takes much memory. */
const sizes = fc.constantFrom(0, 1, 3, 4, 5, 8, 9, 16, 32, 260, 261, 1016, 1024);
const entries = fc.constantFrom(0, 1, 2, 7, 4095, 4096, 5000, 8192);
const bits = [1, 2, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 1 << 20];
const flags = fc.subarray(bits, { maxLength: 3 }).map((all) => all.reduce((a, b) => a | b, 0));
const requests = fc.record({
  map_type: fc.integer({ min: 1, max: BPF_MAP_TYPE_ARENA }),
  key_size: sizes,
  value_size: sizes,
  max_entries: entries,
  map_flags: fc.oneof(fc.constant(0), fc.constant(1), flags),
  map_extra: fc.constantFrom(0n, 0n, 0n, 3n, 77n),
});

/** Makes a map and lets go of it: 0, or a negative errno. */
function make(kernel: Kernel, request: object): number {
  const { result } = tryBpf(kernel, BPF_MAP_CREATE, MAP_CREATE, request);
  if (result < 0) return result;
  kernel.close(result);
  return 0;
}

/** Registers the property for a kernel. */
export function mapShapes(open: () => Kernel, runs: number, has: (type: number) => boolean): void {
  test("a map is taken once what is said to be wrong with it is right", () => {
    const kernel = open();
    let explained = 0;
    const property = fc.property(requests, (request) => {
      const result = make(kernel, request);
      if (result !== -EINVAL && result !== -ENOTSUPP) return;
      const call = { kernel, command: BPF_MAP_CREATE, errno: -result, attr: request, about: {} };
      const diagnosis = diagnose(call);
      if (diagnosis?.reason === "map-type-missing") {
        expect(has(request.map_type), diagnosis.hint).toBe(false);
        return;
      }
      // No map is given for what the maps inside look like.
      if (diagnosis === null || diagnosis.reason === "fd-wrong-kind") return;
      expect(diagnosis.reason).toBe("map-shape");
      const right: Record<string, number> = {};
      for (const remedy of diagnosis.remedies) {
        if (remedy.action === "set-field") right[remedy.field] = remedy.value;
      }
      expect([-EINVAL, -ENOTSUPP], diagnosis.hint).not.toContain(
        make(kernel, { ...request, ...right }),
      );
      // And no complaint is one too many.
      for (const [name, value] of Object.entries(request)) {
        if (right[name] === undefined) continue;
        const still = make(kernel, { ...request, ...right, [name]: value });
        expect([-EINVAL, -ENOTSUPP], `${name}: ${diagnosis.hint}`).toContain(still);
      }
      explained++;
    });
    fc.assert(property, { numRuns: runs, seed: 1 });
    expect(explained, "maps were explained").toBeGreaterThan(runs / 20);
  });
}
