/**
 * What whoever runs random tests may choose by environment variables.
 */

/** A number that a variable holds, or another where it isn't set. */
export function numberSetting(name: string, otherwise: number): number {
  const text = process.env[name];
  const number = text === undefined ? otherwise : Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new RangeError(`${name}=${text} is no whole number`);
}

/** A seed: a number, or "random" for one that nobody has tried yet. */
export function seedSetting(name: string): number {
  return process.env[name] === "random"
    ? Math.floor(Math.random() * 2 ** 31)
    : numberSetting(name, 1);
}
