/**
 * Batches of packets on their way through a network namespace.
 */

import { BPF_PROG_TYPE_FLOW_DISSECTOR } from "../../abi/bpf.ts";
import { ENOMEM } from "../../abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE } from "../../abi/flow_keys.ts";
import type { Frame } from "../../kernel.ts";
import { contextOf } from "../bpf/context.ts";
import type { Prog } from "../bpf/prog.ts";
import type { BatchRequest, Invocation, Region } from "../engine.ts";
import type { Machine } from "../machine.ts";
import type { Net } from "../net_namespace.ts";
import { clampOffsets, resetKeys, SK_BUFF } from "./flow_dissector.ts";
import { DESCRIPTOR, type PacketBatch, RECORD, VERDICT } from "./packet_batch.ts";

/** A batch in a namespace: each packet meets the program that is attached when it is its turn. */
export class NetBatch implements BatchRequest {
  readonly #machine: Machine;
  readonly batch: PacketBatch;
  /** Where the packets arrive. */
  net: Net;

  constructor(machine: Machine, net: Net, batch: PacketBatch) {
    this.#machine = machine;
    this.net = net;
    this.batch = batch;
  }

  attached(): Prog | null {
    return this.#machine.packets.attached(this.net);
  }

  invocation(index: number): Invocation {
    return invocationOf(this.#machine, this.batch, index);
  }
}

/**
 * Runs all packets of a batch as `flowDissect` runs one. What came of them stands in the batch.
 *
 * @returns 0, or -ENOMEM when there is no memory for a stack.
 */
export function dissectBatch(machine: Machine, net: Net, batch: PacketBatch): number {
  if (batch.count === 0) return 0;
  return machine.engine.dissectBatch(new NetBatch(machine, net, batch)) ? 0 : -ENOMEM;
}

/** What the program of a packet of a batch is run on. */
export function invocationOf(machine: Machine, batch: PacketBatch, index: number): Invocation {
  const { view } = machine.memory;
  batch.current = index;
  const descriptor = batch.descriptor(index);
  const start = view.getUint32(descriptor + DESCRIPTOR.address, true);
  const end = start + view.getUint32(descriptor + DESCRIPTOR.length, true);
  const keys = batch.record(index);
  const regions: Region[] = [
    { start, end, writable: true },
    { start: keys, end: keys + BPF_FLOW_KEYS_SIZE, writable: true },
  ];
  const layout = contextOf(BPF_PROG_TYPE_FLOW_DISSECTOR) ?? null;
  return { context: batch.context, layout, regions, skb: null };
}

/** {@link Engine.dissectBatch} for an engine without a loop of its own. */
export function dissectOneByOne(machine: Machine, request: BatchRequest): boolean {
  const { batch } = request;
  for (let index = 0; index < batch.count; index++) {
    const prog = request.attached();
    if (prog === null) {
      machine.memory.view.setUint32(batch.record(index) + RECORD.verdict, VERDICT.none, true);
    } else {
      // What the program does may detach it; it lives until it has returned.
      prog.get();
      const isRun = dissectOne(machine, prog, batch, index, request.invocation(index));
      prog.put();
      if (!isRun) return false;
    }
  }
  return true;
}

function dissectOne(
  machine: Machine,
  prog: Prog,
  batch: PacketBatch,
  index: number,
  invocation: Invocation,
): boolean {
  const { memory, engine } = machine;
  const record = batch.record(index);
  const descriptor = batch.descriptor(index);
  const start = memory.view.getUint32(descriptor + DESCRIPTOR.address, true);
  const size = memory.view.getUint32(descriptor + DESCRIPTOR.length, true);
  const frame: Frame = {
    data: memory.bytes.subarray(start, start + size),
    networkOffset: memory.view.getUint16(descriptor + DESCRIPTOR.network_offset, true),
    protocol: memory.view.getUint16(descriptor + DESCRIPTOR.protocol, false),
  };
  const flags = memory.view.getUint32(descriptor + DESCRIPTOR.flags, true);
  memory.view.setUint32(batch.context + SK_BUFF.data, start, true);
  memory.view.setUint32(batch.context + SK_BUFF.data_end, start + size, true);
  memory.view.setUint32(batch.context + SK_BUFF.flow_keys, record, true);
  resetKeys(machine, record, frame, flags);
  const outcome = engine.run(prog, invocation);
  if (outcome === null) return false;
  clampOffsets(machine, record, frame);
  memory.view.setUint32(record + RECORD.retval, outcome.retval, true);
  memory.view.setUint32(record + RECORD.verdict, VERDICT.returned, true);
  if (outcome.fault !== null) batch.setFault(index, outcome.fault);
  return true;
}
