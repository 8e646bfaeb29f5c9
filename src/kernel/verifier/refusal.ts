/**
 * How the verifier refuses a program: thrown where it is found out, caught where the verdict is
 * given. Nothing outside of this room sees it; others learn from the log why it was.
 */

/** A program is refused. */
export class Refusal extends Error {
  /** Positive. */
  readonly errno: number;

  /** @param message - what the log says, in Linux's terms. */
  constructor(errno: number, message: string) {
    super(message);
    this.name = "Refusal";
    this.errno = errno;
  }
}
