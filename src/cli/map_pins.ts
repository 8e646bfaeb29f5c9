/**
 * Pins of the maps of programs that live on when nslink ends. Linux empties a prog array with its
 * last fd or pin, even while a program uses it, so the maps of a pinned link are pinned beside it:
 * the link at PATH, its program's maps at PATH-maps/ID/NAME, where ID is the program's. With the id
 * in the path an update can pin the new maps, swap the program, and then remove the old ones: at
 * each moment the maps of the program that is attached are pinned.
 */

import { BPF_MAP_TYPE_PROG_ARRAY } from "../abi/bpf.ts";
import { EEXIST, ENOENT } from "../abi/errno.ts";
import { u32 } from "../codec.ts";
import { check } from "../diagnosis/refusal.ts";
import { BpfError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import { BpfMap } from "../map.ts";
import { Program } from "../program.ts";
import { UsageError } from "./failure.ts";
import type { Loaded } from "./references.ts";
import type { Session } from "./session.ts";

/** How many maps and programs are looked at to find all that a program can reach. */
const MAX_REACHED = 4096;

/** Where the maps of all programs of a pinned link are. */
export function mapsBeside(pin: string): string {
  return `${pin}-maps`;
}

/** Pins that were made. */
export interface PinnedMaps {
  /** Where the maps are. */
  readonly paths: readonly string[];
  /** Takes away what wasn't there before. */
  readonly undo: () => void;
}

/** Nothing to pin. */
export const NO_PINS: PinnedMaps = { paths: [], undo: () => {} };

/**
 * Pins maps below a directory, which is made. Maps whose names have a dot in them, those of global
 * data, are left out: a BPF file system has no such names, and the programs hold them anyway.
 *
 * @throws {BpfError} when the kernel refuses; then nothing is left of it.
 */
export function pinMaps(
  kernel: Kernel,
  directory: string,
  maps: Iterable<readonly [name: string, map: BpfMap]>,
): PinnedMaps {
  const paths: string[] = [];
  const made: string[] = [];
  const isNew = makeDirectory(kernel, directory);
  const undo = (): void => {
    for (const path of made) kernel.bpffs.unlink(path);
    if (isNew) kernel.bpffs.rmdir(directory);
  };
  try {
    for (const [name, map] of maps) {
      if (name === "" || name.includes(".")) continue;
      const path = `${directory}/${name}`;
      if (pinUnlessThere(map, path)) made.push(path);
      paths.push(path);
    }
  } catch (error) {
    undo();
    throw error;
  }
  return { paths, undo };
}

/** @returns false when this very map is pinned there, as a command that was killed may leave it. */
function pinUnlessThere(map: BpfMap, path: string): boolean {
  try {
    map.pin(path);
    return true;
  } catch (error) {
    if (!(error instanceof BpfError) || error.errno !== EEXIST) throw error;
    if (idOfMapAt(map.kernel, path) !== map.info.id) throw error;
    return false;
  }
}

/** Null when something else is there. */
function idOfMapAt(kernel: Kernel, path: string): number | null {
  try {
    using map = BpfMap.fromPin(kernel, path);
    return map.info.id;
  } catch {
    return null;
  }
}

/** Pins the maps of a link's program beside the link's pin. */
export function pinMapsBeside(
  kernel: Kernel,
  pin: string,
  programId: number,
  maps: ReadonlyMap<string, BpfMap>,
): PinnedMaps {
  if (maps.size === 0) return NO_PINS;
  const isNew = makeDirectory(kernel, mapsBeside(pin));
  const undoParent = (): void => {
    if (isNew) kernel.bpffs.rmdir(mapsBeside(pin));
  };
  try {
    const { paths, undo } = pinMaps(kernel, `${mapsBeside(pin)}/${programId}`, maps);
    return {
      paths,
      undo() {
        undo();
        undoParent();
      },
    };
  } catch (error) {
    undoParent();
    throw error;
  }
}

/**
 * Sees to it that programs that are called by a prog array stay, when no pinned link is there to
 * pin it beside.
 *
 * @param directory - where to pin, as far as the user has said so.
 * @throws {UsageError} when nobody would hold the prog array after this session.
 */
export function keepMaps(
  session: Session,
  kernel: Kernel,
  { program, maps }: Loaded,
  directory: string | undefined,
): PinnedMaps {
  if (directory !== undefined) return pinMaps(kernel, directory, maps);
  const hasProgArray = [...maps.values()].some(({ info }) => info.type === BPF_MAP_TYPE_PROG_ARRAY);
  if (session.isScript || !hasProgArray) return NO_PINS;
  throw new UsageError(
    `program ${program.info.name} calls others by a prog array, which Linux empties when nobody ` +
      "holds it any more: say with --pin-maps DIRECTORY where to pin it",
  );
}

/** Removes the maps of a program, or of all of them, from beside a link's pin. */
export function unpinMapsBeside(kernel: Kernel, pin: string, programId?: number): void {
  const parent = mapsBeside(pin);
  const names = programId === undefined ? namesIn(kernel, parent) : [`${programId}`];
  for (const name of names) {
    for (const map of namesIn(kernel, `${parent}/${name}`)) {
      kernel.bpffs.unlink(`${parent}/${name}/${map}`);
    }
    kernel.bpffs.rmdir(`${parent}/${name}`);
  }
  // Goes only when it is empty.
  kernel.bpffs.rmdir(parent);
}

/**
 * Removes from beside a link's pin what a command that was killed has left: maps of programs that
 * don't exist any more.
 */
export function sweepMapsBeside(kernel: Kernel, pin: string): void {
  for (const name of namesIn(kernel, mapsBeside(pin))) {
    const id = Number(name);
    if (Number.isSafeInteger(id) && id > 0 && !exists(kernel, id)) {
      unpinMapsBeside(kernel, pin, id);
    }
  }
}

/**
 * All maps that a program can reach: its own, and through prog arrays those of the programs that it
 * calls. Two with the same name are told apart by their ids.
 *
 * @throws {BpfError} EPERM without CAP_SYS_ADMIN.
 */
export function mapsReachedBy(kernel: Kernel, programId: number): Map<string, BpfMap> {
  const found = new Map<string, BpfMap>();
  const seenMaps = new Set<number>();
  const programs = new Set([programId]);
  try {
    // A set grows while it is walked: programs called by called programs are found too.
    for (const id of programs) {
      for (const mapId of mapIdsOf(kernel, id)) {
        if (seenMaps.has(mapId)) continue;
        if (seenMaps.size + programs.size >= MAX_REACHED) return found;
        seenMaps.add(mapId);
        const map = BpfMap.fromId(kernel, mapId);
        const { name, type } = map.info;
        found.set(found.has(name) ? `${name}-${mapId}` : name, map);
        if (type !== BPF_MAP_TYPE_PROG_ARRAY) continue;
        for (const called of map.as(u32, u32)) programs.add(called[1]);
      }
    }
    return found;
  } catch (error) {
    for (const map of found.values()) map[Symbol.dispose]();
    throw error;
  }
}

function mapIdsOf(kernel: Kernel, programId: number): readonly number[] {
  using program = Program.fromId(kernel, programId);
  return program.info.mapIds;
}

function exists(kernel: Kernel, programId: number): boolean {
  try {
    using _program = Program.fromId(kernel, programId);
    return true;
  } catch (error) {
    // Who may not look must not remove either.
    return !(error instanceof BpfError && error.errno === ENOENT);
  }
}

/** @returns whether it wasn't there before. */
function makeDirectory(kernel: Kernel, path: string): boolean {
  const result = kernel.bpffs.mkdir(path);
  if (result === -EEXIST) return false;
  check(kernel, "bpffs.mkdir", result, { path });
  return true;
}

function namesIn(kernel: Kernel, directory: string): readonly string[] {
  const names = kernel.bpffs.readdir(directory);
  return typeof names === "number" ? [] : names;
}
