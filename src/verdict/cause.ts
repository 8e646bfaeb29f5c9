/**
 * What a cause is for which verifiers refuse programs: data, found by the words in the log.
 */

import type { LogReading } from "./log.ts";

/** One reason for which programs are refused. */
export interface CauseRule {
  /** Stable, for programs to compare with. */
  readonly id: string;
  /** What is wrong, as a sentence without its full stop. */
  readonly sentence: string;
  /** What usually mends the program; a function knows the numbers in the log. */
  readonly mend: string | ((reading: LogReading) => string);
  /** Words of the log that tell it, whichever of them. */
  readonly words: readonly RegExp[];
  /** What else has to be so, for words that say too little. */
  readonly when?: (reading: LogReading) => boolean;
  /** It is about no single instruction. */
  readonly isGeneral?: true;
}

/** The register that a message names first: "R2"; "" when it names none. */
export function namedRegister({ message }: LogReading): string {
  return /\bR\d+\b/.exec(message)?.[0] ?? "";
}

/** What was known of the register that a message names first; "" for nothing. */
export function namedContents(reading: LogReading): string {
  return reading.known.get(namedRegister(reading)) ?? "";
}

/** The numbers that a message gives to these names: `off=4`. NaN for those that it doesn't give. */
export function figures(
  { message }: Pick<LogReading, "message">,
  ...names: readonly string[]
): number[] {
  return names.map((name) => Number(new RegExp(`\\b${name}=(-?\\d+)`).exec(message)?.[1] ?? "NaN"));
}
