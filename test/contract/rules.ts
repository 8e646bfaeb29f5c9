/**
 * How a chapter of the contract states its rules.
 */

import { describe, test } from "vitest";
import { Case } from "./case.ts";
import type { Feature, World, WorldKind } from "./world.ts";

/** One rule, tried. */
export type Trial = (c: Case) => void | Promise<void>;

/** Takes the rules of a chapter. */
export interface Rules {
  /** @param what - what the kernel does. */
  rule(what: string, trial: Trial): void;
  /** A rule that only a kernel with a certain feature can keep. */
  ruleOf(feature: Feature, what: string, trial: Trial): void;
}

/** A chapter of the contract: a subject with its rules. */
export interface Chapter {
  readonly title: string;
  readonly rules: (rules: Rules) => void;
}

/** Registers chapters with vitest for one kernel. */
export function runChapters(
  chapters: readonly Chapter[],
  kind: WorldKind,
  world: () => World,
): void {
  const run = (trial: Trial) => async (): Promise<void> => {
    const c = new Case(world());
    try {
      await trial(c);
    } finally {
      c.end();
    }
  };
  for (const chapter of chapters) {
    describe(chapter.title, () => {
      let skipped = 0;
      chapter.rules({
        rule: (what, trial) => test(what, run(trial)),
        ruleOf: (feature, what, trial) => {
          const missing = kind.lacks[feature];
          if (missing === undefined) test(what, run(trial));
          else test.skip(`${what} (${missing})`, () => {});
          if (missing !== undefined) skipped++;
        },
      });
      if (skipped > 0) {
        console.warn(`${kind.name}: ${skipped} rules of "${chapter.title}" skipped: see each`);
      }
    });
  }
}
