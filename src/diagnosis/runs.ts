/**
 * Why a program is not run by hand: BPF_PROG_TEST_RUN, and dissecting a packet in a namespace.
 */

import * as BPF from "../abi/bpf.ts";
import { EFAULT, EINTR, EINVAL, ENOTSUPP, ERANGE } from "../abi/errno.ts";
import { programAt, programFaults, programTypeName } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";

const RUN: readonly number[] = [BPF.BPF_PROG_TEST_RUN];
const DISSECT: readonly string[] = ["netns.dissect"];
/** Bytes of an Ethernet header. */
const SHORTEST_PACKET = 14;
/**
 * The longest packet that each type takes, in bytes: a page, less what Linux puts before and after
 * (net/bpf/test_run.c). Types that are not here take longer ones in pieces.
 */
const LONGEST_PACKET: ReadonlyMap<number, number> = new Map([
  [BPF.BPF_PROG_TYPE_FLOW_DISSECTOR, 4096],
  [BPF.BPF_PROG_TYPE_SOCKET_FILTER, 3712],
  [BPF.BPF_PROG_TYPE_XDP, 3520],
]);

function program(call: FailedCall): ReturnType<typeof programAt> {
  return programAt(call.kernel, field(call, "prog_fd"));
}

function tooShort(call: FailedCall): Finding | null {
  const size = field(call, "data_size_in");
  const facts = program(call);
  if (facts === null || facts.type === BPF.BPF_PROG_TYPE_SK_LOOKUP || size >= SHORTEST_PACKET) {
    return null;
  }
  return {
    hint:
      `a packet of ${size} bytes is too short for ${programTypeName(facts.type)}: ` +
      "it begins with an Ethernet header, which has 14",
  };
}

function tooLong(call: FailedCall): Finding | null {
  const size = field(call, "data_size_in");
  const facts = program(call);
  const longest = LONGEST_PACKET.get(facts?.type ?? 0);
  if (facts === null || longest === undefined || size <= longest) return null;
  return {
    hint:
      `a packet of ${size} bytes is too long for ${programTypeName(facts.type)}: ` +
      `${longest} are the most`,
  };
}

function cannotRun(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null) return null;
  return {
    hint: `programs of ${programTypeName(facts.type)} can't be run by hand on this kernel`,
    remedies: ["nslink doctor"],
  };
}

function noPacketTaken(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts?.type !== BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
  return {
    hint: "an sk_lookup program is run on a context (struct bpf_sk_lookup), not on a packet",
  };
}

function contextRefused(call: FailedCall): Finding | null {
  const size = field(call, "ctx_size_in");
  const facts = program(call);
  if (facts === null || (size === 0 && field(call, "ctx_in") === 0)) return null;
  return {
    hint:
      `the context of ${size} bytes has something set that a ${programTypeName(facts.type)} ` +
      "doesn't take from outside",
  };
}

function runOptions(call: FailedCall): Finding | null {
  const names = ["flags", "cpu", "batch_size"].filter((name) => field(call, name) !== 0);
  if (names.length === 0 || program(call) === null) return null;
  return { hint: `${names.join(" and ")} can't be given for this type of program; leave 0` };
}

function stopped(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null || programFaults(call.kernel, field(call, "prog_fd")) === 0) return null;
  return {
    hint:
      `program ${facts.name || facts.id} was stopped: ` +
      "it did what Linux's verifier would have refused",
    remedies: ["nslink disasm OBJECT"],
  };
}

function badHeaderOffset(call: FailedCall): Finding | null {
  const size = field(call, "data_size_in");
  const offset = field(call, "network_offset");
  if (offset >= 0 && offset <= size) return null;
  return { hint: `a network header at ${offset} lies outside of a packet of ${size} bytes` };
}

function dissectedSize(call: FailedCall): Finding | null {
  const size = field(call, "data_size_in");
  return { hint: `a packet of ${size} bytes is shorter or longer than this kernel takes` };
}

/** Causes of refused runs, the special before the general. */
export const RUN_CAUSES: readonly Cause[] = [
  {
    id: "run-takes-context",
    title: "the program is run on a context, not on a packet",
    commands: RUN,
    errnos: [EINVAL],
    find: noPacketTaken,
  },
  {
    id: "packet-too-short",
    title: "the packet has no whole Ethernet header",
    commands: RUN,
    errnos: [EINVAL],
    find: tooShort,
  },
  {
    id: "packet-too-long",
    title: "the packet doesn't fit a page",
    commands: RUN,
    errnos: [EINVAL],
    find: tooLong,
  },
  {
    id: "run-options",
    title: "an option of the run isn't for programs of this type",
    commands: RUN,
    errnos: [EINVAL],
    find: runOptions,
  },
  {
    id: "context-refused",
    title: "the context has fields set that only the kernel sets",
    commands: RUN,
    errnos: [EINVAL, ERANGE],
    find: contextRefused,
  },
  {
    id: "no-test-run",
    title: "programs of this type can't be run by hand",
    commands: RUN,
    errnos: [ENOTSUPP],
    find: cannotRun,
  },
  {
    id: "program-stopped",
    title: "the embedded kernel stopped a program that Linux would not have loaded",
    commands: RUN,
    errnos: [EFAULT],
    find: stopped,
  },
  {
    id: "run-interrupted",
    title: "the repetitions took too long",
    commands: RUN,
    errnos: [EINTR],
    find: () => ({ hint: "the repetitions were interrupted; ask for fewer" }),
  },
  {
    id: "network-header-outside",
    title: "the packet's network header lies outside of the packet",
    commands: DISSECT,
    errnos: [EINVAL],
    find: badHeaderOffset,
  },
  {
    id: "dissect-size",
    title: "the packet is shorter or longer than the kernel takes",
    commands: DISSECT,
    errnos: [EINVAL],
    find: dissectedSize,
  },
];
