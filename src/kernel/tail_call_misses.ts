/**
 * Tail calls that found nobody to call: which slot of which map, why, and how often.
 */

import type { ProgArray } from "./bpf/map/prog_array.ts";
import type { Machine } from "./machine.ts";

/**
 * Why a tail call missed: no program is in the slot, the map has no such slot, or as many tail
 * calls as a run may make (MAX_TAIL_CALL_CNT) had been made already.
 */
export type MissReason = "empty" | "range" | "limit";

/** Tail calls of one kind that missed. */
export interface TailCallMisses {
  readonly mapId: number;
  readonly mapName: string;
  /** Slots that the map has. */
  readonly mapEntries: number;
  readonly index: number;
  readonly reason: MissReason;
  readonly count: number;
}

/** Misses as a thread counts them. Can be sent in a message. */
export interface CountedMisses {
  /** Maps by address. */
  readonly misses: readonly PlacedMisses[];
  /** How many were of slots beyond {@link MAX_MISSED_SLOTS}. */
  readonly otherMisses: number;
}

interface PlacedMisses {
  readonly map: number;
  readonly index: number;
  readonly reason: MissReason;
  readonly count: number;
}

/** Slots that are told apart, all maps together: a program may try any index. */
export const MAX_MISSED_SLOTS = 1024;

/** Counts misses by map, slot and reason, in the order in which they first came. */
export class MissCounter {
  readonly #counts: Map<string, { -readonly [K in keyof PlacedMisses]: PlacedMisses[K] }> =
    new Map();
  #others: number = 0;

  add(map: number, index: number, reason: MissReason, count: number = 1): void {
    const key = `${map} ${index} ${reason}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.count += count;
    else if (this.#counts.size === MAX_MISSED_SLOTS) this.#others += count;
    else this.#counts.set(key, { map, index, reason, count });
  }

  addOthers(count: number): void {
    this.#others += count;
  }

  /** Gives all counts away. */
  take(): CountedMisses {
    const taken = { misses: [...this.#counts.values()], otherMisses: this.#others };
    this.#counts.clear();
    this.#others = 0;
    return taken;
  }
}

/** The misses of a machine that counts them. */
export class TailCallLedger {
  readonly #counter: MissCounter = new MissCounter();
  readonly #machine: Machine;
  /** By address: what is told of a map, which may be gone by then. */
  readonly #maps: Map<number, Pick<TailCallMisses, "mapId" | "mapName" | "mapEntries">> = new Map();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Notes that a tail call through a slot missed. @param index - any u32. */
  missed(map: ProgArray, index: number): void {
    const isThere = map.progAt(index) !== null;
    const reason = isThere ? "limit" : index < map.facts.maxEntries ? "empty" : "range";
    this.#add({ map: map.address, index, reason, count: 1 });
  }

  /** Notes what another thread has counted. */
  add({ misses, otherMisses }: CountedMisses): void {
    for (const miss of misses) this.#add(miss);
    this.#counter.addOthers(otherMisses);
  }

  /** Gives all counts away. */
  take(): TailCallMissReport {
    const { misses, otherMisses: others } = this.#counter.take();
    const slots = misses.flatMap(({ map, ...miss }) => {
      const told = this.#maps.get(map);
      return told === undefined ? [] : [{ ...told, ...miss }];
    });
    this.#maps.clear();
    return { slots, others };
  }

  #add({ map: address, index, reason, count }: PlacedMisses): void {
    const map = this.#machine.mapsByAddress.get(address);
    if (map !== undefined && !this.#maps.has(address)) {
      const { name: mapName, maxEntries: mapEntries } = map.facts;
      this.#maps.set(address, { mapId: map.id, mapName, mapEntries });
    }
    this.#counter.add(address, index, reason, count);
  }
}

/** Tail calls that missed. */
export interface TailCallMissReport {
  readonly slots: readonly TailCallMisses[];
  /** How many were of slots beyond the first {@link MAX_MISSED_SLOTS}. */
  readonly others: number;
}
