/**
 * One packet at a time on its way through a flow dissector: room for it in linear memory, and for
 * what is made of it.
 */

import {
  BPF_FLOW_DISSECTOR_CONTINUE,
  BPF_OK,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
} from "../../abi/bpf.ts";
import { EFAULT, ENOMEM } from "../../abi/errno.ts";
import {
  BPF_FLOW_KEYS_SIZE,
  FLOW_KEYS_WORDS,
  type FlowKeys,
  flowKeysOf,
} from "../../abi/flow_keys.ts";
import type { Dissection } from "../../kernel.ts";
import { contextOf } from "../bpf/context.ts";
import type { Prog } from "../bpf/prog.ts";
import type { Invocation, Region } from "../engine.ts";
import type { LinearMemory } from "../memory.ts";
import { SK_BUFF } from "./flow_dissector.ts";
import type { PacketArea } from "./packet_area.ts";

// Engines know constants of this file; imported ones they look up each time.
const OK = BPF_OK;
const toKeys: typeof flowKeysOf = flowKeysOf;

/** In place of an EtherType: the one that the Ethernet header ends with. */
export const OF_ETHERNET = -1;

/**
 * Made once and used again. Engines say how a program is run.
 *
 * A dissection allocates nothing but its result. It is written in few and short steps, with plain
 * fields: an engine of JavaScript puts only so much code into the place where it is called.
 */
export abstract class Dissector {
  /** Whether a packet is on its way: what its program does may bring about another dissection. */
  isBusy: boolean = false;
  protected readonly area: PacketArea;
  /** What a program is run on. */
  protected readonly invocation: Invocation;
  protected readonly memory: LinearMemory;
  /** The keys' words. Growth of memory leaves a view without any. */
  protected keys: Int32Array = new Int32Array(0);

  protected constructor(memory: LinearMemory, area: PacketArea) {
    this.memory = memory;
    this.area = area;
    const { context, keys } = area;
    const layout = contextOf(BPF_PROG_TYPE_FLOW_DISSECTOR) ?? null;
    const writable = { start: keys, end: keys + BPF_FLOW_KEYS_SIZE, writable: true };
    const regions = [new PacketRegion(memory, context), writable];
    this.invocation = { context, layout, regions, skb: null };
  }

  /**
   * Runs a program on the packet that was put in, with keys as new; their offsets end up within the
   * packet. The context has the addresses of packet and keys already, but not the packet's end.
   *
   * @returns what the program returned, a u32; -EFAULT when it was stopped by a fault; -ENOMEM when
   *   there is no memory for its stack.
   */
  protected abstract run(
    prog: Prog,
    data: Uint8Array,
    networkOffset: number,
    protocol: number,
    flags: number,
  ): number;

  /** What a packet comes to that meets a program: see PacketWay. */
  dissect(
    prog: Prog,
    data: Uint8Array,
    networkOffset: number,
    protocol: number,
    flags: number,
    keysBytes: Uint8Array | undefined,
  ): Dissection | number {
    if (data.length > this.area.capacity && !this.#makeRoom(data.length)) return -ENOMEM;
    this.memory.write(this.area.packet, data);
    this.isBusy = true;
    // What the program does may detach it; it lives until it has returned.
    prog.get();
    try {
      const retval = this.run(prog, data, networkOffset, protocol, flags);
      return retval === OK && keysBytes === undefined
        ? { by: "bpf", verdict: "ok", retval, keys: this.readKeys(), programId: prog.id }
        : this.#outcome(retval, prog.id, keysBytes);
    } finally {
      prog.put();
      this.isBusy = false;
    }
  }

  protected readKeys(): FlowKeys {
    return toKeys(this.keys.length === 0 ? this.#viewKeys() : this.keys);
  }

  #makeRoom(bytes: number): boolean {
    if (!this.area.reserve(bytes)) return false;
    this.area.setContext([
      [SK_BUFF.data, this.area.packet],
      [SK_BUFF.flow_keys, this.area.keys],
    ]);
    return true;
  }

  #viewKeys(): Int32Array {
    const { buffer } = this.memory.bytes;
    this.keys = new Int32Array(buffer, this.area.keys, FLOW_KEYS_WORDS);
    return this.keys;
  }

  #outcome(
    retval: number,
    programId: number,
    keysBytes: Uint8Array | undefined,
  ): Dissection | number {
    if (retval === BPF_FLOW_DISSECTOR_CONTINUE) return handedOn(retval, programId);
    if (retval === -EFAULT) {
      return { by: "bpf", verdict: "drop", retval: null, keys: null, programId };
    }
    if (retval < 0) return retval;
    const { keys } = this.area;
    keysBytes?.set(this.memory.bytes.subarray(keys, keys + BPF_FLOW_KEYS_SIZE));
    const verdict = retval === BPF_OK ? "ok" : "drop";
    return { by: "bpf", verdict, retval, keys: this.readKeys(), programId };
  }
}

/** The bytes of the packet, as its context has them. */
class PacketRegion implements Region {
  readonly writable: boolean = true;
  readonly #memory: LinearMemory;
  readonly #context: number;

  constructor(memory: LinearMemory, context: number) {
    this.#memory = memory;
    this.#context = context;
  }

  get start(): number {
    return this.#memory.view.getUint32(this.#context + SK_BUFF.data, true);
  }

  get end(): number {
    return this.#memory.view.getUint32(this.#context + SK_BUFF.data_end, true);
  }
}

/** @param programId - of the program that ran; null when none did. */
export function handedOn(retval: number | null, programId: number | null): Dissection {
  return { by: "linux", verdict: "continue", retval, keys: null, programId };
}
