/**
 * bpf(2): the frame that all commands share, and which function answers which command.
 * Mirrors __sys_bpf() in kernel/bpf/syscall.c in Linux.
 */

import * as ATTR from "../abi/attr.ts";
import * as BPF from "../abi/bpf.ts";
import { E2BIG, EFAULT, EINVAL, EPERM } from "../abi/errno.ts";
import { endOf, type Layout } from "../abi/layout.ts";
import type { Attr } from "./attr.ts";
import {
  linkCreate,
  linkDetach,
  linkUpdate,
  progAttach,
  progDetach,
  progQuery,
} from "./bpf/attach.ts";
import { btfGetFdById, btfLoad } from "./bpf/btf.ts";
import { getNextId, linkGetFdById, mapGetFdById, progGetFdById } from "./bpf/ids.ts";
import { objGet, objPin } from "./bpf/inode.ts";
import * as maps from "./bpf/map/commands.ts";
import { objGetInfoByFd } from "./bpf/object_info.ts";
import { progLoad } from "./bpf/prog_load.ts";
import { progTestRun } from "./bpf/test_run.ts";
import type { Capability, Task } from "./task.ts";

/** Answers one command: an fd or 0, or a negative errno. */
type Handler = (task: Task, attr: Attr) => number;

interface Command {
  /** Bytes of the union from here on must be 0. */
  readonly end: number;
  readonly handler: Handler;
  /** Asked for before anything else. */
  readonly capability?: Capability;
}

function command(layout: Layout, handler: Handler, capability?: Capability): Command {
  const end = endOf(layout);
  return capability === undefined ? { end, handler } : { end, handler, capability };
}

const COMMANDS: ReadonlyMap<number, Command> = new Map([
  [BPF.BPF_MAP_CREATE, command(ATTR.MAP_CREATE, maps.mapCreate)],
  [BPF.BPF_MAP_LOOKUP_ELEM, command(ATTR.MAP_ELEM, maps.mapLookupElem)],
  [BPF.BPF_MAP_UPDATE_ELEM, command(ATTR.MAP_ELEM, maps.mapUpdateElem)],
  [BPF.BPF_MAP_DELETE_ELEM, command(ATTR.MAP_DELETE_ELEM, maps.mapDeleteElem)],
  [BPF.BPF_MAP_GET_NEXT_KEY, command(ATTR.MAP_GET_NEXT_KEY, maps.mapGetNextKey)],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_ELEM, command(ATTR.MAP_ELEM, maps.mapLookupAndDeleteElem)],
  [BPF.BPF_MAP_FREEZE, command(ATTR.MAP_FREEZE, maps.mapFreeze)],
  [BPF.BPF_MAP_LOOKUP_BATCH, command(ATTR.MAP_BATCH, maps.mapLookupBatch)],
  [BPF.BPF_MAP_LOOKUP_AND_DELETE_BATCH, command(ATTR.MAP_BATCH, maps.mapLookupAndDeleteBatch)],
  [BPF.BPF_MAP_UPDATE_BATCH, command(ATTR.MAP_BATCH, maps.mapUpdateBatch)],
  [BPF.BPF_MAP_DELETE_BATCH, command(ATTR.MAP_BATCH, maps.mapDeleteBatch)],
  [BPF.BPF_PROG_LOAD, command(ATTR.PROG_LOAD, progLoad)],
  [BPF.BPF_OBJ_PIN, command(ATTR.OBJ, objPin)],
  [BPF.BPF_OBJ_GET, command(ATTR.OBJ, objGet)],
  [BPF.BPF_PROG_ATTACH, command(ATTR.PROG_ATTACH, progAttach)],
  [BPF.BPF_PROG_DETACH, command(ATTR.PROG_ATTACH, progDetach)],
  [BPF.BPF_PROG_QUERY, command(ATTR.PROG_QUERY, progQuery, "CAP_NET_ADMIN")],
  [BPF.BPF_PROG_TEST_RUN, command(ATTR.TEST_RUN, progTestRun)],
  [BPF.BPF_PROG_GET_NEXT_ID, command(ATTR.GET_NEXT_ID, nextId("progs"))],
  [BPF.BPF_MAP_GET_NEXT_ID, command(ATTR.GET_NEXT_ID, nextId("maps"))],
  [BPF.BPF_LINK_GET_NEXT_ID, command(ATTR.GET_NEXT_ID, nextId("links"))],
  [BPF.BPF_BTF_GET_NEXT_ID, command(ATTR.GET_NEXT_ID, nextId("btfs"))],
  [BPF.BPF_PROG_GET_FD_BY_ID, command(ATTR.GET_FD_BY_ID, progGetFdById)],
  [BPF.BPF_MAP_GET_FD_BY_ID, command(ATTR.MAP_GET_FD_BY_ID, mapGetFdById)],
  [BPF.BPF_LINK_GET_FD_BY_ID, command(ATTR.GET_FD_BY_ID, linkGetFdById)],
  [BPF.BPF_BTF_GET_FD_BY_ID, command(ATTR.BTF_GET_FD_BY_ID, btfGetFdById)],
  [BPF.BPF_OBJ_GET_INFO_BY_FD, command(ATTR.OBJ_GET_INFO, objGetInfoByFd)],
  [BPF.BPF_BTF_LOAD, command(ATTR.BTF_LOAD, btfLoad)],
  [BPF.BPF_LINK_CREATE, command(ATTR.LINK_CREATE, linkCreate)],
  [BPF.BPF_LINK_UPDATE, command(ATTR.LINK_UPDATE, linkUpdate)],
  [BPF.BPF_LINK_DETACH, command(ATTR.LINK_DETACH, linkDetach)],
]);

/** The commands that are answered here; any other is EINVAL. */
export const SUPPORTED_COMMANDS: ReadonlySet<number> = new Set(COMMANDS.keys());

function nextId(kind: "progs" | "maps" | "links" | "btfs"): Handler {
  return (task, attr) => getNextId(task, attr, task.machine[kind]);
}

/**
 * bpf(2).
 *
 * @param user - the caller's attr, or null when its address is 0.
 * @param size - what the caller says its size is, in bytes.
 * @returns 0 or an fd, or a negative errno.
 */
export function bpf(task: Task, cmd: number, user: Uint8Array | null, size: number): number {
  const refused = checkSize(user, size);
  if (refused !== 0) return refused;
  const found = COMMANDS.get(cmd);
  if (found === undefined) return -EINVAL;
  if (found.capability !== undefined && !task.capable(found.capability)) return -EPERM;
  const { attrs } = task.machine;
  const attr = attrs.push(user, size);
  try {
    return attr.isZeroFrom(found.end) ? found.handler(task, attr) : -EINVAL;
  } finally {
    attrs.pop();
  }
}

/** Bytes past the union must be zero. Analogous to bpf_check_uarg_tail_zero() in Linux. */
function checkSize(user: Uint8Array | null, size: number): number {
  if (size > ATTR.BPF_ATTR_MAX_SIZE) return -E2BIG;
  const given = user?.length ?? 0;
  for (let i = ATTR.BPF_ATTR_SIZE; i < Math.min(size, given); i++) {
    if (user?.[i] !== 0) return -E2BIG;
  }
  return size > given ? -EFAULT : 0;
}
