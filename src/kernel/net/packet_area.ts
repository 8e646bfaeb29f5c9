/**
 * Room in linear memory for one packet and what a program is told about it, used again and again.
 */

import { BPF_FLOW_KEYS_SIZE } from "../../abi/flow_keys.ts";
import type { Machine } from "../machine.ts";

/** Bytes of the largest context: `struct __sk_buff`. */
const CONTEXT_SIZE = 192;
/** Where the flow keys are, from the context on. */
export const KEYS_OFFSET: number = CONTEXT_SIZE;
const TEMPLATE_OFFSET: number = KEYS_OFFSET + BPF_FLOW_KEYS_SIZE;
const AREA_BYTES: number = TEMPLATE_OFFSET + BPF_FLOW_KEYS_SIZE;
/** Packets of usual size never make an area grow. */
const MIN_CAPACITY = 4096;

/** Addresses of a context, flow keys and a packet. */
export class PacketArea {
  readonly #machine: Machine;
  readonly context: number;
  readonly keys: number;
  /** What keys begin with in each of several runs. */
  readonly template: number;
  #packet: number = 0;
  #capacity: number = 0;

  private constructor(machine: Machine, block: number) {
    this.#machine = machine;
    this.context = block;
    this.keys = block + KEYS_OFFSET;
    this.template = block + TEMPLATE_OFFSET;
  }

  static create(machine: Machine): PacketArea | null {
    const block = machine.memory.alloc(AREA_BYTES);
    return block === 0 ? null : new PacketArea(machine, block);
  }

  /** Where the packet begins. */
  get packet(): number {
    return this.#packet;
  }

  /** How many bytes a packet may have until there is room for more. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Puts a packet in; false when there is no memory for it. */
  setPacket(data: Uint8Array): boolean {
    if (data.length > this.#capacity && !this.reserve(data.length)) return false;
    this.#machine.memory.write(this.#packet, data);
    return true;
  }

  /** Makes room for a packet of more bytes, elsewhere; false when there is no memory for it. */
  reserve(bytes: number): boolean {
    const { memory } = this.#machine;
    const capacity = Math.max(bytes, 2 * this.#capacity, MIN_CAPACITY);
    const packet = memory.alloc(capacity);
    if (packet === 0) return false;
    memory.free(this.#packet);
    this.#packet = packet;
    this.#capacity = capacity;
    return true;
  }

  /** Sets the whole context to zero, but for these u32 at their offsets. */
  setContext(fields: readonly (readonly [offset: number, value: number])[]): void {
    const { bytes, view } = this.#machine.memory;
    bytes.fill(0, this.context, this.context + CONTEXT_SIZE);
    for (const [offset, value] of fields) view.setUint32(this.context + offset, value, true);
  }
}

/** Areas that wait to be used again. More than one is in use when a run calls into the kernel. */
const idle: WeakMap<Machine, PacketArea[]> = new WeakMap();

/**
 * Lends an area for the time of a call.
 *
 * @returns what `use` returned, or null when there is no memory for an area.
 */
export function withPacketArea<T>(machine: Machine, use: (area: PacketArea) => T): T | null {
  let waiting = idle.get(machine);
  if (waiting === undefined) {
    waiting = [];
    idle.set(machine, waiting);
  }
  const area = waiting.pop() ?? PacketArea.create(machine);
  if (area === null) return null;
  try {
    return use(area);
  } finally {
    waiting.push(area);
  }
}
