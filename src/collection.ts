/**
 * All programs and maps of an object, loaded together.
 */

import { BTF_LOAD } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { ENOENT } from "./abi/errno.ts";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "./abi/insn.ts";
import { isFileName } from "./abi/names.ts";
import { bpfResult } from "./call.ts";
import { u32 } from "./codec.ts";
import type { MapSpec, ObjectSpec, ProgramSpec } from "./elf/index.ts";
import { BpfError } from "./errors.ts";
import { checkSameKernel, OwnedFd } from "./handle.ts";
import type { Kernel } from "./kernel.ts";
import { BpfMap } from "./map.ts";
import { Program } from "./program.ts";

/** How to load an object. */
export interface CollectionOptions {
  /**
   * Which programs, by name, and no maps but those that they use. By default all maps, and all
   * programs but those that their sections mark as optional.
   */
  readonly programs?: readonly string[];
  /** Maps to use instead of new ones, by name in the object; they stay the caller's to dispose. */
  readonly maps?: Readonly<Record<string, BpfMap>>;
  /** Where maps that ask to be pinned by their name are; by default /sys/fs/bpf. */
  readonly pinDirectory?: string;
  /** For {@link Program.log} of each program: see `ProgramOptions`. */
  readonly logLevel?: number;
}

const DEFAULT_PIN_DIRECTORY = "/sys/fs/bpf";
/** Bytes of an instruction slot. */
const SLOT_BYTES = 8;

/**
 * The programs and maps of an object in a kernel. Disposing it lets go of all of them; what is
 * linked or pinned lives on, but Linux empties a prog array with its last fd or pin, so keep the
 * collection of programs that tail-call as long as they are to run.
 *
 * ```ts
 * import { readFileSync } from "node:fs";
 * import { Collection, loadObject } from "nslink";
 * import { EmbeddedKernel } from "nslink/embedded";
 *
 * using kernel = EmbeddedKernel.boot();
 * using collection = Collection.load(kernel, loadObject(readFileSync("bpf/flow.bpf.o")));
 * console.log(collection.program("dissect").info.name); // dissect
 * ```
 */
export class Collection implements Disposable {
  /** By name in the object. */
  readonly programs: ReadonlyMap<string, Program>;
  /** By name in the object: the maps made for this collection, and those it was given. */
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly #owned: readonly Disposable[];

  private constructor(loader: Loader) {
    this.programs = loader.programs;
    this.maps = loader.maps;
    this.#owned = loader.owned;
  }

  /**
   * Creates the object's maps, fills them, and loads its programs.
   *
   * @throws {VerifierError} when a program is rejected.
   * @throws {BpfError} when the kernel refuses anything else. Nothing is left behind then.
   * @throws {RangeError} when `options` names a program or map that the object doesn't have, and
   *   when a map that is given or pinned has another shape than the object's.
   */
  static load(kernel: Kernel, object: ObjectSpec, options: CollectionOptions = {}): Collection {
    const loader = new Loader(kernel, object, options);
    try {
      loader.load();
    } catch (error) {
      loader.undo();
      throw error;
    }
    return new Collection(loader);
  }

  /**
   * A program by name.
   *
   * @throws {RangeError} when it wasn't loaded, naming those that were.
   */
  program(name: string): Program {
    return named("program", this.programs, name);
  }

  /**
   * A map by name.
   *
   * @throws {RangeError} when there is none, naming those that there are.
   */
  map(name: string): BpfMap {
    return named("map", this.maps, name);
  }

  [Symbol.dispose](): void {
    disposeAll(this.#owned);
  }
}

function disposeAll(owned: readonly Disposable[]): void {
  for (const each of owned.toReversed()) each[Symbol.dispose]();
}

function named<T>(kind: string, all: ReadonlyMap<string, T>, name: string): T {
  const found = all.get(name);
  if (found !== undefined) return found;
  const known = [...all.keys()].join(", ");
  throw new RangeError(`there is no ${kind} ${name}; there are: ${known === "" ? "none" : known}`);
}

/** A load under way. */
class Loader {
  readonly programs: Map<string, Program> = new Map();
  readonly maps: Map<string, BpfMap> = new Map();
  /** What to dispose, in the order in which it was made. */
  readonly owned: Disposable[] = [];
  readonly #kernel: Kernel;
  readonly #object: ObjectSpec;
  readonly #options: CollectionOptions;
  /** Paths of the pins made. */
  readonly #pins: string[] = [];
  #btfFd: number = 0;

  constructor(kernel: Kernel, object: ObjectSpec, options: CollectionOptions) {
    this.#kernel = kernel;
    this.#object = object;
    this.#options = options;
  }

  load(): void {
    for (const [name, map] of Object.entries(this.#options.maps ?? {})) {
      named("map", this.#object.maps, name);
      checkSameKernel(this.#kernel, `maps.${name}`, map);
    }
    const programs = this.#wantedPrograms();
    const maps = this.#wantedMaps(programs);
    const btf = this.#loadBtf();
    try {
      for (const [name, spec] of maps) this.maps.set(name, this.#map(name, spec));
      for (const spec of programs) this.programs.set(spec.name, this.#program(spec));
      for (const [name, spec] of maps) this.#fillSlots(name, spec);
    } finally {
      btf?.close();
    }
  }

  /** Lets go of what a load that failed has made. */
  undo(): void {
    for (const path of this.#pins) this.#kernel.bpffs.unlink(path);
    disposeAll(this.owned);
  }

  #wantedPrograms(): ProgramSpec[] {
    const { programs } = this.#object;
    const names = this.#options.programs;
    if (names === undefined) return [...programs.values()].filter(({ autoload }) => autoload);
    return [...new Set(names)].map((name) => named("program", programs, name));
  }

  /** Maps to make, in the order of the object: all of them, or those that chosen programs use. */
  #wantedMaps(programs: readonly ProgramSpec[]): [string, MapSpec][] {
    const all = [...this.#object.maps];
    if (this.#options.programs === undefined) return all;
    const used = new Set(programs.flatMap(({ references }) => references.map(({ map }) => map)));
    // A set grows while it is walked: maps in maps in maps are found too.
    for (const name of used) {
      const { contents } = named("map", this.#object.maps, name);
      if (contents?.kind === "maps") for (const slot of contents.slots) used.add(slot.name);
    }
    return all.filter(([name]) => used.has(name));
  }

  /** Types are for those who look at programs and maps; an older kernel runs them without. */
  #loadBtf(): OwnedFd | null {
    const { btf } = this.#object;
    if (btf === null) return null;
    const result = bpfResult(this.#kernel, BPF.BPF_BTF_LOAD, BTF_LOAD, {
      btf: this.#kernel.addressOf(btf.raw),
      btf_size: btf.raw.length,
    });
    if (result < 0) return null;
    this.#btfFd = result;
    return new OwnedFd(this.#kernel, result);
  }

  #map(name: string, spec: MapSpec): BpfMap {
    const { maps = {} } = this.#options;
    const given = Object.hasOwn(maps, name) ? maps[name] : undefined;
    if (given !== undefined) return checkFits(given, spec);
    if (spec.pinning === "by-name" && !isFileName(name)) {
      throw new TypeError(
        `map ${JSON.stringify(name)} asks for a pin of its name, which none can have`,
      );
    }
    const pin = `${this.#options.pinDirectory ?? DEFAULT_PIN_DIRECTORY}/${name}`;
    const shared = spec.pinning === "by-name" ? this.#openShared(pin) : null;
    const map = this.#own(shared ?? this.#create(spec));
    if (shared !== null) return checkFits(map, spec);
    if (spec.contents?.kind === "bytes") map.set(u32.encode(0), spec.contents.bytes);
    if (spec.freeze) map.freeze();
    if (spec.pinning === "by-name") {
      map.pin(pin);
      this.#pins.push(pin);
    }
    return map;
  }

  #create(spec: MapSpec): BpfMap {
    const { keyTypeId, valueTypeId } = spec;
    const hasTypes = this.#btfFd !== 0 && valueTypeId !== 0;
    using inner = spec.inner === null ? null : this.#create(spec.inner);
    return BpfMap.create(this.#kernel, {
      ...spec,
      ...(hasTypes && { btf: { fd: this.#btfFd, keyTypeId, valueTypeId } }),
      ...(inner !== null && { innerMap: inner }),
    });
  }

  #openShared(pin: string): BpfMap | null {
    try {
      return BpfMap.fromPin(this.#kernel, pin);
    } catch (error) {
      if (error instanceof BpfError && error.errno === ENOENT) return null;
      throw error;
    }
  }

  #program(spec: ProgramSpec): Program {
    const { name, section, type, expectedAttachType, flags, license, lines } = spec;
    const { funcInfo, lineInfo } = spec;
    const hasDebug = this.#btfFd !== 0 && funcInfo !== null && lineInfo !== null;
    return this.#own(
      Program.load(this.#kernel, {
        name,
        section,
        type,
        expectedAttachType,
        flags,
        license,
        lines,
        instructions: this.#resolveMaps(spec),
        ...(this.#options.logLevel !== undefined && { logLevel: this.#options.logLevel }),
        ...(hasDebug && { debug: { btfFd: this.#btfFd, funcInfo, lineInfo } }),
      }),
    );
  }

  /** The instructions with the fds of this load's maps in place. */
  #resolveMaps(spec: ProgramSpec): Uint8Array {
    const instructions = spec.instructions.slice();
    const view = new DataView(instructions.buffer);
    for (const { slot, map, kind } of spec.references) {
      const source = kind === "fd" ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE;
      const registers = view.getUint8(slot * SLOT_BYTES + 1);
      view.setUint8(slot * SLOT_BYTES + 1, (source << 4) | (registers & 0xf));
      view.setInt32(slot * SLOT_BYTES + 4, named("map", this.maps, map).fd, true);
    }
    return instructions;
  }

  /** Programs and maps that the object puts into a map; those that weren't loaded are left out. */
  #fillSlots(name: string, spec: MapSpec): void {
    if (spec.contents === null || spec.contents.kind === "bytes") return;
    const objects = spec.contents.kind === "programs" ? this.programs : this.maps;
    const map = named("map", this.maps, name);
    for (const { key, name: target } of spec.contents.slots) {
      const object = objects.get(target);
      if (object !== undefined) map.set(u32.encode(key), u32.encode(object.fd));
    }
  }

  #own<T extends Disposable>(object: T): T {
    this.owned.push(object);
    return object;
  }
}

/** A map of the wrong shape would only be noticed by a program that goes astray in it. */
function checkFits(map: BpfMap, spec: MapSpec): BpfMap {
  const facts = ["type", "keySize", "valueSize", "maxEntries"] as const;
  const wrong = facts.filter((fact) => map.info[fact] !== spec[fact]);
  if (wrong.length === 0) return map;
  const difference = wrong.map((fact) => `${fact} ${map.info[fact]} instead of ${spec[fact]}`);
  throw new RangeError(`map ${spec.name} can't be shared: it has ${difference.join(", ")}`);
}
