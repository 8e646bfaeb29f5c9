/**
 * BPF objects by id and by pin, read without an exception for those that go in the meantime.
 */

import { OBJ } from "../abi/attr.ts";
import {
  BPF_LINK_GET_NEXT_ID,
  BPF_LINK_TYPE_NETNS,
  BPF_OBJ_GET,
  BPF_PROG_GET_FD_BY_ID,
} from "../abi/bpf.ts";
import { ENOENT, EPERM } from "../abi/errno.ts";
import { hexText } from "../abi/hex_text.ts";
import { BPF_LINK_INFO_SIZE, BPF_PROG_INFO_SIZE, LINK_INFO, PROG_INFO } from "../abi/info.ts";
import { cString, textOf, tryBpf } from "../call.ts";
import { refusal } from "../diagnosis/refusal.ts";
import type { Kernel } from "../kernel.ts";
import { type LinkFacts, netnsLinks, readInfo, withFd, withObject } from "../objects.ts";
import type { PinEntry, ProgramEntry } from "./entries.ts";

/** How many pins are opened in one look. */
const MAX_PINS = 1_000_000;

/** struct bpf_link_info, bpf_prog_info and bpf_map_info begin alike. */
const OBJECT_INFO = { type: [0, "u32"], id: [4, "u32"] } as const;

/** What /proc/PID/fd calls the kinds of objects. */
const KINDS: ReadonlyMap<string, PinEntry["kind"]> = new Map([
  ["anon_inode:bpf_link", "link"],
  ["anon_inode:bpf-link", "link"],
  ["anon_inode:bpf-prog", "program"],
  ["anon_inode:bpf-map", "map"],
]);

/** A link as a look finds it; its program's tag where the link itself was opened. */
export type FoundLink = LinkFacts & { readonly tag?: string };

/** Links, and whether those are all. */
export interface FoundLinks {
  /** By ascending id. */
  readonly links: readonly FoundLink[];
  /** False for a task that may not walk the ids (CAP_SYS_ADMIN): those links that pins lead to. */
  readonly isComplete: boolean;
}

/**
 * All links to network namespaces, as far as this task may find them.
 *
 * @param pins - where some may be found without their ids.
 * @param known - links that are known already.
 * @throws {BpfError} what ended the walk, if it wasn't EPERM.
 */
export function readLinks(
  kernel: Kernel,
  pins: readonly PinEntry[],
  known: readonly FoundLink[] = [],
): FoundLinks {
  const found: FoundLink[] = [];
  const walk = netnsLinks(kernel);
  let step = walk.next();
  for (; step.done !== true; step = walk.next()) found.push(step.value);
  if (step.value === ENOENT || step.value === 0) return { links: found, isComplete: true };
  if (step.value !== EPERM) throw refusal(kernel, BPF_LINK_GET_NEXT_ID, -step.value);
  const byId = new Map(known.map((link) => [link.id, link]));
  for (const { path, kind, id } of pins) {
    if (kind !== "link" || byId.has(id)) continue;
    const link = linkAtPin(kernel, path);
    if (link !== null) byId.set(link.id, link);
  }
  const links = [...byId.values()].sort((a, b) => a.id - b.id);
  return { links, isComplete: false };
}

/** The link to a network namespace that is pinned at a path; null where there is none. */
export function linkAtPin(kernel: Kernel, path: string): FoundLink | null {
  const pathname = kernel.addressOf(cString(path));
  const { result } = tryBpf(kernel, BPF_OBJ_GET, OBJ, { pathname });
  return withFd(kernel, result, (fd) => linkBehind(kernel, fd));
}

/** The link to a network namespace behind an fd; null when it is open on something else. */
export function linkBehind(kernel: Kernel, fd: number): FoundLink | null {
  if (KINDS.get(kernel.fdname(fd)) !== "link") return null;
  const facts = readInfo(kernel, fd, LINK_INFO, BPF_LINK_INFO_SIZE);
  if (facts?.type !== BPF_LINK_TYPE_NETNS) return null;
  const tag = /^prog_tag:\t([0-9a-f]{16})$/m.exec(kernel.fdinfo(fd))?.[1];
  return { ...facts, ...(tag !== undefined && { tag }) };
}

/** Name and tag of a program; both "" when it can't be had any more. */
export function readProgram(kernel: Kernel, id: number): ProgramEntry {
  const info = withObject(kernel, BPF_PROG_GET_FD_BY_ID, id, (fd) =>
    readInfo(kernel, fd, PROG_INFO, BPF_PROG_INFO_SIZE),
  );
  if (info === null) return { id, name: "", tag: "" };
  return { id, name: textOf(info.name), tag: hexText(info.tag) };
}

/** Everything pinned in the BPF file systems that this task can see, as far as it may open it. */
export function listPins(kernel: Kernel): readonly PinEntry[] {
  const found: PinEntry[] = [];
  for (const mount of kernel.bpffs.mounts()) {
    const paths = kernel.bpffs.walk(mount);
    if (typeof paths === "number") continue;
    for (const path of paths.slice(0, MAX_PINS)) {
      const object = readPin(kernel, path);
      if (typeof object !== "number") found.push(object);
    }
  }
  return found;
}

/** What is pinned at a path, or a negative errno. */
export function readPin(kernel: Kernel, path: string): PinEntry | number {
  const pathname = kernel.addressOf(cString(path));
  const { result: fd } = tryBpf(kernel, BPF_OBJ_GET, OBJ, { pathname });
  if (fd < 0) return fd;
  const kind = KINDS.get(kernel.fdname(fd));
  const info = readInfo(kernel, fd, OBJECT_INFO, 8);
  kernel.close(fd);
  return kind === undefined || info === null ? -ENOENT : { path, kind, id: info.id };
}
