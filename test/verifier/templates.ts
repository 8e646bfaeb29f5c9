/**
 * Programs around the boundaries: each template is a subject that verifiers have rules about,
 * written with random choices at the places where one more or less decides.
 */

import type { Random } from "../random.ts";
import type { TestProgram } from "./program.ts";
import { globalCalls, staticCalls, tailCalls } from "./templates/functions.ts";
import { links } from "./templates/links.ts";
import { callbacks, counted, mayGoto } from "./templates/loops.ts";
import { nested } from "./templates/nested.ts";
import { arithmetic, boundary } from "./templates/numbers.ts";
import {
  atomics,
  constants,
  contexts,
  leaks,
  legacy,
  lookups,
  packets,
  sockets,
} from "./templates/pointers.ts";
import { references } from "./templates/references.ts";
import { roundsWithoutEnd } from "./templates/rounds.ts";
import { joins, spills } from "./templates/stack.ts";

/** How often, and which. */
const TEMPLATES: readonly (readonly [number, (random: Random) => TestProgram])[] = [
  [6, boundary],
  [6, arithmetic],
  [8, links],
  [5, spills],
  [5, joins],
  [4, counted],
  [1, mayGoto],
  [4, callbacks],
  [3, staticCalls],
  [4, globalCalls],
  [2, tailCalls],
  [5, packets],
  [3, sockets],
  [3, constants],
  [3, lookups],
  [3, atomics],
  [2, legacy],
  [3, leaks],
  [3, contexts],
  [4, nested],
  [1, roundsWithoutEnd],
  [4, references],
];
const TOTAL = TEMPLATES.reduce((sum, [weight]) => sum + weight, 0);

/** A program of one of the templates. */
export function templateProgram(random: Random): TestProgram {
  let at = random.below(TOTAL);
  for (const [weight, make] of TEMPLATES) {
    if (at < weight) return make(random);
    at -= weight;
  }
  throw new RangeError("the weights don't add up");
}
