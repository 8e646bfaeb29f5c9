/**
 * Every cause, brought about and found out: the same table for every kernel.
 */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CAUSES } from "../../src/index.ts";
import type { World, WorldKind } from "../contract/world.ts";
import { INDUCTIONS } from "./inductions/index.ts";
import { Trial, type WithCapabilities } from "./trial.ts";

/** What a kernel adds to the contract's world. */
export interface Surroundings {
  readonly kind: WorldKind;
  readonly kernel: "embedded" | "linux";
  readonly withCapabilities: (world: World) => WithCapabilities;
}

/** Registers a test for each cause that can be brought about on a kernel. */
export function causes({ kind, kernel, withCapabilities }: Surroundings): void {
  let world: World;
  beforeAll(async () => {
    world = await kind.open();
  });
  afterAll(() => world.end());

  for (const id of new Set(CAUSES.map((cause) => cause.id))) {
    const induction = INDUCTIONS[id];
    const reason = induction?.notOn?.[kernel];
    if (reason !== undefined) {
      test.skip(`${id}: ${reason}`, () => {});
      console.warn(`cause ${id} is not brought about on ${kernel}: ${reason}`);
      continue;
    }
    test(id, async () => {
      expect(induction, "is brought about somewhere").toBeDefined();
      const trial = new Trial(world, withCapabilities(world));
      try {
        const diagnosis = await induction?.induce(trial);
        expect(diagnosis?.reason, diagnosis?.hint).toBe(id);
        expect(diagnosis?.hint).toMatch(induction?.says ?? /./);
        expect(diagnosis?.hint, "a sentence without its full stop").toMatch(/^[^A-Z].*[^.]$/s);
      } finally {
        trial.end();
      }
    });
  }

  describe("a diagnosis", () => {
    test("there is an induction for no other cause", () => {
      const known = new Set(CAUSES.map(({ id }) => id));
      expect(Object.keys(INDUCTIONS).filter((id) => !known.has(id))).toEqual([]);
    });
  });
}
