/**
 * One packet's way through a network namespace. Mirrors the way into bpf_flow_dissect() in
 * net/core/flow_dissector.c in Linux.
 */

import { ENOMEM } from "../../abi/errno.ts";
import type { Dissection } from "../../kernel.ts";
import type { NetnsAttachments } from "../bpf/netns_bpf.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Engine } from "../engine.ts";
import type { Net, NetNamespaces } from "../net_namespace.ts";
import { type Dissector, handedOn } from "./dissector.ts";

/** The way of packets through the namespaces of a machine. */
export class PacketWay {
  readonly #engine: Engine;
  /** The root namespace's. */
  readonly #root: NetnsAttachments;
  /** All there are, and the one that was last used. */
  readonly #dissectors: Dissector[] = [];
  #dissector: Dissector | null = null;

  constructor(engine: Engine, { init }: NetNamespaces) {
    this.#engine = engine;
    this.#root = init.bpf.flow_dissector;
  }

  /** The program that packets in a namespace meet: the root namespace's goes first. */
  attached(net: Net): Prog | null {
    return this.#root.first ?? net.bpf.flow_dissector.first;
  }

  /**
   * What a packet in a namespace meets: the root namespace's program, else the namespace's own,
   * else Linux's dissector, which also gets what a program hands on (BPF_FLOW_DISSECTOR_CONTINUE).
   *
   * A program that is stopped by a fault has dissected nothing: the packet counts as dropped,
   * without keys and without a return value; `faultLog` has the reason. Linux has no such case,
   * since its verifier refuses those programs.
   *
   * @param networkOffset - within the packet. @param protocol - see {@link OF_ETHERNET}.
   * @param flags - input flags, BPF_FLOW_DISSECTOR_F_….
   * @param keysBytes - takes the keys, if there are any.
   * @returns -ENOMEM when there is no memory for the packet.
   */
  dissect(
    net: Net,
    data: Uint8Array,
    networkOffset: number,
    protocol: number,
    flags: number,
    keysBytes: Uint8Array | undefined,
  ): Dissection | number {
    const prog = this.attached(net);
    if (prog === null) return handedOn(null, null);
    let dissector = this.#dissector;
    // Compared, as OwnedFd.number does it.
    if (dissector === null || dissector.isBusy === true) {
      dissector = this.#idleDissector();
      if (dissector === null) return -ENOMEM;
      this.#dissector = dissector;
    }
    return dissector.dissect(prog, data, networkOffset, protocol, flags, keysBytes);
  }

  /** Nested dissections each take one. */
  #idleDissector(): Dissector | null {
    const idle = this.#dissectors.find(({ isBusy }) => !isBusy);
    if (idle !== undefined) return idle;
    const made = this.#engine.dissector();
    if (made !== null) this.#dissectors.push(made);
    return made;
  }
}
