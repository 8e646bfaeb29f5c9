/**
 * Pins of the maps of programs that live on when nslink ends. Linux empties a prog array with its
 * last fd or pin, even while a program uses it, so the maps of a pinned link are pinned beside it:
 * the link at PATH, its program's maps at PATH-maps/ID/NAME, where ID is the program's. With the id
 * in the path an update can pin the new maps, swap the program, and then remove the old ones: at
 * each moment the maps of the program that is attached are pinned.
 */

import { BPF_MAP_TYPE_PROG_ARRAY, BPF_OBJ_PIN } from "../abi/bpf.ts";
import { EEXIST, ENOENT } from "../abi/errno.ts";
import { encodeName } from "../abi/names.ts";
import { u32 } from "../codec.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { readTask } from "../diagnosis/task.ts";
import { BpfError } from "../errors.ts";
import type { FileStatus, Kernel } from "../kernel.ts";
import { BpfMap } from "../map.ts";
import { Program } from "../program.ts";
import { UsageError } from "./failure.ts";
import { getAt, PinPlace, pinAt } from "./pin_place.ts";
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

/** Of a map's name as much as fits a file's, with an id behind it. */
const MAX_NAME_BYTES = 240;

/**
 * Names for the pins of maps. Maps of global data, whose names have a dot, get none: the programs
 * hold them anyway. A prog array always gets one, because nobody else holds it: what can't stand in
 * a name of a BPF file system, or would upset a terminal, is `_` there.
 */
function pinNames(
  maps: Iterable<readonly [name: string, map: BpfMap]>,
): ReadonlyMap<string, BpfMap> {
  const named = new Map<string, BpfMap>();
  for (const [name, map] of maps) {
    const { id, type } = map.info;
    const fits = name.replaceAll(UNFIT, "_");
    const isWhole = fits === name && name !== "" && encodeName(name).length <= MAX_NAME_BYTES;
    if (type !== BPF_MAP_TYPE_PROG_ARRAY && /^$|\./.test(name)) continue;
    const start = isWhole ? name : fits.slice(0, MAX_NAME_BYTES / MAX_BYTES_OF_UNIT) || "map";
    named.set(isWhole && !named.has(name) ? name : `${start}-${id}`, map);
  }
  return named;
}

const UNFIT = /[./\p{C}\p{Zl}\p{Zp}\ufffd]/gu;
/** Bytes of UTF-8 that a unit of UTF-16 may have. */
const MAX_BYTES_OF_UNIT = 3;

/**
 * Pins maps below a directory that the user has named, which is made if need be.
 *
 * @param path - of the directory.
 * @param keep - takes what has to stay open until the pins are undone or not.
 * @throws {BpfError} when the kernel refuses; then nothing is left of it.
 */
export function pinMaps(
  kernel: Kernel,
  path: string,
  maps: ReadonlyMap<string, BpfMap>,
  keep: (held: Disposable) => void,
): PinnedMaps {
  const place = PinPlace.open(kernel, path, "bpffs.mkdir");
  keep(place);
  place.requireBpffs();
  const named = path.replace(/\/+$/, "");
  const directory = MapDirectory.make(kernel, { ...placeOf(place), path: named }, () => true);
  keep(directory);
  return directory.pin(maps);
}

function placeOf({ fd, name, path }: PinPlace): Entry {
  return { parent: fd, name, path };
}

/** A name in a directory that is open. */
interface Entry {
  readonly parent: number;
  readonly name: string;
  readonly path: string;
}

/**
 * The mode of the directories that nslink makes: their owner's alone, and sticky, which does
 * nothing more there and which nobody else has a reason to set. By it nslink knows them again.
 */
const OUR_MODE = 0o1700;
const STICKY = 0o1000;
/** Sticky, and what the group and others may do: nothing. */
const MARK = 0o1077;

/** A directory in a BPF file system for pins of maps, open. */
class MapDirectory implements Disposable {
  readonly kernel: Kernel;
  readonly fd: number;
  readonly #entry: Entry;
  /** Whether nslink made it, now or earlier. */
  readonly isOurs: boolean;
  /** Whether it was made by {@link MapDirectory.make}. */
  readonly isNew: boolean;

  private constructor(
    kernel: Kernel,
    { entry, fd, isNew, status }: OpenedDirectory & { readonly isNew: boolean },
  ) {
    this.kernel = kernel;
    this.#entry = entry;
    this.fd = fd;
    this.isOurs = isMarked(status);
    this.isNew = isNew;
  }

  /** Opens one that is there; null when there is none, or one that isn't trusted. */
  static find(kernel: Kernel, entry: Entry, trusts: Trust): MapDirectory | null {
    const opened = openDirectory(kernel, entry, trusts);
    return opened === null ? null : new MapDirectory(kernel, { ...opened, isNew: false });
  }

  /**
   * Opens one, which is made if need be.
   *
   * @throws {BpfError} EEXIST when something else is there.
   */
  static make(kernel: Kernel, entry: Entry, trusts: Trust): MapDirectory {
    const { parent, name, path } = entry;
    const made = kernel.directories.mkdir(parent, name, OUR_MODE);
    if (made < 0 && made !== -EEXIST) throw refusal(kernel, "bpffs.mkdir", made, {}, { path });
    const opened = openDirectory(kernel, entry, trusts);
    if (opened !== null) return new MapDirectory(kernel, { ...opened, isNew: made === 0 });
    if (made === 0) kernel.directories.rmdir(parent, name);
    const hint = `${path} is there already, and is no directory that nslink made for maps`;
    throw new BpfError("bpffs.mkdir", EEXIST, hint);
  }

  get names(): readonly string[] {
    const names = this.kernel.directories.list(this.fd);
    return typeof names === "number" ? [] : names;
  }

  entry(name: string): Entry {
    return { parent: this.fd, name, path: `${this.#entry.path}/${name}` };
  }

  /** Pins maps here. @throws {BpfError} when the kernel refuses; then nothing is left of it. */
  pin(maps: ReadonlyMap<string, BpfMap>): PinnedMaps {
    const { kernel } = this;
    const paths: string[] = [];
    const made: string[] = [];
    const undo = (): void => {
      for (const name of made) kernel.directories.unlink(this.fd, name);
      if (this.isNew) this.remove();
    };
    try {
      for (const [name, map] of pinNames(maps)) {
        const { path } = this.entry(name);
        const result = pinAt(kernel, this.fd, name, map.fd);
        // A command that was killed may have left this very map here.
        const isThere = result === -EEXIST && this.#idOf(name) === map.info.id;
        if (result < 0 && !isThere) throw refusal(kernel, BPF_OBJ_PIN, result, {}, { path });
        if (!isThere) made.push(name);
        paths.push(path);
      }
    } catch (error) {
      undo();
      throw error;
    }
    return { paths, undo };
  }

  /** Takes away the pins of maps that are here, and nothing else. */
  unpinMaps(): void {
    for (const name of this.names) {
      if (this.#idOf(name) !== null) this.kernel.directories.unlink(this.fd, name);
    }
  }

  /** Goes only when it is empty, and nslink made it. */
  remove(): void {
    if (!this.isOurs) return;
    const { parent, name } = this.#entry;
    this.kernel.directories.rmdir(parent, name);
  }

  /** The id of the map that is pinned under a name; null when something else is there. */
  #idOf(name: string): number | null {
    const { kernel } = this;
    const found = kernel.directories.find(this.fd, name);
    if (found < 0) return null;
    const status = kernel.directories.status(found);
    kernel.close(found);
    if (typeof status === "number" || status.type !== "regular file") return null;
    const fd = getAt(kernel, this.fd, name);
    if (fd < 0) return null;
    try {
      using map = BpfMap.fromFd(kernel, fd);
      return map.info.id;
    } catch (error) {
      if (error instanceof TypeError) return null;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.kernel.close(this.fd);
  }
}

/** Whether a directory is one to pin in, or to remove. */
type Trust = (status: FileStatus) => boolean;

function isMarked({ mode }: FileStatus): boolean {
  return (mode & MARK) === STICKY;
}

interface OpenedDirectory {
  readonly entry: Entry;
  readonly fd: number;
  readonly status: FileStatus;
}

/** Null when no directory of a BPF file system is there, or one that isn't trusted. */
function openDirectory(kernel: Kernel, entry: Entry, trusts: Trust): OpenedDirectory | null {
  const fd = kernel.directories.find(entry.parent, entry.name);
  if (fd < 0) return null;
  const status = kernel.directories.status(fd);
  if (typeof status !== "number" && status.fileSystem === "bpf") {
    if (status.type === "directory" && trusts(status)) return { entry, fd, status };
  }
  kernel.close(fd);
  return null;
}

/** The maps beside the pin of a link. */
export class MapsBeside implements Disposable {
  /** Of the link's pin; closed with this. */
  readonly place: PinPlace;
  readonly #kernel: Kernel;
  /** Whoever may have made the directory: others could do with the pins in it as they like. */
  readonly #trusts: Trust;
  /** And only nslink makes those below it. */
  readonly #trustsOurs: Trust;
  readonly #entry: Entry;
  #directory: MapDirectory | null;
  /** What is kept open until pins can't be undone any more. */
  readonly #held: Disposable[] = [];

  /** @param owner - of the link's pin, if there is one. */
  constructor(place: PinPlace, owner: number | null) {
    const { kernel, fd: parent, name, path } = place;
    this.place = place;
    this.#kernel = kernel;
    const owners = [0, owner, readTask(kernel).uid];
    this.#trusts = ({ uid }) => owners.includes(uid);
    this.#trustsOurs = (status) => isMarked(status) && this.#trusts(status);
    this.#entry = { parent, name: mapsBeside(name), path: mapsBeside(path) };
    this.#directory = MapDirectory.find(kernel, this.#entry, this.#trusts);
  }

  /** The path of the link's pin. */
  get pin(): string {
    return this.place.path;
  }

  /** Whether there are any. */
  get isThere(): boolean {
    return this.#directory !== null;
  }

  /** Whether nothing is left in it. */
  get isEmpty(): boolean {
    return (this.#directory?.names ?? []).length === 0;
  }

  /** Pins the maps of a program. */
  add(programId: number, maps: ReadonlyMap<string, BpfMap>): PinnedMaps {
    if (maps.size === 0) return NO_PINS;
    const kernel = this.#kernel;
    if (this.#directory === null) {
      this.#directory = MapDirectory.make(kernel, this.#entry, this.#trusts);
    }
    const parent = this.#directory;
    const undoParent = (): void => {
      if (parent.isNew) parent.remove();
    };
    try {
      const directory = MapDirectory.make(kernel, parent.entry(`${programId}`), this.#trustsOurs);
      this.#held.push(directory);
      const { paths, undo } = directory.pin(maps);
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

  /** Takes the maps of a program away. @returns whether there were any. */
  remove(programId: number): boolean {
    const parent = this.#directory;
    if (parent === null) return false;
    const directory = MapDirectory.find(
      this.#kernel,
      parent.entry(`${programId}`),
      this.#trustsOurs,
    );
    if (directory !== null) {
      using found = directory;
      found.unpinMaps();
      found.remove();
    }
    parent.remove();
    return directory !== null;
  }

  /**
   * Takes away what a command that was killed has left: maps of programs that don't exist any more.
   *
   * @param isUsed - whether a program that exists has to keep its maps.
   * @returns whether there was something to take away.
   */
  sweep(isUsed: (programId: number) => boolean = () => true): boolean {
    let found = this.#directory?.isOurs === true && this.isEmpty;
    for (const name of this.#directory?.names ?? []) {
      const id = Number(name);
      if (!Number.isSafeInteger(id) || id <= 0) continue;
      if (!exists(this.#kernel, id) || !isUsed(id)) {
        found = this.remove(id) || found;
      }
    }
    this.#directory?.remove();
    return found;
  }

  [Symbol.dispose](): void {
    for (const held of this.#held) held[Symbol.dispose]();
    this.#directory?.[Symbol.dispose]();
    this.place[Symbol.dispose]();
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
  if (directory !== undefined) {
    return pinMaps(kernel, directory, maps, (held) => session.keep(held));
  }
  const hasProgArray = [...maps.values()].some(({ info }) => info.type === BPF_MAP_TYPE_PROG_ARRAY);
  if (session.isScript || !hasProgArray) return NO_PINS;
  throw new UsageError(
    `program ${program.info.name} calls others by a prog array, which Linux empties when nobody ` +
      "holds it any more: say with --pin-maps DIRECTORY where to pin it",
  );
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
