/**
 * `nslink unpin`: takes the name of a link away, and nothing but that.
 */

import { ENOENT } from "../abi/errno.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { BpfError } from "../errors.ts";
import { listLinks, explain as takeExplanation } from "../inventory/index.ts";
import type { Kernel } from "../kernel.ts";
import { Link } from "../link.ts";
import type { OperatorOptions } from "./links.ts";
import { MapsBeside, mapsBeside } from "./map_pins.ts";
import { PinPlace } from "./pin_place.ts";
import type { Session } from "./session.ts";
import { waitFor } from "./wait.ts";

/** Takes a link's name away, and its program's maps from beside it. */
export async function unpin(
  session: Session,
  path: string,
  options: OperatorOptions,
): Promise<void> {
  const kernel = await session.kernel(options.kernel);
  using place = PinPlace.open(kernel, path, "bpffs.unlink");
  const pinned = place.openLink();
  if (pinned === null) {
    removeLeftMaps(place);
    await tellUnpinned(session, options, { path, id: null, gone: false });
    return;
  }
  using beside = new MapsBeside(place, pinned.status.uid);
  const { id, programId } = pinned.link.info;
  // Held by this, it wouldn't go.
  pinned.link[Symbol.dispose]();
  const goes = willGo(kernel, id, path);
  place.unlink();
  beside.remove(programId);
  beside.sweep(usedPrograms(kernel));
  if (!beside.isEmpty) {
    session.output.complain(`note: ${mapsBeside(path)} stays: not all in it is this link's`);
  }
  // Linux lets go of a pinned object some time after its last name went.
  if (goes) await waitFor(() => isGone(kernel, id) !== false);
  await tellUnpinned(session, options, { path, id, gone: isGone(kernel, id) });
}

/**
 * A command that was killed between taking the pin and the maps away left maps alone.
 *
 * @throws {BpfError} ENOENT when there are none.
 */
function removeLeftMaps(place: PinPlace): void {
  const { kernel, path } = place;
  using beside = new MapsBeside(place, null);
  if (beside.sweep(usedPrograms(kernel))) return;
  throw refusal(kernel, "bpffs.unlink", -ENOENT, {}, { path });
}

interface Unpinned {
  readonly path: string;
  /** Null when there was no link any more. */
  readonly id: number | null;
  /** Null when it can't be known. */
  readonly gone: boolean | null;
}

async function tellUnpinned(
  session: Session,
  options: OperatorOptions,
  { path, id, gone }: Unpinned,
): Promise<void> {
  const fate = gone === null ? "may live on (needs CAP_SYS_ADMIN)" : gone ? "is gone" : "lives on";
  const text = `${path} unpinned${id === null ? "" : `; link ${id} ${fate}`}`;
  session.changed(text);
  if (options.json === true) await session.output.json({ path, id, gone });
  else await session.output.lines([text]);
}

/** Whether a link goes with its pin, as far as that can be seen. */
function willGo(kernel: Kernel, id: number, path: string): boolean {
  try {
    return takeExplanation(kernel, id).foretold.some(
      ({ event, outcome }) =>
        event.kind === "unpin" && event.path === path && outcome.state === "gone",
    );
  } catch (error) {
    if (error instanceof BpfError) return false;
    throw error;
  }
}

/** Null without CAP_SYS_ADMIN, by which links are opened by their ids. */
function isGone(kernel: Kernel, id: number): boolean | null {
  try {
    using _link = Link.fromId(kernel, id);
    return false;
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return error.errno === ENOENT ? true : null;
  }
}

/** Whether some link has a program; all programs are taken for used when that can't be known. */
function usedPrograms(kernel: Kernel): (programId: number) => boolean {
  let used: ReadonlySet<number> | null = null;
  return (programId) => {
    try {
      used ??= new Set(listLinks(kernel).map(({ program }) => program.id));
      return used.has(programId);
    } catch (error) {
      if (error instanceof BpfError) return true;
      throw error;
    }
  };
}
