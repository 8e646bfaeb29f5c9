/**
 * Options that several commands have, and what their values may be.
 */

import { type Command, InvalidArgumentError, Option } from "commander";
import { KERNEL_NAMES, type KernelName, type Session } from "../session.ts";

/** Adds `--kernel`; the lines of a script run on the script's own. */
export function withKernel(command: Command, session: Session, standard: KernelName): Command {
  if (session.isScript) return command;
  return command.addOption(
    new Option("--kernel <kernel>", "on which kernel").choices(KERNEL_NAMES).default(standard),
  );
}

/** Adds what every command of an operator has. */
export function withOperatorOptions(command: Command, session: Session): Command {
  return withKernel(command.option("--json", "as JSON"), session, "linux");
}

/** Adds `--replace-map`, which may be given more than once. */
export function withMapReplacement(command: Command): Command {
  return command.option(
    "--replace-map <name=pin>",
    "use the map pinned there for the object's map of that name; may be repeated",
    (value: string, values: readonly string[] = []) => [...values, value],
  );
}

/** What the help says of LINK. */
export const LINK: string = "id or pin of a link";
/** What the help says of OBJECT[:PROGRAM]. */
export const OBJECT: string =
  "object file, with :name for another than its first program; or a loaded program: " +
  "id:N, pin:PATH, tag:HEX, name:NAME";
/** What the help says of REF. */
export const NETNS: string = "network namespace: a name, a path, pid:N or self";

/** A u32 of an option. */
export function u32(text: string): number {
  return integer(text, 0, 0xffff_ffff);
}

/** A number from 1 up. */
export function count(text: string): number {
  return integer(text, 1, Number.MAX_SAFE_INTEGER);
}

/** More make nothing faster on any machine. */
const MAX_THREADS = 256;

/** A number of threads. */
export function threads(text: string): number {
  return integer(text, 1, MAX_THREADS);
}

function integer(text: string, min: number, max: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} up` : `${min} to ${max}`;
  throw new InvalidArgumentError(`It must be a whole number from ${range}.`);
}
