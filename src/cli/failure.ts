/**
 * What went wrong, in one line and as an exit code.
 */

import { BpfError, VerifierError } from "../errors.ts";
import { printable } from "./text.ts";

/** The user asked for something that can't be: a wrong file, an unknown program. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** The command is done, or a demo's story held. */
export const EXIT_DONE = 0;
/** The kernel refused, or a demo's story didn't hold. */
export const EXIT_REFUSED = 1;
/** Wrong usage, or files that can't be read or written. */
export const EXIT_USAGE = 2;
/** A fault of nslink itself: EX_SOFTWARE of sysexits.h. */
export const EXIT_INTERNAL = 70;

/** How many lines of a verifier's log are shown. */
const LOG_LINES = 12;

/** Writes what went wrong to standard error; returns the exit code. */
export function report(error: unknown): number {
  const [text, exitCode] = described(error);
  process.stderr.write(`nslink: ${printable(text)}\n`);
  return exitCode;
}

function described(error: unknown): [text: string, exitCode: number] {
  if (error instanceof VerifierError) {
    const log = error.log.trimEnd().split("\n").slice(-LOG_LINES);
    return [[error.message, ...log.map((line) => `  ${line}`)].join("\n"), EXIT_REFUSED];
  }
  if (error instanceof BpfError) return [error.message, EXIT_REFUSED];
  if (error instanceof UsageError) return [error.message, EXIT_USAGE];
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return [`a fault in nslink itself, please report it: ${trace}`, EXIT_INTERNAL];
}
