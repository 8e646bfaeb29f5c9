/**
 * What went wrong, in one line and as an exit code.
 */

import { BpfError, UnsupportedError, VerifierError } from "../errors.ts";
import { remedyCommand } from "./remedies.ts";
import { oneLine } from "./text.ts";

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
/** Wrong usage, files that can't be read or written, or a machine that can't do what is asked. */
export const EXIT_USAGE = 2;
/** A fault of nslink itself: EX_SOFTWARE of sysexits.h. */
export const EXIT_INTERNAL = 70;

/** How many lines of a verifier's log are shown. */
const LOG_LINES = 12;

/** What went wrong, in words and as an exit code. */
export interface Failure {
  readonly text: string;
  readonly exitCode: number;
}

/**
 * Puts an error into words.
 *
 * @param isScript - whether what can be done is said as lines of a script.
 */
export function describeFailure(error: unknown, isScript: boolean = false): Failure {
  if (error instanceof BpfError) {
    const log =
      error instanceof VerifierError ? error.log.trimEnd().split("\n").slice(-LOG_LINES) : [];
    const remedies = error.remedies
      .map((remedy) => remedyCommand(remedy, isScript))
      .flatMap((command) => (command === null ? [] : [`  try: ${command}`]));
    const lines = [oneLine(error.message), ...log.map((line) => `  ${line}`), ...remedies];
    return { text: lines.join("\n"), exitCode: EXIT_REFUSED };
  }
  if (error instanceof UsageError || error instanceof UnsupportedError) {
    return { text: oneLine(error.message), exitCode: EXIT_USAGE };
  }
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const text = `a fault in nslink itself, please report it: ${trace}`;
  return { text, exitCode: EXIT_INTERNAL };
}

/**
 * Makes what the API says of wrong arguments wrong usage, for calls whose arguments come from the
 * command line.
 *
 * @throws {UsageError} in place of TypeError and RangeError.
 */
export function asUsage<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message);
    }
    throw error;
  }
}
