/**
 * The differences between the embedded kernel and Linux that have a reason. All of them: whatever
 * is not in these tables is a bug. What is merely another number (ids, inodes, the duration of a
 * test run) is put into labels by translate.ts.
 */

import * as attr from "../../src/abi/attr.ts";
import * as bpf from "../../src/abi/bpf.ts";
import { PROG_INFO } from "../../src/abi/info.ts";
import type { Field } from "../../src/abi/layout.ts";
import { type Facts, HASHES } from "./objects.ts";
import { numberAt, type Operation } from "./operation.ts";
import type { Answer } from "./subject.ts";

/** A call that the kernels answered differently. */
export interface Disagreement {
  readonly operation: Operation;
  /** Of the object that the call is about. */
  readonly facts: Facts | null;
  readonly tried: Answer;
  readonly oracle: Answer;
}

interface Explanation {
  readonly reason: string;
  readonly covers: (disagreement: Disagreement) => boolean;
}

const ATTACHING: Readonly<Record<number, number>> = {
  [bpf.BPF_PROG_ATTACH]: attr.PROG_ATTACH.attach_type[0],
  [bpf.BPF_PROG_DETACH]: attr.PROG_ATTACH.attach_type[0],
  [bpf.BPF_PROG_QUERY]: attr.PROG_QUERY.attach_type[0],
  [bpf.BPF_LINK_CREATE]: attr.LINK_CREATE.attach_type[0],
};

/** Whether a call is about something else than a network namespace. */
function attachesElsewhere(operation: Operation): boolean {
  if (operation.do !== "bpf") return false;
  const at = ATTACHING[operation.cmd];
  if (at === undefined) return false;
  const size = operation.size ?? operation.attr?.size ?? 0;
  const type = at < size ? numberAt(operation.attr, at) : 0;
  return type !== bpf.BPF_FLOW_DISSECTOR && type !== bpf.BPF_SK_LOOKUP;
}

/** Commands whose answer depends on which key comes after which, and what they may answer. */
const ORDERED: ReadonlySet<number> = new Set([bpf.BPF_MAP_GET_NEXT_KEY, bpf.BPF_MAP_LOOKUP_BATCH]);
const WALKING: ReadonlySet<string> = new Set(["0", "ENOENT", "EFAULT", "ENOSPC"]);

const EXPLANATIONS: readonly Explanation[] = [
  {
    reason: "the embedded kernel attaches to network namespaces only, as a Linux without the rest",
    covers: ({ operation, tried }) => tried.result === "EINVAL" && attachesElsewhere(operation),
  },
  {
    reason: "what the log of a load says is worded otherwise",
    covers: ({ operation, tried, oracle }) =>
      operation.do === "bpf" &&
      tried.result === oracle.result &&
      ((operation.cmd === bpf.BPF_BTF_LOAD &&
        numberAt(operation.attr, attr.BTF_LOAD.btf_log_level[0]) !== 0) ||
        (operation.cmd === bpf.BPF_PROG_LOAD &&
          numberAt(operation.attr, attr.PROG_LOAD.log_level[0]) !== 0)),
  },
  {
    reason: "hash maps have their keys in an order of their own, by a random seed",
    covers: ({ operation, facts, tried, oracle }) =>
      operation.do === "bpf" &&
      facts !== null &&
      HASHES.has(facts.type) &&
      ORDERED.has(operation.cmd) &&
      [tried, oracle].every(({ result }) => WALKING.has(result)),
  },
  {
    reason: "which elements of a hash don't arrive at a bad address is a matter of their order",
    covers: ({ operation, facts, tried, oracle }) =>
      operation.do === "bpf" &&
      facts !== null &&
      HASHES.has(facts.type) &&
      operation.cmd === bpf.BPF_MAP_LOOKUP_AND_DELETE_BATCH &&
      [tried, oracle].every(({ result }) => result === "EFAULT"),
  },
  {
    reason: "a part of an id is no id: it can't be told whose it is",
    covers: ({ operation, facts, tried, oracle }) =>
      operation.do === "bpf" &&
      operation.cmd === bpf.BPF_MAP_LOOKUP_ELEM &&
      facts?.type === bpf.BPF_MAP_TYPE_PROG_ARRAY &&
      [tried, oracle].every(({ result }) => result === "EFAULT"),
  },
  {
    reason: "the embedded kernel has no machine code to copy to a bad address",
    covers: ({ operation, facts, tried, oracle }) =>
      operation.do === "bpf" &&
      operation.cmd === bpf.BPF_OBJ_GET_INFO_BY_FD &&
      facts?.kind === "prog" &&
      tried.result === "0" &&
      oracle.result === "EFAULT",
  },
  {
    reason:
      "Linux lets a pinned map with BTF be read as text; the embedded kernel doesn't have that",
    covers: ({ operation, tried, oracle }) =>
      operation.do === "open" && tried.result === "EIO" && oracle.result === "fd",
  },
];

/** Why the kernels may differ here, or null. */
export function explain(disagreement: Disagreement): string | null {
  return EXPLANATIONS.find(({ covers }) => covers(disagreement))?.reason ?? null;
}

/** Fields of struct bpf_prog_info that are not compared. */
export const UNLIKE_IN_PROG_INFO: readonly {
  readonly reason: string;
  readonly fields: readonly Field<"u32" | "u64">[];
}[] = [
  { reason: "a time", fields: [PROG_INFO.load_time] },
  {
    reason: "on Linux the fuzzer becomes somebody else for files only",
    fields: [PROG_INFO.created_by_uid],
  },
  {
    reason: "the embedded kernel has no machine code",
    fields: [PROG_INFO.jited_prog_len, PROG_INFO.jited_prog_insns, PROG_INFO.nr_jited_line_info],
  },
  {
    reason: "Linux rewrites programs when it has verified them",
    fields: [PROG_INFO.xlated_prog_len, PROG_INFO.xlated_prog_insns],
  },
];

/** What is not compared in fdinfo and in directories: of a match only its first group is kept. */
export const UNLIKE_IN_TEXT: readonly { readonly reason: string; readonly pattern: RegExp }[] = [
  { reason: "numbers of files and mounts", pattern: /^((?:mnt_id|ino):\t)\d+$/gm },
  {
    reason: "the embedded kernel has no machine code",
    pattern: /^((?:prog|owner)_jited:\t)\d+$/gm,
  },
  {
    reason: "a map's size in memory follows from Linux's own structs",
    pattern: /^(map_type:[\s\S]*memlock:\t)\d+$/m,
  },
  {
    reason: "some Linuxes preload iterators into the root of each bpffs",
    pattern: /()\n?(?:maps|progs)\.debug$/gm,
  },
];
