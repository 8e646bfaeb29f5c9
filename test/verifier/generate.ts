/**
 * The program that comes of a seed.
 */

import * as BPF from "../../src/abi/bpf.ts";
import { jumpOffset } from "../../src/asm/index.ts";
import { namesFunction } from "../../src/kernel/verifier/subprograms.ts";
import { Random } from "../random.ts";
import { mutate, mutatedProgram } from "./mutations.ts";
import { programOf, type Rights, type TestProgram } from "./program.ts";
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

/** How many programs are passed over that nobody without CAP_BPF would get loaded, at most. */
const MAX_TRIES = 100;
/** But now and then such a one is taken. */
const HOPELESS_PERCENT = 1;

/** The program of a seed. @param rights - of whoever loads it; by default by chance. */
export function generate(seed: number, rights?: Rights): TestProgram {
  const random = new Random(seed);
  if (rights === undefined) return anyProgram(random);
  let program = anyProgram(random);
  if (rights === "unprivileged") {
    for (let tries = 1; tries < MAX_TRIES && !suits(random, program); tries++) {
      program = anyProgram(random);
    }
  }
  return { ...program, rights };
}

/** Whether somebody without CAP_BPF might get the program loaded, or it is taken all the same. */
function suits(random: Random, { type, instructions }: TestProgram): boolean {
  if (random.chance(HOPELESS_PERCENT)) return true;
  if (type !== BPF.BPF_PROG_TYPE_SOCKET_FILTER) return false;
  return !instructions.some((insn) => namesFunction(insn) || (jumpOffset(insn) ?? 0) < 0);
}

function anyProgram(random: Random): TestProgram {
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
