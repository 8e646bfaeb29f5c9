/**
 * Every link of every network namespace and every program attached directly, in one look.
 */

import { BPF_FLOW_DISSECTOR, BPF_LINK_GET_NEXT_ID, BPF_PROG_QUERY } from "../abi/bpf.ts";
import { EPERM } from "../abi/errno.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { readTask } from "../diagnosis/task.ts";
import type { Kernel, NetNsEntry, OpenObject } from "../kernel.ts";
import type { LinkFacts } from "../objects.ts";
import { attachedTo, mayQuery } from "./attached.ts";
import type {
  DirectEntry,
  Holder,
  LinkEntry,
  LinkState,
  NamespaceEntry,
  ProgramEntry,
  Unknown,
} from "./entries.ts";
import {
  type FoundLink,
  type FoundLinks,
  linkBehind,
  listPins,
  readLinks,
  readProgram,
} from "./objects.ts";

/** How to look. */
export interface InventoryOptions {
  /**
   * What an earlier look found: with it, a link that was detached can be told from one whose
   * namespace died.
   */
  readonly earlier?: readonly LinkEntry[];
  /** Fds of this task on links, for a task that may not open links by their ids. */
  readonly linkFds?: readonly number[];
}

/** What one look found. */
export interface Inventory {
  /** By ascending id. */
  readonly links: readonly LinkEntry[];
  readonly direct: readonly DirectEntry[];
  readonly namespaces: readonly NamespaceEntry[];
  /** What this task may not find out; empty for root. */
  readonly unknown: readonly Unknown[];
}

/**
 * Looks at everything once. What comes or goes while this looks may or may not be in it. What can't
 * be found out for want of a capability is left out, and `unknown` says so.
 */
export function takeInventory(kernel: Kernel, options: InventoryOptions = {}): Inventory {
  return lookAt(kernel, options, []);
}

/** @param known - links that are known already. */
export function lookAt(
  kernel: Kernel,
  options: InventoryOptions,
  known: readonly FoundLink[],
): Inventory {
  const open = kernel.openObjects();
  const allPins = listPins(kernel);
  const pins = groupedById(allPins.filter(({ kind }) => kind === "link"));
  const holders = groupedById(open.filter(({ kind }) => kind === "link"));
  // Links before namespaces: a namespace found alive after a link was off it hasn't died of that.
  const given = (options.linkFds ?? []).flatMap((fd) => linkBehind(kernel, fd) ?? []);
  const read = (): FoundLinks => readLinks(kernel, allPins, [...known, ...given]);
  const { links: facts, isComplete } = read();
  const namespaces = kernel.netns.list(open).map(namespaceEntry);
  const attached = new Map(
    namespaces.map((each) => [each.inode, attachedTo(kernel, each, BPF_FLOW_DISSECTOR)]),
  );
  const rootInode = namespaces.find(({ isRoot }) => isRoot)?.inode ?? 0;
  const rootDissects = (attached.get(rootInode)?.length ?? 0) > 0;

  const byInode = new Map(namespaces.map((each) => [each.inode, each]));
  const programOf = remembering((id) => readProgram(kernel, id));
  const earlier = new Map(options.earlier?.map((entry) => [entry.id, entry]));

  const links = facts.map((link): LinkEntry => {
    const { id, type, attach_type: attachType, prog_id: programId, netns_ino: inode } = link;
    const namespace = inode === 0 ? null : (byInode.get(inode) ?? unseenNamespace(inode));
    return {
      id,
      type,
      attachType,
      program: { ...programOf(programId), ...(link.tag !== undefined && { tag: link.tag }) },
      namespace,
      state:
        namespace === null
          ? lostState(earlier.get(id), namespaces)
          : liveState(attachType, namespace, rootDissects),
      pins: pins.get(id)?.map(({ path }) => path) ?? [],
      holders: holdersAmong(holders.get(id) ?? []),
    };
  });
  const direct = namespaces.flatMap((namespace) => {
    if (!isComplete) return [];
    const id = directProgram(kernel, namespace, attached.get(namespace.inode) ?? [], {
      links: facts,
      linksNow: () => read().links,
    });
    if (id === null) return [];
    const state = liveState(BPF_FLOW_DISSECTOR, namespace, rootDissects);
    return [{ attachType: BPF_FLOW_DISSECTOR, program: programOf(id), namespace, state }];
  });
  return { links, direct, namespaces, unknown: unknownTo(kernel, isComplete) };
}

function unknownTo(kernel: Kernel, mayOpenById: boolean): readonly Unknown[] {
  const byId = "CAP_SYS_ADMIN";
  return [
    ...(mayOpenById ? [] : (["links", "programs"] as const).map((what) => ({ what, needs: byId }))),
    ...(mayQuery(kernel) ? [] : [{ what: "attachments", needs: "CAP_NET_ADMIN" } as const]),
    ...(seesAllHolders(kernel, mayOpenById)
      ? []
      : [{ what: "holders", needs: "CAP_SYS_PTRACE and CAP_DAC_OVERRIDE" } as const]),
  ];
}

/**
 * Root may be unable to look into processes that have more rights still, outside of a container:
 * their holding something is "out of sight" to it, as a pin in another mount namespace is.
 */
function seesAllHolders(kernel: Kernel, mayOpenById: boolean): boolean {
  return (mayOpenById && readTask(kernel).uid === 0) || kernel.unseenProcesses() === 0;
}

/** For lists that have no place to say what is missing in them. */
function complete(kernel: Kernel, inventory: Inventory): Inventory {
  for (const { what } of inventory.unknown) {
    if (what === "links") throw refusal(kernel, BPF_LINK_GET_NEXT_ID, -EPERM);
    if (what === "attachments") throw refusal(kernel, BPF_PROG_QUERY, -EPERM);
  }
  return inventory;
}

/**
 * Every link of every namespace, by ascending id.
 *
 * @throws {BpfError} EPERM without CAP_SYS_ADMIN or CAP_NET_ADMIN.
 */
export function listLinks(kernel: Kernel, options: InventoryOptions = {}): readonly LinkEntry[] {
  return complete(kernel, takeInventory(kernel, options)).links;
}

/**
 * Every program attached to a namespace without a link.
 *
 * @throws {BpfError} EPERM without CAP_SYS_ADMIN or CAP_NET_ADMIN.
 */
export function listDirect(kernel: Kernel): readonly DirectEntry[] {
  return complete(kernel, takeInventory(kernel)).direct;
}

/** Fds by process, in the order in which they were found. */
function holdersAmong(open: readonly OpenObject[]): readonly Holder[] {
  const byPid = new Map<number, { pid: number; command: string; fds: number[] }>();
  for (const { pid, command, fd } of open) {
    const holder = byPid.get(pid) ?? { pid, command, fds: [] };
    holder.fds.push(fd);
    byPid.set(pid, holder);
  }
  return [...byPid.values()];
}

function namespaceEntry({ fds, ...entry }: NetNsEntry): NamespaceEntry {
  return { ...entry, holders: holdersAmong(fds) };
}

/** A namespace that lives, since a link names it, by something that can't be seen. */
function unseenNamespace(inode: number): NamespaceEntry {
  return { inode, cookie: null, isRoot: false, names: [], pids: [], holders: [] };
}

function liveState(
  attachType: number,
  namespace: NamespaceEntry,
  rootDissects: boolean,
): "attached" | "shadowed" {
  const isShadowed = attachType === BPF_FLOW_DISSECTOR && rootDissects && !namespace.isRoot;
  return isShadowed ? "shadowed" : "attached";
}

/** Why a link is attached to nothing: from its answers alone that can't be known. */
function lostState(
  earlier: LinkEntry | undefined,
  namespaces: readonly NamespaceEntry[],
): LinkState {
  if (earlier?.state === "detached") return "detached";
  const cookie = earlier?.namespace?.cookie ?? null;
  const lives = cookie !== null && namespaces.some((each) => each.cookie === cookie);
  return lives ? "detached" : "defunct";
}

/**
 * The flow dissector that is attached to a namespace without a link: a link and such a program
 * exclude each other, so what is attached is either.
 */
function directProgram(
  kernel: Kernel,
  namespace: NamespaceEntry,
  attached: readonly number[],
  {
    links,
    linksNow,
  }: {
    readonly links: readonly LinkFacts[];
    readonly linksNow: () => readonly LinkFacts[];
  },
): number | null {
  if (attached.length === 0 || hasDissectorLink(links, namespace)) return null;
  // A link may have come in between: then it is there now, or what is attached has changed.
  if (hasDissectorLink(linksNow(), namespace)) return null;
  return attachedTo(kernel, namespace, BPF_FLOW_DISSECTOR)?.[0] ?? null;
}

function hasDissectorLink(links: readonly LinkFacts[], { inode }: NamespaceEntry): boolean {
  return links.some((link) => link.netns_ino === inode && link.attach_type === BPF_FLOW_DISSECTOR);
}

function groupedById<T extends { readonly id: number }>(items: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const group = groups.get(item.id);
    if (group === undefined) groups.set(item.id, [item]);
    else group.push(item);
  }
  return groups;
}

function remembering(read: (id: number) => ProgramEntry): (id: number) => ProgramEntry {
  const known = new Map<number, ProgramEntry>();
  return (id) => {
    const program = known.get(id) ?? read(id);
    known.set(id, program);
    return program;
  };
}
