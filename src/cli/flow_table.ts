/**
 * Flows put together from packets: counted by the bytes of their keys, so that a packet costs no
 * more than a look into a table.
 */

import {
  BPF_FLOW_KEYS_SIZE,
  decodeFlowKeys,
  ETH_P_IP,
  ETH_P_IPV6,
  FLOW_KEYS,
} from "../abi/flow_keys.ts";
import { endpoints, protocolName } from "./flows.ts";

/** Packets with the same protocol, addresses and ports. */
export interface Flow {
  readonly protocol: string;
  readonly endpoints: string;
  readonly packets: number;
  readonly bytes: number;
}

/** Flows as one table hands them to another: their keys side by side, and their sums. */
export interface FlowColumns {
  readonly keys: Int32Array;
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  readonly overflow: number;
}

/** New flows beyond this many are counted together: memory stays flat whatever the capture. */
const MAX_FLOWS = 65_536;
/** Places to look for a flow; a power of two. */
const SLOTS: number = 2 * MAX_FLOWS;

/** Words of a key: those of flow keys from `addr_proto` to the addresses. */
const FIRST_WORD: number = FLOW_KEYS.addr_proto[0] / 4;
const KEY_WORDS: number = FLOW_KEYS.flags[0] / 4 - FIRST_WORD;
/** Words in a key. */
const PROTOCOLS = 1;
const PORTS = 2;
const ADDRESSES = 3;

/** Flows of a capture, counted as it goes by. */
export class FlowTable {
  /** Numbers of flows, from 1; 0 where there is none. */
  readonly #slots: Int32Array = new Int32Array(SLOTS);
  readonly #keys: Int32Array = new Int32Array(MAX_FLOWS * KEY_WORDS);
  readonly #packets: Float64Array = new Float64Array(MAX_FLOWS);
  readonly #bytes: Float64Array = new Float64Array(MAX_FLOWS);
  /** Unknown to whoever makes a capture, who could fill one part of the table otherwise. */
  readonly #seed: number = Math.floor(Math.random() * 2 ** 32);
  #size: number = 0;
  /** Packets of flows that found no room. */
  overflow: number = 0;

  /**
   * Counts a packet.
   *
   * @param words - hold its `struct bpf_flow_keys` from `at` on.
   * @param bytes - its length.
   */
  add(words: Int32Array, at: number, bytes: number): void {
    this.#count(words, at + FIRST_WORD, 1, bytes);
  }

  /** The same from a `struct bpf_flow_keys` by itself. */
  addKeys(keys: Uint8Array, bytes: number): void {
    const words = new Int32Array(BPF_FLOW_KEYS_SIZE / 4);
    new Uint8Array(words.buffer).set(keys);
    this.add(words, 0, bytes);
  }

  /** Counts all packets of another table, as if they had come now. */
  merge({ keys, packets, bytes, overflow }: FlowColumns): void {
    packets.forEach((count, i) => {
      this.#count(keys, i * KEY_WORDS, count, bytes[i] as number);
    });
    this.overflow += overflow;
  }

  get size(): number {
    return this.#size;
  }

  /** What there is, in the order in which it came; copies. */
  get columns(): FlowColumns {
    return {
      keys: this.#keys.slice(0, this.#size * KEY_WORDS),
      packets: this.#packets.slice(0, this.#size),
      bytes: this.#bytes.slice(0, this.#size),
      overflow: this.overflow,
    };
  }

  /** Forgets all flows. */
  clear(): void {
    // The last first: a flow is found by way of those that came before it.
    for (let flow = this.#size - 1; flow >= 0; flow--) {
      this.#slots[this.#slotOf(this.#keys, flow * KEY_WORDS)] = 0;
    }
    this.#size = 0;
    this.overflow = 0;
  }

  /** The flows with the most packets, first the largest. */
  largest(count: number): readonly Flow[] {
    const packets = this.#packets;
    const order = Array.from({ length: this.#size }, (_, flow) => flow);
    order.sort((a, b) => (packets[b] as number) - (packets[a] as number));
    return order.slice(0, count).map((flow) => this.#describe(flow));
  }

  #describe(flow: number): Flow {
    const words = new Int32Array(BPF_FLOW_KEYS_SIZE / 4);
    const start = flow * KEY_WORDS;
    words.set(this.#keys.subarray(start, start + KEY_WORDS), FIRST_WORD);
    const keys = decodeFlowKeys(new Uint8Array(words.buffer));
    return {
      protocol: protocolName(keys),
      endpoints: endpoints(keys),
      packets: this.#packets[flow] as number,
      bytes: this.#bytes[flow] as number,
    };
  }

  /** @param words - hold a key from `at` on, and perhaps what makes no difference between flows. */
  #count(words: Int32Array, at: number, packets: number, bytes: number): void {
    const slot = this.#slotOf(words, at);
    let flow = (this.#slots[slot] as number) - 1;
    if (flow < 0) {
      if (this.#size === MAX_FLOWS) {
        this.overflow += packets;
        return;
      }
      flow = this.#size++;
      this.#slots[slot] = flow + 1;
      this.#keep(flow * KEY_WORDS, words, at);
      this.#packets[flow] = 0;
      this.#bytes[flow] = 0;
    }
    (this.#packets[flow] as number) += packets;
    (this.#bytes[flow] as number) += bytes;
  }

  /** Writes down a key. */
  #keep(start: number, words: Int32Array, at: number): void {
    const keys = this.#keys;
    const family = familyOf(words, at);
    const addressWords = addressWordsOf(family);
    keys[start] = family;
    keys[start + PROTOCOLS] = protocolsOf(words, at, family);
    keys[start + PORTS] = addressWords === 0 ? 0 : (words[at + PORTS] as number);
    const [from, end] = [at + ADDRESSES, at + ADDRESSES + addressWords];
    keys.set(words.subarray(from, end), start + ADDRESSES);
    keys.fill(0, start + ADDRESSES + addressWords, start + KEY_WORDS);
  }

  /** Where a flow is in the slots, or is to be. */
  #slotOf(words: Int32Array, at: number): number {
    const family = familyOf(words, at);
    const protocols = protocolsOf(words, at, family);
    const addressWords = addressWordsOf(family);
    const ports = addressWords === 0 ? 0 : (words[at + PORTS] as number);
    // Two at a time: a word needn't wait for the one before it.
    let even = mix(this.#seed, ports);
    let odd = mix(mix(this.#seed, family), protocols);
    const end = at + ADDRESSES + addressWords;
    for (let i = at + ADDRESSES; i < end; i += 2) {
      even = mix(even, words[i] as number);
      odd = mix(odd, words[i + 1] as number);
    }
    const hash = mix(odd, even);
    const slots = this.#slots;
    const known = this.#keys;
    // Ends: half of the slots are free.
    for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const flow = (slots[slot] as number) - 1;
      if (flow < 0) return slot;
      const start = flow * KEY_WORDS;
      if (known[start] !== family || known[start + PROTOCOLS] !== protocols) continue;
      if (known[start + PORTS] !== ports) continue;
      const toKnown = start - at;
      let i = at + ADDRESSES;
      while (i < end && known[toKnown + i] === words[i]) i++;
      if (i === end) return slot;
    }
  }
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e37_79b1);
  return mixed ^ (mixed >>> 15);
}

/** The EtherType of the addresses; 0 when there are none. */
function familyOf(words: Int32Array, at: number): number {
  return (words[at] as number) & 0xffff;
}

/** The IP protocol, or without one what follows Ethernet. */
function protocolsOf(words: Int32Array, at: number, family: number): number {
  return (words[at + PROTOCOLS] as number) & (family === 0 ? 0xffff_0000 : 0xff00);
}

/** How many words of addresses keys have: an even number. */
function addressWordsOf(family: number): number {
  if (family === ETH_P_IP) return 2;
  return family === ETH_P_IPV6 ? 8 : 0;
}
