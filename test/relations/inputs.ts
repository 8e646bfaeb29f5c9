/**
 * Numbers that programs are run with: around the ends of what 8, 16, 32 and 64 bits hold, and
 * around every constant of the program.
 */

import type { Random } from "../random.ts";
import type { Linked } from "./code.ts";

/** What a program is run on. */
export interface Input {
  /** What {@link IN} holds: a token that no two inputs share, and three numbers. */
  readonly numbers: readonly bigint[];
  readonly packetBytes: number;
}

const POWERS = [0n, 3n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 47n, 62n, 63n] as const;
const UPPER_HALVES = [0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn] as const;
const PACKET_BYTES = [64, 64, 20, 96] as const;
const TOKEN_BASE = 0x70ce_0000_5eed_0000n;

/** Bytes of a packet: the same for each length, and no protocol that kernels look into. */
export function packetOf({ packetBytes }: Pick<Input, "packetBytes">): Uint8Array {
  const known = packets.get(packetBytes);
  if (known !== undefined) return known;
  const packet = Uint8Array.from({ length: packetBytes }, (_, at) => (at * 29 + 7) & 0xff);
  packet.set([0x88, 0xb5], 12);
  packets.set(packetBytes, packet);
  return packet;
}

const packets: Map<number, Uint8Array> = new Map();

/** Constants of a program, as numbers of 64 bits. */
export function constantsOf({ instructions }: Pick<Linked, "instructions">): bigint[] {
  const found = new Set<bigint>();
  for (const { imm } of instructions) if (imm !== 0) found.add(BigInt(imm));
  return [...found];
}

function number(random: Random, constants: readonly bigint[]): bigint {
  const small = BigInt(random.below(20));
  const near = BigInt(random.below(5) - 2);
  switch (random.below(7)) {
    case 0:
    case 1:
      return small;
    case 2:
      return -small;
    case 3:
      return (random.once(2) ? 1n : -1n) * (1n << random.pick(POWERS)) + near;
    case 4:
      if (constants.length > 0) return (random.once(3) ? -1n : 1n) * random.pick(constants) + near;
      return near;
    case 5: {
      const low = constants.length > 0 && random.once(2) ? random.pick(constants) + near : small;
      return (random.pick(UPPER_HALVES) << 32n) | BigInt.asUintN(32, low);
    }
    default:
      return (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  }
}

/** Inputs of which many share numbers or halves of numbers. */
export function randomInputs(random: Random, count: number, constants: readonly bigint[]): Input[] {
  return Array.from({ length: count }, (_, i) => {
    const first = number(random, constants);
    const others = [1, 2].map(() => (random.once(3) ? first : number(random, constants)));
    return input(random, i, [first, ...others]);
  });
}

function input(random: Random, index: number, numbers: readonly bigint[]): Input {
  return {
    numbers: [TOKEN_BASE + BigInt(index), ...numbers.map((value) => BigInt.asUintN(64, value))],
    packetBytes: random.pick(PACKET_BYTES),
  };
}

/** Inputs beside one that is known to come far: one number is changed a little, or in one half. */
export function neighbours(
  random: Random,
  known: readonly Input[],
  count: number,
  firstIndex: number,
): Input[] {
  if (known.length === 0) return [];
  return Array.from({ length: count }, (_, i) => {
    const [, ...numbers] = random.pick(known).numbers;
    const at = random.below(numbers.length);
    const old = numbers[at] ?? 0n;
    numbers[at] = random.pick([
      old + 1n,
      old - 1n,
      old ^ (1n << BigInt(random.below(64))),
      (random.pick(UPPER_HALVES) << 32n) | BigInt.asUintN(32, old),
      old + (1n << 32n),
      old - (1n << 32n),
      -old,
      BigInt.asIntN(32, old),
    ]);
    return input(random, firstIndex + i, numbers);
  });
}
