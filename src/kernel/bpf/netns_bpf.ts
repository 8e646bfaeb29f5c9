/**
 * What is attached to a network namespace: struct netns_bpf, state without behaviour.
 */

import type { BpfNetnsLink } from "./net_namespace.ts";
import type { Prog } from "./prog.ts";

/** What can be attached to a namespace, and where in its state it lies. */
export type NetnsBpfType = "flow_dissector" | "sk_lookup";

/** One type's attachments. */
export class NetnsAttachments {
  /** In the order in which they were created. */
  readonly links: BpfNetnsLink[] = [];
  /** The directly attached program: it excludes links, and only flow dissectors have one. */
  prog: Prog | null = null;
  #runArray: readonly Prog[] | null = null;
  /** The first program of the run array. */
  first: Prog | null = null;

  /** What packets meet, swapped as a whole; null when nothing is attached. */
  get runArray(): readonly Prog[] | null {
    return this.#runArray;
  }

  set runArray(progs: readonly Prog[] | null) {
    this.#runArray = progs;
    this.first = progs?.[0] ?? null;
  }
}

/** Attachments of a namespace by type. */
export class NetnsBpf {
  readonly flow_dissector: NetnsAttachments = new NetnsAttachments();
  readonly sk_lookup: NetnsAttachments = new NetnsAttachments();
}
