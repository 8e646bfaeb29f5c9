/**
 * What an inventory says: plain data, the same on every kernel.
 */

/** A process and those of its fds that hold the thing in question. */
export interface Holder {
  readonly pid: number;
  /** The process's name, /proc/PID/comm. */
  readonly command: string;
  readonly fds: readonly number[];
}

/** A loaded program. */
export interface ProgramEntry {
  readonly id: number;
  /** "" for a program without a name, and for one that went while it was looked at. */
  readonly name: string;
  /** 16 hexadecimal digits, or "" for a program that went. */
  readonly tag: string;
}

/** A network namespace and what can be seen to keep it alive. */
export interface NamespaceEntry {
  readonly inode: number;
  /** Unlike the inode number never used again; null where the kernel doesn't tell. */
  readonly cookie: bigint | null;
  /** The root namespace never dies, and its flow dissector serves all others. */
  readonly isRoot: boolean;
  /** Names under /run/netns. */
  readonly names: readonly string[];
  /** Processes inside. */
  readonly pids: readonly number[];
  /** Processes that hold it by an fd. */
  readonly holders: readonly Holder[];
}

/**
 * What a link does for the packets of its namespace.
 *
 * - `attached`: its program is asked.
 * - `shadowed`: it is attached, but the root namespace's flow dissector is asked in its stead. The
 *   root rule (Linux 5.5) keeps both from being attached at a time, so this is not met on a kernel
 *   that keeps the rule; it is what would follow if one didn't.
 * - `defunct`: it is attached to nothing and never will be again: its namespace died, or somebody
 *   detached it. Every answer of the kernel is the same in both cases, byte for byte; what differs
 *   lies in its memory alone.
 * - `detached`: it is known that LINK_DETACH was the cause, because an earlier look saw it attached
 *   to a namespace that is alive still. Known only with an earlier look and netns cookies.
 */
export type LinkState = "attached" | "shadowed" | "defunct" | "detached";

/** A link to a network namespace. */
export interface LinkEntry {
  readonly id: number;
  /** BPF_LINK_TYPE_NETNS */
  readonly type: number;
  /** BPF_FLOW_DISSECTOR or BPF_SK_LOOKUP */
  readonly attachType: number;
  readonly program: ProgramEntry;
  /** Null once it is attached to none. */
  readonly namespace: NamespaceEntry | null;
  readonly state: LinkState;
  /** Where it is pinned. */
  readonly pins: readonly string[];
  /** Processes that hold it by an fd. */
  readonly holders: readonly Holder[];
}

/** A program attached to a network namespace without a link. */
export interface DirectEntry {
  /** BPF_FLOW_DISSECTOR: programs of other types take a link. */
  readonly attachType: number;
  readonly program: ProgramEntry;
  readonly namespace: NamespaceEntry;
  /** As of a link; gone with its namespace, it is never defunct. */
  readonly state: Extract<LinkState, "attached" | "shadowed">;
}

/** What a look can't find out, and the capabilities that it would take. */
export interface Unknown {
  /**
   * - `links`: those that no pin which this task may open leads to. Links and programs attached
   *   directly can't be told apart then.
   * - `programs`: their names, and their tags but for those of links that were opened.
   * - `attachments`: what is attached to namespaces.
   * - `holders`: what some processes hold, and in which namespaces they are.
   */
  readonly what: "links" | "programs" | "attachments" | "holders";
  readonly needs: string;
}

/** A name in a BPF file system, and the object that it holds. */
export interface PinEntry {
  readonly path: string;
  readonly kind: "link" | "program" | "map";
  readonly id: number;
}
