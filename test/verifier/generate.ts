/**
 * The program that comes of a seed.
 */

import * as BPF from "../../src/abi/bpf.ts";
import { mutate, mutatedProgram } from "./mutations.ts";
import { programOf, type TestProgram } from "./program.ts";
import { Random } from "./random.ts";
import { randomProgram } from "./random_program.ts";
import { templateProgram } from "./templates.ts";

/** What makes programs, and how often in 100. */
const SOURCES: readonly (readonly [number, (random: Random) => TestProgram])[] = [
  [25, (random) => programOf({ ...randomProgram(random), origin: "random" })],
  [20, mutatedProgram],
  [55, templateProgram],
];

/** Now and then something is changed in what was made. */
const MUTATED_PERCENT = 12;
const RESTRICTED_PERCENT = 15;
/** Guesses go round loops up to the verifier's limit. */
const RESTRICTED_LOOP_PERCENT = 3;
const PROPRIETARY_PERCENT = 2;
const FLAGGED_PERCENT = 6;

/** The program of a seed. */
export function generate(seed: number): TestProgram {
  const random = new Random(seed);
  let at = random.below(100);
  for (const [weight, make] of SOURCES) {
    if (at < weight) return varied(random, make(random));
    at -= weight;
  }
  throw new RangeError("the weights don't add up to 100");
}

function varied(random: Random, made: TestProgram): TestProgram {
  const program = random.chance(MUTATED_PERCENT) ? mutate(random, made) : made;
  const percent = /loop/.test(program.origin) ? RESTRICTED_LOOP_PERCENT : RESTRICTED_PERCENT;
  const rights = random.chance(percent) ? "no perfmon" : program.rights;
  const license = random.chance(PROPRIETARY_PERCENT) ? "Proprietary" : program.license;
  if (!random.chance(FLAGGED_PERCENT)) return { ...program, rights, license };
  const flags = random.pick([BPF.BPF_F_STRICT_ALIGNMENT, BPF.BPF_F_TEST_STATE_FREQ]);
  return { ...program, rights, license, flags };
}
