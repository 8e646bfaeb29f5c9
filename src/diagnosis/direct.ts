/**
 * Why a program is not attached to, detached from or asked for in a namespace without a link.
 */

import * as BPF from "../abi/bpf.ts";
import { EEXIST, EINVAL, ENOENT, ENOSPC } from "../abi/errno.ts";
import type { Remedy } from "../remedy.ts";
import {
  attachedAt,
  currentReference,
  dissectorLink,
  inCurrent,
  kindOf,
  MAX_PROGRAMS,
  programAt,
  programTypeName,
} from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";

const ATTACH: readonly number[] = [BPF.BPF_PROG_ATTACH];
const DETACH: readonly number[] = [BPF.BPF_PROG_DETACH];

function program(call: FailedCall): ReturnType<typeof programAt> {
  return programAt(call.kernel, field(call, "attach_bpf_fd"));
}

function isDissectorsType(call: FailedCall): boolean {
  return field(call, "attach_type") === BPF.BPF_FLOW_DISSECTOR;
}

/**
 * The program of a call that has nothing against it but what is attached to the namespace: a flow
 * dissector, under its attach type, and nothing else given. Null for any other call.
 */
function dissector(call: FailedCall): ReturnType<typeof programAt> {
  if (!isDissectorsType(call) || OTHER_FIELDS.some((name) => field(call, name) !== 0)) return null;
  const facts = program(call);
  return facts?.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR ? facts : null;
}

/** Fields that Linux wants to be 0 for a network namespace. */
const OTHER_FIELDS = [
  "target_fd",
  "attach_flags",
  "replace_bpf_fd",
  "relative_fd",
  "expected_revision",
] as const;

/** Id and program of the link of the current namespace, or nothing when it can't be seen. */
function currentLink(call: FailedCall): { readonly text: string; readonly id: number | null } {
  const { kernel } = call;
  const link = inCurrent(kernel, (fd) => dissectorLink(kernel, kernel.netns.inode(fd)));
  return link === null
    ? { text: "", id: null }
    : { text: ` (id ${link.id}, program ${link.prog_id})`, id: link.id };
}

/** Null when it can't be asked. */
function attachedHere(call: FailedCall): readonly number[] | null {
  return inCurrent(call.kernel, (fd) => attachedAt(call.kernel, fd, BPF.BPF_FLOW_DISSECTOR));
}

function queryHere({ kernel }: FailedCall): Remedy {
  return { action: "query-netns", netns: currentReference(kernel) };
}

function notDirectly(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null || facts.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return null;
  if (!isDissectorsType(call)) return null;
  return {
    hint:
      `${facts.label} is a ${programTypeName(facts.type)}; ` +
      "only flow dissectors attach to a network namespace without a link",
    remedies: [{ action: "inspect-object" }],
  };
}

function skLookupTakesLink(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts?.type !== BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
  return {
    hint: `${facts.label} is an sk_lookup program: it attaches by a link only`,
    remedies: [{ action: "attach-link", netns: currentReference(call.kernel) }],
  };
}

function wrongAttachType(call: FailedCall): Finding | null {
  const given = field(call, "attach_type");
  if (isDissectorsType(call)) return null;
  if (program(call)?.type !== BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return null;
  const name = BPF.ATTACH_TYPE_NAMES[given] ?? "no attach type";
  const what =
    given === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR
      ? `the program type ${programTypeName(given)}`
      : name;
  return {
    hint: `attach type ${given} is ${what}; a flow dissector's is BPF_FLOW_DISSECTOR (17)`,
    remedies: [{ action: "set-field", field: "attach_type", value: BPF.BPF_FLOW_DISSECTOR }],
  };
}

function targetGiven(call: FailedCall): Finding | null {
  if (field(call, "target_fd") === 0 || !isDissectorsType(call)) return null;
  return {
    hint:
      "target_fd is given, but a program attaches to the current network namespace; " +
      "enter that namespace and leave target_fd 0",
    remedies: [{ action: "set-field", field: "target_fd", value: 0 }],
  };
}

function flagsGiven(call: FailedCall): Finding | null {
  if (!isDissectorsType(call)) return null;
  const given = OTHER_FIELDS.filter((name) => name !== "target_fd" && field(call, name) !== 0);
  if (given.length === 0) return null;
  return {
    hint: `a network namespace takes no ${given.join(" and no ")}; leave 0`,
    remedies: given.map((name) => ({ action: "set-field", field: name, value: 0 })),
  };
}

function attachedAlready(call: FailedCall): Finding | null {
  const facts = dissector(call);
  if (facts === null) return null;
  // Where it can't be asked: Linux has no other reason left to say EINVAL.
  const here = attachedHere(call);
  if (here !== null && !here.includes(facts.id)) return null;
  return {
    hint: `program ${facts.id} is attached here already`,
    remedies: [queryHere(call)],
  };
}

function linkHere(call: FailedCall): Finding | null {
  // Without the right to ask, the root rule may be the reason just as well.
  if (!isDissectorsType(call) || (attachedHere(call) ?? []).length === 0) return null;
  const { text, id } = currentLink(call);
  return {
    hint: `this netns has a flow dissector link${text}; update that link, or detach it first`,
    remedies: [
      { action: "update-link", link: id },
      { action: "detach-link", link: id },
    ],
  };
}

function heldByLink(call: FailedCall): Finding | null {
  if (dissector(call) === null || attachedHere(call)?.length === 0) return null;
  const { text, id } = currentLink(call);
  return {
    hint: `a link holds this netns${text}; detach that link instead`,
    remedies: [{ action: "detach-link", link: id }],
  };
}

function otherAttached(call: FailedCall): Finding | null {
  const facts = dissector(call);
  const [other] = attachedHere(call) ?? [];
  if (other === undefined || facts === null || other === facts.id) return null;
  const netns = currentReference(call.kernel);
  return {
    hint: `program ${other} is attached here, not program ${facts.id}`,
    remedies: [{ action: "detach-program", program: other, netns }],
  };
}

function nothingAttached(call: FailedCall): Finding | null {
  const facts = dissector(call);
  if (facts === null || attachedHere(call)?.includes(facts.id) === true) return null;
  return { hint: `${facts.label} is not attached here`, remedies: [queryHere(call)] };
}

function queryRoom(call: FailedCall): Finding | null {
  const room = field(call, "prog_cnt");
  const count = attachedAt(call.kernel, field(call, "target_fd"), field(call, "attach_type"));
  if (count === null || count.length <= room) return null;
  return {
    hint: `${count.length} programs are attached, and prog_cnt has room for ${room}`,
    remedies: [{ action: "set-field", field: "prog_cnt", value: MAX_PROGRAMS }],
  };
}

/** Whether an attach type is one of a network namespace. */
function isOfNamespaces(attachType: number): boolean {
  return attachType === BPF.BPF_FLOW_DISSECTOR || attachType === BPF.BPF_SK_LOOKUP;
}

function notQueried(call: FailedCall): Finding | null {
  const given = field(call, "attach_type");
  if (isOfNamespaces(given)) return null;
  if (kindOf(call.kernel, field(call, "target_fd")) !== "netns") return null;
  return {
    hint:
      `attach type ${given} has nothing to do with network namespaces; ` +
      "ask for BPF_FLOW_DISSECTOR (17) or BPF_SK_LOOKUP (36)",
    remedies: [BPF.BPF_FLOW_DISSECTOR, BPF.BPF_SK_LOOKUP].map((value) => {
      return { action: "set-field", field: "attach_type", value };
    }),
  };
}

function queryFlags(call: FailedCall): Finding | null {
  const flags = field(call, "query_flags");
  if (flags === 0 || !isOfNamespaces(field(call, "attach_type"))) return null;
  return {
    hint: "a network namespace takes no query_flags; leave 0",
    remedies: [{ action: "set-field", field: "query_flags", value: 0 }],
  };
}

/** Causes of refusals where no link is involved, the special before the general. */
export const DIRECT_CAUSES: readonly Cause[] = [
  {
    id: "sk-lookup-needs-link",
    title: "an sk_lookup program attaches by a link only",
    commands: [...ATTACH, ...DETACH],
    errnos: [EINVAL],
    find: skLookupTakesLink,
  },
  {
    id: "no-flow-dissector",
    title: "only flow dissectors attach without a link",
    commands: [...ATTACH, ...DETACH],
    errnos: [EINVAL],
    find: notDirectly,
  },
  {
    id: "direct-attach-type",
    title: "the attach type isn't a flow dissector's",
    commands: [...ATTACH, ...DETACH],
    errnos: [EINVAL],
    find: wrongAttachType,
  },
  {
    id: "direct-target-given",
    title: "a program attaches to the current namespace, not to that of an fd",
    commands: [...ATTACH, ...DETACH],
    errnos: [EINVAL],
    find: targetGiven,
  },
  {
    id: "direct-flags-given",
    title: "network namespaces know no attach flags",
    commands: [...ATTACH, ...DETACH],
    errnos: [EINVAL],
    find: flagsGiven,
  },
  {
    id: "attached-already",
    title: "the program is attached already",
    commands: ATTACH,
    errnos: [EINVAL],
    find: attachedAlready,
  },
  {
    id: "link-here",
    title: "a link holds the namespace, so no program can be attached directly",
    commands: ATTACH,
    errnos: [EEXIST],
    find: linkHere,
  },
  {
    id: "held-by-link",
    title: "what is attached is attached by a link",
    commands: DETACH,
    errnos: [EINVAL],
    find: heldByLink,
  },
  {
    id: "other-program-attached",
    title: "another program is attached",
    commands: DETACH,
    errnos: [ENOENT],
    find: otherAttached,
  },
  {
    id: "nothing-attached",
    title: "no program is attached",
    commands: DETACH,
    errnos: [ENOENT],
    find: nothingAttached,
  },
  {
    id: "query-room",
    title: "there is no room for the ids of all programs",
    commands: [BPF.BPF_PROG_QUERY],
    errnos: [ENOSPC],
    find: queryRoom,
  },
  {
    id: "query-attach-type",
    title: "the attach type isn't one of a network namespace",
    commands: [BPF.BPF_PROG_QUERY],
    errnos: [EINVAL],
    find: notQueried,
  },
  {
    id: "query-flags",
    title: "network namespaces know no query flags",
    commands: [BPF.BPF_PROG_QUERY],
    errnos: [EINVAL],
    find: queryFlags,
  },
];
