/**
 * Why a program is not attached to, detached from or asked for in a namespace without a link.
 */

import * as BPF from "../abi/bpf.ts";
import { EEXIST, EINVAL, ENOENT, ENOSPC } from "../abi/errno.ts";
import { attachedAt, dissectorLink, inCurrent, programAt, programTypeName } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";

const ATTACH: readonly number[] = [BPF.BPF_PROG_ATTACH];
const DETACH: readonly number[] = [BPF.BPF_PROG_DETACH];

function program(call: FailedCall): ReturnType<typeof programAt> {
  return programAt(call.kernel, field(call, "attach_bpf_fd"));
}

/** Id and program of the link of the current namespace, or nothing when it can't be seen. */
function currentLink(call: FailedCall): { readonly text: string; readonly id: number | string } {
  const { kernel } = call;
  const link = inCurrent(kernel, (fd) => dissectorLink(kernel, kernel.netns.inode(fd)));
  return link === null
    ? { text: "", id: "LINK" }
    : { text: ` (id ${link.id}, program ${link.prog_id})`, id: link.id };
}

function attachedHere(call: FailedCall): readonly number[] | null {
  return inCurrent(call.kernel, (fd) => attachedAt(call.kernel, fd, BPF.BPF_FLOW_DISSECTOR));
}

function notDirectly(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null || facts.type === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return null;
  if (facts.type === BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
  return {
    hint: `${facts.label} is no flow dissector; programs of other types take a link`,
    remedies: ["nslink inspect OBJECT"],
  };
}

function skLookupTakesLink(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts?.type !== BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
  return {
    hint: `${facts.label} is an sk_lookup program: it attaches by a link only`,
    remedies: ["nslink attach OBJECT --netns NETNS"],
  };
}

function wrongAttachType(call: FailedCall): Finding | null {
  const given = field(call, "attach_type");
  if (given === BPF.BPF_FLOW_DISSECTOR) return null;
  const name = BPF.ATTACH_TYPE_NAMES[given] ?? "no attach type";
  const what =
    given === BPF.BPF_PROG_TYPE_FLOW_DISSECTOR
      ? `the program type ${programTypeName(given)}`
      : name;
  return {
    hint: `attach type ${given} is ${what}; a flow dissector's is BPF_FLOW_DISSECTOR (17)`,
  };
}

function targetGiven(call: FailedCall): Finding | null {
  if (field(call, "target_fd") === 0) return null;
  return {
    hint:
      "target_fd is given, but a program attaches to the current network namespace; " +
      "enter that namespace and leave target_fd 0",
    remedies: ["nslink prog attach OBJECT --netns NETNS"],
  };
}

function flagsGiven(call: FailedCall): Finding | null {
  const flags = field(call, "attach_flags");
  if (flags === 0 && field(call, "replace_bpf_fd") === 0) return null;
  return {
    hint: "a network namespace takes no attach_flags and no replace_bpf_fd; leave both 0",
  };
}

function attachedAlready(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null) return null;
  const here = attachedHere(call);
  if (here !== null && !here.includes(facts.id)) return null;
  return {
    hint: `program ${facts.id} is attached here already`,
    remedies: ["nslink prog query"],
  };
}

function linkHere(call: FailedCall): Finding | null {
  // Without the right to ask, the root rule may be the reason just as well.
  if ((attachedHere(call) ?? []).length === 0) return null;
  const { text, id } = currentLink(call);
  return {
    hint: `this netns has a flow dissector link${text}; update that link, or detach it first`,
    remedies: [`nslink update ${id} OBJECT`, `nslink detach ${id}`],
  };
}

function heldByLink(call: FailedCall): Finding | null {
  const { text, id } = currentLink(call);
  return {
    hint: `a link holds this netns${text}; detach or dispose that link instead`,
    remedies: [`nslink detach ${id}`],
  };
}

function otherAttached(call: FailedCall): Finding | null {
  const [other] = attachedHere(call) ?? [];
  const facts = program(call);
  if (other === undefined || facts === null) return null;
  return {
    hint: `program ${other} is attached here, not program ${facts.id}`,
    remedies: [`nslink prog detach ${other}`],
  };
}

function nothingAttached(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null) return null;
  return { hint: `${facts.label} is not attached here`, remedies: ["nslink prog query"] };
}

function queryRoom(call: FailedCall): Finding | null {
  return {
    hint:
      `more programs are attached than prog_cnt (${field(call, "prog_cnt")}) has room for; ` +
      "ask with room for 64",
    remedies: ["nslink prog query"],
  };
}

function notQueried(call: FailedCall): Finding | null {
  const given = field(call, "attach_type");
  if (given === BPF.BPF_FLOW_DISSECTOR || given === BPF.BPF_SK_LOOKUP) return null;
  return {
    hint:
      `attach type ${given} has nothing to do with network namespaces; ` +
      "ask for BPF_FLOW_DISSECTOR (17) or BPF_SK_LOOKUP (36)",
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
];
