/**
 * How a chapter of the contract states its rules.
 */

import { afterAll, describe, test } from "vitest";
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
  const skipped = new Map<string, number>();
  const rule = (what: string, trial: Trial): void => test(what, run(trial));
  const ruleOf = (feature: Feature, what: string, trial: Trial): void => {
    const reason = kind.lacks[feature];
    if (reason === undefined) {
      rule(what, trial);
      return;
    }
    test.skip(`${what} (${reason})`);
    skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  };
  for (const { title, rules } of chapters) describe(title, () => rules({ rule, ruleOf }));
  afterAll(() => {
    for (const [reason, count] of skipped) {
      console.warn(`${kind.name}: ${count} rules skipped: ${reason}`);
    }
  });
}
