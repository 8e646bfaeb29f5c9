/**
 * Why a link lives, and what would come of it: foretold from one look, changing nothing.
 */

import { BPF_FLOW_DISSECTOR, BPF_LINK_GET_FD_BY_ID, BPF_OBJ_GET } from "../abi/bpf.ts";
import { ENOENT, EPERM } from "../abi/errno.ts";
import { refusal } from "../diagnosis/refusal.ts";
import { BpfError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import { attachedTo } from "./attached.ts";
import type { Holder, LinkEntry, LinkState, NamespaceEntry, Unknown } from "./entries.ts";
import { type Inventory, type InventoryOptions, lookAt } from "./inventory.ts";
import { linkAtPin, readPin } from "./objects.ts";

/** Something that may happen to a link. */
export type LinkEvent =
  /** A process closes all its fds on the link. */
  | { readonly kind: "close"; readonly pid: number }
  /** Every process does. */
  | { readonly kind: "closeAll" }
  /** One of its pins is unlinked. */
  | { readonly kind: "unpin"; readonly path: string }
  /** Every pin is. */
  | { readonly kind: "unpinAll" }
  /** LINK_DETACH. */
  | { readonly kind: "detach" }
  /** The last holder of its namespace lets go. */
  | { readonly kind: "netnsDeath" };

/** Whom the packets of a namespace meet: the flow dissection, or the socket lookup. */
export interface PacketPath {
  /**
   * `program`: programs attached to the namespace; `rootProgram`: the root namespace's flow
   * dissector, which serves all; `linux`: no program, Linux goes on by itself.
   */
  readonly by: "program" | "rootProgram" | "linux";
  /** Ids of the programs, in the order in which they run. */
  readonly programIds: readonly number[];
}

/** How a link stands. */
export interface LinkOutcome {
  /**
   * `gone`: nobody holds the link any more; it is off its namespace and its id is free. A link that
   * was detached says `detached` here, and to a look that doesn't know of it `defunct`.
   */
  readonly state: LinkState | "gone";
  /** Pins that hold the link. */
  readonly pins: readonly string[];
  /** Processes that hold the link. */
  readonly holders: readonly Holder[];
  /**
   * Whom packets of the link's namespace meet. Null when the namespace is dead, unknown (the link
   * was off it already), or can't be asked.
   */
  readonly packets: PacketPath | null;
}

/** What would come of an event. */
export interface Foretelling {
  readonly event: LinkEvent;
  readonly outcome: LinkOutcome;
}

/** Why a link lives, and what would come of it. */
export interface Explanation {
  readonly link: LinkEntry;
  /** How it stands now. */
  readonly now: LinkOutcome;
  /**
   * Whether nothing that can be seen holds the link, so that something else does: a pin in another
   * mount namespace, an fd on its way through a socket, a process that we may not look into.
   */
  readonly isHeldUnseen: boolean;
  /** As {@link isHeldUnseen}, for the namespace: a socket, a thread, a mount elsewhere. */
  readonly isNamespaceHeldUnseen: boolean;
  /**
   * Every event that can happen to this link. True as long as nobody but those who were seen holds
   * the link: somebody else would keep it from being `gone`.
   */
  readonly foretold: readonly Foretelling[];
  /** What this task may not find out. With unknown holders, more may hold the link than is told. */
  readonly unknown: readonly Unknown[];
}

/**
 * Explains a link.
 *
 * ```ts
 * import { readFileSync } from "node:fs";
 * import { Collection, Link, loadObject, NetNs } from "nslink";
 * import { EmbeddedKernel } from "nslink/embedded";
 * import { explain, formatExplanation } from "nslink/inventory";
 *
 * using kernel = EmbeddedKernel.boot();
 * using netns = NetNs.create(kernel, "blue");
 * using programs = Collection.load(kernel, loadObject(readFileSync("bpf/flow.bpf.o")));
 * using link = Link.attach(programs.program("dissect"), netns);
 * console.log(formatExplanation(explain(kernel, link.info.id)).join("\n"));
 * ```
 *
 * @param link - its id, or where it is pinned.
 * @throws {BpfError} ENOENT when there is no such link to a network namespace; EACCES for a path
 *   that is no pin; EPERM without CAP_SYS_ADMIN for the id of a link that no pin leads to.
 * @throws {TypeError} when something else than a link is pinned there.
 */
export function explain(
  kernel: Kernel,
  link: number | string,
  options: InventoryOptions = {},
): Explanation {
  const pinned = typeof link === "number" ? null : linkAtPin(kernel, link);
  const id = typeof link === "number" ? link : (pinned?.id ?? idOfPin(kernel, link));
  const inventory = lookAt(kernel, options, pinned === null ? [] : [pinned]);
  const entry = inventory.links.find((each) => each.id === id);
  if (entry === undefined) {
    const mayOpen = inventory.unknown.every(({ what }) => what !== "links");
    if (!mayOpen) throw refusal(kernel, BPF_LINK_GET_FD_BY_ID, -EPERM, { id });
    const hint = `there is no link to a network namespace with id ${id}`;
    throw new BpfError(BPF_LINK_GET_FD_BY_ID, ENOENT, hint);
  }
  const { state, pins, holders, namespace } = entry;
  const packets = packetsOf(kernel, entry, inventory);
  const now: LinkOutcome = { state, pins, holders, packets };
  const without = packetsWithout(entry, inventory, packets);
  return {
    link: entry,
    now,
    isHeldUnseen: pins.length === 0 && holders.length === 0,
    isNamespaceHeldUnseen: namespace !== null && !namespace.isRoot && isUnheld(namespace),
    unknown: inventory.unknown,
    foretold: eventsOf(entry).map((event) => ({ event, outcome: outcomeOf(event, now, without) })),
  };
}

/** @param without - whom packets meet when the link's program is off. */
function outcomeOf(event: LinkEvent, now: LinkOutcome, without: PacketPath | null): LinkOutcome {
  switch (event.kind) {
    case "close":
      return held({ ...now, holders: now.holders.filter(({ pid }) => pid !== event.pid) });
    case "closeAll":
      return held({ ...now, holders: [] });
    case "unpin":
      return held({ ...now, pins: now.pins.filter((path) => path !== event.path) });
    case "unpinAll":
      return held({ ...now, pins: [] });
    case "detach":
      return isLive(now.state) ? { ...now, state: "detached", packets: without } : now;
    case "netnsDeath":
      return { ...now, state: "defunct", packets: null };
  }

  function held(after: LinkOutcome): LinkOutcome {
    if (after.pins.length > 0 || after.holders.length > 0) return after;
    return { ...after, state: "gone", packets: without };
  }
}

function idOfPin(kernel: Kernel, path: string): number {
  const pin = readPin(kernel, path);
  if (typeof pin === "number") {
    throw new BpfError(BPF_OBJ_GET, pin, `no link can be opened at ${path}`);
  }
  if (pin.kind !== "link") throw new TypeError(`link: a ${pin.kind} is pinned at ${path}`);
  return pin.id;
}

/** What can happen to a link, from what is there. */
function eventsOf({ holders, pins, namespace, state }: LinkEntry): readonly LinkEvent[] {
  const mayDie = isLive(state) && namespace?.isRoot === false;
  return [
    ...holders.map(({ pid }) => ({ kind: "close", pid }) as const),
    ...(holders.length > 1 ? [{ kind: "closeAll" } as const] : []),
    ...pins.map((path) => ({ kind: "unpin", path }) as const),
    ...(pins.length > 1 ? [{ kind: "unpinAll" } as const] : []),
    { kind: "detach" },
    ...(mayDie ? [{ kind: "netnsDeath" } as const] : []),
  ];
}

function isLive(state: LinkOutcome["state"]): boolean {
  return state === "attached" || state === "shadowed";
}

function isUnheld({ names, pids, holders }: NamespaceEntry): boolean {
  return names.length === 0 && pids.length === 0 && holders.length === 0;
}

/** Whom packets of a link's namespace meet now. */
function packetsOf(kernel: Kernel, link: LinkEntry, inventory: Inventory): PacketPath | null {
  const { namespace, attachType } = link;
  if (namespace === null) return null;
  const root = inventory.namespaces.find(({ isRoot }) => isRoot);
  if (attachType === BPF_FLOW_DISSECTOR && root !== undefined && !namespace.isRoot) {
    const programIds = attachedTo(kernel, root, attachType) ?? [];
    if (programIds.length > 0) return { by: "rootProgram", programIds };
  }
  const programIds = attachedTo(kernel, namespace, attachType);
  return programIds === null ? null : pathThrough(programIds);
}

function pathThrough(programIds: readonly number[]): PacketPath {
  return { by: programIds.length === 0 ? "linux" : "program", programIds };
}

/** Links run in the order in which they were created, which is that of their ids. */
function packetsWithout(
  link: LinkEntry,
  { links }: Inventory,
  packets: PacketPath | null,
): PacketPath | null {
  if (packets?.by !== "program" || link.namespace === null) return packets;
  const position = links
    .filter((each) => each.attachType === link.attachType)
    .filter((each) => each.namespace?.inode === link.namespace?.inode)
    .findIndex(({ id }) => id === link.id);
  return pathThrough(packets.programIds.filter((_, i) => i !== position));
}
