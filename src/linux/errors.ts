/**
 * What is said when the machine can't do what was asked for.
 */

/** How to describe something that is missing. */
export interface UnsupportedOptions extends ErrorOptions {
  /** What was asked for. */
  readonly feature: string;
  /** What would bring it: a Linux version, a package, a capability. */
  readonly since: string;
}

/** Something that this machine lacks, with what would bring it. */
export class UnsupportedError extends Error {
  override readonly name = "UnsupportedError";
  readonly feature: string;
  readonly since: string;

  constructor({ feature, since, ...options }: UnsupportedOptions) {
    super(`${feature} is not available here; it needs ${since}`, options);
    this.feature = feature;
    this.since = since;
  }
}
