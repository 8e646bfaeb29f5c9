/**
 * What is said when the machine can't do what was asked for: the same as everywhere.
 */

export { UnsupportedError, type UnsupportedOptions } from "../errors.ts";
