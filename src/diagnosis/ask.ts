/**
 * Questions to a kernel about what might have stood in a call's way. None throws because something
 * isn't there or isn't to be known, and none leaves an fd open.
 */

import { PROG_QUERY } from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import {
  BPF_LINK_INFO_SIZE,
  BPF_MAP_INFO_SIZE,
  BPF_PROG_INFO_SIZE,
  LINK_INFO,
  MAP_INFO,
  PROG_INFO,
} from "../abi/info.ts";
import { textOf, tryBpf } from "../call.ts";
import type { Kernel, NetNsEntry, NetNsReference } from "../kernel.ts";
import { type LinkFacts, netnsLinks, readInfo, withFd, withObject } from "../objects.ts";

/** The most programs of one type that a namespace takes: 64 for sk_lookup. */
export const MAX_PROGRAMS = 64;

/** What is behind an fd: a kind of BPF object, a network namespace, something else, or nothing. */
export function kindOf(
  kernel: Kernel,
  fd: number,
): "program" | "map" | "link" | "btf" | "netns" | "other" | "closed" {
  const name = kernel.fdname(fd);
  switch (name) {
    case "":
      return "closed";
    case "anon_inode:bpf-prog":
      return "program";
    case "anon_inode:bpf-map":
      return "map";
    case "anon_inode:bpf_link":
    case "anon_inode:bpf-link":
      return "link";
    case "anon_inode:btf":
    case "btf":
      return "btf";
    default:
      return kernel.netns.inode(fd) > 0 ? "netns" : "other";
  }
}

/** A program, as far as refusals depend on it. */
export interface ProgramFacts {
  readonly id: number;
  /** BPF_PROG_TYPE_… */
  readonly type: number;
  readonly name: string;
  /** "program 12 (dissect)". */
  readonly label: string;
}

export function programAt(kernel: Kernel, fd: number): ProgramFacts | null {
  if (kindOf(kernel, fd) !== "program") return null;
  const info = readInfo(kernel, fd, PROG_INFO, BPF_PROG_INFO_SIZE);
  if (info === null) return null;
  const name = textOf(info.name);
  const label = name === "" ? `program ${info.id}` : `program ${info.id} (${name})`;
  return { id: info.id, type: info.type, name, label };
}

/** How often a program was stopped; only the embedded kernel knows of such runs. */
export function programFaults(kernel: Kernel, fd: number): number {
  return fdinfoNumber(kernel, fd, "faults") ?? 0;
}

/** "program 12 (dissect)" for an id, without the name when it can't be had. */
export function programLabel(kernel: Kernel, id: number): string {
  const look = (fd: number): string | undefined => programAt(kernel, fd)?.label;
  return withObject(kernel, BPF.BPF_PROG_GET_FD_BY_ID, id, look) ?? `program ${id}`;
}

export function linkAt(kernel: Kernel, fd: number): LinkFacts | null {
  if (kindOf(kernel, fd) !== "link") return null;
  return readInfo(kernel, fd, LINK_INFO, BPF_LINK_INFO_SIZE);
}

/** The flow dissector link of a namespace; null when there is none that this task may see. */
export function dissectorLink(kernel: Kernel, inode: number): LinkFacts | null {
  for (const link of netnsLinks(kernel)) {
    if (link.netns_ino === inode && link.attach_type === BPF.BPF_FLOW_DISSECTOR) return link;
  }
  return null;
}

/** A map, as fdinfo and its info have it. */
export interface MapFacts {
  readonly id: number;
  /** BPF_MAP_TYPE_… */
  readonly type: number;
  /** "map flows", or "a map" when it has no name. */
  readonly label: string;
  /** "BPF_MAP_TYPE_HASH". */
  readonly typeName: string;
  readonly maxEntries: number;
  readonly frozen: boolean;
  readonly readable: boolean;
  readonly writable: boolean;
  /** A prog array's: the type of the programs that it takes; null as long as any will do. */
  readonly ownerType: number | null;
}

// Access modes in the flags of fdinfo (include/uapi/asm-generic/fcntl.h).
const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;

export function mapAt(kernel: Kernel, fd: number): MapFacts | null {
  if (kindOf(kernel, fd) !== "map") return null;
  const info = readInfo(kernel, fd, MAP_INFO, BPF_MAP_INFO_SIZE);
  if (info === null) return null;
  const mode = openFlags(kernel, fd) & O_ACCMODE;
  const owner = fdinfoNumber(kernel, fd, "owner_prog_type");
  return {
    id: info.id,
    type: info.type,
    label: mapLabel(textOf(info.name)),
    typeName: mapTypeName(info.type),
    maxEntries: info.max_entries,
    frozen: fdinfoNumber(kernel, fd, "frozen") === 1,
    readable: mode !== O_WRONLY,
    writable: mode !== O_RDONLY,
    ownerType: owner,
  };
}

export function mapLabel(name: string): string {
  return name === "" ? "a map" : `map ${name}`;
}

export function mapTypeName(type: number): string {
  return BPF.MAP_TYPE_NAMES[type] ?? `map type ${type}`;
}

export function programTypeName(type: number): string {
  return BPF.PROG_TYPE_NAMES[type] ?? `program type ${type}`;
}

/** The flags that an fd was opened with, from fdinfo. */
export function openFlags(kernel: Kernel, fd: number): number {
  return Number.parseInt(/^flags:\s+0?([0-7]+)$/m.exec(kernel.fdinfo(fd))?.[1] ?? "0", 8);
}

function fdinfoNumber(kernel: Kernel, fd: number, name: string): number | null {
  const line = new RegExp(`^${name}:\\s+([0-9]+)$`, "m").exec(kernel.fdinfo(fd));
  return line === null ? null : Number(line[1]);
}

/**
 * Ids of the programs attached to the namespace behind an fd; null when that can't be asked:
 * without CAP_NET_ADMIN, or of something else than a namespace.
 */
export function attachedAt(kernel: Kernel, fd: number, attachType: number): number[] | null {
  const ids = new Uint32Array(MAX_PROGRAMS);
  const { result } = tryBpf(kernel, BPF.BPF_PROG_QUERY, PROG_QUERY, {
    target_fd: fd,
    attach_type: attachType,
    prog_ids: kernel.addressOf(new Uint8Array(ids.buffer)),
    prog_cnt: MAX_PROGRAMS,
  });
  return result < 0 ? null : [...ids].filter((id) => id !== 0);
}

/** How a namespace can be named by others than this process, which may end; null where it can't. */
export function referenceTo(kernel: Kernel, inode: number): NetNsReference | null {
  const entry = namespaces(kernel).find((each) => each.inode === inode);
  const [name] = entry?.names ?? [];
  if (name !== undefined) return { name };
  const ours = ownPid(kernel);
  const pid = entry?.pids.find((each) => each !== ours);
  return pid === undefined ? null : { pid };
}

function ownPid(kernel: Kernel): number | null {
  const status = kernel.readText("/proc/thread-self/status");
  const found = typeof status === "string" ? /^Tgid:\s+([0-9]+)$/m.exec(status)?.[1] : undefined;
  return found === undefined ? null : Number(found);
}

/** How the task's current namespace can be named by others. */
export function currentReference(kernel: Kernel): NetNsReference | null {
  const inode = inCurrent(kernel, (fd) => kernel.netns.inode(fd));
  return inode === null ? null : referenceTo(kernel, inode);
}

/** Looks around in the task's current namespace; null when it can't be had. */
export function inCurrent<T>(kernel: Kernel, look: (fd: number) => T): T | null {
  return withFd(kernel, kernel.netns.open("self"), look);
}

/** All namespaces, without a look at who holds them by fds: that takes long. */
export function namespaces(kernel: Kernel): readonly NetNsEntry[] {
  return kernel.netns.list([]);
}

/** Opens a namespace that was listed by whichever way still leads there, and looks. */
export function inNamespace<T>(
  kernel: Kernel,
  { inode, names, pids }: NetNsEntry,
  look: (fd: number) => T,
): T | null {
  const ways: NetNsReference[] = [...names.map((name) => ({ name }))];
  for (const pid of pids.slice(0, 1)) ways.push({ pid });
  for (const way of ways) {
    const found = withFd(kernel, kernel.netns.open(way), (fd) =>
      kernel.netns.inode(fd) === inode ? { value: look(fd) } : null,
    );
    if (found !== null) return found.value;
  }
  return null;
}

/** How a listed namespace is called: by its name, a process in it, or its inode number. */
export function namespaceLabel({ names, pids, inode, isRoot }: NetNsEntry): string {
  if (isRoot) return "the root namespace";
  const [name] = names;
  if (name !== undefined) return `netns ${name}`;
  return pids[0] === undefined ? `netns ${inode}` : `netns of process ${pids[0]}`;
}
