/**
 * How a command line names things: namespaces, links, programs, maps.
 */

import { GET_NEXT_ID } from "../abi/attr.ts";
import { BPF_PROG_GET_NEXT_ID } from "../abi/bpf.ts";
import { ENOENT } from "../abi/errno.ts";
import { tryBpf } from "../call.ts";
import { Collection } from "../collection.ts";
import { BpfError } from "../errors.ts";
import type { Kernel, NetNsReference } from "../kernel.ts";
import { Link } from "../link.ts";
import { BpfMap } from "../map.ts";
import { Program } from "../program.ts";
import { asUsage, UsageError } from "./failure.ts";
import { chooseAttachable, chooseProgram, programsLoadedWith, readObject } from "./files.ts";
import type { Session } from "./session.ts";

/** A walk over all programs ends here, should ids come faster than it goes. */
const MAX_PROGRAMS_WALKED = 1_000_000;
/** `id:12`, `pin:/sys/fs/bpf/x`, `tag:0123456789abcdef`, `name:dissect`. */
const PROGRAM_REFERENCE = /^(id|pin|tag|name):(.+)$/;
const ID = /^[1-9][0-9]*$/;

/** REF: `self`, `pid:N`, a path (with a slash in it), or a name. */
export function netnsReference(text: string): NetNsReference {
  if (text === "self") return "self";
  const pid = /^pid:([1-9][0-9]*)$/.exec(text)?.[1];
  if (pid !== undefined) return { pid: Number(pid) };
  return text.includes("/") ? { path: text } : { name: text };
}

/** A namespace in a sentence, as it was asked for. */
export function netnsName(reference: NetNsReference): string {
  if (reference === "self") return "the current network namespace";
  if ("pid" in reference) return `the network namespace of process ${reference.pid}`;
  return "name" in reference ? reference.name : reference.path;
}

/** LINK as it was written: an id, a path to a pin, or in a script @ and a name. */
export type LinkReference = number | string;

/**
 * An id, or the path of a pin.
 *
 * @throws {UsageError} for text that is neither.
 */
export function linkReference(session: Session, text: string): LinkReference {
  if (ID.test(text)) return Number(text);
  if (text.startsWith("@")) return session.labelled(text.slice(1));
  if (text.includes("/")) return text;
  const named = session.isScript
    ? ", the path of a pin, or @ and its name"
    : " or the path of a pin";
  throw new UsageError(`${text} is no link: it must be an id${named}`);
}

/**
 * Opens a LINK.
 *
 * @throws {UsageError} for text that names none, and when something else is pinned there.
 * @throws {BpfError} when there is no such link.
 */
export function openLink(session: Session, kernel: Kernel, text: string): Link {
  const reference = linkReference(session, text);
  const held = typeof reference === "number" ? session.held(reference) : undefined;
  // Opening one by its id takes CAP_SYS_ADMIN.
  if (held !== undefined) return Link.fromFd(kernel, kernel.dup(held.link.fd));
  return typeof reference === "number"
    ? Link.fromId(kernel, reference)
    : asUsage(() => Link.fromPin(kernel, reference));
}

/**
 * Opens a PROG, a loaded program: `id:N` or N, `pin:PATH` or a path, `tag:HEX`, `name:NAME`. Of
 * several with the same tag or name it is the one preferred, else the oldest.
 *
 * @throws {UsageError} for text that names none, and when something else is pinned there.
 * @throws {BpfError} when there is no such program.
 */
export function openProgram(kernel: Kernel, text: string, preferredId?: number): Program {
  const [, kind, value = ""] = PROGRAM_REFERENCE.exec(text) ?? [];
  const id = kind === "id" ? value : text;
  if (ID.test(id)) return Program.fromId(kernel, Number(id));
  if (kind === "tag" || kind === "name") return findProgram(kernel, kind, value, preferredId);
  const path = kind === "pin" ? value : text;
  if (path.includes("/")) return asUsage(() => Program.fromPin(kernel, path));
  throw new UsageError(
    `${text} is no program: it must be an id, the path of a pin, tag:… or name:…`,
  );
}

function findProgram(
  kernel: Kernel,
  kind: "tag" | "name",
  value: string,
  preferredId: number | undefined,
): Program {
  const ids = [...(preferredId === undefined ? [] : [preferredId]), ...programIds(kernel)];
  for (const id of ids) {
    const program = openIfThere(kernel, id);
    if (program?.info[kind] === value) return program;
    program?.[Symbol.dispose]();
  }
  const hint = `no program that is loaded has the ${kind} ${value}`;
  throw new BpfError(BPF_PROG_GET_NEXT_ID, ENOENT, hint);
}

function* programIds(kernel: Kernel): Generator<number> {
  let id = 0;
  for (let steps = 0; steps < MAX_PROGRAMS_WALKED; steps++) {
    const next = tryBpf(kernel, BPF_PROG_GET_NEXT_ID, GET_NEXT_ID, { start_id: id });
    if (next.result < 0) return;
    id = next.attr.next_id;
    yield id;
  }
}

/** A program may go away between two calls. */
function openIfThere(kernel: Kernel, id: number): Program | null {
  try {
    return Program.fromId(kernel, id);
  } catch (error) {
    if (error instanceof BpfError && error.code === "ENOENT") return null;
    throw error;
  }
}

/** A program to attach, and all that was loaded with it. */
export interface Loaded extends Disposable {
  readonly program: Program;
  /** The maps of its object, by name in it; none for a program that was loaded before. */
  readonly maps: ReadonlyMap<string, BpfMap>;
}

/**
 * Loads OBJECT[:PROGRAM], or opens a PROG with its prefix: `id:12`.
 *
 * @param replacements - NAME=PIN: maps to use instead of new ones.
 * @throws {UsageError} when the object doesn't hold such a program or map, or a map doesn't fit.
 * @throws {BpfError} when the kernel refuses.
 */
export async function loadProgram(
  kernel: Kernel,
  text: string,
  replacements: readonly string[] = [],
): Promise<Loaded> {
  if (PROGRAM_REFERENCE.test(text)) {
    if (replacements.length > 0) {
      throw new UsageError(`--replace-map is for objects, and ${text} is loaded already`);
    }
    const program = openProgram(kernel, text);
    return { program, maps: new Map(), [Symbol.dispose]: () => program[Symbol.dispose]() };
  }
  const [path, name] = splitObject(text);
  const object = await readObject(path);
  const spec =
    name === undefined ? chooseAttachable(object, path) : chooseProgram(object, path, name);
  // A map may be called __proto__.
  const maps: Record<string, BpfMap> = Object.create(null);
  try {
    for (const each of replacements) {
      const [mapName, pin] = splitReplacement(each);
      maps[mapName] = asUsage(() => BpfMap.fromPin(kernel, pin));
    }
    const programs = programsLoadedWith(object, spec);
    const collection = asUsage(() => Collection.load(kernel, object, { programs, maps }));
    return {
      program: collection.program(spec.name),
      maps: collection.maps,
      [Symbol.dispose]() {
        collection[Symbol.dispose]();
        closeAll(maps);
      },
    };
  } catch (error) {
    closeAll(maps);
    throw error;
  }
}

function closeAll(maps: Readonly<Record<string, BpfMap>>): void {
  for (const map of Object.values(maps)) map[Symbol.dispose]();
}

/** A colon inside of the last part of the path begins the program's name. */
function splitObject(text: string): [path: string, name?: string] {
  const colon = text.indexOf(":", text.lastIndexOf("/") + 1);
  return colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)];
}

function splitReplacement(text: string): [name: string, pin: string] {
  const equals = text.indexOf("=");
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new UsageError(`--replace-map ${text}: it must be NAME=PIN`);
}
