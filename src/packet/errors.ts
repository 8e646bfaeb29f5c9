// The one error that capture readers throw, whatever bytes they are fed.

/**
 * Why a capture can't be read (further):
 * - `truncated`: the file ends in the middle of a record; every packet before it was delivered.
 * - `malformed`: bytes that the format doesn't allow.
 * - `unsupported`: a valid capture of a kind that isn't read here.
 */
export type CaptureErrorKind = "truncated" | "malformed" | "unsupported";

/** A capture that can't be read (further). Packets before {@link offset} have been delivered. */
export class CaptureError extends Error {
  override readonly name: string = "CaptureError";
  readonly kind: CaptureErrorKind;
  /** Where in the file the problem is, in bytes from its start. */
  readonly offset: number;

  constructor(kind: CaptureErrorKind, offset: number, problem: string) {
    super(`at byte ${offset} of the capture: ${problem}`);
    this.kind = kind;
    this.offset = offset;
  }
}
