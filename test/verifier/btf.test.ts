/**
 * Breaks when types are refused with another errno than Linux gives them: which of several faults
 * counts depends on the order in which types are looked at.
 */

import { describe, expect, test } from "vitest";
import { BTF_LOAD } from "../../src/abi/attr.ts";
import { BPF_BTF_LOAD } from "../../src/abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL } from "../../src/abi/errno.ts";
import { encode } from "../../src/abi/layout.ts";
import { EmbeddedKernel } from "../../src/kernel/index.ts";
import type { Kernel } from "../../src/kernel.ts";
import { openLinuxKernel } from "../../src/linux/index.ts";
import { btfType, encodeBtf, RANDOM_STRINGS, randomTypes, type TypeWords } from "../btf.ts";
import { randomFieldBtf } from "../btf_fields.ts";
import { describeOnLinux } from "../contract/linux_available.ts";
import { Random } from "../random.ts";
import { seedSetting } from "../settings.ts";

const RANDOM_BTF = 10_000;
const SEED = seedSetting("NSLINK_VERIFIER_SEED");
/** The offset of "f" in the strings. */
const F = 5;

const INT = btfType("int", 1, 4, { more: [(1 << 24) | 32] });
const array = (element: number, index: number): TypeWords =>
  btfType("array", 0, 0, { more: [element, index, 4] });
const struct = (...members: readonly number[]): TypeWords =>
  btfType("struct", 0, 4 * members.length, {
    parts: members.length,
    more: members.flatMap((member, i) => [F, member, 32 * i]),
  });
const ptr = (to: number): TypeWords => btfType("ptr", 0, to);
const constant = (of: number): TypeWords => btfType("const", 0, of);
const typedef = (of: number): TypeWords => btfType("typedef", F, of);
const func = (prototype: number): TypeWords => btfType("func", F, prototype);
const prototype = (result: number, ...more: readonly number[]): TypeWords =>
  btfType("funcProto", 0, result, { parts: more.length / 2, more });
const variable = (of: number): TypeWords => btfType("var", F, of, { more: [1] });
const section = (type: number, size: number): TypeWords =>
  btfType("datasec", 7, 8, { parts: 1, more: [type, 0, size] });
const FWD = btfType("fwd", F, 0);

/** Types with ids from 1 on, and what comes of them: 0, or an errno. */
const TABLE: Readonly<Record<string, readonly [number, ...TypeWords[]]>> = {
  "an array of itself": [EEXIST, INT, array(2, 1)],
  "an array by itself": [EEXIST, INT, array(1, 2)],
  "an array of itself, its index missing": [EINVAL, INT, array(2, 0x201)],
  "an array of itself, its index a struct": [EINVAL, INT, array(2, 3), struct(1)],
  "an array of itself, its index an alias of a struct": [
    EINVAL,
    INT,
    array(2, 3),
    typedef(4),
    struct(1),
  ],
  "an array of itself, its index only declared": [EINVAL, INT, array(2, 3), FWD],
  "a struct in itself, behind what is missing": [EINVAL, INT, struct(9, 2)],
  "a struct in itself, before what is missing": [EEXIST, INT, struct(2, 9)],
  "a struct in itself, behind what is only declared": [EINVAL, INT, struct(3, 2), FWD],
  "a variable that is itself": [EINVAL, variable(1)],
  "a prototype that returns what has no end": [EEXIST, prototype(2), array(2, 2)],
  "a prototype with a name for what has no type": [EINVAL, prototype(0, F, 2, F, 0), array(2, 2)],
  "a tag on what has no end": [EEXIST, btfType("declTag", F, 2, { more: [0] }), typedef(2)],
  "a pointer to a function, seen before it": [EINVAL, ptr(2), func(3), prototype(0)],
  "a pointer to a function, seen after it": [0, func(2), prototype(0), ptr(1)],
  "a constant function, seen before it": [0, constant(2), func(3), prototype(0)],
  "pointers in a circle behind what a struct was seen through to": [
    EEXIST,
    btfType("struct", 0, 8, { parts: 1, more: [F, 2, 0] }),
    constant(3),
    ptr(2),
  ],
  "a variable larger than its place, seen before it": [0, section(2, 4), variable(3), ptr(0)],
  "a variable larger than its place, seen after it": [EINVAL, ptr(0), variable(1), section(2, 4)],
};

function load(kernel: Kernel, types: readonly TypeWords[]): number {
  return loadBtf(kernel, encodeBtf(types, RANDOM_STRINGS));
}

function loadBtf(kernel: Kernel, btf: Uint8Array): number {
  const request = { btf: kernel.addressOf(btf), btf_size: btf.length };
  const fd = kernel.bpf(BPF_BTF_LOAD, encode(BTF_LOAD, request));
  if (fd < 0) return -fd;
  kernel.close(fd);
  return 0;
}

describe("types that name each other, on the embedded kernel", () => {
  test.each(Object.entries(TABLE))("%s", (_, [errno, ...types]) => {
    using kernel = EmbeddedKernel.boot();
    expect(load(kernel, types)).toBe(errno);
  });
});

await describeOnLinux("types that name each other, on Linux", async () => {
  test.each(Object.entries(TABLE))("%s", async (_, [errno, ...types]) => {
    using kernel = await openLinuxKernel();
    expect(load(kernel, types)).toBe(errno);
  });

  test(`${RANDOM_BTF} random ones have Linux's errno (seed ${SEED})`, async () => {
    using there = await openLinuxKernel();
    using here = EmbeddedKernel.boot();
    const random = new Random(SEED);
    const seen = new Set<number>();
    for (let i = 0; i < RANDOM_BTF; i++) {
      const types = randomTypes(random);
      const errno = load(there, types);
      expect(load(here, types), JSON.stringify(types)).toBe(errno);
      seen.add(errno);
    }
    expect([...seen].sort()).toEqual([0, EEXIST, EINVAL].sort());
  });

  test(`${RANDOM_BTF} random ones with special fields, too (seed ${SEED})`, async () => {
    using there = await openLinuxKernel();
    using here = EmbeddedKernel.boot();
    const counts = new Map<number, number>();
    for (let i = 0; i < RANDOM_BTF; i++) {
      const btf = randomFieldBtf(new Random(SEED + i));
      const errno = loadBtf(there, btf);
      expect(loadBtf(here, btf), `seed ${SEED + i}`).toBe(errno);
      counts.set(errno, (counts.get(errno) ?? 0) + 1);
    }
    console.info([...counts].map(([errno, count]) => `errno ${errno}: ${count}`).join(", "));
    expect(counts.get(0)).toBeGreaterThan(RANDOM_BTF / 10);
    for (const errno of [EINVAL, E2BIG]) expect(counts.get(errno) ?? 0).toBeGreaterThan(0);
  });
});
