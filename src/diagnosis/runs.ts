/**
 * Why a program is not run by hand: BPF_PROG_TEST_RUN, and dissecting a packet in a namespace.
 */

import * as BPF from "../abi/bpf.ts";
import { EFAULT, EINTR, EINVAL, ENOTSUPP, ERANGE } from "../abi/errno.ts";
import { programAt, programFaults, programTypeName } from "./ask.ts";
import { type Cause, type FailedCall, type Finding, field } from "./cause.ts";

const RUN: readonly number[] = [BPF.BPF_PROG_TEST_RUN];
/** The longest packet that Linux lets a flow dissector run on: a page. */
const LONGEST_DISSECTED = 4096;
const DISSECT: readonly string[] = ["netns.dissect"];
/** Bytes of an Ethernet header. */
const SHORTEST_PACKET = 14;
// Flags of BPF_PROG_TEST_RUN (include/uapi/linux/bpf.h).
const BPF_F_TEST_XDP_LIVE_FRAMES = 2;
const BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 4;
/** Types of programs that are run on a socket buffer. */
const SKB_TYPES: readonly number[] = [
  BPF.BPF_PROG_TYPE_SOCKET_FILTER,
  BPF.BPF_PROG_TYPE_SCHED_CLS,
  BPF.BPF_PROG_TYPE_SCHED_ACT,
  BPF.BPF_PROG_TYPE_CGROUP_SKB,
  BPF.BPF_PROG_TYPE_LWT_IN,
  BPF.BPF_PROG_TYPE_LWT_OUT,
  BPF.BPF_PROG_TYPE_LWT_XMIT,
  BPF.BPF_PROG_TYPE_LWT_SEG6LOCAL,
];
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
  if (facts === null || !OPTIONS.has(facts.type) || size >= SHORTEST_PACKET) return null;
  if (facts.type === BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
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
    remedies: [{ action: "examine-kernel", kernel: call.kernel.name }],
  };
}

function noPacketTaken(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts?.type !== BPF.BPF_PROG_TYPE_SK_LOOKUP) return null;
  const hasPacket = field(call, "data_size_in") !== 0 || field(call, "data_in") !== 0;
  if (!hasPacket && field(call, "ctx_in") !== 0) return null;
  return {
    hint: "an sk_lookup program is run on a context (struct bpf_sk_lookup), not on a packet",
  };
}

function contextHalf(call: FailedCall): Finding | null {
  for (const way of ["in", "out"]) {
    const size = field(call, `ctx_size_${way}`);
    if ((size === 0) === (field(call, `ctx_${way}`) === 0)) continue;
    const given = size === 0 ? `ctx_${way}` : `ctx_size_${way}`;
    return { hint: `${given} is given alone; ctx_${way} and ctx_size_${way} go together` };
  }
  return null;
}

function contextRefused(call: FailedCall): Finding | null {
  const size = field(call, "ctx_size_in");
  const facts = program(call);
  if (facts === null || !OPTIONS.has(facts.type) || size === 0) return null;
  return {
    hint:
      `the context of ${size} bytes has something set that a ${programTypeName(facts.type)} ` +
      "doesn't take from outside",
  };
}

/** What a run takes beside packet and context. */
interface RunOptions {
  /** Flags of BPF_PROG_TEST_RUN. */
  readonly flags: number;
  /** Fields that have to be 0. */
  readonly barred: readonly string[];
}

const BARRED: readonly string[] = ["cpu", "batch_size"];
/** By type of program; types that aren't here are run on something else than a packet. */
const OPTIONS: ReadonlyMap<number, RunOptions> = new Map<number, RunOptions>([
  [BPF.BPF_PROG_TYPE_FLOW_DISSECTOR, { flags: 0, barred: BARRED }],
  [BPF.BPF_PROG_TYPE_SK_LOOKUP, { flags: 0, barred: BARRED }],
  [BPF.BPF_PROG_TYPE_XDP, { flags: BPF_F_TEST_XDP_LIVE_FRAMES, barred: [] }],
  ...SKB_TYPES.map((type) => {
    return [type, { flags: BPF_F_TEST_SKB_CHECKSUM_COMPLETE, barred: BARRED }] as const;
  }),
]);

function runOptions(call: FailedCall): Finding | null {
  const options = OPTIONS.get(program(call)?.type ?? 0);
  if (options === undefined) return null;
  const names = options.barred.filter((name) => field(call, name) !== 0);
  if ((field(call, "flags") & ~options.flags) !== 0) names.unshift("flags");
  if (names.length === 0) return null;
  return {
    hint: `${names.join(" and ")} can't be given for this type of program; leave 0`,
    remedies: names.map((name) => ({ action: "set-field", field: name, value: 0 })),
  };
}

function stopped(call: FailedCall): Finding | null {
  const facts = program(call);
  if (facts === null || programFaults(call.kernel, field(call, "prog_fd")) === 0) return null;
  return {
    hint:
      `program ${facts.name || facts.id} was stopped: ` +
      "it did what Linux's verifier would have refused",
    remedies: [{ action: "disassemble-object" }],
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
  if (size >= SHORTEST_PACKET && size <= LONGEST_DISSECTED) return null;
  return {
    hint:
      `a packet of ${size} bytes: this kernel dissects ${SHORTEST_PACKET} to ` +
      `${LONGEST_DISSECTED} bytes`,
  };
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
    id: "context-half-given",
    title: "a context's address or size is given without the other",
    commands: RUN,
    errnos: [EINVAL],
    find: contextHalf,
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
