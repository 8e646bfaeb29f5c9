/**
 * BPF_LINK_*, BPF_PROG_ATTACH, _DETACH and _QUERY: find the program and the link, then ask what
 * they attach to. Mirrors the attach part of kernel/bpf/syscall.c in Linux.
 */

import { LINK_CREATE, LINK_DETACH, LINK_UPDATE, PROG_ATTACH, PROG_QUERY } from "../../abi/attr.ts";
import * as BPF from "../../abi/bpf.ts";
import { EBADF, EINVAL } from "../../abi/errno.ts";
import type { Field } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import type { Task } from "../task.ts";
import { type BpfLink, LinkFile } from "./link.ts";
import {
  netnsLinkCreate,
  netnsProgAttach,
  netnsProgDetach,
  netnsProgQuery,
} from "./net_namespace.ts";
import type { Prog } from "./prog.ts";
import { progFromFd } from "./prog_fd.ts";

/** The program type that an attach type takes: attach_type_to_prog_type() in Linux, as data. */
const PROG_TYPE_OF: ReadonlyMap<number, number> = new Map([
  [BPF.BPF_CGROUP_INET_INGRESS, BPF.BPF_PROG_TYPE_CGROUP_SKB],
  [BPF.BPF_CGROUP_INET_EGRESS, BPF.BPF_PROG_TYPE_CGROUP_SKB],
  [BPF.BPF_CGROUP_INET_SOCK_CREATE, BPF.BPF_PROG_TYPE_CGROUP_SOCK],
  [BPF.BPF_CGROUP_INET_SOCK_RELEASE, BPF.BPF_PROG_TYPE_CGROUP_SOCK],
  [BPF.BPF_CGROUP_INET4_POST_BIND, BPF.BPF_PROG_TYPE_CGROUP_SOCK],
  [BPF.BPF_CGROUP_INET6_POST_BIND, BPF.BPF_PROG_TYPE_CGROUP_SOCK],
  [BPF.BPF_CGROUP_INET4_BIND, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET6_BIND, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET4_CONNECT, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET6_CONNECT, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UNIX_CONNECT, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET4_GETPEERNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET6_GETPEERNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UNIX_GETPEERNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET4_GETSOCKNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_INET6_GETSOCKNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UNIX_GETSOCKNAME, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UDP4_SENDMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UDP6_SENDMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UNIX_SENDMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UDP4_RECVMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UDP6_RECVMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_UNIX_RECVMSG, BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR],
  [BPF.BPF_CGROUP_SOCK_OPS, BPF.BPF_PROG_TYPE_SOCK_OPS],
  [BPF.BPF_CGROUP_DEVICE, BPF.BPF_PROG_TYPE_CGROUP_DEVICE],
  [BPF.BPF_CGROUP_SYSCTL, BPF.BPF_PROG_TYPE_CGROUP_SYSCTL],
  [BPF.BPF_CGROUP_GETSOCKOPT, BPF.BPF_PROG_TYPE_CGROUP_SOCKOPT],
  [BPF.BPF_CGROUP_SETSOCKOPT, BPF.BPF_PROG_TYPE_CGROUP_SOCKOPT],
  [BPF.BPF_SK_MSG_VERDICT, BPF.BPF_PROG_TYPE_SK_MSG],
  [BPF.BPF_SK_SKB_STREAM_PARSER, BPF.BPF_PROG_TYPE_SK_SKB],
  [BPF.BPF_SK_SKB_STREAM_VERDICT, BPF.BPF_PROG_TYPE_SK_SKB],
  [BPF.BPF_SK_SKB_VERDICT, BPF.BPF_PROG_TYPE_SK_SKB],
  [BPF.BPF_LIRC_MODE2, BPF.BPF_PROG_TYPE_LIRC_MODE2],
  [BPF.BPF_FLOW_DISSECTOR, BPF.BPF_PROG_TYPE_FLOW_DISSECTOR],
  [BPF.BPF_TRACE_RAW_TP, BPF.BPF_PROG_TYPE_TRACING],
  [BPF.BPF_TRACE_FENTRY, BPF.BPF_PROG_TYPE_TRACING],
  [BPF.BPF_TRACE_FEXIT, BPF.BPF_PROG_TYPE_TRACING],
  [BPF.BPF_MODIFY_RETURN, BPF.BPF_PROG_TYPE_TRACING],
  [BPF.BPF_TRACE_ITER, BPF.BPF_PROG_TYPE_TRACING],
  [BPF.BPF_LSM_MAC, BPF.BPF_PROG_TYPE_LSM],
  [BPF.BPF_LSM_CGROUP, BPF.BPF_PROG_TYPE_LSM],
  [BPF.BPF_SK_LOOKUP, BPF.BPF_PROG_TYPE_SK_LOOKUP],
  [BPF.BPF_XDP, BPF.BPF_PROG_TYPE_XDP],
  [BPF.BPF_TCX_INGRESS, BPF.BPF_PROG_TYPE_SCHED_CLS],
  [BPF.BPF_TCX_EGRESS, BPF.BPF_PROG_TYPE_SCHED_CLS],
  [BPF.BPF_NETKIT_PRIMARY, BPF.BPF_PROG_TYPE_SCHED_CLS],
  [BPF.BPF_NETKIT_PEER, BPF.BPF_PROG_TYPE_SCHED_CLS],
]);

/** Attachment points that keep an ordered list of programs take these as well. */
const MPROG_FLAGS = BPF.BPF_F_BEFORE | BPF.BPF_F_AFTER | BPF.BPF_F_ID | BPF.BPF_F_LINK;
const BASE_FLAGS =
  BPF.BPF_F_ALLOW_OVERRIDE | BPF.BPF_F_ALLOW_MULTI | BPF.BPF_F_REPLACE | BPF.BPF_F_PREORDER;
const MPROG_TYPES: ReadonlySet<number> = new Set([
  BPF.BPF_PROG_TYPE_SCHED_CLS,
  BPF.BPF_PROG_TYPE_CGROUP_SKB,
  BPF.BPF_PROG_TYPE_CGROUP_SOCK,
  BPF.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF.BPF_PROG_TYPE_CGROUP_DEVICE,
  BPF.BPF_PROG_TYPE_CGROUP_SYSCTL,
  BPF.BPF_PROG_TYPE_CGROUP_SOCKOPT,
  BPF.BPF_PROG_TYPE_SOCK_OPS,
  BPF.BPF_PROG_TYPE_LSM,
]);

/** BPF_LINK_CREATE */
export function linkCreate(task: Task, attr: Attr): number {
  const prog = progFromFd(task, attr.u32(LINK_CREATE.prog_fd));
  if (typeof prog === "number") return prog;
  if (!takesAttachType(prog, attr.u32(LINK_CREATE.attach_type))) return -EINVAL;
  switch (prog.type) {
    case BPF.BPF_PROG_TYPE_FLOW_DISSECTOR:
    case BPF.BPF_PROG_TYPE_SK_LOOKUP:
      return netnsLinkCreate(task, attr, prog);
    default:
      // XDP passes the test above; there is no device here that it could be attached to.
      return -EINVAL;
  }
}

/** Analogous to bpf_prog_attach_check_attach_type() in Linux. */
function takesAttachType(prog: Prog, attachType: number): boolean {
  return prog.type === BPF.BPF_PROG_TYPE_SK_LOOKUP
    ? prog.expectedAttachType === attachType
    : PROG_TYPE_OF.get(attachType) === prog.type;
}

/** BPF_LINK_UPDATE */
export function linkUpdate(task: Task, attr: Attr): number {
  const flags = attr.u32(LINK_UPDATE.flags);
  if ((flags & ~BPF.BPF_F_REPLACE) !== 0) return -EINVAL;
  const link = linkFromFd(task, attr.u32(LINK_UPDATE.link_fd));
  if (typeof link === "number") return link;
  const prog = progFromFd(task, attr.u32(LINK_UPDATE.new_prog_fd));
  if (typeof prog === "number") return prog;
  const expected = expectedProg(task, attr, flags);
  if (typeof expected === "number") return expected;
  const error = link.update(prog.get(), expected);
  if (error !== 0) prog.put();
  return error;
}

function expectedProg(task: Task, attr: Attr, flags: number): Prog | null | number {
  const fd = attr.u32(LINK_UPDATE.old_prog_fd);
  if ((flags & BPF.BPF_F_REPLACE) !== 0) return progFromFd(task, fd);
  return fd === 0 ? null : -EINVAL;
}

/** BPF_LINK_DETACH */
export function linkDetach(task: Task, attr: Attr): number {
  const link = linkFromFd(task, attr.u32(LINK_DETACH.link_fd));
  return typeof link === "number" ? link : link.detach();
}

function linkFromFd(task: Task, fd: number): BpfLink | number {
  const file = task.files.get(fd);
  // As in progFromFd(): quick, because the class is known.
  if (file instanceof LinkFile) return file.link;
  return file === null ? -EBADF : -EINVAL;
}

/** BPF_PROG_ATTACH */
export function progAttach(task: Task, attr: Attr): number {
  const type = PROG_TYPE_OF.get(attr.u32(PROG_ATTACH.attach_type));
  if (type === undefined) return -EINVAL;
  const ordered = MPROG_TYPES.has(type);
  const known = ordered ? BASE_FLAGS | MPROG_FLAGS : BASE_FLAGS;
  if ((attr.u32(PROG_ATTACH.attach_flags) & ~known) !== 0) return -EINVAL;
  if (!ordered && namesPlace(attr)) return -EINVAL;
  const prog = progFromFd(task, attr.u32(PROG_ATTACH.attach_bpf_fd), type);
  if (typeof prog === "number") return prog;
  if (type !== BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return -EINVAL;
  return netnsProgAttach(task, attr, prog);
}

/** BPF_PROG_DETACH */
export function progDetach(task: Task, attr: Attr): number {
  const type = PROG_TYPE_OF.get(attr.u32(PROG_ATTACH.attach_type));
  if (type !== BPF.BPF_PROG_TYPE_FLOW_DISSECTOR) return -EINVAL;
  if (attr.u32(PROG_ATTACH.attach_flags) !== 0 || namesPlace(attr)) return -EINVAL;
  return netnsProgDetach(task, attr);
}

/** Whether the attr names a place in an ordered list of programs. */
function namesPlace(attr: Attr): boolean {
  const relative: Field<"u32"> = PROG_ATTACH.relative_fd;
  return attr.u32(relative) !== 0 || attr.u64(PROG_ATTACH.expected_revision) !== 0n;
}

/** BPF_PROG_QUERY */
export function progQuery(task: Task, attr: Attr): number {
  if ((attr.u32(PROG_QUERY.query_flags) & ~BPF.BPF_F_QUERY_EFFECTIVE) !== 0) return -EINVAL;
  switch (attr.u32(PROG_QUERY.attach_type)) {
    case BPF.BPF_FLOW_DISSECTOR:
    case BPF.BPF_SK_LOOKUP:
      return netnsProgQuery(task, attr);
    default:
      return -EINVAL;
  }
}
