/**
 * What is mounted where, as far as this process can see (proc_pid_mountinfo(5)).
 */

import { readText } from "./files.ts";

/** A mounted file system. */
export interface Mount {
  readonly path: string;
  /** Which file system it is, major:minor. */
  readonly device: string;
  /** The directory in it that is seen at `path`; "/" for the whole of it. */
  readonly root: string;
}

/**
 * Mounts of a type of file system, in the order in which they were made.
 *
 * @param type - "bpf", "nsfs", …
 */
export function mountPoints(type: string): readonly Mount[] {
  const text = readText("/proc/self/mountinfo");
  return typeof text === "number" ? [] : parseMounts(text, type);
}

/** As {@link mountPoints}. @param text - what /proc/PID/mountinfo says. */
export function parseMounts(text: string, type: string): readonly Mount[] {
  return text.split("\n").flatMap((line) => {
    const [fields = "", source = ""] = line.split(" - ", 2);
    if (!source.startsWith(`${type} `)) return [];
    const [, , device = "", root = "", path = ""] = fields.split(" ");
    return [{ path: unescaped(path), device, root: unescaped(root) }];
  });
}

/** Blanks, tabs, newlines and backslashes are written as three octal digits. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
