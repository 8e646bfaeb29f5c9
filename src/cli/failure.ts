/**
 * What went wrong, in one line and as an exit code.
 */

import { BpfError, VerifierError } from "../errors.ts";

/** The user asked for something that can't be: a wrong file, an unknown program. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** How many lines of a verifier's log are shown. */
const LOG_LINES = 12;

export function messageOf(error: unknown): string {
  if (error instanceof VerifierError) {
    const log = error.log.trimEnd().split("\n").slice(-LOG_LINES);
    return [error.message, ...log.map((line) => `  ${line}`)].join("\n");
  }
  return error instanceof Error ? error.message : String(error);
}

/** 1 when the kernel refused, 2 for everything else. */
export function exitCodeOf(error: unknown): number {
  return error instanceof BpfError ? 1 : 2;
}
