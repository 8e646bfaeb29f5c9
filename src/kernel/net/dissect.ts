/**
 * One packet's way through a network namespace. Mirrors the way into bpf_flow_dissect() in
 * net/core/flow_dissector.c in Linux.
 */

import {
  BPF_FLOW_DISSECTOR_CONTINUE,
  BPF_OK,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
} from "../../abi/bpf.ts";
import { EFAULT, ENOMEM } from "../../abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE } from "../../abi/flow_keys.ts";
import type { Dissection, Frame } from "../../kernel.ts";
import { contextOf } from "../bpf/context.ts";
import type { Invocation } from "../engine.ts";
import type { Machine } from "../machine.ts";
import type { Net } from "../net_namespace.ts";
import { attachedProgram } from "./flow_dissector.ts";
import { PacketArea } from "./packet_area.ts";

/**
 * Room for one packet, made once and used again: a dissection allocates next to nothing, and takes
 * as few steps as it can, since engines inline only so many.
 */
export class OnePacket {
  readonly area: PacketArea;
  /** What the program is run on. */
  readonly invocation: Invocation;
  readonly #machine: Machine;
  readonly #region: { start: number; end: number; readonly writable: false };
  /** All of memory when the view was made: growth leaves a view without memory. */
  #memory: Uint8Array = new Uint8Array(0);
  #keys: DataView = new DataView(new ArrayBuffer(0));

  constructor(machine: Machine, area: PacketArea) {
    this.#machine = machine;
    this.area = area;
    this.#region = { start: 0, end: 0, writable: false };
    const { context, keys } = area;
    const layout = contextOf(BPF_PROG_TYPE_FLOW_DISSECTOR) ?? null;
    const writable = { start: keys, end: keys + BPF_FLOW_KEYS_SIZE, writable: true };
    this.invocation = { context, layout, regions: [this.#region, writable], skb: null };
  }

  /** Puts a packet in; false when there is no memory for it. */
  put(data: Uint8Array): boolean {
    const { area } = this;
    if (!area.setPacket(data)) return false;
    this.#region.start = area.packet;
    this.#region.end = area.packet + data.length;
    return true;
  }

  /** The flow keys as they lie in memory: a view that holds until the next packet. */
  get keys(): DataView {
    const { bytes } = this.#machine.memory;
    if (this.#memory !== bytes) {
      this.#memory = bytes;
      this.#keys = new DataView(bytes.buffer, this.area.keys, BPF_FLOW_KEYS_SIZE);
    }
    return this.#keys;
  }
}

/** Room that is not in use: nested dissections each take one. */
function borrow(machine: Machine): OnePacket | null {
  const idle = machine.idlePackets.pop();
  if (idle !== undefined) return idle;
  const area = PacketArea.create(machine);
  return area === null ? null : new OnePacket(machine, area);
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
  const packet = borrow(machine);
  if (packet === null) return -ENOMEM;
  // What the program does may detach it; it lives until it has returned.
  prog.get();
  try {
    if (!packet.put(frame.data)) return -ENOMEM;
    const retval = machine.engine.dissect(prog, packet, frame, flags);
    if (retval === BPF_OK) {
      return { by: "bpf", verdict: "ok", retval, keys: packet.keys, progId: prog.id };
    }
    return notOk(retval, packet, prog.id);
  } finally {
    prog.put();
    machine.idlePackets.push(packet);
  }
}

function notOk(retval: number, { keys }: OnePacket, progId: number): Dissection | number {
  if (retval === -ENOMEM) return retval;
  if (retval === -EFAULT) return { by: "bpf", verdict: "drop", retval: null, keys: null, progId };
  if (retval === BPF_FLOW_DISSECTOR_CONTINUE) return handedOn(retval, progId);
  return { by: "bpf", verdict: "drop", retval, keys, progId };
}

function handedOn(retval: number | null, progId: number | null): Dissection {
  return { by: "linux", verdict: "continue", retval, keys: null, progId };
}
