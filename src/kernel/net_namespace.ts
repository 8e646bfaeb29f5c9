/**
 * Network namespaces: counted references, per-namespace operations, and a death in steps.
 * Mirrors net/core/net_namespace.c in Linux.
 */

import type { FileStatus } from "../kernel.ts";
import { NetnsBpf } from "./bpf/netns_bpf.ts";
import { File, O_RDONLY } from "./file.ts";
import type { Steps, Workqueue } from "./workqueue.ts";

/** Hooks into the life of every namespace; run in order at birth and backwards at death. */
export interface PernetOperations {
  readonly name: string;
  readonly init?: (net: Net) => void;
  /** The namespace is off the list, packets may still be on their way. */
  readonly preExit?: (net: Net) => void;
  /** No packet is on its way any more. */
  readonly exit?: (net: Net) => void;
}

/** Inode number of the initial namespace (PROC_NET_INIT_INO). */
const INIT_NET_INODE = 0xeffffff9;
/** Inode numbers of the others begin here (PROC_DYNAMIC_FIRST). */
const FIRST_INODE = 0xf0000000;

/** A network namespace: struct net. */
export class Net {
  readonly inode: number;
  /** Unique for the life of the kernel, unlike the inode number. */
  readonly cookie: bigint;
  /** Links and programs attached here. */
  readonly bpf: NetnsBpf = new NetnsBpf();
  readonly #namespaces: NetNamespaces;
  #references: number = 1;

  constructor(namespaces: NetNamespaces, inode: number, cookie: bigint) {
    this.#namespaces = namespaces;
    this.inode = inode;
    this.cookie = cookie;
  }

  /** Whether anybody still holds it. Once this is false it stays false: check_net() in Linux. */
  get alive(): boolean {
    return this.#references > 0;
  }

  get(): this {
    this.#references++;
    return this;
  }

  /** Lets go. With the last holder the namespace is dead at once; its cleanup comes later. */
  put(): void {
    this.#references--;
    if (this.#references === 0) this.#namespaces.queueCleanup(this);
  }
}

/** An fd on a network namespace; it holds the namespace. */
export class NetnsFile extends File {
  declare readonly net: Net;
  readonly #path: () => string;

  /** @param path - where it was opened, for as long as that leads there. */
  constructor(net: Net, path: () => string = () => `net:[${net.inode}]`) {
    super("", O_RDONLY, net.get());
    this.#path = path;
  }

  override get name(): string {
    return this.#path();
  }

  override get status(): FileStatus {
    return { type: "regular file", fileSystem: "nsfs", uid: 0, mode: 0o444 };
  }

  protected release(): void {
    this.net.put();
  }
}

/** All network namespaces of a kernel. */
export class NetNamespaces {
  /** Never dies. */
  readonly init: Net;
  readonly #operations: readonly PernetOperations[];
  readonly #workqueue: Workqueue;
  readonly #list: Set<Net> = new Set();
  /** Dead and still on the list; `cleanupNet` takes them all at once. */
  #dead: Net[] = [];
  #cleaning: boolean = false;
  readonly #freeInodes: number[] = [];
  #nextInode: number = FIRST_INODE;
  #nextCookie: bigint = 1n;

  constructor(workqueue: Workqueue, operations: readonly PernetOperations[]) {
    this.#workqueue = workqueue;
    this.#operations = operations;
    this.init = this.#setup(INIT_NET_INODE);
  }

  /** The namespace list: the living, and the dead until their cleanup takes them off it. */
  get list(): ReadonlySet<Net> {
    return this.#list;
  }

  /** A new namespace; the caller holds it. Analogous to copy_net_ns() in Linux. */
  create(): Net {
    return this.#setup(this.#freeInodes.pop() ?? this.#nextInode++);
  }

  /** Called with the last put: analogous to __put_net() in Linux. */
  queueCleanup(net: Net): void {
    this.#dead.push(net);
    if (this.#cleaning) return;
    this.#cleaning = true;
    this.#workqueue.queue("cleanup_net: unlist", () => this.#cleanupNet());
  }

  #setup(inode: number): Net {
    const net = new Net(this, inode, this.#nextCookie++);
    for (const operations of this.#operations) operations.init?.(net);
    this.#list.add(net);
    return net;
  }

  /** Analogous to cleanup_net() in Linux; what dies while it runs is left to the next one. */
  *#cleanupNet(): Steps {
    while (this.#dead.length > 0) {
      const batch = this.#dead;
      this.#dead = [];
      for (const net of batch) this.#list.delete(net);
      const backwards = this.#operations.toReversed();
      yield "cleanup_net: pre_exit";
      for (const { preExit } of backwards) for (const net of batch) preExit?.(net);
      yield "cleanup_net: exit";
      for (const { exit } of backwards) for (const net of batch) exit?.(net);
      // Inode numbers are used again, which is why a link must not be known by one.
      for (const net of batch) this.#freeInodes.push(net.inode);
      if (this.#dead.length > 0) yield "cleanup_net: unlist";
    }
    this.#cleaning = false;
  }
}
