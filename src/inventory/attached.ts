/**
 * What is attached to a namespace that was found, asked through whichever way still leads there.
 */

import { PROG_QUERY } from "../abi/attr.ts";
import { BPF_FLOW_DISSECTOR, BPF_PROG_QUERY } from "../abi/bpf.ts";
import { EPERM } from "../abi/errno.ts";
import { tryBpf } from "../call.ts";
import type { Kernel, NetNsReference } from "../kernel.ts";
import type { NamespaceEntry } from "./entries.ts";

/** The most programs of one type that a namespace takes: 64 for sk_lookup. */
const MAX_PROGRAMS = 64;
/** How many ways to a namespace are tried, should it be about to go. */
const MAX_WAYS = 8;

/**
 * Ids of the programs attached to a namespace, in the order in which they run.
 *
 * @param attachType - BPF_FLOW_DISSECTOR or BPF_SK_LOOKUP.
 * @returns null when the namespace can't be opened any more, or not by this task, or when this task
 *   may not ask: see {@link mayQuery}.
 */
export function attachedTo(
  kernel: Kernel,
  namespace: NamespaceEntry,
  attachType: number,
): readonly number[] | null {
  const fd = openNamespace(kernel, namespace);
  if (fd === null) return null;
  try {
    return query(kernel, fd, attachType);
  } finally {
    kernel.close(fd);
  }
}

/** Whether this task may ask what is attached, wherever: that needs CAP_NET_ADMIN. */
export function mayQuery(kernel: Kernel): boolean {
  const nowhere = { target_fd: -1, attach_type: BPF_FLOW_DISSECTOR };
  return tryBpf(kernel, BPF_PROG_QUERY, PROG_QUERY, nowhere).result !== -EPERM;
}

function query(kernel: Kernel, fd: number, attachType: number): readonly number[] | null {
  const ids = new Uint32Array(MAX_PROGRAMS);
  const { result, attr } = tryBpf(kernel, BPF_PROG_QUERY, PROG_QUERY, {
    target_fd: fd,
    attach_type: attachType,
    prog_ids: kernel.addressOf(new Uint8Array(ids.buffer)),
    prog_cnt: MAX_PROGRAMS,
  });
  return result < 0 ? null : [...ids.subarray(0, attr.prog_cnt)];
}

function openNamespace(kernel: Kernel, namespace: NamespaceEntry): number | null {
  const { names, pids, holders } = namespace;
  const ways: NetNsReference[] = [
    ...names.slice(0, MAX_WAYS).map((name) => ({ name })),
    ...pids.slice(0, MAX_WAYS).map((pid) => ({ pid })),
    ...holders.slice(0, MAX_WAYS).map(({ pid, fds }) => ({ path: `/proc/${pid}/fd/${fds[0]}` })),
  ];
  for (const way of ways) {
    const fd = kernel.netns.open(way);
    if (fd < 0) continue;
    if (kernel.netns.inode(fd) === namespace.inode) return fd;
    kernel.close(fd);
  }
  return null;
}
