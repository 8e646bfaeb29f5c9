/**
 * `nslink attach | update | detach | pin | release`: links, made and changed. Each of them
 * takes effect by one call of the kernel, so that whoever is killed in between leaves either the
 * old state or the new one.
 */

import { BPF_OBJ_GET } from "../abi/bpf.ts";
import { EPERM } from "../abi/errno.ts";
import { BpfError } from "../errors.ts";
import { listPins } from "../inventory/index.ts";
import type { Kernel } from "../kernel.ts";
import { Link } from "../link.ts";
import { NetNs } from "../netns.ts";
import { EXIT_REFUSED, UsageError } from "./failure.ts";
import { type HeldLink, type Loss, lossOf, lossText, type Place } from "./held.ts";
import { keepMaps, MapsBeside, mapsBeside, mapsReachedBy, type PinnedMaps } from "./map_pins.ts";
import { PinPlace } from "./pin_place.ts";
import {
  type Loaded,
  linkReference,
  loadProgram,
  netnsName,
  netnsReference,
  openLink,
  openProgram,
} from "./references.ts";
import { Interruption, type KernelName, type Session } from "./session.ts";

/** What every command of an operator can be told. */
export interface OperatorOptions {
  readonly kernel: KernelName;
  readonly json?: boolean;
}

export interface AttachOptions extends OperatorOptions {
  readonly netns: string;
  readonly pin?: string;
  readonly replaceMap?: readonly string[];
  readonly as?: string;
}

/** Links a program to a namespace; without a pin the link is held for as long as this runs. */
export async function attach(
  session: Session,
  object: string,
  options: AttachOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  if (options.as !== undefined && options.pin !== undefined) {
    throw new UsageError("--as names a link that the script holds, and --pin lets it go: give one");
  }
  const attached = await attachOnce(session, kernel, object, options);
  // From here on a signal ends the waiting, not the process.
  const interruption = session.isScript || attached.held === null ? null : new Interruption();
  await tellAttached(session, options, attached);
  if (interruption === null || attached.held === null) return;
  await watch(session, kernel, attached.held, interruption, options);
}

/** Closes the namespace before it returns: neither a link nor nslink keeps it alive. */
async function attachOnce(
  session: Session,
  kernel: Kernel,
  object: string,
  options: AttachOptions,
): Promise<Attached> {
  using netns = NetNs.open(kernel, netnsReference(options.netns));
  const place = { label: netnsName(netns.reference), identity: netns.identity };
  const loaded = await loadProgram(kernel, object, options.replaceMap);
  if (options.pin !== undefined) {
    using _loaded = loaded;
    return { place, held: null, ...attachPinned(kernel, loaded, netns, options.pin) };
  }
  const link = linked(loaded, netns);
  const held = { link, others: [loaded], label: options.as ?? "", place };
  session.hold(held);
  const { id, programId } = link.info;
  return { place, held, id, programId, maps: [] };
}

/** Tells what others do to a held link, until it is lost or a signal comes. */
async function watch(
  session: Session,
  kernel: Kernel,
  held: HeldLink,
  interruption: Interruption,
  options: AttachOptions,
): Promise<void> {
  const { output } = session;
  let { id, programId } = held.link.info;
  let loss: Loss | null = null;
  const said: Promise<void>[] = [];
  await interruption.wait(() => {
    const before = programId;
    ({ id, programId } = held.link.info);
    if (programId !== before) {
      // Nothing that was loaded for this link is of use to it any more.
      session.replaceOthers(id, []);
      const event = { id, event: "updated", program_id: programId, replaced_program_id: before };
      const line = `link ${id}: program ${programId} in place of ${before}, put there by others`;
      said.push(options.json === true ? output.json(event) : output.lines([line]));
    }
    loss = lossOf(kernel, held);
    return loss === null;
  });
  await Promise.all(said);
  if (loss === null) return;
  if (options.json === true) await output.json({ id, event: "ended", reason: loss });
  output.complain(lossText(held, loss));
  session.exitCode = EXIT_REFUSED;
}

/** @throws {BpfError} with nothing left of it. */
function linked(loaded: Loaded, netns: NetNs): Link {
  try {
    return Link.attach(loaded.program, netns);
  } catch (error) {
    loaded[Symbol.dispose]();
    throw error;
  }
}

function orUndo(pinned: readonly PinnedMaps[], call: () => void): void {
  try {
    call();
  } catch (error) {
    for (const { undo } of pinned) undo();
    throw error;
  }
}

interface PinnedLink {
  readonly id: number;
  readonly programId: number;
  /** Where maps are pinned. */
  readonly maps: readonly string[];
}

interface Attached extends PinnedLink {
  readonly place: Place;
  /** Null for a link that its pin holds. */
  readonly held: HeldLink | null;
}

/** The maps are pinned first: from the moment the link's pin is there, nothing is missing. */
function attachPinned(kernel: Kernel, loaded: Loaded, netns: NetNs, pin: string): PinnedLink {
  const programId = loaded.program.info.id;
  using beside = new MapsBeside(PinPlace.openForPin(kernel, pin), null);
  using link = Link.attach(loaded.program, netns);
  const maps = beside.add(programId, loaded.maps);
  orUndo([maps], () => beside.place.pin(link.fd));
  beside.sweep();
  return { id: link.info.id, programId, maps: maps.paths };
}

async function tellAttached(
  session: Session,
  options: AttachOptions,
  { place, id, programId, maps }: Attached,
): Promise<void> {
  const { inode } = place.identity;
  const { pin = null } = options;
  const where = `${place.label} (inode ${inode})`;
  const attached = `link ${id}: program ${programId} attached to ${where}`;
  const pinned = pin === null ? null : `pinned at ${pin}${mapsNote(pin, programId, maps)}`;
  // Without a pin the link goes with this process.
  if (pinned !== null) session.changed(`${attached}, ${pinned}`);
  if (options.json === true) {
    const held = pin === null;
    await session.output.json({ id, program_id: programId, netns_inode: inode, pin, maps, held });
    return;
  }
  const holder = session.isScript
    ? "this script holds it until it ends, or releases it"
    : `held by this process (${process.pid}) until it ends: ` +
      "press Ctrl-C, or use --pin to let it live on";
  await session.output.lines([attached, pinned ?? holder]);
}

function mapsNote(pin: string, programId: number, maps: readonly string[]): string {
  return maps.length === 0 ? "" : `, its maps in ${mapsBeside(pin)}/${programId}`;
}

export interface UpdateOptions extends OperatorOptions {
  readonly expect?: string;
  readonly replaceMap?: readonly string[];
  readonly pinMaps?: string;
}

/** Puts another program into a link. */
export async function update(
  session: Session,
  reference: string,
  object: string,
  options: UpdateOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using link = openLink(session, kernel, reference);
  const before = link.info;
  using expected =
    options.expect === undefined ? null : openProgram(kernel, options.expect, before.programId);
  const loaded = await loadProgram(kernel, object, options.replaceMap);
  const swap = (): void =>
    link.update(loaded.program, expected === null ? {} : { expect: expected });
  let maps: readonly string[];
  try {
    const pins = options.pinMaps === undefined ? pinsOf(session, kernel, reference, before.id) : [];
    if (pins.length === 0) {
      const kept = keepMaps(session, kernel, loaded, options.pinMaps);
      orUndo([kept], swap);
      maps = kept.paths;
    } else {
      try {
        maps = updatePinned({ link, pins, before: before.programId, loaded, swap });
      } finally {
        for (const beside of pins) beside[Symbol.dispose]();
      }
    }
  } catch (error) {
    loaded[Symbol.dispose]();
    throw error;
  }
  session.replaceOthers(before.id, [loaded]);
  const { id: programId } = loaded.program.info;
  const text = `link ${before.id}: program ${programId} in place of ${before.programId}`;
  session.changed(text);
  if (options.json === true) {
    const { id, programId: was } = before;
    await session.output.json({ id, program_id: programId, replaced_program_id: was, maps });
    return;
  }
  await session.output.lines([text]);
}

interface PinnedUpdate {
  readonly link: Link;
  readonly pins: readonly MapsBeside[];
  /** Id of the program that the link had. */
  readonly before: number;
  readonly loaded: Loaded;
  readonly swap: () => void;
}

/**
 * New maps are pinned before the swap, old ones unpinned after it.
 *
 * @returns where the new maps are.
 */
function updatePinned({ link, pins, before, loaded, swap }: PinnedUpdate): readonly string[] {
  const mine = loaded.program.info.id;
  const made: PinnedMaps[] = [];
  orUndo(made, () => {
    for (const beside of pins) made.push(beside.add(mine, loaded.maps));
    swap();
  });
  // Somebody else may have come right after: only what is known to be out of use goes.
  const { programId } = link.info;
  for (const beside of pins) {
    for (const id of [before, mine]) if (id !== programId) beside.remove(id);
    beside.sweep();
  }
  return made.flatMap(({ paths }) => paths);
}

/**
 * The pins of a link that its program's maps belong beside: the one that it was named by, and all
 * that have maps beside them; else the first.
 */
function pinsOf(
  session: Session,
  kernel: Kernel,
  reference: string,
  id: number,
): readonly MapsBeside[] {
  const named = linkReference(session, reference);
  const listed = listPins(kernel).flatMap((pin) =>
    pin.kind === "link" && pin.id === id ? [pin.path] : [],
  );
  const paths = new Set(typeof named === "string" ? [named, ...listed] : listed);
  const all = [...paths].flatMap((path) => besidePinOf(kernel, path, id) ?? []);
  const chosen = all.filter((beside) => beside.pin === named || beside.isThere);
  const pins = chosen.length > 0 ? chosen : all.slice(0, 1);
  for (const beside of all) if (!pins.includes(beside)) beside[Symbol.dispose]();
  return pins;
}

/** Null when the link isn't pinned there: a path may also lead to a pin by a symbolic link. */
function besidePinOf(kernel: Kernel, path: string, id: number): MapsBeside | null {
  try {
    const place = PinPlace.open(kernel, path, BPF_OBJ_GET);
    const pinned = place.openLink();
    using link = pinned?.link ?? null;
    if (pinned !== null && link?.info.id === id) return new MapsBeside(place, pinned.status.uid);
    place[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
  }
  return null;
}

/** Takes a link's program off its namespace, for good. */
export async function detach(
  session: Session,
  reference: string,
  options: OperatorOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using link = openLink(session, kernel, reference);
  const { id, programId, netnsInode } = link.info;
  link.detach();
  session.noteDetached(id);
  const text =
    netnsInode === 0
      ? `link ${id} was attached to nothing already`
      : `link ${id}: program ${programId} is off its namespace; the link lives until it is ` +
        "unpinned and closed";
  session.changed(text);
  if (options.json === true) {
    await session.output.json({ id, program_id: programId, netns_inode: netnsInode });
    return;
  }
  await session.output.lines([text]);
}

/** Gives a link a name, and its program's maps. */
export async function pin(
  session: Session,
  reference: string,
  path: string,
  options: OperatorOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using link = openLink(session, kernel, reference);
  const { id, programId } = link.info;
  const reached = mapsOrNull(session, kernel, programId);
  let maps: PinnedMaps;
  try {
    using beside = new MapsBeside(PinPlace.openForPin(kernel, path), null);
    maps = beside.add(programId, reached ?? new Map());
    orUndo([maps], () => beside.place.pin(link.fd));
  } finally {
    for (const map of reached?.values() ?? []) map[Symbol.dispose]();
  }
  const text = `link ${id} pinned at ${path}${mapsNote(path, programId, maps.paths)}`;
  session.changed(text);
  if (options.json === true) {
    await session.output.json({ id, program_id: programId, pin: path, maps: maps.paths });
    return;
  }
  await session.output.lines([text]);
}

/** Null, with a word about it, for a task that may not open them by their ids. */
function mapsOrNull(
  session: Session,
  kernel: Kernel,
  programId: number,
): ReturnType<typeof mapsReachedBy> | null {
  try {
    return mapsReachedBy(kernel, programId);
  } catch (error) {
    if (!(error instanceof BpfError && error.errno === EPERM)) throw error;
    session.output.complain("the program's maps are not pinned: finding them needs CAP_SYS_ADMIN");
    return null;
  }
}

/** Lets go of a link that this script holds. */
export async function release(session: Session, reference: string): Promise<void> {
  const kernel = await session.kernel("embedded");
  const id = openedId(session, kernel, reference);
  session.release(id);
  await session.output.lines([`link ${id} released`]);
}

function openedId(session: Session, kernel: Kernel, reference: string): number {
  using link = openLink(session, kernel, reference);
  return link.info.id;
}
