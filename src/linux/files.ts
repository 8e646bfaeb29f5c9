/**
 * Node's file calls, answering as system calls do: with negative errnos.
 */

/**
 * Runs a call of `node:fs`.
 *
 * @returns what it returned, or a negative errno.
 */
export function attempt<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    const errno = (error as { errno?: unknown }).errno;
    if (typeof errno === "number") return errno;
    throw error;
  }
}

/** As {@link attempt}, for calls that return nothing: 0, or a negative errno. */
export function attemptVoid(call: () => void): number {
  return attempt(call) ?? 0;
}
