/**
 * One packet's way through a network namespace: a batch of one. Mirrors the way into
 * bpf_flow_dissect() in net/core/flow_dissector.c in Linux.
 */

import { BPF_FLOW_DISSECTOR_CONTINUE, BPF_OK } from "../../abi/bpf.ts";
import { ENOMEM } from "../../abi/errno.ts";
import type { Dissection, Frame } from "../../kernel.ts";
import type { Machine } from "../machine.ts";
import type { Net } from "../net_namespace.ts";
import { NetBatch } from "./dissect_batch.ts";
import { attachedProgram } from "./flow_dissector.ts";
import { PacketBatch, RECORD, RECORD_BYTES, VERDICT } from "./packet_batch.ts";

/** Packets of usual size never need more room than this, in bytes. */
const MIN_CAPACITY = 4096;

/**
 * Room for one packet, made once and used again: a dissection allocates next to nothing, and takes
 * as few steps as it can, since engines inline only so many.
 */
export class OnePacket {
  readonly #machine: Machine;
  readonly #request: NetBatch;
  /** All of memory when the view was made: growth leaves a view without memory. */
  #memory: Uint8Array = new Uint8Array(0);
  #record: DataView = new DataView(new ArrayBuffer(0));

  private constructor(machine: Machine, request: NetBatch) {
    this.#machine = machine;
    this.#request = request;
  }

  /** Room for a packet of so many bytes; null when there is no memory for it. */
  static borrow(machine: Machine, net: Net, size: number): OnePacket | null {
    const idle = machine.idlePackets.pop();
    if (idle !== undefined) {
      const request = idle.#request;
      request.net = net;
      if (request.batch.bytesCapacity >= size) return idle;
      request.batch[Symbol.dispose]();
    }
    const batch = PacketBatch.create(machine, 1, Math.max(size, MIN_CAPACITY));
    return batch === null ? null : new OnePacket(machine, new NetBatch(machine, net, batch));
  }

  giveBack(): void {
    this.#machine.idlePackets.push(this);
  }

  /**
   * Dissects.
   *
   * @returns what came of it, as {@link RECORD} says: a view that holds until the next packet; null
   *   when there is no memory for a stack.
   */
  dissect(frame: Frame, flags: number): DataView | null {
    const request = this.#request;
    const { batch } = request;
    const { engine, memory } = this.#machine;
    batch.clear();
    batch.add(frame, flags);
    if (!engine.dissectBatch(request)) return null;
    const { bytes } = memory;
    if (this.#memory !== bytes) {
      this.#memory = bytes;
      this.#record = new DataView(bytes.buffer, batch.record(0), RECORD_BYTES);
    }
    return this.#record;
  }
}

/**
 * What a packet in a namespace meets: the root namespace's program, else the namespace's own, else
 * Linux's dissector, which also gets what a program hands on (BPF_FLOW_DISSECTOR_CONTINUE).
 *
 * A program that is stopped by a fault has dissected nothing: the packet counts as dropped, without
 * keys and without a return value; `faultLog` has the reason. Linux has no such case, since its
 * verifier refuses those programs.
 *
 * @param flags - input flags, BPF_FLOW_DISSECTOR_F_….
 * @returns -ENOMEM when there is no memory for the packet.
 */
export function flowDissect(
  machine: Machine,
  net: Net,
  frame: Frame,
  flags: number,
): Dissection | number {
  const prog = attachedProgram(machine, net);
  if (prog === null) return handedOn(null, null);
  const { id } = prog;
  const packet = OnePacket.borrow(machine, net, frame.data.length);
  if (packet === null) return -ENOMEM;
  try {
    const record = packet.dissect(frame, flags);
    return record === null ? -ENOMEM : dissectionOf(record, id);
  } finally {
    packet.giveBack();
  }
}

function dissectionOf(record: DataView, progId: number): Dissection {
  if (record.getUint32(RECORD.verdict, true) === VERDICT.fault) {
    return { by: "bpf", verdict: "drop", retval: null, keys: null, progId };
  }
  const retval = record.getUint32(RECORD.retval, true);
  if (retval === BPF_FLOW_DISSECTOR_CONTINUE) return handedOn(retval, progId);
  return { by: "bpf", verdict: retval === BPF_OK ? "ok" : "drop", retval, keys: record, progId };
}

function handedOn(retval: number | null, progId: number | null): Dissection {
  return { by: "linux", verdict: "continue", retval, keys: null, progId };
}
