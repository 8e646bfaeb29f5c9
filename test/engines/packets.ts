/**
 * Packets for random programs to read, and contexts to come with them.
 */

import { PACKET_BYTES } from "../kernel/jit/generator.ts";
import type { Random } from "../random.ts";

/** What a program is run on. */
export interface TestPacket {
  readonly data: Uint8Array;
  /** struct __sk_buff, for socket filters: its mark, its priority and its cb are set. */
  readonly context: Uint8Array;
}

const ETHERTYPES = [0x0800, 0x86dd, 0x88b5, 0x0003] as const;
const ETHERTYPE_AT = 12;
/** Ethernet and IPv6 headers: the least that socket filters are run on. */
const SHORTEST = 54;
const LONGEST: number = 2 * PACKET_BYTES;
const CONTEXT_BYTES = 192;
/** Offsets of words of struct __sk_buff: mark, priority and five of cb. */
const CONTEXT_WORDS = [8, 32, 48, 52, 56, 60, 64] as const;

export function randomPacket(random: Random): TestPacket {
  const length = random.once(4)
    ? SHORTEST + random.below(LONGEST - SHORTEST)
    : PACKET_BYTES + ETHERTYPE_AT + 2;
  const data = Uint8Array.from({ length }, () => (random.once(2) ? random.below(256) : 0));
  new DataView(data.buffer).setUint16(ETHERTYPE_AT, random.pick(ETHERTYPES), false);
  const context = new DataView(new ArrayBuffer(CONTEXT_BYTES));
  for (const at of CONTEXT_WORDS) context.setUint32(at, random.below(2 ** 32), true);
  return { data, context: new Uint8Array(context.buffer) };
}
