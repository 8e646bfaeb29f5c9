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

/** A seed: a number, or "random" for one that nobody has tried yet. */
export function seedSetting(name: string): number {
  return process.env[name] === "random"
    ? Math.floor(Math.random() * 2 ** 31)
    : numberSetting(name, 1);
}
