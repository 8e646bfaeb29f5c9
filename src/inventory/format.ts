/**
 * An explanation in words.
 */

import { BPF_SK_LOOKUP } from "../abi/bpf.ts";
import type { Holder, LinkEntry, NamespaceEntry, Unknown } from "./entries.ts";
import type { Explanation, LinkEvent, LinkOutcome, PacketPath } from "./explain.ts";

/** How many pids are named before the rest are counted. */
const MAX_PIDS_NAMED = 8;

/** Lines of text, without line ends. */
export function formatExplanation(explanation: Explanation): readonly string[] {
  const { link, now, foretold, unknown } = explanation;
  return [
    `${titleOf(link)}.`,
    ...stateLines(explanation),
    ...(now.packets === null ? [] : [`Packets of the namespace meet ${packetsText(now.packets)}.`]),
    "",
    "The link lives because of",
    ...listed(linkKeepers(now), "nothing that can be seen: an fd or a pin out of sight"),
    ...namespaceLines(explanation),
    "",
    "What would happen:",
    ...foretold.map(({ event, outcome }) => {
      return `  ${eventText(event, link)}: ${outcomeText(outcome, now)}.`;
    }),
    ...(unknown.length === 0 ? [] : ["", ...unknown.map(unknownText)]),
  ];
}

const UNKNOWN: Readonly<Record<Unknown["what"], string>> = {
  links: "links without a pin that this task may open",
  programs: "names of programs",
  attachments: "what is attached",
  holders: "holders in other processes",
};

/** "holders in other processes unknown: needs CAP_SYS_PTRACE and CAP_DAC_OVERRIDE" */
export function unknownText({ what, needs }: Unknown): string {
  return `${UNKNOWN[what]} unknown: needs ${needs}`;
}

function titleOf({ id, attachType, program }: LinkEntry): string {
  const type = attachType === BPF_SK_LOOKUP ? "sk_lookup" : "flow dissector";
  const name = program.name === "" ? "" : ` (${program.name})`;
  const tag = program.tag === "" ? "" : `, tag ${program.tag}`;
  return `Link ${id}: ${type}, program ${program.id}${name}${tag}`;
}

function stateLines({ link: { state, namespace } }: Explanation): readonly string[] {
  switch (state) {
    case "attached":
      return [`It is attached to ${namespaceText(namespace)}.`];
    case "shadowed":
      return [
        `It is attached to ${namespaceText(namespace)}, ` +
          "and shadowed by the flow dissector of the root namespace.",
      ];
    case "detached":
      return ["It was detached, and can't be attached again."];
    case "defunct":
      return [
        "It is defunct: its namespace died, or it was detached. The kernel doesn't tell which, " +
          "and it can't be attached again.",
      ];
  }
}

function namespaceText(namespace: NamespaceEntry | null): string {
  if (namespace === null) return "no namespace";
  if (namespace.isRoot) return `the root namespace (inode ${namespace.inode})`;
  const [name] = namespace.names;
  return `namespace ${name === undefined ? "" : `${name} `}(inode ${namespace.inode})`;
}

function namespaceLines({ link: { namespace } }: Explanation): readonly string[] {
  if (namespace === null) return [];
  if (namespace.isRoot) return ["The namespace is the root namespace, which never dies."];
  const { names, pids, holders } = namespace;
  const inside = pids.slice(0, MAX_PIDS_NAMED).join(", ");
  const more = pids.length > MAX_PIDS_NAMED ? ` and ${pids.length - MAX_PIDS_NAMED} more` : "";
  const keepers = [
    ...names.map((name) => `its name ${name} (ip netns del ${shellWord(name)} takes it away)`),
    ...(pids.length === 0 ? [] : [`${counted(pids.length, "process")} inside: ${inside}${more}`]),
    ...holders.map(holderText),
  ];
  return [
    "The namespace lives because of",
    ...listed(keepers, "nothing that can be seen: a socket, a thread or a mount out of sight"),
  ];
}

function linkKeepers({ pins, holders }: LinkOutcome): readonly string[] {
  return [...holders.map(holderText), ...pins.map((path) => `the pin ${path}`)];
}

function holderText({ pid, command, fds }: Holder): string {
  return `process ${pid} (${command}), fd ${fds.join(", ")}`;
}

function listed(items: readonly string[], none: string): readonly string[] {
  return (items.length === 0 ? [none] : items).map((item) => `  ${item}`);
}

function eventText(event: LinkEvent, { holders }: LinkEntry): string {
  switch (event.kind) {
    case "close": {
      const holder = holders.find(({ pid }) => pid === event.pid);
      return `process ${event.pid} (${holder?.command ?? ""}) closes ${
        holder?.fds.length === 1 ? "its fd" : `its ${holder?.fds.length ?? 0} fds`
      }`;
    }
    case "closeAll":
      return "every process closes its fds";
    case "unpin":
      return `${event.path} is unpinned`;
    case "unpinAll":
      return "every pin is unlinked";
    case "detach":
      return "it is detached";
    case "netnsDeath":
      return "its namespace dies";
  }
}

function outcomeText(outcome: LinkOutcome, now: LinkOutcome): string {
  const parts = [stateText(outcome, now)];
  if (outcome.state !== "gone") parts.push(`kept by ${keepersText(outcome)}`);
  if (outcome.packets !== null) parts.push(`packets meet ${packetsText(outcome.packets)}`);
  return parts.join("; ");
}

function stateText({ state }: LinkOutcome, now: LinkOutcome): string {
  if (state === now.state) return `it stays ${state}`;
  switch (state) {
    case "gone":
      return "nobody holds the link, and it is gone";
    case "defunct":
      return "the link is defunct for good";
    default:
      return `the link is ${state}`;
  }
}

function keepersText({ pins, holders }: LinkOutcome): string {
  const parts = [
    ...(holders.length > 0 ? [counted(holders.length, "process")] : []),
    ...(pins.length > 0 ? [counted(pins.length, "pin")] : []),
  ];
  return parts.length === 0 ? "something out of sight" : parts.join(" and ");
}

function packetsText({ by, programIds }: PacketPath): string {
  switch (by) {
    case "linux":
      return "no program: Linux goes on by itself";
    case "rootProgram":
      return `program ${programIds.join(", ")} of the root namespace`;
    case "program":
      return programIds.length === 1
        ? `program ${programIds[0]}`
        : `programs ${programIds.join(", ")} in turn`;
  }
}

function counted(count: number, noun: "process" | "pin"): string {
  if (count === 1) return `1 ${noun}`;
  return `${count} ${noun === "process" ? "processes" : "pins"}`;
}

/** A word as a shell takes it: whatever is in a name, it is no more than a name. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
