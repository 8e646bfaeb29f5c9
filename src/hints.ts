/**
 * Why a kernel refused to attach, update or detach, and what to do: found out by asking it.
 */

import { GET_NEXT_ID } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOENT, ENOLINK, EPERM } from "./abi/errno.ts";
import { tryBpf } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import { Link, type LinkInfo } from "./link.ts";
import { NetNs } from "./netns.ts";
import type { ProgramInfo } from "./program.ts";

/** A walk over all links ends here, should ids come faster than it goes. */
const MAX_LINKS_WALKED = 1_000_000;

/** BPF_LINK_CREATE failed. */
export function explainLinkCreate(
  netns: NetNs,
  program: ProgramInfo,
  attachType: number,
  errno: number,
): string {
  const kind = attachType === BPF.BPF_SK_LOOKUP ? "sk_lookup" : "flow dissector";
  switch (errno) {
    case E2BIG:
      return attachType === BPF.BPF_SK_LOOKUP
        ? `netns ${netns.label} has 64 sk_lookup links, the most there may be; detach one first`
        : `netns ${netns.label} already has a flow dissector link${describeLink(netns)}; ` +
            "update that link, or detach it first";
    case EEXIST:
      return explainOccupied(netns);
    case EINVAL:
      return `${described(program)} doesn't attach to a network namespace as ${kind}`;
    default:
      return "";
  }
}

/** BPF_LINK_UPDATE failed. */
export function explainLinkUpdate(
  link: LinkInfo,
  program: ProgramInfo,
  expected: ProgramInfo | undefined,
  errno: number,
): string {
  switch (errno) {
    case ENOLINK:
      return (
        `link ${link.id} is defunct: it was detached, or its network namespace is gone; ` +
        "dispose it and attach a new link"
      );
    case EPERM:
      return (
        `link ${link.id} runs program ${link.programId}, not ${expected?.id ?? "the expected"}; ` +
        "somebody else updated it: look again, and decide anew"
      );
    case EINVAL:
      return `${described(program)} is of another type than program ${link.programId} of that link`;
    default:
      return "";
  }
}

/** BPF_PROG_ATTACH to the current namespace failed. */
export function explainAttach(kernel: Kernel, program: ProgramInfo, errno: number): string {
  switch (errno) {
    case EEXIST:
      return inCurrent(kernel, (netns) =>
        attached(netns)?.length === 0
          ? ROOT_RULE
          : `this netns has a flow dissector link${describeLink(netns)}; ` +
            "update that link, or detach it first",
      );
    case EINVAL:
      return program.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR
        ? `program ${program.id} is attached here already`
        : notDirectly(program);
    default:
      return "";
  }
}

/** BPF_PROG_DETACH from the current namespace failed. */
export function explainDetach(kernel: Kernel, program: ProgramInfo, errno: number): string {
  switch (errno) {
    case EINVAL:
      if (program.type !== BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return notDirectly(program);
      return inCurrent(kernel, (netns) => {
        return `a link holds this netns${describeLink(netns)}; detach or dispose that link instead`;
      });
    case ENOENT:
      return inCurrent(kernel, (netns) => {
        const other = attached(netns)?.[0];
        return other === undefined
          ? `${described(program)} is not attached here`
          : `program ${other} is attached here, not program ${program.id}`;
      });
    default:
      return "";
  }
}

const ROOT_RULE =
  "the root rule bars it: a flow dissector of the initial network namespace serves all " +
  "namespaces, so it and others exclude each other; detach the one in the way";

/** What stands in the way of a link, when it isn't another link. */
function explainOccupied(netns: NetNs): string {
  const ids = attached(netns);
  if (ids === null)
    return `a program is attached to netns ${netns.label} directly, or ${ROOT_RULE}`;
  const [direct] = ids;
  return direct === undefined
    ? ROOT_RULE
    : `program ${direct} is attached to netns ${netns.label} directly; detach it first`;
}

function described({ id, name }: ProgramInfo): string {
  return name === "" ? `program ${id}` : `program ${id} (${name})`;
}

function notDirectly(program: ProgramInfo): string {
  return `${described(program)} is no flow dissector; programs of other types take a link`;
}

/** Looks around in the current namespace; "" when that can't be had. */
function inCurrent(kernel: Kernel, look: (netns: NetNs) => string): string {
  try {
    using netns = NetNs.open(kernel, "self");
    return look(netns);
  } catch {
    return "";
  }
}

/** Ids of the flow dissectors attached; null when the caller may not ask. */
function attached(netns: NetNs): number[] | null {
  try {
    return netns.query();
  } catch {
    return null;
  }
}

/** " (id 7, program 12)" for the flow dissector link of a namespace, "" if it can't be found. */
function describeLink(netns: NetNs): string {
  const { kernel, inode } = netns;
  for (const id of linkIds(kernel)) {
    const info = linkInfo(kernel, id);
    if (info?.netnsInode === inode && info.attachType === BPF.BPF_FLOW_DISSECTOR) {
      return ` (id ${id}, program ${info.programId})`;
    }
  }
  return "";
}

function* linkIds(kernel: Kernel): Generator<number> {
  let id = 0;
  for (let steps = 0; steps < MAX_LINKS_WALKED; steps++) {
    const cmd = BPF.BPF_LINK_GET_NEXT_ID;
    const { result, attr } = tryBpf(kernel, cmd, GET_NEXT_ID, { start_id: id });
    if (result < 0) return;
    id = attr.next_id;
    yield id;
  }
}

/** A link may go away between two calls, and that is no news here. */
function linkInfo(kernel: Kernel, id: number): LinkInfo | null {
  try {
    using link = Link.fromId(kernel, id);
    return link.info;
  } catch {
    return null;
  }
}
