/**
 * Which prog arrays a tail call goes through. Linux bounds an index into a map of somebody without
 * CAP_PERFMON once more, for guesses of the processor's, and has to know the map for that. Mirrors
 * record_func_map() and what do_misc_fixups() makes of it in kernel/bpf/verifier.c.
 */

import { EINVAL } from "../../abi/errno.ts";
import type { BpfMap } from "../bpf/map/map.ts";
import type { Environment } from "./environment.ts";
import { Refusal } from "./refusal.ts";

/** The tail call at the current instruction goes through the map, on this path. */
export function noteTailCall({ slot, tailCalls }: Environment, map: BpfMap): void {
  const maps = tailCalls.get(slot);
  if (maps === undefined) tailCalls.set(slot, new Set([map]));
  else maps.add(map);
}

/** @throws {Refusal} where one call goes through several maps, and one of them is such a map. */
export function checkTailCalls({ tailCalls }: Environment): void {
  for (const maps of tailCalls.values()) {
    const isBounded = [...maps].some(({ facts }) => facts.withoutPerfmon === true);
    if (maps.size > 1 && isBounded) throw new Refusal(EINVAL, "tail_call abusing map_ptr");
  }
}
