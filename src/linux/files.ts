/**
 * Node's file calls, answering as system calls do: with negative errnos, and with names of any
 * bytes.
 */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { EINVAL } from "../abi/errno.ts";
import { decodeName, encodeName } from "../abi/names.ts";

/**
 * Runs a call of `node:fs`.
 *
 * @returns what it returned, or a negative errno.
 */
export function attempt<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    const { errno, code } = error as { errno?: unknown; code?: unknown };
    if (typeof errno === "number") return errno;
    // A path with a NUL in it.
    if (code === "ERR_INVALID_ARG_VALUE") return -EINVAL;
    throw error;
  }
}

/** As {@link attempt}, for calls that return nothing: 0, or a negative errno. */
export function attemptVoid(call: () => void): number {
  return attempt(call) ?? 0;
}

/** A path as Node takes it. */
export function asPath(path: string): Buffer {
  return Buffer.from(encodeName(path));
}

/** Names in a directory, sorted; or a negative errno. */
export function readNames(directory: string): readonly string[] | number {
  return attempt(() =>
    readdirSync(asPath(directory), { encoding: "buffer" }).map(decodeName).sort(),
  );
}

/** The text of a file, or a negative errno. */
export function readText(path: string): string | number {
  return attempt(() => decodeName(readFileSync(asPath(path))));
}

/** Where a symbolic link leads, or a negative errno. */
export function readLink(path: string): string | number {
  return attempt(() => decodeName(readlinkSync(asPath(path), { encoding: "buffer" })));
}
