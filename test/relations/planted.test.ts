/**
 * Breaks when these programs wouldn't show that the verifier believes something wrong: each fault
 * is planted in what the verifier is made of, and must be found.
 */

import { afterEach, expect, test, vi } from "vitest";
import { type Bounds, copyBounds } from "../../src/kernel/verifier/bounds.ts";
import type { Register } from "../../src/kernel/verifier/register.ts";

const FOLDER = "../../src/kernel/verifier";

type Module = Readonly<Record<string, unknown>>;

interface Fault {
  readonly file: string;
  /** What is there instead. */
  readonly plant: (module: Module) => Module;
  /** A seed from which it isn't far to a program that shows it. */
  readonly seed: number;
  readonly within: number;
}

const FAULTS: Readonly<Record<string, Fault>> = {
  "a sum of 32 bits stays linked to a number of 64": {
    file: "links.ts",
    plant: () => ({
      isLinkable: ({ id, sumWidth }: Register): boolean => id !== 0 && sumWidth === 0,
    }),
    seed: 6528,
    within: 20,
  },
  "a move or fill with a sign has none": {
    file: "extension.ts",
    plant: ({ truncate }) => ({ signExtend64: truncate }),
    seed: 218,
    within: 20,
  },
  "a part of a spilled number has all of its bits": {
    file: "extension.ts",
    plant: () => ({ truncate: (before: Readonly<Bounds>): Bounds => copyBounds(before) }),
    seed: 123,
    within: 20,
  },
};

async function campaign(seed: number, count: number): Promise<{ unsafe: number; report: string }> {
  const { Campaign } = await import("./campaign.ts");
  const options = { seed, count, linux: null, hardenedEvery: 1, maxFaults: 1 };
  const { unsafe, reports } = new Campaign(options).run();
  return { unsafe, report: reports.join("\n") };
}

afterEach(() => {
  vi.resetModules();
});

test.each(Object.entries(FAULTS))("%s: found", async (_, { file, plant, seed, within }) => {
  const path = `${FOLDER}/${file}`;
  vi.doMock(path, async (original) => {
    const module = await original<Module>();
    return { ...module, ...plant(module) };
  });
  try {
    const { unsafe, report } = await campaign(seed, within);
    expect(unsafe).toBe(1);
    expect(report).toContain("UNSAFE");
  } finally {
    vi.doUnmock(path);
  }
});
