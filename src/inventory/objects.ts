/**
 * BPF objects by id and by pin, read without an exception for those that go in the meantime.
 */

import { OBJ } from "../abi/attr.ts";
import { BPF_LINK_GET_NEXT_ID, BPF_OBJ_GET, BPF_PROG_GET_FD_BY_ID } from "../abi/bpf.ts";
import { ENOENT } from "../abi/errno.ts";
import { hexText } from "../abi/hex_text.ts";
import { BPF_PROG_INFO_SIZE, PROG_INFO } from "../abi/info.ts";
import { cString, textOf, tryBpf } from "../call.ts";
import { refusal } from "../diagnosis/refusal.ts";
import type { Kernel } from "../kernel.ts";
import { type LinkFacts, netnsLinks, readInfo, withObject } from "../objects.ts";
import type { PinEntry, ProgramEntry } from "./entries.ts";

/** How many pins are opened in one look. */
const MAX_PINS = 1_000_000;

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
  const walk = netnsLinks(kernel);
  let step = walk.next();
  for (; step.done !== true; step = walk.next()) found.push(step.value);
  if (step.value === ENOENT || step.value === 0) return found;
  throw refusal(kernel, BPF_LINK_GET_NEXT_ID, -step.value);
}

/** Name and tag of a program; both "" when it can't be had any more. */
export function readProgram(kernel: Kernel, id: number): ProgramEntry {
  const info = withObject(kernel, BPF_PROG_GET_FD_BY_ID, id, (fd) =>
    readInfo(kernel, fd, PROG_INFO, BPF_PROG_INFO_SIZE),
  );
  if (info === null) return { id, name: "", tag: "" };
  return { id, name: textOf(info.name), tag: hexText(info.tag) };
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
