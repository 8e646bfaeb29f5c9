/**
 * The BPF file system, as any other file system of Linux.
 */

import { mkdirSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import type { BpffsCalls } from "../kernel.ts";
import { attempt, attemptVoid } from "./files.ts";

/** Directories are their owner's alone: whoever gets at a pin controls the object. */
const DIRECTORY_MODE = 0o700;

export const linuxBpffs: BpffsCalls = {
  mkdir: (path) => attemptVoid(() => mkdirSync(path, { mode: DIRECTORY_MODE })),
  rmdir: (path) => attemptVoid(() => rmdirSync(path)),
  unlink: (path) => attemptVoid(() => unlinkSync(path)),
  readdir: (path) => attempt(() => readdirSync(path).sort()),
};
