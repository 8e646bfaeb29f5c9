/**
 * Walking ids and opening objects by id: BPF_*_GET_NEXT_ID and BPF_*_GET_FD_BY_ID.
 */

import { GET_FD_BY_ID, GET_NEXT_ID, MAP_GET_FD_BY_ID } from "../../abi/attr.ts";
import { BPF_F_RDONLY, BPF_F_WRONLY } from "../../abi/bpf.ts";
import { EAGAIN, EFAULT, EINVAL, ENOENT, EPERM } from "../../abi/errno.ts";
import type { Attr } from "../attr.ts";
import type { Idr } from "../idr.ts";
import type { Task } from "../task.ts";
import { newLinkFd } from "./link.ts";
import { newMapFd } from "./map/fd.ts";
import { newProgFd } from "./prog_fd.ts";

const INT_MAX = 0x7fffffff;

/** The smallest id greater than `start_id`. Analogous to bpf_obj_get_next_id() in Linux. */
export function getNextId(task: Task, attr: Attr, objects: Idr<unknown>): number {
  const start = attr.u32(GET_NEXT_ID.start_id);
  if (start >= INT_MAX) return -EINVAL;
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  const next = objects.after(start);
  if (next === null) return -ENOENT;
  return attr.put(GET_NEXT_ID.next_id, next) === 0 ? 0 : -EFAULT;
}

/** BPF_PROG_GET_FD_BY_ID */
export function progGetFdById(task: Task, attr: Attr): number {
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  const prog = task.machine.progs.get(attr.u32(GET_FD_BY_ID.id));
  return prog === undefined ? -ENOENT : newProgFd(task, prog.get());
}

/** BPF_MAP_GET_FD_BY_ID */
export function mapGetFdById(task: Task, attr: Attr): number {
  const mode = attr.u32(MAP_GET_FD_BY_ID.open_flags);
  if ((mode & ~(BPF_F_RDONLY | BPF_F_WRONLY)) !== 0) return -EINVAL;
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  if (mode === (BPF_F_RDONLY | BPF_F_WRONLY)) return -EINVAL;
  const map = task.machine.maps.get(attr.u32(MAP_GET_FD_BY_ID.id));
  return map === undefined ? -ENOENT : newMapFd(task, map.get(), mode);
}

/** BPF_LINK_GET_FD_BY_ID */
export function linkGetFdById(task: Task, attr: Attr): number {
  if (!task.capable("CAP_SYS_ADMIN")) return -EPERM;
  const link = task.machine.links.get(attr.u32(GET_FD_BY_ID.id));
  // The last holder is gone, and the release of the link is only a matter of time.
  if (link === undefined || !link.alive) return -ENOENT;
  // Between prime and settle.
  if (link.id === 0) return -EAGAIN;
  return newLinkFd(task, link.get());
}
