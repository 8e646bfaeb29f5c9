/**
 * Network namespaces.
 */

import { PROG_QUERY } from "./abi/attr.ts";
import * as BPF from "./abi/bpf.ts";
import { ENOENT } from "./abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE, ETH_HLEN } from "./abi/flow_keys.ts";
import { callBpf, check, refusal } from "./diagnosis/refusal.ts";
import { BpfError } from "./errors.ts";
import { Handle, OwnedFd } from "./handle.ts";
import type { Dissection, Frame, Kernel, NetNsIdentity, NetNsReference } from "./kernel.ts";

/** The most programs that a namespace takes of one type: 64 for sk_lookup. */
const MAX_PROGRAMS = 64;

/**
 * A network namespace, held by an fd: it lives at least until this is disposed.
 *
 * Kept open, it hides the namespace's death: `ip netns del` and the end of all processes inside
 * change nothing, and links to it stay attached. Dispose it once the link is made. Who only wants
 * to know later whether it lives, or to open it again, keeps its {@link NetNs.identity}.
 *
 * ```ts
 * import { NetNs } from "nslink";
 * import { EmbeddedKernel } from "nslink/embedded";
 *
 * using kernel = EmbeddedKernel.boot();
 * using netns = NetNs.create(kernel, "blue");
 * console.log(netns.query()); // []
 * ```
 */
export class NetNs extends Handle {
  /** How it was opened, for messages: "blue", "/proc/7/ns/net", "self". */
  readonly label: string;
  /** How it was opened. */
  readonly reference: NetNsReference;

  private constructor(kernel: Kernel, fd: number, reference: NetNsReference) {
    super(new OwnedFd(kernel, fd));
    this.label = labelOf(reference);
    this.reference = reference;
  }

  /**
   * Creates a namespace with a name, as `ip netns add` does, and opens it.
   *
   * @throws {BpfError} EEXIST if the name is taken; EPERM without CAP_SYS_ADMIN.
   */
  static create(kernel: Kernel, name: string): NetNs {
    const about = { netns: name, reference: { name } };
    check(kernel, "netns.create", kernel.netns.create(name), about);
    return NetNs.open(kernel, { name });
  }

  /**
   * Opens a namespace.
   *
   * @throws {BpfError} ENOENT if it isn't there; EINVAL for a name that is no file name, and for a
   *   path that leads to something else.
   */
  static open(kernel: Kernel, reference: NetNsReference): NetNs {
    const about = { netns: labelOf(reference), reference };
    const fd = check(kernel, "netns.open", kernel.netns.open(reference), about);
    return new NetNs(kernel, fd, reference);
  }

  /**
   * Takes a name away, as `ip netns del` does; the namespace dies if nothing else holds it.
   *
   * @throws {BpfError} ENOENT if the name isn't there.
   */
  static remove(kernel: Kernel, name: string): void {
    const about = { netns: name, reference: { name } };
    check(kernel, "netns.remove", kernel.netns.remove(name), about);
  }

  /** Its inode number, as links report it. Numbers are used again after a namespace's death. */
  get inode(): number {
    const { kernel, fd } = this;
    return check(kernel, "netns.inode", kernel.netns.inode(fd), {}, { fd });
  }

  /**
   * Who this namespace is, for {@link NetNs.isAlive} and {@link NetNs.reopen}: data that doesn't
   * keep it alive.
   */
  get identity(): NetNsIdentity {
    const identity = this.kernel.netns.identify(this.fd);
    if (typeof identity !== "number") return identity;
    throw refusal(this.kernel, "netns.identify", identity, { fd: this.fd });
  }

  /**
   * Opens a namespace again by its identity, never another one that got its inode number since.
   *
   * @throws {BpfError} ENOENT if it is dead; EOPNOTSUPP if it isn't found and that can't be known.
   */
  static reopen(kernel: Kernel, identity: NetNsIdentity): NetNs {
    const label = `with inode ${identity.inode}`;
    const fd = kernel.netns.reopen(identity);
    if (fd >= 0) return new NetNs(kernel, fd, { path: `/proc/self/fd/${fd}` });
    const hint =
      fd === -ENOENT
        ? `the network namespace ${label} is dead`
        : `the network namespace ${label} can't be found, and whether it lives can't be known`;
    throw new BpfError("netns.reopen", fd, hint);
  }

  /**
   * Whether a namespace lives.
   *
   * On Linux before 6.18, and without CAP_SYS_ADMIN, it is looked for among those that have a name,
   * a process or an fd that this task can see.
   *
   * @returns null when it isn't found there and the kernel can't tell.
   */
  static isAlive(kernel: Kernel, identity: NetNsIdentity): boolean | null {
    const fd = kernel.netns.reopen(identity);
    if (fd < 0) return fd === -ENOENT ? false : null;
    kernel.close(fd);
    return true;
  }

  /**
   * Runs a synchronous function with the task inside this namespace.
   *
   * On Linux it is the calling thread that goes inside. A thread that the function starts, such as
   * a Worker, is born inside, stays there, and keeps the namespace alive.
   *
   * @returns what the function returned.
   * @throws {BpfError} EPERM without CAP_SYS_ADMIN, if the task isn't inside already.
   * @throws {TypeError} when the function returned a promise: what it does later is done outside.
   */
  enter<T>(call: () => T): T {
    const outcome = this.kernel.netns.enter(this.fd, call);
    if ("errno" in outcome) {
      throw refusal(this.kernel, "netns.enter", outcome.errno, { fd: this.fd });
    }
    if (outcome.value instanceof Promise) {
      throw new TypeError("call: must be synchronous, since it is inside only until it returns");
    }
    return outcome.value;
  }

  /**
   * Ids of the programs attached here, by links or directly, in the order in which they run.
   *
   * @param attachType - BPF_FLOW_DISSECTOR (the default) or BPF_SK_LOOKUP.
   * @throws {BpfError} EPERM without CAP_NET_ADMIN.
   */
  query(attachType: number = BPF.BPF_FLOW_DISSECTOR): number[] {
    const ids = new Uint32Array(MAX_PROGRAMS);
    const address = this.kernel.addressOf(new Uint8Array(ids.buffer));
    const request = {
      target_fd: this.fd,
      attach_type: attachType,
      prog_ids: address,
      prog_cnt: MAX_PROGRAMS,
    };
    callBpf(this.kernel, BPF.BPF_PROG_QUERY, PROG_QUERY, request);
    return [...ids].filter((id) => id !== 0);
  }

  /**
   * Dissects a packet as it would be on arrival here: by the root namespace's program, else by this
   * one's, else by Linux's own dissector.
   *
   * @param packet - a frame with its Ethernet header, or a {@link Frame} that says where the
   *   network header is.
   * @param flags - BPF_FLOW_DISSECTOR_F_….
   * @param keysBytes - takes the keys as the program left them, if there are any: 56 bytes of
   *   `struct bpf_flow_keys`.
   * @throws {RangeError} for a packet shorter than an Ethernet header, and for `keysBytes` of fewer
   *   than 56 bytes.
   * @throws {BpfError} EINVAL for a frame whose network header isn't inside it, and on Linux for
   *   one of more than 4096 bytes.
   */
  dissect(packet: Uint8Array | Frame, flags: number = 0, keysBytes?: Uint8Array): Dissection {
    if (keysBytes !== undefined) checkKeysBytes(keysBytes);
    const outcome = this.kernel.netns.dissect(this.fd, packet, flags, keysBytes);
    return typeof outcome === "number" ? this.#refuse(outcome, packet) : outcome;
  }

  #refuse(errno: number, packet: Uint8Array | Frame): never {
    const isFrame = !ArrayBuffer.isView(packet);
    const { length } = isFrame ? packet.data : packet;
    if (!isFrame && length < ETH_HLEN) {
      throw new RangeError(`packet: ${length} bytes are less than an Ethernet header's 14`);
    }
    throw refusal(this.kernel, "netns.dissect", errno, {
      fd: this.fd,
      data_size_in: length,
      network_offset: isFrame ? packet.networkOffset : ETH_HLEN,
    });
  }
}

function checkKeysBytes(keysBytes: Uint8Array): void {
  if (keysBytes.length >= BPF_FLOW_KEYS_SIZE) return;
  throw new RangeError(`keysBytes: ${keysBytes.length} bytes are less than flow keys have`);
}

function labelOf(reference: NetNsReference): string {
  if (reference === "self") return "self";
  if ("name" in reference) return reference.name;
  return "path" in reference ? reference.path : `of process ${reference.pid}`;
}
