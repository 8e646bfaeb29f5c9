/**
 * The BPF file system, as any other file system of Linux.
 */

import { mkdirSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { decodeName } from "../abi/names.ts";
import type { BpffsCalls } from "../kernel.ts";
import { asPath, attempt, attemptVoid, readNames } from "./files.ts";
import { mountPoints } from "./mounts.ts";

/** Directories are their owner's alone: whoever gets at a pin controls the object. */
const DIRECTORY_MODE = 0o700;

export const linuxBpffs: BpffsCalls = {
  mkdir: (path) => attemptVoid(() => mkdirSync(asPath(path), { mode: DIRECTORY_MODE })),
  rmdir: (path) => attemptVoid(() => rmdirSync(asPath(path))),
  unlink: (path) => attemptVoid(() => unlinkSync(asPath(path))),
  readdir: readNames,
  mounts: bpffsMounts,
  walk(path) {
    const readable = readNames(path);
    return typeof readable === "number" ? readable : [...filesBelow(path)].sort();
  },
};

/** One path for each file system, the one that shows most of it, unless another hides it. */
function bpffsMounts(): readonly string[] {
  const byDevice = new Map<string, { readonly path: string; readonly root: string }>();
  for (const { device, ...mount } of mountPoints("bpf")) {
    const known = byDevice.get(device);
    if (known === undefined || mount.root.length < known.root.length) byDevice.set(device, mount);
  }
  return [...new Set([...byDevice.values()].map(({ path }) => path))];
}

function* filesBelow(path: string): Generator<string> {
  const entries = attempt(() =>
    readdirSync(asPath(path), { withFileTypes: true, encoding: "buffer" }),
  );
  if (typeof entries === "number") return;
  for (const entry of entries) {
    const below = `${path}${path.endsWith("/") ? "" : "/"}${decodeName(entry.name)}`;
    if (entry.isDirectory()) yield* filesBelow(below);
    else if (entry.isFile()) yield below;
  }
}
