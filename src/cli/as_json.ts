/**
 * What `--json` says of links, programs and namespaces. These names are promised: docs/cli.md lists
 * them.
 */

import { ATTACH_TYPE_NAMES } from "../abi/bpf.ts";
import type {
  DirectEntry,
  Explanation,
  Holder,
  LinkEntry,
  LinkEvent,
  LinkOutcome,
  NamespaceEntry,
  PacketPath,
  ProgramEntry,
  Unknown,
} from "../inventory/index.ts";

/** "flow_dissector", as bpftool writes it. */
export function attachTypeName(attachType: number): string {
  const name = ATTACH_TYPE_NAMES[attachType];
  return name === undefined ? `${attachType}` : name.replace(/^BPF_/, "").toLowerCase();
}

export function linkAsJson(link: LinkEntry): object {
  const { id, attachType, program, namespace, state, pins, holders } = link;
  return {
    id,
    type: "netns",
    attach_type: attachTypeName(attachType),
    program: programAsJson(program),
    namespace: namespace === null ? null : namespaceAsJson(namespace),
    state,
    pins,
    holders: holders.map(holderAsJson),
  };
}

export function directAsJson({ attachType, program, namespace, state }: DirectEntry): object {
  return {
    attach_type: attachTypeName(attachType),
    program: programAsJson(program),
    namespace: namespaceAsJson(namespace),
    state,
  };
}

export function programAsJson({ id, name, tag }: ProgramEntry): object {
  return { id, name, tag };
}

/** The cookie is text: it has 64 bits. */
export function namespaceAsJson(namespace: NamespaceEntry): object {
  const { inode, cookie, isRoot, names, pids, holders } = namespace;
  return {
    inode,
    cookie: cookie === null ? null : `${cookie}`,
    root: isRoot,
    names,
    pids,
    holders: holders.map(holderAsJson),
  };
}

/** `unknown`, where there is something. */
export function unknownAsJson(unknown: readonly Unknown[]): object {
  return unknown.length === 0 ? {} : { unknown };
}

export function explanationAsJson(explanation: Explanation): object {
  return {
    link: linkAsJson(explanation.link),
    now: outcomeAsJson(explanation.now),
    ...unknownAsJson(explanation.unknown),
    held_unseen: explanation.isHeldUnseen,
    namespace_held_unseen: explanation.isNamespaceHeldUnseen,
    foretold: explanation.foretold.map(({ event, outcome }) => ({
      event: eventAsJson(event),
      outcome: outcomeAsJson(outcome),
    })),
  };
}

function holderAsJson({ pid, command, fds }: Holder): object {
  return { pid, command, fds };
}

function outcomeAsJson({ state, pins, holders, packets }: LinkOutcome): object {
  return {
    state,
    pins,
    holders: holders.map(holderAsJson),
    packets: packets === null ? null : packetsAsJson(packets),
  };
}

const PACKETS_BY: Readonly<Record<PacketPath["by"], string>> = {
  program: "program",
  rootProgram: "root_program",
  linux: "linux",
};

function packetsAsJson({ by, programIds }: PacketPath): object {
  return { by: PACKETS_BY[by], program_ids: programIds };
}

const EVENTS: Readonly<Record<LinkEvent["kind"], string>> = {
  close: "close",
  closeAll: "close_all",
  unpin: "unpin",
  unpinAll: "unpin_all",
  detach: "detach",
  netnsDeath: "netns_death",
};

function eventAsJson(event: LinkEvent): object {
  return { ...event, kind: EVENTS[event.kind] };
}
