/**
 * Why a link is not created, updated or detached (kernel/bpf/net_namespace.c, syscall.c).
 */

import * as BPF from "../abi/bpf.ts";
import { E2BIG, EEXIST, EINVAL, ENOLINK, EOPNOTSUPP, EPERM } from "../abi/errno.ts";
import type { Remedy } from "../remedy.ts";
import {
  attachedAt,
  dissectorLink,
  kindOf,
  linkAt,
  MAX_PROGRAMS,
  programAt,
  programLabel,
  programTypeName,
} from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field, referenceOf } from "./cause.ts";
import { occupant } from "./occupied.ts";

const CREATE: readonly number[] = [BPF.BPF_LINK_CREATE];
const UPDATE: readonly number[] = [BPF.BPF_LINK_UPDATE];

/** The attach type that links to namespaces take, by type of program. */
const ATTACH_TYPES: ReadonlyMap<number, number> = new Map([
  [BPF.BPF_PROG_TYPE_FLOW_DISSECTOR, BPF.BPF_FLOW_DISSECTOR],
  [BPF.BPF_PROG_TYPE_SK_LOOKUP, BPF.BPF_SK_LOOKUP],
]);

/** What `attach_type` should have been, for the program of a BPF_LINK_CREATE. */
function rightAttachType(call: FailedCall): { readonly number: number; readonly text: string } {
  const program = programAt(call.kernel, field(call, "prog_fd"));
  const number = ATTACH_TYPES.get(program?.type ?? 0) ?? BPF.BPF_FLOW_DISSECTOR;
  return { number, text: `${BPF.ATTACH_TYPE_NAMES[number]} (${number})` };
}

/** Whether the program is of a type that links to network namespaces are for. */
function isNamespaceProgram(call: FailedCall): boolean {
  return ATTACH_TYPES.has(programAt(call.kernel, field(call, "prog_fd"))?.type ?? 0);
}

function giveAttachType(value: number): readonly Remedy[] {
  return [{ action: "set-field", field: "attach_type", value }];
}

function linkTypeGiven(call: FailedCall): Finding | null {
  if (field(call, "attach_type") !== BPF.BPF_LINK_TYPE_NETNS || !isNamespaceProgram(call)) {
    return null;
  }
  const { number, text } = rightAttachType(call);
  return {
    hint: `attach type 5 is the link type BPF_LINK_TYPE_NETNS; give the attach type ${text}`,
    remedies: giveAttachType(number),
  };
}

function programTypeGiven(call: FailedCall): Finding | null {
  const given = field(call, "attach_type");
  const program = programAt(call.kernel, field(call, "prog_fd"));
  if (program?.type !== given || !ATTACH_TYPES.has(given)) return null;
  const { number, text } = rightAttachType(call);
  return {
    hint: `attach type ${given} is the program type ${programTypeName(given)}; give ${text}`,
    remedies: giveAttachType(number),
  };
}

function wrongProgram(call: FailedCall): Finding | null {
  const program = programAt(call.kernel, field(call, "prog_fd"));
  if (program === null || ATTACH_TYPES.has(program.type)) return null;
  // Programs of other types have links of other kinds, with other targets.
  const isForNamespace =
    [...ATTACH_TYPES.values()].includes(field(call, "attach_type")) ||
    kindOf(call.kernel, field(call, "target_fd")) === "netns";
  if (!isForNamespace) return null;
  return {
    hint:
      `${program.label} doesn't attach to a network namespace: it is a ` +
      `${programTypeName(program.type)}; take a flow dissector or an sk_lookup program`,
    remedies: [{ action: "inspect-object" }],
  };
}

function wrongAttachType(call: FailedCall): Finding | null {
  const program = programAt(call.kernel, field(call, "prog_fd"));
  const given = field(call, "attach_type");
  if (program === null || !ATTACH_TYPES.has(program.type)) return null;
  const { number, text } = rightAttachType(call);
  if (given === number) return null;
  const name = BPF.ATTACH_TYPE_NAMES[given] ?? "no attach type";
  return {
    hint: `${program.label} attaches as ${text}, not as ${name} (${given})`,
    remedies: giveAttachType(number),
  };
}

function flagsGiven(call: FailedCall): Finding | null {
  const flags = field(call, "flags");
  const isUpdate = call.command === BPF.BPF_LINK_UPDATE;
  const known = isUpdate ? BPF.BPF_F_REPLACE : 0;
  if ((flags & ~known) === 0 || (!isUpdate && !isNamespaceProgram(call))) return null;
  return {
    hint:
      `flags 0x${(flags >>> 0).toString(16)} has bits that this call doesn't take; ` +
      (known === 0 ? "leave them 0" : "only BPF_F_REPLACE (4) is known"),
    remedies: [{ action: "set-field", field: "flags", value: flags & known }],
  };
}

function linksFull(call: FailedCall): Finding | null {
  if (field(call, "attach_type") !== BPF.BPF_SK_LOOKUP) return null;
  const attached = attachedAt(call.kernel, field(call, "target_fd"), BPF.BPF_SK_LOOKUP);
  // Where it can't be asked: Linux has no other reason left to say E2BIG.
  if (attached !== null && attached.length < MAX_PROGRAMS) return null;
  const label = call.about.netns ?? "of target_fd";
  return {
    hint: `netns ${label} has 64 sk_lookup links, the most there may be; detach one first`,
    remedies: [{ action: "list-links" }, { action: "detach-link", link: null }],
  };
}

function occupiedByLink(call: FailedCall): Finding | null {
  if (field(call, "attach_type") !== BPF.BPF_FLOW_DISSECTOR) return null;
  const target = field(call, "target_fd");
  if (attachedAt(call.kernel, target, BPF.BPF_FLOW_DISSECTOR)?.length === 0) return null;
  const found = dissectorLink(call.kernel, call.kernel.netns.inode(target));
  const which = found === null ? "" : ` (id ${found.id}, program ${found.prog_id})`;
  const link = found?.id ?? null;
  return {
    hint:
      `netns ${call.about.netns ?? "of target_fd"} already has a flow dissector link${which}; ` +
      "update that link, or detach it first",
    remedies: [
      { action: "update-link", link },
      { action: "detach-link", link },
    ],
  };
}

function defunct(call: FailedCall): Finding | null {
  const link = linkAt(call.kernel, field(call, "link_fd"));
  if (link?.type !== BPF.BPF_LINK_TYPE_NETNS || link.netns_ino !== 0) return null;
  return {
    hint:
      `link ${link.id} is defunct: it was detached, or its network namespace is gone; ` +
      "it can't be attached again, so attach a new link",
    remedies: [
      { action: "explain-link", link: link.id },
      { action: "attach-link", netns: referenceOf(call) },
    ],
  };
}

function otherProgram(call: FailedCall): Finding | null {
  const link = linkAt(call.kernel, field(call, "link_fd"));
  const expected = programAt(call.kernel, field(call, "old_prog_fd"));
  if (link === null || expected === null || link.prog_id === expected.id) return null;
  const there = programLabel(call.kernel, link.prog_id);
  return {
    hint:
      `link ${link.id} runs ${there}, not the expected ${expected.label}: ` +
      "look again, and decide anew",
    remedies: [
      { action: "show-link", link: link.id },
      { action: "update-link", link: link.id, expect: link.prog_id },
    ],
  };
}

function otherType(call: FailedCall): Finding | null {
  const link = linkAt(call.kernel, field(call, "link_fd"));
  const program = programAt(call.kernel, field(call, "new_prog_fd"));
  if (link?.type !== BPF.BPF_LINK_TYPE_NETNS || program === null) return null;
  if (ATTACH_TYPES.get(program.type) === link.attach_type) return null;
  const attachType = BPF.ATTACH_TYPE_NAMES[link.attach_type] ?? `${link.attach_type}`;
  return {
    hint:
      `${program.label} is of another type than program ${link.prog_id} of link ${link.id}, ` +
      `which is attached as ${attachType}`,
    remedies: [{ action: "show-link", link: link.id }],
  };
}

function replaceForgotten(call: FailedCall): Finding | null {
  if ((field(call, "flags") & BPF.BPF_F_REPLACE) !== 0) return null;
  if (field(call, "old_prog_fd") === 0) return null;
  return {
    hint: "old_prog_fd is given without BPF_F_REPLACE; set that flag, or leave it 0",
    remedies: [{ action: "set-field", field: "flags", value: BPF.BPF_F_REPLACE }],
  };
}

function cannotDetach(call: FailedCall): Finding | null {
  const link = linkAt(call.kernel, field(call, "link_fd"));
  if (link === null || link.type === BPF.BPF_LINK_TYPE_NETNS) return null;
  return {
    hint:
      `link ${link.id} is no link to a network namespace; ` +
      "links of its type go with their last fd",
  };
}

/** Causes of refused links, the special before the general. */
export const LINK_CAUSES: readonly Cause[] = [
  {
    id: "wrong-program-type",
    title: "programs of this type don't attach to network namespaces",
    commands: CREATE,
    errnos: [EINVAL],
    find: wrongProgram,
  },
  {
    id: "link-type-as-attach-type",
    title: "the link type (5) was given where the attach type (17 or 36) goes",
    commands: CREATE,
    errnos: [EINVAL],
    find: linkTypeGiven,
  },
  {
    id: "program-type-as-attach-type",
    title: "the program type (22 or 30) was given where the attach type (17 or 36) goes",
    commands: CREATE,
    errnos: [EINVAL],
    find: programTypeGiven,
  },
  {
    id: "wrong-attach-type",
    title: "the program attaches under another attach type",
    commands: CREATE,
    errnos: [EINVAL],
    find: wrongAttachType,
  },
  {
    id: "unknown-flags",
    title: "a flag is set that the call doesn't know",
    commands: [...CREATE, ...UPDATE],
    errnos: [EINVAL],
    find: flagsGiven,
  },
  {
    id: "sk-lookup-links-full",
    title: "the namespace has 64 sk_lookup links",
    commands: CREATE,
    errnos: [E2BIG],
    find: linksFull,
  },
  {
    id: "occupied-by-link",
    title: "the namespace has a flow dissector link already",
    commands: CREATE,
    errnos: [E2BIG],
    find: occupiedByLink,
  },
  {
    id: "occupied-by-program",
    title: "a program is attached to the namespace directly",
    commands: CREATE,
    errnos: [EEXIST],
    find: (call) => occupant(call, field(call, "target_fd")),
  },
  {
    id: "link-defunct",
    title: "the link was detached, or its namespace died",
    commands: UPDATE,
    errnos: [ENOLINK],
    find: defunct,
  },
  {
    id: "old-program-mismatch",
    title: "the link runs another program than the one expected",
    commands: UPDATE,
    errnos: [EPERM],
    find: otherProgram,
  },
  {
    id: "replace-flag-missing",
    title: "an expected program is given without the flag that says so",
    commands: UPDATE,
    errnos: [EINVAL],
    find: replaceForgotten,
  },
  {
    id: "update-type-mismatch",
    title: "the new program is of another type than the link's",
    commands: UPDATE,
    errnos: [EINVAL],
    find: otherType,
  },
  {
    id: "link-cannot-detach",
    title: "links of this type can't be detached",
    commands: [BPF.BPF_LINK_DETACH],
    errnos: [EOPNOTSUPP],
    find: cannotDetach,
  },
];
