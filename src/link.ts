/**
 * Links: an attachment that is an object of its own.
 */

import { LINK_CREATE, LINK_DETACH, LINK_UPDATE } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "./abi/info.ts";
import { callBpf } from "./diagnosis/refusal.ts";
import {
  checkSameKernel,
  ObjectHandle,
  OwnedFd,
  openById,
  openPin,
  readInfo,
  takeOver,
} from "./handle.ts";
import type { Kernel } from "./kernel.ts";
import type { NetNs } from "./netns.ts";
import type { Program } from "./program.ts";

/** What a kernel knows of a link. */
export interface LinkInfo {
  /** BPF_LINK_TYPE_…; a link to a network namespace is BPF_LINK_TYPE_NETNS. */
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /**
   * Inode of the namespace; 0 once the link is detached or the namespace is dead, and for links to
   * anything but a namespace.
   */
  readonly netnsInode: number;
  /** BPF_FLOW_DISSECTOR or BPF_SK_LOOKUP; null for links to anything but a namespace. */
  readonly attachType: number | null;
}

/**
 * A link between a program and a network namespace.
 *
 * ```ts
 * import { readFileSync } from "node:fs";
 * import { Collection, Link, loadObject, NetNs } from "nslink";
 * import { EmbeddedKernel } from "nslink/embedded";
 *
 * using kernel = EmbeddedKernel.boot();
 * using netns = NetNs.create(kernel, "blue");
 * using programs = Collection.load(kernel, loadObject(readFileSync("bpf/flow.bpf.o")));
 * using link = Link.attach(programs.program("dissect"), netns);
 * console.log(link.info.netnsInode === netns.inode); // true
 * ```
 */
export class Link extends ObjectHandle {
  private constructor(owned: OwnedFd) {
    super(owned);
  }

  /**
   * Attaches a program to a network namespace with a link.
   *
   * The link does not keep the namespace alive: when the namespace dies, the link becomes
   * defunct and {@link Link.update} fails with ENOLINK. Disposing the link detaches the
   * program, unless the link is pinned. Mirrors kernel/bpf/net_namespace.c (Linux 5.8).
   *
   * @param program - a flow dissector or an sk_lookup program; stays the caller's to dispose.
   * @param netns - where to attach; stays the caller's to dispose.
   * @throws {BpfError} E2BIG if the namespace has a link of this type already (flow dissector: 1,
   *   sk_lookup: 64); EEXIST if a program is attached there directly, or in the root namespace;
   *   EINVAL if programs of this type don't attach to namespaces.
   * @throws {TypeError} when the two belong to different kernels or tasks.
   */
  static attach(program: Program, netns: NetNs): Link {
    const { kernel } = program;
    checkSameKernel(kernel, "netns", netns);
    const attachType =
      program.info.type === BPF.BPF_PROG_TYPE_SK_LOOKUP
        ? BPF.BPF_SK_LOOKUP
        : BPF.BPF_FLOW_DISSECTOR;
    const request = { prog_fd: program.fd, target_fd: netns.fd, attach_type: attachType };
    const fd = callBpf(kernel, BPF.BPF_LINK_CREATE, LINK_CREATE, request, {
      netns: netns.label,
      reference: netns.reference,
    });
    return new Link(new OwnedFd(kernel, fd));
  }

  /**
   * The link behind an fd, which is taken over: it is closed even if this throws.
   *
   * @throws {TypeError} when the fd isn't open on a link.
   */
  static fromFd(kernel: Kernel, fd: number): Link {
    return takeOver(kernel, fd, "link", (owned) => new Link(owned));
  }

  /**
   * Opens a link by its id.
   *
   * @throws {BpfError} ENOENT when there is none, EAGAIN while it is being created, EPERM without
   *   CAP_SYS_ADMIN.
   */
  static fromId(kernel: Kernel, id: number): Link {
    return new Link(new OwnedFd(kernel, openById(kernel, "link", id)));
  }

  /**
   * Opens a pinned link.
   *
   * @throws {BpfError} ENOENT if nothing is pinned there; EACCES.
   * @throws {TypeError} when something else is pinned there.
   */
  static fromPin(kernel: Kernel, path: string): Link {
    return Link.fromFd(kernel, openPin(kernel, path));
  }

  /** What the kernel says about the link now. */
  get info(): LinkInfo {
    const info = readInfo(this.kernel, this.fd, LINK_INFO, BPF_LINK_INFO_SIZE);
    // Links of other types have something else in place of these two fields.
    const isNetns = info.type === BPF.BPF_LINK_TYPE_NETNS;
    return {
      type: info.type,
      id: info.id,
      programId: info.prog_id,
      netnsInode: isNetns ? info.netns_ino : 0,
      attachType: isNetns ? info.attach_type : null,
    };
  }

  /**
   * Puts another program in the place of the current one, atomically: each packet meets the old or
   * the new one. Packets already on their way may still meet the old.
   *
   * @param program - of the same type as the current one; stays the caller's to dispose.
   * @param options - `expect`: only if this is the program now (BPF_F_REPLACE).
   * @throws {BpfError} ENOLINK if the link is detached or its namespace dead; EPERM if another
   *   program is there than the one expected; EINVAL if the types differ.
   * @throws {TypeError} when a program belongs to another kernel or task than the link.
   */
  update(program: Program, options: { readonly expect?: Program } = {}): void {
    const { expect } = options;
    checkSameKernel(this.kernel, "program", program);
    if (expect !== undefined) checkSameKernel(this.kernel, "expect", expect);
    const swap = { link_fd: this.fd, new_prog_fd: program.fd };
    const request =
      expect === undefined ? swap : { ...swap, flags: BPF.BPF_F_REPLACE, old_prog_fd: expect.fd };
    callBpf(this.kernel, BPF.BPF_LINK_UPDATE, LINK_UPDATE, request);
  }

  /** Takes the program off the namespace; the link stays, detached for good. Twice is harmless. */
  detach(): void {
    callBpf(this.kernel, BPF.BPF_LINK_DETACH, LINK_DETACH, { link_fd: this.fd });
  }
}
