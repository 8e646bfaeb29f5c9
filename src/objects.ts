/**
 * The objects of a kernel by their ids and fds, read without an exception for those that go in the
 * meantime.
 */

import { GET_FD_BY_ID, GET_NEXT_ID, OBJ_GET_INFO } from "./abi/attr.ts";
import {
  BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID,
  BPF_LINK_TYPE_NETNS,
  BPF_OBJ_GET_INFO_BY_FD,
  type BPF_PROG_GET_FD_BY_ID,
} from "./abi/bpf.ts";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "./abi/info.ts";
import { decode, type Layout, type Values } from "./abi/layout.ts";
import { tryBpf } from "./call.ts";
import type { Kernel } from "./kernel.ts";

/** A walk over all links ends here, should ids come faster than it goes. */
const MAX_LINKS_WALKED = 1_000_000;

/** struct bpf_link_info; for links to anything but a namespace only the first three fields. */
export type LinkFacts = Values<typeof LINK_INFO>;

/** Runs a function on an fd and closes it; null when there is none, being a negative errno. */
export function withFd<T>(kernel: Kernel, fd: number, look: (fd: number) => T): T | null {
  if (fd < 0) return null;
  try {
    return look(fd);
  } finally {
    kernel.close(fd);
  }
}

/** Runs a function on an fd of the object with an id; null when it can't be had. */
export function withObject<T>(
  kernel: Kernel,
  command: typeof BPF_LINK_GET_FD_BY_ID | typeof BPF_PROG_GET_FD_BY_ID,
  id: number,
  look: (fd: number) => T,
): T | null {
  return withFd(kernel, tryBpf(kernel, command, GET_FD_BY_ID, { id }).result, look);
}

/** What the kernel says of the object behind an fd; null when it says nothing. */
export function readInfo<L extends Layout>(
  kernel: Kernel,
  fd: number,
  layout: L,
  size: number,
): Values<L> | null {
  const info = new Uint8Array(size);
  const request = { bpf_fd: fd, info_len: size, info: kernel.addressOf(info) };
  const { result } = tryBpf(kernel, BPF_OBJ_GET_INFO_BY_FD, OBJ_GET_INFO, request);
  return result < 0 ? null : decode(layout, info);
}

/**
 * All links to network namespaces, by ascending id.
 *
 * @returns the errno that ended the walk: ENOENT behind the last one, EPERM for who may not look.
 */
export function* netnsLinks(kernel: Kernel): Generator<LinkFacts, number> {
  let id = 0;
  for (let steps = 0; steps < MAX_LINKS_WALKED; steps++) {
    const request = { start_id: id };
    const { result, attr } = tryBpf(kernel, BPF_LINK_GET_NEXT_ID, GET_NEXT_ID, request);
    if (result < 0) return -result;
    id = attr.next_id;
    const facts = withObject(kernel, BPF_LINK_GET_FD_BY_ID, id, (fd) =>
      readInfo(kernel, fd, LINK_INFO, BPF_LINK_INFO_SIZE),
    );
    // A link may go away between two calls, and that is no news here.
    if (facts?.type === BPF_LINK_TYPE_NETNS) yield facts;
  }
  return 0;
}
