/**
 * BPF objects by id and by pin, read without an exception for those that go in the meantime.
 */

import { GET_FD_BY_ID, GET_NEXT_ID, OBJ, OBJ_GET_INFO } from "../abi/attr.ts";
import {
  BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID,
  BPF_LINK_TYPE_NETNS,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_GET_FD_BY_ID,
} from "../abi/bpf.ts";
import { ENOENT } from "../abi/errno.ts";
import { BPF_LINK_INFO_SIZE, BPF_PROG_INFO_SIZE, LINK_INFO, PROG_INFO } from "../abi/info.ts";
import { decode, type Layout, type Values } from "../abi/layout.ts";
import { cString, textOf, tryBpf } from "../call.ts";
import { BpfError } from "../errors.ts";
import type { Kernel } from "../kernel.ts";
import type { PinEntry, ProgramEntry } from "./entries.ts";

/** A walk over all links ends here, should ids come faster than it goes. */
const MAX_LINKS = 1_000_000;
/** How many pins are opened in one look. */
const MAX_PINS = 1_000_000;

/** What a kernel says about a link to a namespace: struct bpf_link_info. */
export type LinkFacts = Values<typeof LINK_INFO>;

/** struct bpf_link_info, bpf_prog_info and bpf_map_info begin alike. */
const OBJECT_INFO = { type: [0, "u32"], id: [4, "u32"] } as const;

/** What /proc/PID/fd calls the kinds of objects. */
const KINDS: ReadonlyMap<string, PinEntry["kind"]> = new Map([
  ["anon_inode:bpf_link", "link"],
  ["anon_inode:bpf-link", "link"],
  ["anon_inode:bpf-prog", "program"],
  ["anon_inode:bpf-map", "map"],
]);

/**
 * All links to network namespaces, by ascending id.
 *
 * @throws {BpfError} EPERM without CAP_SYS_ADMIN.
 */
export function readLinks(kernel: Kernel): readonly LinkFacts[] {
  const found: LinkFacts[] = [];
  for (const id of linkIds(kernel)) {
    const facts = withObject(kernel, BPF_LINK_GET_FD_BY_ID, id, (fd) =>
      readInfo(kernel, fd, LINK_INFO, BPF_LINK_INFO_SIZE),
    );
    if (facts?.type === BPF_LINK_TYPE_NETNS) found.push(facts);
  }
  return found;
}

function* linkIds(kernel: Kernel): Generator<number> {
  let id = 0;
  for (let steps = 0; steps < MAX_LINKS; steps++) {
    const next = tryBpf(kernel, BPF_LINK_GET_NEXT_ID, GET_NEXT_ID, { start_id: id });
    if (next.result === -ENOENT) return;
    if (next.result < 0) {
      throw new BpfError(BPF_LINK_GET_NEXT_ID, next.result, "listing links needs CAP_SYS_ADMIN");
    }
    id = next.attr.next_id;
    yield id;
  }
}

/** Name and tag of a program; both "" when it can't be had any more. */
export function readProgram(kernel: Kernel, id: number): ProgramEntry {
  const info = withObject(kernel, BPF_PROG_GET_FD_BY_ID, id, (fd) =>
    readInfo(kernel, fd, PROG_INFO, BPF_PROG_INFO_SIZE),
  );
  if (info === null) return { id, name: "", tag: "" };
  const tag = Array.from(info.tag, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, name: textOf(info.name), tag };
}

/** Everything pinned in the BPF file systems that this task can see, as far as it may open it. */
export function listPins(kernel: Kernel): readonly PinEntry[] {
  const found: PinEntry[] = [];
  for (const mount of kernel.bpffs.mounts()) {
    const paths = kernel.bpffs.walk(mount);
    if (typeof paths === "number") continue;
    for (const path of paths.slice(0, MAX_PINS)) {
      const object = readPin(kernel, path);
      if (typeof object !== "number") found.push(object);
    }
  }
  return found;
}

/** What is pinned at a path, or a negative errno. */
export function readPin(kernel: Kernel, path: string): PinEntry | number {
  const pathname = kernel.addressOf(cString(path));
  const { result: fd } = tryBpf(kernel, BPF_OBJ_GET, OBJ, { pathname });
  if (fd < 0) return fd;
  const kind = KINDS.get(kernel.fdname(fd));
  const info = readInfo(kernel, fd, OBJECT_INFO, 8);
  kernel.close(fd);
  return kind === undefined || info === null ? -ENOENT : { path, kind, id: info.id };
}

function withObject<T>(
  kernel: Kernel,
  command: typeof BPF_LINK_GET_FD_BY_ID | typeof BPF_PROG_GET_FD_BY_ID,
  id: number,
  read: (fd: number) => T,
): T | null {
  const { result: fd } = tryBpf(kernel, command, GET_FD_BY_ID, { id });
  if (fd < 0) return null;
  try {
    return read(fd);
  } finally {
    kernel.close(fd);
  }
}

function readInfo<L extends Layout>(
  kernel: Kernel,
  fd: number,
  layout: L,
  size: number,
): Values<L> | null {
  const bytes = new Uint8Array(size);
  const request = { bpf_fd: fd, info_len: size, info: kernel.addressOf(bytes) };
  const { result } = tryBpf(kernel, BPF_OBJ_GET_INFO_BY_FD, OBJ_GET_INFO, request);
  return result < 0 ? null : decode(layout, bytes);
}
