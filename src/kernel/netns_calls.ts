/**
 * A task's calls about network namespaces.
 */

import { EBADF, EINVAL, ENOENT, EPERM } from "../abi/errno.ts";
import { ETH_HLEN } from "../abi/flow_keys.ts";
import { isFileName } from "../abi/names.ts";
import type {
  Dissection,
  Frame,
  NetNsCalls,
  NetNsEntry,
  NetNsIdentity,
  NetNsReference,
  OpenObject,
} from "../kernel.ts";
import { type FdTable, type File, PathFile } from "./file.ts";
import { OF_ETHERNET } from "./net/dissector.ts";
import { MAX_OFFSET } from "./net/flow_dissector.ts";
import type { PacketWay } from "./net/packet_way.ts";
import { NetnsFile } from "./net_namespace.ts";
import { openObjects } from "./open_objects.ts";
import type { Task } from "./task.ts";

// Engines know constants of this file; imported ones they look up each time.
const ETHERNET_BYTES = ETH_HLEN;
const BY_ETHERNET = OF_ETHERNET;
const LAST_OFFSET = MAX_OFFSET;

/** {@link NetNsCalls} of the embedded kernel. */
export class EmbeddedNetNs implements NetNsCalls {
  readonly #task: Task;
  readonly #files: FdTable;
  readonly #packets: PacketWay;

  constructor(task: Task) {
    this.#task = task;
    this.#files = task.files;
    this.#packets = task.machine.packets;
  }

  create(name: string): number {
    return this.#task.machine.filesystem.createNetns(this.#task, name);
  }

  remove(name: string): number {
    return this.#task.machine.filesystem.removeNetns(this.#task, name);
  }

  open(reference: NetNsReference): number {
    const task = this.#task;
    const path = pathOf(reference);
    if (path === null) return -EINVAL;
    const fd = task.machine.filesystem.open(task, path, 0);
    if (fd < 0 || task.files.get(fd) instanceof NetnsFile) return fd;
    task.files.close(fd);
    return -EINVAL;
  }

  inode(fd: number): number {
    const file = this.#task.file(fd, NetnsFile);
    return typeof file === "number" ? file : file.net.inode;
  }

  identify(fd: number): NetNsIdentity | number {
    const file = this.#task.file(fd, NetnsFile);
    if (typeof file === "number") return file;
    return { inode: file.net.inode, cookie: file.net.cookie, handle: null };
  }

  reopen({ cookie }: NetNsIdentity): number {
    for (const net of this.#task.machine.namespaces.list) {
      if (net.alive && net.cookie === cookie)
        return this.#task.files.add(new NetnsFile(net).openedWith(0));
    }
    return -ENOENT;
  }

  list(open: readonly OpenObject[] = openObjects(this.#task)): readonly NetNsEntry[] {
    const { filesystem, namespaces, tasks } = this.#task.machine;
    const named = [...filesystem.namedNetns()];
    return [...namespaces.list]
      .filter((net) => net.alive)
      .map(
        (net): NetNsEntry => ({
          inode: net.inode,
          cookie: net.cookie,
          isRoot: net === namespaces.init,
          names: named.filter(([, each]) => each === net).map(([name]) => name),
          pids: [...tasks.values()].filter((each) => each.netns === net).map(({ pid }) => pid),
          fds: open.filter(({ kind, id }) => kind === "netns" && id === net.inode),
        }),
      );
  }

  enter<T>(fd: number, call: () => T): { readonly value: T } | { readonly errno: number } {
    const task = this.#task;
    const file = task.file(fd, NetnsFile);
    if (typeof file === "number") return { errno: file };
    if (file.net !== task.netns && !task.capable("CAP_SYS_ADMIN")) return { errno: -EPERM };
    const home = task.netns.get();
    task.setNetns(file.net);
    try {
      return { value: call() };
    } finally {
      task.setNetns(home);
      home.put();
    }
  }

  dissect(
    fd: number,
    packet: Uint8Array | Frame,
    flags: number,
    keysBytes?: Uint8Array,
  ): Dissection | number {
    const file = this.#files.getAny(fd);
    if (file === null || file.net === null) return noNamespace(file);
    if (ArrayBuffer.isView(packet)) {
      if (packet.length < ETHERNET_BYTES) return -EINVAL;
      return this.#packets.dissect(file.net, packet, ETHERNET_BYTES, BY_ETHERNET, flags, keysBytes);
    }
    const { data, networkOffset, protocol } = packet;
    if (networkOffset < 0 || networkOffset > data.length || networkOffset > LAST_OFFSET) {
      return -EINVAL;
    }
    return this.#packets.dissect(file.net, data, networkOffset, protocol, flags, keysBytes);
  }
}

function noNamespace(file: File | null): number {
  return file === null || file instanceof PathFile ? -EBADF : -EINVAL;
}

/** The path that opens a namespace, as on Linux; null for a name that can't be one. */
function pathOf(reference: NetNsReference): string | null {
  if (reference === "self") return "/proc/self/ns/net";
  if ("name" in reference)
    return isFileName(reference.name) ? `/run/netns/${reference.name}` : null;
  return "pid" in reference ? `/proc/${reference.pid}/ns/net` : reference.path;
}
