/**
 * Refusals for want of a right: which capability is missing, and who could give it.
 */

import * as BPF from "../abi/bpf.ts";
import { EACCES, EPERM } from "../abi/errno.ts";
import {
  NET_ADMIN_TYPES,
  PERFMON_TYPES,
  UNPRIVILEGED_MAP_TYPES,
  UNPRIVILEGED_PROG_TYPES,
} from "../abi/rights.ts";
import type { Remedy } from "../remedy.ts";
import { programTypeName } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";
import { isBefore, readTask, type TaskFacts } from "./task.ts";

const CREATING: readonly number[] = [BPF.BPF_MAP_CREATE, BPF.BPF_PROG_LOAD, BPF.BPF_BTF_LOAD];
const BY_ID: readonly number[] = [
  BPF.BPF_PROG_GET_NEXT_ID,
  BPF.BPF_MAP_GET_NEXT_ID,
  BPF.BPF_LINK_GET_NEXT_ID,
  BPF.BPF_BTF_GET_NEXT_ID,
  BPF.BPF_PROG_GET_FD_BY_ID,
  BPF.BPF_MAP_GET_FD_BY_ID,
  BPF.BPF_LINK_GET_FD_BY_ID,
  BPF.BPF_BTF_GET_FD_BY_ID,
];
const NAMESPACE_CALLS: readonly string[] = ["netns.create", "netns.remove", "netns.enter"];

/** Since this Linux memory of BPF is counted by cgroups, not by RLIMIT_MEMLOCK. */
const LINUX_WITHOUT_MEMLOCK = [5, 11] as const;

/** What shows all rights, and what to do about those that are missing. */
function remediesOf({ kernel }: FailedCall): readonly Remedy[] {
  return [{ action: "examine-kernel", kernel: kernel.name }];
}

/** Whether a capability, or CAP_SYS_ADMIN in its stead, is there; unknown counts as missing. */
function has({ capabilities }: Pick<TaskFacts, "capabilities">, name: string): boolean {
  return capabilities !== null && (capabilities.has(name) || capabilities.has("CAP_SYS_ADMIN"));
}

/** The verifier had its say, so that what is asked for before it was there. */
function wasVerified({ command, about }: FailedCall): boolean {
  return command === BPF.BPF_PROG_LOAD && (about.log ?? "").trim() !== "";
}

function creatingWhat({ command }: FailedCall): string {
  switch (command) {
    case BPF.BPF_MAP_CREATE:
      return "creating maps needs CAP_BPF";
    case BPF.BPF_BTF_LOAD:
      return "loading BTF needs CAP_BPF";
    default:
      return "loading needs CAP_BPF, and for flow dissectors and XDP CAP_NET_ADMIN as well";
  }
}

/** What CAP_BPF was wanted for, also where those without it are let in; null: it wasn't. */
function wantingBpf(call: FailedCall): string | null {
  const isMap = call.command === BPF.BPF_MAP_CREATE;
  const isLetIn = readTask(call.kernel).unprivilegedBpfDisabled === 0;
  if (!isLetIn || call.command === BPF.BPF_BTF_LOAD) return creatingWhat(call);
  if (!isOpen(call)) return `${isMap ? "maps" : "programs"} of this type need CAP_BPF`;
  // The verifier's own words, where there are some, say more.
  if (isMap || (call.about.log ?? "") !== "") return null;
  return "a program's own functions, and callbacks, need CAP_BPF";
}

/** Whether the type is one that needs no capability where those without are let in. */
function isOpen(call: FailedCall): boolean {
  return call.command === BPF.BPF_MAP_CREATE
    ? UNPRIVILEGED_MAP_TYPES.has(field(call, "map_type"))
    : UNPRIVILEGED_PROG_TYPES.has(field(call, "prog_type"));
}

function unprivilegedOff(call: FailedCall): Finding | null {
  const { unprivilegedBpfDisabled: disabled, ...task } = readTask(call.kernel);
  if (
    wasVerified(call) ||
    !isOpen(call) ||
    has(task, "CAP_BPF") ||
    disabled === null ||
    disabled === 0
  )
    return null;
  return {
    hint:
      `unprivileged BPF is off (kernel.unprivileged_bpf_disabled = ${disabled}), ` +
      `so that ${creatingWhat(call)}`,
    remedies: remediesOf(call),
  };
}

function memlock(call: FailedCall): Finding | null {
  const { version, memlockBytes, ...task } = readTask(call.kernel);
  if (wasVerified(call) || !has(task, "CAP_BPF") || !isBefore(version, LINUX_WITHOUT_MEMLOCK))
    return null;
  if (memlockBytes === null || memlockBytes === Number.POSITIVE_INFINITY) return null;
  return {
    hint:
      `this Linux (${version}) counts BPF's memory as locked, and this task may lock ` +
      `${memlockBytes} bytes (RLIMIT_MEMLOCK); raise that limit`,
    remedies: [{ action: "raise-locked-memory" }],
  };
}

/** A right that was given in a user namespace doesn't count for the machine's BPF. */
function inUserNamespace(call: FailedCall): Finding | null {
  const { inUserNamespace: inside, capabilities } = readTask(call.kernel);
  if (wasVerified(call) || !inside || capabilities?.has("CAP_SYS_ADMIN") !== true) return null;
  return {
    hint:
      "this task's capabilities count in its user namespace only; " +
      "run it outside, as in a container with --privileged",
    remedies: remediesOf(call),
  };
}

function missing(
  title: string,
  capability: string,
  commands: readonly (number | string)[],
  hint: (call: FailedCall) => string | null,
  errnos: readonly number[] = [EPERM],
): Cause {
  return {
    id: `no-${capability.toLowerCase().replaceAll("_", "-")}`,
    title,
    commands,
    errnos,
    find(call) {
      const task = readTask(call.kernel);
      if (wasVerified(call) || has(task, capability)) return null;
      const text = hint(call);
      if (text === null) return null;
      const unknown = "; what this task has can't be read, without /proc";
      const hedge = task.capabilities === null ? unknown : "";
      return { hint: `${text}${hedge}`, remedies: remediesOf(call) };
    },
  };
}

/** Causes that have to do with rights; a capability that can't be asked for counts as missing. */
export const RIGHTS_CAUSES: readonly Cause[] = [
  {
    id: "user-namespace",
    title: "the capabilities were given in a user namespace",
    commands: [...CREATING, ...BY_ID, BPF.BPF_PROG_QUERY, ...NAMESPACE_CALLS],
    errnos: [EPERM],
    find: inUserNamespace,
  },
  {
    id: "unprivileged-bpf-off",
    title: "a sysctl keeps those without CAP_BPF out",
    commands: [BPF.BPF_MAP_CREATE, BPF.BPF_PROG_LOAD],
    errnos: [EPERM],
    find: unprivilegedOff,
  },
  missing("CAP_BPF is missing", "CAP_BPF", CREATING, wantingBpf),
  missing("CAP_PERFMON is missing", "CAP_PERFMON", [BPF.BPF_PROG_LOAD], (call) => {
    const type = field(call, "prog_type");
    return PERFMON_TYPES.has(type) ? `loading ${programTypeName(type)} needs CAP_PERFMON` : null;
  }),
  missing(
    "CAP_NET_ADMIN is missing",
    "CAP_NET_ADMIN",
    [BPF.BPF_PROG_LOAD, BPF.BPF_PROG_QUERY],
    (call) => {
      if (call.command === BPF.BPF_PROG_QUERY) return "asking what is attached needs CAP_NET_ADMIN";
      const type = field(call, "prog_type");
      return NET_ADMIN_TYPES.has(type)
        ? `loading ${programTypeName(type)} needs CAP_NET_ADMIN`
        : null;
    },
  ),
  missing(
    "CAP_SYS_ADMIN is missing",
    "CAP_SYS_ADMIN",
    [...BY_ID, ...NAMESPACE_CALLS],
    ({ command }) => {
      if (command === "netns.enter") return "entering a network namespace needs CAP_SYS_ADMIN";
      return typeof command === "string"
        ? "making and removing network namespaces needs CAP_SYS_ADMIN"
        : "opening by id needs CAP_SYS_ADMIN";
    },
    [EPERM, EACCES],
  ),
  {
    id: "memlock",
    title: "the limit on locked memory is used up (before Linux 5.11)",
    commands: CREATING,
    errnos: [EPERM],
    find: memlock,
  },
];

/** Whether a reason is that a right is missing: it says nothing of what was to be done with it. */
export function isMissingRight(reason: string | null): boolean {
  return RIGHTS_CAUSES.some(({ id }) => id === reason);
}
