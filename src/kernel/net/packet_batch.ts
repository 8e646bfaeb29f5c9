/**
 * Many packets side by side in linear memory, each with room for what a flow dissector makes of it,
 * so that a whole batch costs one entry into compiled code.
 */

import {
  BPF_FLOW_KEYS_SIZE,
  FLOW_KEYS_WORDS,
  type FlowKeys,
  flowKeysOf,
} from "../../abi/flow_keys.ts";
import type { Frame } from "../../kernel.ts";
import { OVER_INSTRUCTION_LIMIT, type RunFault } from "../interpreter/fault.ts";
import type { Machine } from "../machine.ts";

/** What is said about a packet, {@link DESCRIPTOR_BYTES} in all. */
export const DESCRIPTOR = {
  /** u32: where it begins, and its bytes. */
  address: 0,
  length: 4,
  /** u16: of the network header, from the packet's first byte; in the machine's order. */
  network_offset: 8,
  /** u16: the EtherType, in network order. */
  protocol: 10,
  /** u32: input flags. */
  flags: 12,
} as const;
export const DESCRIPTOR_BYTES = 16;

/** What came of a packet, {@link RECORD_BYTES} in all; its flow keys come first. */
export const RECORD = {
  /** u32: what the program returned. */
  retval: 56,
  /** u32: a {@link VERDICT}. */
  verdict: 60,
} as const;
export const RECORD_BYTES = 64;

/** What happened to a packet. */
export const VERDICT = {
  /** No program was attached. */
  none: 0,
  /** A program returned. */
  returned: 1,
  /** A program was stopped by a fault. */
  fault: 2,
  /** A program was stopped after as many instructions as a run may take. */
  limit: 3,
} as const;

/** A batch by addresses, for another thread on the same memory. */
export interface PlacedBatch {
  readonly context: number;
  /** Of the first packet. */
  readonly descriptors: number;
  readonly records: number;
  /** How many packets. */
  readonly count: number;
  /** Whether a packet whose program reaches the limit of instructions is the last of the batch. */
  readonly stopsAtLimit: boolean;
}

/** A descriptor has 16 bits for an offset. */
const MAX_OFFSET = 0xffff;
/** Bytes of `struct __sk_buff`. */
const CONTEXT_BYTES = 192;

/** Packets, and what came of them. Made once and filled again and again. */
export class PacketBatch implements PlacedBatch {
  readonly #machine: Machine;
  /** How many packets it takes, and how many bytes of them. */
  readonly capacity: number;
  readonly bytesCapacity: number;
  readonly #block: number;
  /** Addresses. */
  readonly context: number;
  readonly descriptors: number;
  readonly records: number;
  readonly #data: number;
  /**
   * A packet whose program reaches the limit of instructions ends the batch: those behind it are
   * taken out.
   */
  stopsAtLimit: boolean = false;
  /** The packet whose program calls a helper, from 0: for those who are told of it. */
  current: number = 0;
  #count: number = 0;
  #used: number = 0;
  /** The words of each packet's keys, once they were asked for. */
  readonly #windows: Int32Array[] = [];

  private constructor(machine: Machine, block: number, capacity: number, bytes: number) {
    this.#machine = machine;
    this.capacity = capacity;
    this.bytesCapacity = bytes;
    this.#block = block;
    this.context = block;
    this.descriptors = block + CONTEXT_BYTES;
    this.records = this.descriptors + capacity * DESCRIPTOR_BYTES;
    this.#data = this.records + capacity * RECORD_BYTES;
  }

  /** Null when there is no memory for so many packets and bytes. */
  static create(machine: Machine, capacity: number, bytes: number): PacketBatch | null {
    const each = DESCRIPTOR_BYTES + RECORD_BYTES;
    const block = machine.memory.alloc(CONTEXT_BYTES + capacity * each + bytes);
    return block === 0 ? null : new PacketBatch(machine, block, capacity, bytes);
  }

  /** Packets in it. */
  get count(): number {
    return this.#count;
  }

  /** Forgets all packets. */
  clear(): void {
    this.#count = 0;
    this.#used = 0;
  }

  /**
   * Puts a packet in.
   *
   * @returns false when there is no room: run what is there, and clear it.
   * @throws {RangeError} when the network header isn't inside the packet.
   */
  add({ data, networkOffset, protocol }: Frame, flags: number): boolean {
    if (networkOffset < 0 || networkOffset > data.length || networkOffset > MAX_OFFSET) {
      throw new RangeError(`networkOffset: ${networkOffset} is not within ${data.length} bytes`);
    }
    if (this.#count === this.capacity) return false;
    const address = this.place(data);
    if (address === 0) return false;
    this.addPlaced(address, data.length, networkOffset, protocol, flags);
    return true;
  }

  /**
   * Puts bytes in that hold any number of packets, for {@link PacketBatch.addPlaced}.
   *
   * @returns their address; 0 when there is no room.
   */
  place(bytes: Uint8Array): number {
    if (this.#used + bytes.length > this.bytesCapacity) return 0;
    const address = this.#data + this.#used;
    this.#machine.memory.write(address, bytes);
    this.#used += bytes.length;
    return address;
  }

  /**
   * Adds a packet whose bytes were placed before; see {@link Frame}. Nothing is checked: the header
   * must be inside the packet, the packet inside what was placed, and `count` below `capacity`.
   */
  addPlaced(
    address: number,
    length: number,
    networkOffset: number,
    protocol: number,
    flags: number,
  ): void {
    const { words } = this.#machine.memory;
    // In the order of DESCRIPTOR, a word at a time.
    const at = (this.descriptors + this.#count * DESCRIPTOR_BYTES) >>> 2;
    words[at] = address;
    words[at + 1] = length;
    words[at + 2] = (protocol << 24) | ((protocol & 0xff00) << 8) | networkOffset;
    words[at + 3] = flags;
    this.#count++;
  }

  /** All of the kernel's memory in words, for records: holds until the next call of the kernel. */
  get words(): Int32Array {
    return this.#machine.memory.words;
  }

  /** What a packet's program returned. @param index - from 0 in the order of adding. */
  retval(index: number): number {
    return this.#machine.memory.view.getUint32(this.record(index) + RECORD.retval, true);
  }

  /** A {@link VERDICT}. */
  verdict(index: number): number {
    return this.#machine.memory.view.getUint32(this.record(index) + RECORD.verdict, true);
  }

  /**
   * A packet's program was stopped.
   *
   * @returns whether the batch goes on.
   */
  setFault(index: number, { reason }: RunFault): boolean {
    const { view } = this.#machine.memory;
    const isLimit = reason === OVER_INSTRUCTION_LIMIT;
    const verdict = isLimit ? VERDICT.limit : VERDICT.fault;
    view.setUint32(this.record(index) + RECORD.retval, 0, true);
    view.setUint32(this.record(index) + RECORD.verdict, verdict, true);
    if (!isLimit || !this.stopsAtLimit) return true;
    this.cut(index + 1);
    return false;
  }

  /** Takes all packets out but the first ones. */
  cut(count: number): void {
    this.#count = Math.min(this.#count, count);
  }

  /** A packet's `struct bpf_flow_keys`: a view that holds until the next call of the kernel. */
  keys(index: number): Uint8Array {
    const record = this.record(index);
    return this.#machine.memory.bytes.subarray(record, record + BPF_FLOW_KEYS_SIZE);
  }

  /** The same as an object; read at once, which takes a fraction of decoding the bytes. */
  flowKeys(index: number): FlowKeys {
    const window = this.#windows[index];
    // Growth of memory leaves a view without any.
    const isOpen = window !== undefined && window.length > 0;
    return flowKeysOf(isOpen ? window : this.#openWindow(index));
  }

  #openWindow(index: number): Int32Array {
    const { buffer } = this.#machine.memory.bytes;
    const window = new Int32Array(buffer, this.record(index), FLOW_KEYS_WORDS);
    // Without gaps an array stays an array.
    if (index <= this.#windows.length) this.#windows[index] = window;
    return window;
  }

  /** Address of a packet's descriptor. */
  descriptor(index: number): number {
    return this.descriptors + index * DESCRIPTOR_BYTES;
  }

  /** Address of a packet's record. */
  record(index: number): number {
    return this.records + index * RECORD_BYTES;
  }

  /** Gives its memory back. */
  [Symbol.dispose](): void {
    this.clear();
    this.#machine.memory.free(this.#block);
  }
}
