/**
 * The heart: programs attached to a network namespace, by links or directly.
 * Mirrors kernel/bpf/net_namespace.c in Linux (since 5.8).
 *
 * Linux holds one mutex over all of it; here a function runs to its end before the next begins.
 */

import { LINK_CREATE, PROG_ATTACH, PROG_QUERY } from "../../abi/attr.ts";
import {
  BPF_FLOW_DISSECTOR,
  BPF_LINK_TYPE_NETNS,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_SK_LOOKUP,
} from "../../abi/bpf.ts";
import {
  E2BIG,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOLINK,
  ENOMEM,
  ENOSPC,
  EPERM,
} from "../../abi/errno.ts";
import { LINK_INFO } from "../../abi/info.ts";
import { writeField } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import { PathFile } from "../file.ts";
import { type Net, NetnsFile, type PernetOperations } from "../net_namespace.ts";
import type { Task } from "../task.ts";
import { BpfLink, cleanupLink, primeLink, settleLink } from "./link.ts";
import type { NetnsAttachments, NetnsBpfType } from "./netns_bpf.ts";
import type { Prog } from "./prog.ts";
import { progFromFd } from "./prog_fd.ts";

/** How many links of a type a namespace takes. */
const MAX_LINKS: Readonly<Record<NetnsBpfType, number>> = { flow_dissector: 1, sk_lookup: 64 };
/** Linux's kmalloc() gives no more than this: a longer list of ids cannot be collected. */
const KMALLOC_MAX_SIZE = 4 << 20;

/** Analogous to to_netns_bpf_attach_type() in Linux. */
function netnsType(attachType: number): NetnsBpfType | null {
  switch (attachType) {
    case BPF_FLOW_DISSECTOR:
      return "flow_dissector";
    case BPF_SK_LOOKUP:
      return "sk_lookup";
    default:
      return null;
  }
}

/** A link to a network namespace. It does not hold the namespace. */
export class BpfNetnsLink extends BpfLink {
  readonly type: number = BPF_LINK_TYPE_NETNS;
  readonly typeName: string = "netns";
  readonly attachType: number;
  readonly netnsType: NetnsBpfType;
  /** Null once it is detached: by LINK_DETACH, by its release, or by the namespace's death. */
  net: Net | null;

  constructor(prog: Prog, net: Net, attachType: number, type: NetnsBpfType) {
    super(prog);
    this.net = net;
    this.attachType = attachType;
    this.netnsType = type;
  }

  /** Inode number of the namespace, 0 for a defunct link. */
  get netnsInode(): number {
    return this.net?.alive === true ? this.net.inode : 0;
  }

  release(): void {
    if (this.net === null) return;
    const attachments = this.net.bpf[this.netnsType];
    attachments.links.splice(attachments.links.indexOf(this), 1);
    rebuildRunArray(attachments);
    this.net = null;
  }

  detach(): number {
    this.release();
    return 0;
  }

  update(prog: Prog, expected: Prog | null): number {
    const current = this.prog;
    if (expected !== null && expected !== current) return -EPERM;
    if (current === null || prog.type !== current.type) return -EINVAL;
    if (this.net === null || !this.net.alive) return -ENOLINK;
    this.prog = prog;
    rebuildRunArray(this.net.bpf[this.netnsType]);
    current.put();
    return 0;
  }

  fillInfo(info: DataView): void {
    writeField(info, LINK_INFO.netns_ino, this.netnsInode);
    writeField(info, LINK_INFO.attach_type, this.attachType);
  }

  fdinfo(): string {
    return `netns_ino:\t${this.netnsInode}\nattach_type:\t${this.attachType}\n`;
  }
}

/** Packets on their way keep the array that they found; the next ones meet the new one. */
function rebuildRunArray(attachments: NetnsAttachments): void {
  const progs: Prog[] = [];
  for (const { prog } of attachments.links) if (prog !== null) progs.push(prog);
  attachments.runArray = progs.length === 0 ? null : progs;
}

/**
 * Whether the root rule bars a flow dissector: the initial namespace's serves all namespaces, so it
 * and another's exclude each other. The dead count until they are off the list.
 * Analogous to flow_dissector_bpf_prog_attach_check() in Linux.
 */
function checkRootRule(task: Task, net: Net): number {
  const { init, list } = task.machine.namespaces;
  if (net !== init) return init.bpf.flow_dissector.runArray === null ? 0 : -EEXIST;
  for (const other of list) {
    if (other !== init && other.bpf.flow_dissector.runArray !== null) return -EEXIST;
  }
  return 0;
}

/** Analogous to netns_bpf_link_attach() in Linux. */
function attachLink(task: Task, net: Net, link: BpfNetnsLink): number {
  const attachments = net.bpf[link.netnsType];
  if (attachments.links.length >= MAX_LINKS[link.netnsType]) return -E2BIG;
  if (attachments.prog !== null) return -EEXIST;
  if (link.netnsType === "flow_dissector") {
    const refused = checkRootRule(task, net);
    if (refused !== 0) return refused;
  }
  attachments.links.push(link);
  rebuildRunArray(attachments);
  return 0;
}

/**
 * BPF_LINK_CREATE for a network namespace: analogous to netns_bpf_link_create() in Linux.
 *
 * @param prog - the caller's; the link takes a reference of its own.
 */
export function netnsLinkCreate(task: Task, attr: Attr, prog: Prog): number {
  if (attr.u32(LINK_CREATE.flags) !== 0) return -EINVAL;
  const attachType = attr.u32(LINK_CREATE.attach_type);
  const type = netnsType(attachType);
  if (type === null) return -EINVAL;
  const net = netFromFd(task, attr.u32(LINK_CREATE.target_fd));
  if (typeof net === "number") return net;

  const link = new BpfNetnsLink(prog.get(), net, attachType, type);
  const primer = primeLink(task, link);
  if (typeof primer === "number") {
    prog.put();
    return primer;
  }
  const refused = attachLink(task, net, link);
  if (refused !== 0) {
    cleanupLink(task, primer);
    prog.put();
    return refused;
  }
  return settleLink(task, primer);
}

/** BPF_PROG_ATTACH to the caller's namespace: analogous to netns_bpf_prog_attach() in Linux. */
export function netnsProgAttach(task: Task, attr: Attr, prog: Prog): number {
  const unused = [PROG_ATTACH.target_fd, PROG_ATTACH.attach_flags, PROG_ATTACH.replace_bpf_fd];
  if (unused.some((field) => attr.u32(field) !== 0)) return -EINVAL;
  const attachments = task.netns.bpf.flow_dissector;
  if (attachments.links.length > 0) return -EEXIST;
  const refused = checkRootRule(task, task.netns);
  if (refused !== 0) return refused;
  const attached = attachments.prog;
  if (attached === prog) return -EINVAL;
  attachments.prog = prog.get();
  attachments.runArray = [prog];
  attached?.put();
  return 0;
}

/** BPF_PROG_DETACH: analogous to netns_bpf_prog_detach() in Linux. */
export function netnsProgDetach(task: Task, attr: Attr): number {
  if (attr.u32(PROG_ATTACH.target_fd) !== 0) return -EINVAL;
  const fd = attr.u32(PROG_ATTACH.attach_bpf_fd);
  const prog = progFromFd(task, fd, BPF_PROG_TYPE_FLOW_DISSECTOR);
  if (typeof prog === "number") return prog;
  const attachments = task.netns.bpf.flow_dissector;
  if (attachments.links.length > 0) return -EINVAL;
  if (attachments.prog !== prog) return -ENOENT;
  attachments.prog = null;
  attachments.runArray = null;
  prog.put();
  return 0;
}

/** BPF_PROG_QUERY: analogous to netns_bpf_prog_query() in Linux. */
export function netnsProgQuery(task: Task, attr: Attr): number {
  if (attr.u32(PROG_QUERY.query_flags) !== 0) return -EINVAL;
  const type = netnsType(attr.u32(PROG_QUERY.attach_type));
  if (type === null) return -EINVAL;
  const net = netFromFd(task, attr.u32(PROG_QUERY.target_fd));
  if (typeof net === "number") return net;

  const attached = net.bpf[type].runArray ?? [];
  const room = attr.u32(PROG_QUERY.prog_cnt);
  const ids = attr.u64(PROG_QUERY.prog_ids);
  if (attr.put(PROG_QUERY.attach_flags, 0) !== 0) return -EFAULT;
  attr.put(PROG_QUERY.prog_cnt, attached.length);
  if (room === 0 || ids === 0n || attached.length === 0) return 0;
  if (room * 4 > KMALLOC_MAX_SIZE) return -ENOMEM;
  // As long as the caller's array: the rest of it is zeroed.
  const answer = new DataView(new ArrayBuffer(room * 4));
  for (const [i, prog] of attached.slice(0, room).entries()) {
    answer.setUint32(4 * i, prog.id, true);
  }
  if (!task.memory.write(ids, new Uint8Array(answer.buffer))) return -EFAULT;
  return attached.length > room ? -ENOSPC : 0;
}

/** Analogous to get_net_ns_by_fd() in Linux, but the fd's reference serves for the call. */
export function netFromFd(task: Task, fd: number): Net | number {
  // Asked about the class that it mostly is before any other: that is quick.
  const file = task.files.getAny(fd);
  if (file instanceof NetnsFile) return file.net;
  return file === null || file instanceof PathFile ? -EBADF : -EINVAL;
}

/** Before a namespace's exit: no more packets for programs, links defunct, the program let go. */
function detachAll(attachments: NetnsAttachments): void {
  attachments.runArray = null;
  for (const link of attachments.links.splice(0)) link.net = null;
  attachments.prog?.put();
  attachments.prog = null;
}

/** Analogous to netns_bpf_pernet_ops in Linux. */
export const netnsBpfOperations: PernetOperations = {
  name: "netns_bpf",
  preExit(net) {
    detachAll(net.bpf.flow_dissector);
    detachAll(net.bpf.sk_lookup);
  },
};
