/**
 * File handles of network namespaces (Linux 6.18): a namespace can be opened by its handle for as
 * long as it lives, and the handle doesn't keep it alive.
 */

import { constants } from "node:fs";
import { ENOENT, ESTALE } from "../abi/errno.ts";
import * as libc from "./libc.ts";

/** Any file of nsfs will do as the mount that a handle is opened in. */
const OWN_NETNS = "/proc/thread-self/ns/net";
// include/uapi/linux/fcntl.h, include/uapi/asm-generic/fcntl.h
const AT_EMPTY_PATH = 0x1000;
const O_CLOEXEC = 0o2000000;

/** struct file_handle: handle_bytes, handle_type, and room for what follows (MAX_HANDLE_SZ). */
const HEADER_BYTES = 8;
const MAX_HANDLE_BYTES = 128;
/** An int, which nobody reads. */
const MOUNT_ID_BYTES = 4;

/**
 * The handle of the namespace behind an fd.
 *
 * @returns a `struct file_handle`; null where nsfs has none (before Linux 6.18), and for a task
 *   that could not open it: such a task is told ESTALE, as if the namespace were dead. It needs
 *   CAP_SYS_ADMIN, or to be inside.
 */
export function handleOf(fd: number): Uint8Array | null {
  // One buffer, which is used after the call: memory that nothing refers to may be freed before it.
  const handle = new Uint8Array(HEADER_BYTES + MAX_HANDLE_BYTES + MOUNT_ID_BYTES);
  new DataView(handle.buffer).setUint32(0, MAX_HANDLE_BYTES, true);
  const address = Number(libc.addressOf(handle));
  const mountId = address + HEADER_BYTES + MAX_HANDLE_BYTES;
  if (libc.nameToHandle(fd, "", address, mountId, AT_EMPTY_PATH) < 0) return null;
  const size = new DataView(handle.buffer).getUint32(0, true);
  const exact = handle.slice(0, HEADER_BYTES + size);
  const opened = openHandle(exact);
  if (opened < 0) return null;
  libc.close(opened);
  return exact;
}

/** Opens a namespace: an fd, ENOENT when it is dead, or another negative errno. */
export function openHandle(handle: Uint8Array): number {
  const mount = libc.open(OWN_NETNS, constants.O_RDONLY | O_CLOEXEC);
  if (mount < 0) return mount;
  const address = Number(libc.addressOf(handle));
  const fd = libc.openByHandle(mount, address, constants.O_RDONLY | O_CLOEXEC);
  libc.close(mount);
  return fd === -ESTALE ? -ENOENT : fd;
}
