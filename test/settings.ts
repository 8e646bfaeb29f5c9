/**
 * What whoever runs random tests may choose, by environment variables and options.
 */

/**
 * A whole number as somebody wrote it, or another where nobody did.
 *
 * @param name - of the variable or option, for the message.
 * @throws {RangeError} when it is something else.
 */
export function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  const number = text === undefined ? otherwise : Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new RangeError(`${name}: ${text} is no whole number`);
}

/** A number that a variable holds, or another where it isn't set. */
export function numberSetting(name: string, otherwise: number): number {
  return wholeNumber(name, process.env[name], otherwise);
}

/**
 * The seed of this run, when nobody chose one: another at every start, so that the long comparisons
 * try other inputs each time. NSLINK_SEED replays a run.
 */
export const MOVING_SEED: number = numberSetting("NSLINK_SEED", mixed(Date.now()));

/** Neighbouring times give seeds far apart, so that runs don't try each other's inputs again. */
function mixed(time: number): number {
  return Math.imul(Math.floor(time / 1000), 0x9e3779b1) >>> 1;
}

/**
 * The seed of one kind of random test.
 *
 * @param name - of the variable that says which; by default, and for "random", it moves on.
 */
export function seedSetting(name: string): number {
  return process.env[name] === "random" ? MOVING_SEED : numberSetting(name, MOVING_SEED);
}

/** How often each property of a reader is tried with mutated input. */
export const PROPERTY_RUNS: number = numberSetting("NSLINK_FUZZ_RUNS", 2_000);
