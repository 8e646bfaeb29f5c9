/**
 * Why a network namespace is not made, opened, entered or removed.
 */

import { EACCES, EEXIST, EINVAL, ENOENT, EPERM, ESRCH } from "../abi/errno.ts";
import type { Cause, FailedCall, Finding } from "./cause.ts";

const OPEN: readonly string[] = ["netns.open"];
const NAMING: readonly string[] = ["netns.create", "netns.remove"];

function label({ about }: FailedCall): string {
  return about.netns ?? "of that name";
}

function exists(call: FailedCall): Finding {
  return {
    hint: `a network namespace ${label(call)} exists already; open it, or remove it first`,
    remedies: ["nslink netns ls", `nslink netns del ${label(call)}`],
  };
}

function noProcess({ about }: FailedCall): Finding | null {
  if (about.pid === undefined) return null;
  return { hint: `there is no process ${about.pid}`, remedies: ["nslink netns ls"] };
}

function noSuchNetns(call: FailedCall): Finding {
  return {
    hint: `there is no network namespace ${label(call)}`,
    remedies: ["nslink netns ls", `nslink netns add ${label(call)}`],
  };
}

/** Causes that have to do with namespaces themselves; for rights see there. */
export const NETNS_CAUSES: readonly Cause[] = [
  {
    id: "netns-exists",
    title: "a namespace has the name already",
    commands: ["netns.create"],
    errnos: [EEXIST],
    find: exists,
  },
  {
    id: "no-such-process",
    title: "the process isn't there",
    commands: OPEN,
    errnos: [ENOENT, ESRCH],
    find: noProcess,
  },
  {
    id: "no-such-netns",
    title: "no namespace has the name",
    commands: [...OPEN, "netns.remove"],
    errnos: [ENOENT],
    find: noSuchNetns,
  },
  {
    id: "bad-netns-name",
    title: "the name is no file name",
    commands: NAMING,
    errnos: [EINVAL],
    find: (call) => ({
      hint: `${JSON.stringify(label(call))} can't be a name: it must be a file name`,
    }),
  },
  {
    id: "not-a-netns",
    title: "the path leads to something else",
    commands: OPEN,
    errnos: [EINVAL],
    find: (call) => ({
      hint: `${JSON.stringify(label(call))} is no network namespace`,
      remedies: ["nslink netns ls"],
    }),
  },
  {
    id: "netns-not-yours",
    title: "the namespace is somebody else's",
    commands: OPEN,
    errnos: [EPERM, EACCES],
    find: (call) => ({ hint: `this task may not open the network namespace ${label(call)}` }),
  },
];
