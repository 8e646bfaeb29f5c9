/**
 * Why a network namespace is not made, opened, entered or removed.
 */

import { EACCES, EEXIST, EINVAL, ENOENT, EPERM, ESRCH } from "../abi/errno.ts";
import type { NetNsReference } from "../kernel.ts";
import type { Remedy } from "../remedy.ts";
import { type Cause, type FailedCall, type Finding, referenceOf } from "./cause.ts";

const OPEN: readonly string[] = ["netns.open"];
const NAMING: readonly string[] = ["netns.create", "netns.remove"];
const LIST: Remedy = { action: "list-netns" };

function label({ about }: FailedCall): string {
  return about.netns ?? "of that name";
}

/** The name that was given; null when the namespace was asked for in another way. */
function nameOf(call: FailedCall): string | null {
  const reference = referenceOf(call);
  if (reference !== null) return isNamed(reference) ? reference.name : null;
  return NAMING.includes(String(call.command)) ? (call.about.netns ?? null) : null;
}

function isNamed(reference: NetNsReference): reference is { readonly name: string } {
  return reference !== "self" && "name" in reference;
}

/** What `ip netns add` takes: a file name, and no option. */
function isGoodName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && name.length < 256;
}

function exists(call: FailedCall): Finding {
  const name = nameOf(call);
  return {
    hint: `a network namespace ${label(call)} exists already; open it, or remove it first`,
    remedies: [LIST, ...(name === null ? [] : [{ action: "remove-netns", name } as const])],
  };
}

function noProcess(call: FailedCall): Finding | null {
  const reference = referenceOf(call);
  if (reference === null || reference === "self" || !("pid" in reference)) return null;
  return { hint: `there is no process ${reference.pid}`, remedies: [LIST] };
}

function noSuchNetns(call: FailedCall): Finding | null {
  const reference = referenceOf(call);
  if (reference !== null && reference !== "self" && "path" in reference) {
    return { hint: `there is nothing at ${reference.path}`, remedies: [LIST] };
  }
  const name = nameOf(call);
  const mayAdd = call.command === "netns.open" && name !== null && isGoodName(name);
  return {
    hint: `there is no network namespace ${label(call)}`,
    remedies: [LIST, ...(mayAdd ? [{ action: "add-netns", name } as const] : [])],
  };
}

function badName(call: FailedCall): Finding | null {
  const name = nameOf(call);
  if (name === null || isGoodName(name)) return null;
  return { hint: `${JSON.stringify(name)} can't be a name: it must be a file name` };
}

function notANetns(call: FailedCall): Finding | null {
  const reference = referenceOf(call);
  if (reference === null || reference === "self" || "pid" in reference) return null;
  return {
    hint: `${JSON.stringify(label(call))} is no network namespace`,
    remedies: [LIST],
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
    commands: [...NAMING, ...OPEN],
    errnos: [EINVAL],
    find: badName,
  },
  {
    id: "not-a-netns",
    title: "the path leads to something else",
    commands: [...OPEN, "netns.remove"],
    errnos: [EINVAL],
    find: notANetns,
  },
  {
    id: "netns-not-yours",
    title: "the namespace is somebody else's",
    commands: OPEN,
    errnos: [EPERM, EACCES],
    find: (call) => ({ hint: `this task may not open the network namespace ${label(call)}` }),
  },
];
