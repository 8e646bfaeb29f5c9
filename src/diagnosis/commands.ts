/**
 * Which commands a kernel has, found out by calls that can come to nothing.
 */

import * as BPF from "../abi/bpf.ts";
import { EINVAL } from "../abi/errno.ts";
import type { Kernel } from "../kernel.ts";

/** A command that isn't in every kernel, and the Linux that it came with. */
interface CommandAge {
  readonly since: string;
  /** Where in its attr the fd lies, in bytes: an fd that isn't open makes a known one say EBADF. */
  readonly fdAt: number;
}

/** Commands that want an fd first of all. */
const AGES: ReadonlyMap<number, CommandAge> = new Map([
  [BPF.BPF_PROG_TEST_RUN, { since: "Linux 4.12", fdAt: 0 }],
  [BPF.BPF_OBJ_GET_INFO_BY_FD, { since: "Linux 4.13", fdAt: 0 }],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_ELEM, { since: "Linux 4.20", fdAt: 0 }],
  [BPF.BPF_MAP_FREEZE, { since: "Linux 5.2", fdAt: 0 }],
  [BPF.BPF_MAP_LOOKUP_BATCH, { since: "Linux 5.6", fdAt: 36 }],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_BATCH, { since: "Linux 5.6", fdAt: 36 }],
  [BPF.BPF_MAP_UPDATE_BATCH, { since: "Linux 5.6", fdAt: 36 }],
  [BPF.BPF_MAP_DELETE_BATCH, { since: "Linux 5.6", fdAt: 36 }],
  [BPF.BPF_LINK_CREATE, { since: "Linux 5.7", fdAt: 0 }],
  [BPF.BPF_LINK_UPDATE, { since: "Linux 5.7", fdAt: 0 }],
  [BPF.BPF_ITER_CREATE, { since: "Linux 5.8", fdAt: 0 }],
  [BPF.BPF_LINK_DETACH, { since: "Linux 5.9", fdAt: 0 }],
  [BPF.BPF_PROG_BIND_MAP, { since: "Linux 5.10", fdAt: 0 }],
]);

/** Bytes of an attr that reaches past the fd of every command above. */
const ATTR_BYTES = 64;

/**
 * Whether a kernel knows a command; null for commands that can't be asked for.
 */
export function knowsCommand(
  kernel: Kernel,
  command: number,
): { readonly present: boolean; readonly since: string } | null {
  const age = AGES.get(command);
  if (age === undefined) return null;
  const attr = new Uint8Array(ATTR_BYTES);
  new DataView(attr.buffer).setInt32(age.fdAt, -1, true);
  return { present: kernel.bpf(command, attr, age.fdAt + 4) !== -EINVAL, since: age.since };
}
