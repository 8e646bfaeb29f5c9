/**
 * How the verifier refuses a program: thrown where it is found out, caught where the verdict is
 * given. Nothing outside of this room sees it; others learn from the log why it was.
 */

/** A program is refused. */
export class Refusal extends Error {
  /** Positive. */
  readonly errno: number;
  /** What ends the message in the log. */
  readonly end: string;

  /**
   * @param message - what the log says, in Linux's terms. @param end - some of Linux's messages
   *   have no end of line.
   */
  constructor(errno: number, message: string, end: "\n" | "" = "\n") {
    super(message);
    this.name = "Refusal";
    this.errno = errno;
    this.end = end;
  }
}
