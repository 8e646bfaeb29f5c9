/**
 * Who is attached where a flow dissector was to go: to the namespace directly, or, as the root rule
 * has it, to the root namespace or to any other.
 */

import { BPF_FLOW_DISSECTOR, BPF_LINK_CREATE, BPF_PROG_ATTACH } from "../abi/bpf.ts";
import { EEXIST } from "../abi/errno.ts";
import type { Kernel, NetNsEntry } from "../kernel.ts";
import { netnsLinks } from "../objects.ts";
import type { Remedy } from "../remedy.ts";
import {
  attachedAt,
  dissectorLink,
  inCurrent,
  inNamespace,
  namespaceLabel,
  namespaces,
  programLabel,
  referenceTo,
} from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field, referenceOf } from "./cause.ts";

/** How many of those in the way are named. */
const MAX_NAMED = 5;

/** A program that is attached to the namespace behind an fd, without a link. */
export function occupant(call: FailedCall, fd: number): Finding | null {
  const { kernel } = call;
  const [direct] = attachedAt(kernel, fd, BPF_FLOW_DISSECTOR) ?? [];
  if (direct === undefined || dissectorLink(kernel, kernel.netns.inode(fd)) !== null) return null;
  const netns = referenceOf(call) ?? referenceTo(kernel, kernel.netns.inode(fd));
  return {
    hint:
      `program ${direct} is attached to netns ${call.about.netns ?? "of target_fd"} directly; ` +
      "detach it first",
    remedies: [{ action: "detach-program", program: direct, netns }],
  };
}

const ATTACHING: readonly number[] = [BPF_LINK_CREATE, BPF_PROG_ATTACH];

/** Runs a question on an fd of the namespace that a call is about. */
function onTarget<T>(call: FailedCall, look: (fd: number) => T): T | null {
  return call.command === BPF_PROG_ATTACH
    ? inCurrent(call.kernel, look)
    : look(field(call, "target_fd"));
}

/** The root rule is for flow dissectors alone. */
function isDissectors(call: FailedCall): boolean {
  return field(call, "attach_type") === BPF_FLOW_DISSECTOR;
}

function targetInode(call: FailedCall): number {
  return onTarget(call, (fd) => call.kernel.netns.inode(fd)) ?? 0;
}

/** What the root rule has to do with it, once nobody is found in the namespace itself. */
export const ROOT_RULE_CAUSES: readonly Cause[] = [
  {
    id: "root-dissector",
    title: "the root namespace has a flow dissector, which serves all namespaces",
    commands: ATTACHING,
    errnos: [EEXIST],
    find: (call) => (isDissectors(call) ? rootInTheWay(call.kernel, targetInode(call)) : null),
  },
  {
    id: "others-bar-root",
    title: "another namespace has a flow dissector, so the root namespace can have none",
    commands: ATTACHING,
    errnos: [EEXIST],
    find: (call) => (isDissectors(call) ? othersInTheWay(call.kernel, targetInode(call)) : null),
  },
  {
    id: "root-rule",
    title: "a flow dissector is in the way that this task can't see",
    commands: ATTACHING,
    errnos: [EEXIST],
    find: outOfSight,
  },
];

function rootInTheWay(kernel: Kernel, target: number): Finding | null {
  const root = namespaces(kernel).find(({ isRoot }) => isRoot);
  if (root === undefined || root.inode === target) return null;
  const link = dissectorLink(kernel, root.inode);
  const program = link?.prog_id ?? directAt(kernel, root);
  if (program === null) return null;
  const holder = link === null ? "attached directly" : `link ${link.id}`;
  return {
    hint:
      `the root rule bars it: ${programLabel(kernel, program)} of the root namespace (${holder}) ` +
      "serves all namespaces; detach it first",
    remedies: [
      link === null
        ? { action: "detach-program", program, netns: referenceTo(kernel, root.inode) }
        : { action: "detach-link", link: link.id },
    ],
  };
}

function othersInTheWay(kernel: Kernel, target: number): Finding | null {
  const all = namespaces(kernel);
  if (all.find(({ isRoot }) => isRoot)?.inode !== target) return null;
  const byInode = new Map(all.map((each) => [each.inode, each]));
  const links = [...netnsLinks(kernel)].filter(
    (link) => link.attach_type === BPF_FLOW_DISSECTOR && link.netns_ino !== 0,
  );
  const linked = new Set(links.map((link) => link.netns_ino));
  const remedies: Remedy[] = links.map(({ id }) => ({ action: "detach-link", link: id }));
  const named: string[] = links.map(({ id, netns_ino: inode }) => {
    const entry = byInode.get(inode);
    return `${entry === undefined ? `netns ${inode}` : namespaceLabel(entry)} (link ${id})`;
  });
  for (const entry of all) {
    if (entry.inode === target || linked.has(entry.inode)) continue;
    const direct = directAt(kernel, entry);
    if (direct === null) continue;
    named.push(`${namespaceLabel(entry)} (program ${direct})`);
    const netns = referenceTo(kernel, entry.inode);
    remedies.push({ action: "detach-program", program: direct, netns });
  }
  if (named.length === 0) return null;
  const more = named.length > MAX_NAMED ? ` and ${named.length - MAX_NAMED} more` : "";
  return {
    hint:
      "the root rule bars it: the root namespace can have no flow dissector while others do: " +
      `${named.slice(0, MAX_NAMED).join(", ")}${more}; detach those first`,
    remedies: [{ action: "list-links" }, ...remedies.slice(0, MAX_NAMED)],
  };
}

function directAt(kernel: Kernel, entry: NetNsEntry): number | null {
  const ids = inNamespace(kernel, entry, (fd) => attachedAt(kernel, fd, BPF_FLOW_DISSECTOR));
  return ids?.[0] ?? null;
}

/** EEXIST without anybody to be seen: the task may not look, or lives in a container. */
function outOfSight(call: FailedCall): Finding | null {
  if (!isDissectors(call)) return null;
  const ids = onTarget(call, (fd) => attachedAt(call.kernel, fd, BPF_FLOW_DISSECTOR));
  const rule =
    "the root rule bars it: a flow dissector of the initial network namespace serves all " +
    "namespaces, so it and others exclude each other; detach the one in the way";
  const here =
    call.command === BPF_PROG_ATTACH
      ? "a link holds this netns"
      : `a program is attached to netns ${call.about.netns ?? "of target_fd"} directly`;
  return {
    hint: ids === null ? `${here}, or ${rule}` : rule,
    remedies: [{ action: "list-links" }],
  };
}
