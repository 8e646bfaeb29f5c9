/**
 * Links: an attachment that is an object of its own.
 */

import { GET_FD_BY_ID, LINK_CREATE, LINK_DETACH, LINK_UPDATE } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { BPF_LINK_INFO_SIZE, LINK_INFO } from "./abi/info.ts";
import { callBpf } from "./call.ts";
import { ObjectHandle, OwnedFd, openPin, readInfo } from "./handle.ts";
import { explainLinkCreate, explainLinkUpdate } from "./hints.ts";
import type { Kernel } from "./kernel.ts";
import type { NetNs } from "./netns.ts";
import type { Program } from "./program.ts";

/** What a kernel knows of a link. */
export interface LinkInfo {
  /** BPF_LINK_TYPE_…; a link to a network namespace is BPF_LINK_TYPE_NETNS. */
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /** Inode of the namespace; 0 once the link is detached or the namespace is dead. */
  readonly netnsInode: number;
  /** BPF_FLOW_DISSECTOR or BPF_SK_LOOKUP. */
  readonly attachType: number;
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
  private constructor(kernel: Kernel, fd: number) {
    super(new OwnedFd(kernel, fd));
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
   */
  static attach(program: Program, netns: NetNs): Link {
    const { kernel } = program;
    const attachType =
      program.info.type === BPF.BPF_PROG_TYPE_SK_LOOKUP
        ? BPF.BPF_SK_LOOKUP
        : BPF.BPF_FLOW_DISSECTOR;
    const request = { prog_fd: program.fd, target_fd: netns.fd, attach_type: attachType };
    const fd = callBpf(kernel, BPF.BPF_LINK_CREATE, LINK_CREATE, request, (errno) =>
      explainLinkCreate(netns, program.info, attachType, errno),
    );
    return new Link(kernel, fd);
  }

  /** The link behind an fd, which is taken over. */
  static fromFd(kernel: Kernel, fd: number): Link {
    return new Link(kernel, fd);
  }

  /** Opens a link by its id: ENOENT when there is none, EAGAIN while it is being created. */
  static fromId(kernel: Kernel, id: number): Link {
    const fd = callBpf(kernel, BPF.BPF_LINK_GET_FD_BY_ID, GET_FD_BY_ID, { id }, () => {
      return `there is no link ${id}, or this task lacks CAP_SYS_ADMIN`;
    });
    return new Link(kernel, fd);
  }

  /** Opens a pinned link. */
  static fromPin(kernel: Kernel, path: string): Link {
    return new Link(kernel, openPin(kernel, path));
  }

  /** What the kernel says about the link now. */
  get info(): LinkInfo {
    const info = readInfo(this.kernel, this.fd, LINK_INFO, BPF_LINK_INFO_SIZE);
    return {
      type: info.type,
      id: info.id,
      programId: info.prog_id,
      netnsInode: info.netns_ino,
      attachType: info.attach_type,
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
   */
  update(program: Program, options: { readonly expect?: Program } = {}): void {
    const { expect } = options;
    const request = {
      link_fd: this.fd,
      new_prog_fd: program.fd,
      ...(expect !== undefined && { flags: BPF.BPF_F_REPLACE, old_prog_fd: expect.fd }),
    };
    callBpf(this.kernel, BPF.BPF_LINK_UPDATE, LINK_UPDATE, request, (errno) =>
      explainLinkUpdate(this.info, program.info, expect?.info, errno),
    );
  }

  /** Takes the program off the namespace; the link stays, detached for good. Twice is harmless. */
  detach(): void {
    callBpf(this.kernel, BPF.BPF_LINK_DETACH, LINK_DETACH, { link_fd: this.fd });
  }
}
