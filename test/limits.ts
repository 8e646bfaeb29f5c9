/**
 * Time limits of all tests: guards against hanging, far above what anything takes on a slow
 * machine. What a test does is bounded by counts, never by these.
 */

/** For a test, a hook, or a process that a test starts, in ms. */
export const HANG_MS = 1_200_000;

/** For what a kernel does later by itself: namespaces that die, ids that go, in ms. */
export const SETTLE_MS = 60_000;
