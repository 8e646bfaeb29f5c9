/**
 * Whether a state needs no further walk, since an earlier one that was more general led to no
 * fault. Analogous to states_equal() in kernel/bpf/verifier.c.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";
import { includes, sameBounds } from "./bounds.ts";
import { type Register, UNKNOWN_SCALAR } from "./register.ts";
import * as S from "./stack.ts";
import type { Checkpoint, Frame, Reference, State } from "./state.ts";

/**
 * - `finished`: the earlier state's paths are at their ends, so it is known what mattered;
 * - `ranges`: they are not, and every number may matter;
 * - `same`: are the states the same?
 */
export type Strictness = "finished" | "ranges" | "same";

/** Ids of one state against those of the other: few, so that looking through them is quick. */
export class IdMap {
  readonly #old: number[] = [];
  readonly #now: number[] = [];
  /** How many pairs there are. */
  #size: number = 0;
  #invented: number = 0;

  /** Forgets all pairs: another comparison begins. */
  clear(): void {
    this.#size = 0;
    this.#invented = 0;
  }

  /** Whether the ids may stand for each other. */
  match(old: number, now: number): boolean {
    if ((old === 0) !== (now === 0)) return false;
    if (old === 0) return true;
    for (let i = 0; i < this.#size; i++) {
      if (this.#old[i] === old) return this.#now[i] === now;
      if (this.#now[i] === now) return false;
    }
    this.#old[this.#size] = old;
    this.#now[this.#size] = now;
    this.#size++;
    return true;
  }

  /**
   * As {@link IdMap.match}, for numbers: one that learnt from nobody then may do so now, and one
   * without an id is as good as one with its own.
   */
  matchNumbers(old: number, now: number): boolean {
    if (old === 0) return true;
    return this.match(old, now === 0 ? this.#invent() : now);
  }

  #invent(): number {
    this.#invented--;
    return this.#invented;
  }
}

/** Who may do what, and which registers are read later on. */
export interface Comparison {
  readonly live: Uint16Array;
  /** Without CAP_BPF every number matters. */
  readonly bpfCapable: boolean;
  readonly perfmon: boolean;
  /** For one comparison at a time. */
  readonly ids: IdMap;
  /** Numbers are only the same when all that is known of them is. */
  exploresLimits: boolean;
}

/** Whether what was found out from `old` on holds for `now`. */
export function covers(
  old: Checkpoint,
  now: State,
  strictness: Strictness,
  comparison: Comparison,
): boolean {
  if (old.frames.length !== now.frames.length) return false;
  // What holds where guesses end early need not hold where they don't.
  if (old.speculative && !now.speculative) return false;
  const { ids } = comparison;
  ids.clear();
  if (!referencesCover(old.references, now.references, ids)) return false;
  for (let depth = 0; depth < old.frames.length; depth++) {
    const frame = old.frames[depth] as Frame;
    const other = now.frames[depth] as Frame;
    if (frame.callSite !== other.callSite || frame.start !== other.start) return false;
    if (frame.callbackDepth > other.callbackDepth) return false;
    const slot = old.frames[depth + 1]?.callSite ?? old.slot;
    const asked = comparison.live[slot] as number;
    for (let i = 0; i < MAX_BPF_REG; i++) {
      if (((asked >> i) & 1) === 0) continue;
      const precise = strictness !== "finished" || old.precise.hasRegister(depth, i);
      const wanted = wantedOf(precise, comparison);
      if (!registerCovers(frame.get(i), other.get(i), ids, strictness, wanted)) return false;
    }
    if (!stackCovers(old, depth, frame, other, ids, strictness, comparison)) return false;
  }
  return true;
}

/** Whether as many references are held, in the same order. */
function referencesCover(
  old: readonly Reference[],
  now: readonly Reference[],
  ids: IdMap,
): boolean {
  if (old.length !== now.length) return false;
  return old.every(({ id }, i) => ids.match(id, (now[i] as Reference).id));
}

/** What two numbers must have in common. */
type Wanted = "nothing" | "range" | "all";

function wantedOf(precise: boolean, { exploresLimits, bpfCapable }: Comparison): Wanted {
  if (exploresLimits) return "all";
  return precise || !bpfCapable ? "range" : "nothing";
}

/** Whether the registers are the same, and by the same ids. */
export function isIdentical(old: Register, now: Register): boolean {
  return old === now || (isAlike(old, now) && old.id === now.id && old.reference === now.reference);
}

function isSame(old: Register, now: Register, ids: IdMap): boolean {
  return isAlike(old, now) && ids.match(old.id, now.id) && ids.match(old.reference, now.reference);
}

/** Whether the registers are the same but for ids. */
function isAlike(old: Register, now: Register): boolean {
  return (
    old.type === now.type &&
    old.off === now.off &&
    old.sumWidth === now.sumWidth &&
    old.range === now.range &&
    old.map === now.map &&
    old.size === now.size &&
    old.frame === now.frame &&
    sameBounds(old.bounds, now.bounds)
  );
}

function registerCovers(
  old: Register,
  now: Register,
  ids: IdMap,
  strictness: Strictness,
  wanted: Wanted,
): boolean {
  if (strictness === "same") return isSame(old, now, ids);
  if (old.type === "?") return strictness === "finished" || now.type === "?";
  if (old.type !== now.type) return false;
  switch (old.type) {
    case "scalar":
      if (wanted === "nothing") return true;
      if (old.id !== 0 && old.sumWidth !== now.sumWidth) return false;
      if (old.sumWidth !== 0 && old.off !== now.off) return false;
      if (wanted === "all" && !sameBounds(old.bounds, now.bounds)) return false;
      return includes(old.bounds, now.bounds) && ids.matchNumbers(old.id, now.id);
    case "map_key":
    case "map_value":
    case "map_value_or_null":
    case "mem":
    case "mem_or_null":
      return (
        old.off === now.off &&
        old.map === now.map &&
        old.size === now.size &&
        includes(old.bounds, now.bounds) &&
        ids.match(old.id, now.id)
      );
    case "pkt":
    case "pkt_meta":
      if (old.range < 0 || now.range < 0 ? old.range !== now.range : old.range > now.range) {
        return false;
      }
      return old.off === now.off && ids.match(old.id, now.id) && includes(old.bounds, now.bounds);
    default:
      return isSame(old, now, ids);
  }
}

/** A number in all 8 bytes of a slot; bytes that are something are any number. */
function numberIn(slot: S.Slot, perfmon: boolean): Register | null {
  if (slot.spilled?.isScalar === true && S.spillSize(slot) === S.SLOT_BYTES) return slot.spilled;
  return slot.spilled === null && S.isAllMisc(slot, perfmon) ? UNKNOWN_SCALAR : null;
}

function stackCovers(
  checkpoint: Checkpoint,
  depth: number,
  old: Frame,
  now: Frame,
  ids: IdMap,
  strictness: Strictness,
  comparison: Comparison,
): boolean {
  for (let index = 0; index < old.stack.length; index++) {
    const before = old.slot(index);
    const after = now.slot(index);
    if (strictness !== "finished") {
      if (index >= now.stack.length || before.kinds !== after.kinds) return false;
    }
    if (strictness === "same") {
      if (before.spilled !== null && after.spilled !== null) {
        if (!isSame(before.spilled, after.spilled, ids)) return false;
      }
      continue;
    }
    const precise = strictness !== "finished" || checkpoint.precise.hasSlot(depth, index);
    const wanted = wantedOf(precise, comparison);
    if (saysNothing(before, comparison.perfmon)) continue;
    if (index >= now.stack.length) return false;
    if (!slotCovers(before, after, ids, strictness, wanted, comparison.perfmon)) return false;
  }
  return true;
}

/** Whoever may read what was never written gets no more from it than from anything else. */
function saysNothing({ kinds, spilled }: S.Slot, perfmon: boolean): boolean {
  return kinds === 0 || (perfmon && spilled === null && (kinds & 0xaaaa) === 0);
}

function slotCovers(
  before: S.Slot,
  after: S.Slot,
  ids: IdMap,
  strictness: Strictness,
  wanted: Wanted,
  perfmon: boolean,
): boolean {
  const oldNumber = numberIn(before, perfmon);
  const newNumber = numberIn(after, perfmon);
  if (oldNumber !== null && newNumber !== null) {
    return registerCovers(oldNumber, newNumber, ids, strictness, wanted);
  }
  for (let i = 0; i < S.SLOT_BYTES; i++) {
    const kind = S.kindAt(before, i);
    if (kind === S.INVALID || (kind === S.MISC && perfmon)) continue;
    const other = S.kindAt(after, i);
    if (kind !== other && !(kind === S.MISC && other === S.ZERO_BYTE)) return false;
  }
  if (before.spilled === null) return true;
  if (after.spilled === null) return false;
  return registerCovers(before.spilled, after.spilled, ids, strictness, wanted);
}
