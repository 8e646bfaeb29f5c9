/**
 * The differential: two verifiers judge the same programs, and what they differ in is counted,
 * explained, or shrunk and shown.
 */

import { E2BIG } from "../../src/abi/errno.ts";
import { disassemble, encodeInstructions } from "../../src/asm/index.ts";
import { explain } from "./explained.ts";
import { generate } from "./generate.ts";
import type { FaultWatch } from "./hunt.ts";
import type { Rights, TestProgram } from "./program.ts";
import { shrink } from "./shrink.ts";
import type { Verdict, World } from "./world.ts";

/** How a verdict differs from the other kernel's, which is right. */
export type Kind = "unsafe" | "refused" | "errno";

/** What to do. */
export interface Options {
  /** The first program's; the following ones have those after it. */
  readonly seed: number;
  readonly programs: number;
  /** Shows so many of the differences that have no explanation, made as short as they can be. */
  readonly maxShown: number;
  /** Whoever loads them; by default by chance. */
  readonly rights?: Rights;
  /** Only programs whose origin has this in it. */
  readonly only?: string;
  /** Looks for what Linux's log says of itself. */
  readonly watch?: FaultWatch;
  /** Called now and then with what came out so far. */
  readonly progress?: (counts: Counts) => void;
}

/** What came of it. */
export interface Counts {
  programs: number;
  /** Both accept. */
  accepted: number;
  /** Both refuse, with the same errno. */
  refused: number;
  /** Accepted here, refused there: must be 0. */
  unsafe: number;
  /** Refused here, accepted there. */
  refusedHere: number;
  /** Refused by both, with different errnos. */
  errno: number;
  readonly explained: Map<string, number>;
  /** The differences that nothing explains, as text. */
  readonly shown: string[];
  /** Instructions walked here for each one there, of programs that both accept; unsorted. */
  readonly ratios: number[];
  /** What Linux said about faults of its own, with the programs that caused it. */
  readonly faults: string[];
  /** Programs, and those that differ, by what made them. */
  readonly origins: Map<string, { programs: number; accepted: number; different: number }>;
}

/** How two verdicts differ; null: not at all. */
export function difference(here: Verdict, there: Verdict): Kind | null {
  if (here.errno === there.errno) return null;
  if (here.errno === 0) return "unsafe";
  return there.errno === 0 ? "refused" : "errno";
}

/** The disagreements that weren't explained. */
export function unexplained({ unsafe, refusedHere, errno, explained }: Counts): number {
  const known = [...explained.values()].reduce((sum, count) => sum + count, 0);
  return unsafe + refusedHere + errno - known;
}

const PROGRESS_INTERVAL = 5000;

/**
 * Compares two kernels.
 *
 * @param here - the one that is tried. @param there - the one that is right.
 */
export function compare(here: World, there: World, options: Options): Counts {
  const counts: Counts = {
    programs: 0,
    accepted: 0,
    refused: 0,
    unsafe: 0,
    refusedHere: 0,
    errno: 0,
    explained: new Map(),
    shown: [],
    ratios: [],
    faults: [],
    origins: new Map(),
  };
  for (let i = 0; i < options.programs; i++) {
    const seed = options.seed + i;
    const program = generate(seed, options.rights);
    if (options.only !== undefined && !program.origin.includes(options.only)) continue;
    judge(here, there, program, seed, options, counts);
    if (i % PROGRESS_INTERVAL === PROGRESS_INTERVAL - 1) options.progress?.(counts);
  }
  return counts;
}

function judge(
  here: World,
  there: World,
  program: TestProgram,
  seed: number,
  options: Options,
  counts: Counts,
): void {
  const ours = here.judge(program);
  const theirs = there.judge(program);
  counts.faults.push(...(options.watch?.afterLoad(program, seed) ?? []));
  counts.programs++;
  const family = program.origin.split(/[ :]/, 1)[0] as string;
  const origin = counts.origins.get(family) ?? { programs: 0, accepted: 0, different: 0 };
  counts.origins.set(family, origin);
  origin.programs++;
  if (theirs.errno === 0) origin.accepted++;
  const kind = difference(ours, theirs);
  if (kind === null) {
    if (ours.errno === 0) {
      counts.accepted++;
      counts.ratios.push(ours.processed / theirs.processed);
    } else {
      counts.refused++;
    }
    return;
  }
  origin.different++;
  if (kind === "unsafe") counts.unsafe++;
  else if (kind === "refused") counts.refusedHere++;
  else counts.errno++;
  const reason = explain({
    program,
    here: ours,
    there: theirs,
    log: here.log(program),
    linuxLog: there.log(program),
  });
  if (reason !== null) {
    counts.explained.set(reason, (counts.explained.get(reason) ?? 0) + 1);
    return;
  }
  if (counts.shown.length >= options.maxShown) return;
  const isSame = (candidate: TestProgram): boolean => {
    const [a, b] = [here.judge(candidate), there.judge(candidate)];
    return a.errno === ours.errno && b.errno === theirs.errno;
  };
  const isSlow = ours.errno === -E2BIG || theirs.errno === -E2BIG;
  const shortest = shrink(program, isSlow, isSame);
  counts.shown.push(report(here, there, shortest, seed, `${ours.errno}, not ${theirs.errno}`));
}

function lastLines(log: string): string {
  const lines = log.split("\n").filter((line) => !/^(processed|$)/.test(line));
  return lines.slice(-4).join("\n    ");
}

function report(
  here: World,
  there: World,
  program: TestProgram,
  seed: number,
  what: string,
): string {
  const { origin, type, rights, flags, debug } = program;
  const told = debug === null ? "" : `, functions ${debug.functions.join(" ")}`;
  const text = disassemble(encodeInstructions(program.instructions)).trimEnd();
  return [
    `seed ${seed} (${origin}; type ${type}, ${rights}, flags ${flags}${told}): ${what}`,
    text,
    `  ${here.name}:\n    ${lastLines(here.log(program))}`,
    `  ${there.name}:\n    ${lastLines(there.log(program))}`,
  ].join("\n");
}
