/**
 * Room in linear memory for one packet and what a program is told about it, used again and again.
 */

import { BPF_FLOW_KEYS_SIZE } from "../../abi/flow_keys.ts";
import type { Machine } from "../machine.ts";

/** Bytes of the largest context: `struct __sk_buff`. */
const CONTEXT_SIZE = 192;
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

  private constructor(machine: Machine, context: number, keys: number, template: number) {
    this.#machine = machine;
    this.context = context;
    this.keys = keys;
    this.template = template;
  }

  static create(machine: Machine): PacketArea | null {
    const sizes = [CONTEXT_SIZE, BPF_FLOW_KEYS_SIZE, BPF_FLOW_KEYS_SIZE];
    const blocks = sizes.map((size) => machine.memory.alloc(size));
    const [context = 0, keys = 0, template = 0] = blocks;
    if (!blocks.includes(0)) return new PacketArea(machine, context, keys, template);
    for (const block of blocks) machine.memory.free(block);
    return null;
  }

  /** Where the packet begins. */
  get packet(): number {
    return this.#packet;
  }

  /** Puts a packet in; false when there is no memory for it. */
  setPacket(data: Uint8Array): boolean {
    const { memory } = this.#machine;
    if (data.length > this.#capacity) {
      const capacity = Math.max(data.length, 2 * this.#capacity, MIN_CAPACITY);
      const packet = memory.alloc(capacity);
      if (packet === 0) return false;
      memory.free(this.#packet);
      this.#packet = packet;
      this.#capacity = capacity;
    }
    memory.write(this.#packet, data);
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
