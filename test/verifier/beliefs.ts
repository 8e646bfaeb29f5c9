/**
 * What the verifier believed at each instruction, and whether what a run finds there is among it.
 */

import { MAX_BPF_STACK } from "../../src/abi/insn.ts";
import { ArrayMap } from "../../src/kernel/bpf/map/array.ts";
import type { Registers } from "../../src/kernel/interpreter.ts";
import type * as B from "../../src/kernel/verifier/bounds.ts";
import { truncate } from "../../src/kernel/verifier/extension.ts";
import {
  AT_PACKET_END,
  BEYOND_PACKET_END,
  type Register,
  type RegisterType,
} from "../../src/kernel/verifier/register.ts";
import * as S from "../../src/kernel/verifier/stack.ts";
import type { Frame, State } from "../../src/kernel/verifier/state.ts";

/** Of a program with more states than this nothing is looked at. */
const MAX_STATES = 30_000;

/** One state, as far as runs are held against it: its frames, the innermost last. */
type Belief = readonly Frame[];

/** Where things were found to lie in one run, by type of pointer. */
export type Anchors = Map<RegisterType, bigint>;

/** What a run finds at one instruction. */
export interface Found {
  /** Of the innermost frame. */
  readonly registers: Pick<Registers, "get">;
  /** Of the frames around it, the outermost first: r6 to r9 as they were at their calls. */
  readonly callers: readonly Pick<Registers, "get">[];
  readonly memory: Uint8Array;
  readonly anchors: Anchors;
}

/** The states of one verification, by slot. */
export class Beliefs {
  readonly #bySlot: Map<number, Belief[]> = new Map();
  #count: number = 0;

  /** Whether there are so many states that some were not kept. */
  get isIncomplete(): boolean {
    return this.#count > MAX_STATES;
  }

  record(slot: number, state: State): void {
    if (state.speculative || this.isIncomplete) return;
    this.#count++;
    const here = this.#bySlot.get(slot);
    const belief = state.frames.map((frame) => frame.copy());
    if (here === undefined) this.#bySlot.set(slot, [belief]);
    else here.push(belief);
  }

  /**
   * Why no state at an instruction is like what was found; null when one is.
   *
   * @param live - by slot: a mask of the registers that are read from there on. No others are
   *   believed in.
   */
  objection(slot: number, found: Found, live: Uint16Array): string | null {
    const here = this.#bySlot.get(slot) ?? [];
    dropAnchors(here, found, live[slot] ?? 0);
    let last = "no path was seen to lead here";
    for (let i = 0; i < here.length; i++) {
      const objection = objectionTo(here[i] as Belief, slot, found, live);
      if (objection === null) {
        // What fits is likely to fit again.
        if (i > 0) [here[0], here[i]] = [here[i] as Belief, here[0] as Belief];
        return null;
      }
      last = objection;
    }
    return `slot ${slot}, ${here.length} states, one of them: ${last}`;
  }
}

/** r6 to r9: what a caller finds again after a call. */
const KEPT = 0b11_1100_0000;

function objectionTo(frames: Belief, slot: number, found: Found, live: Uint16Array): string | null {
  const depth = frames.length - 1;
  // Global functions are verified by themselves: nothing is believed of their callers.
  const outside = found.callers.length - depth;
  if (outside < 0) return `${depth} calls deep, not ${found.callers.length}`;
  const numbers = new Map<number, bigint>();
  for (const [at, frame] of frames.entries()) {
    const registers = found.callers[outside + at] ?? found.registers;
    const asked = live[frames[at + 1]?.callSite ?? slot] ?? 0;
    const mask = at === depth ? asked : asked & KEPT;
    for (let i = 0; i < 10; i++) {
      if (((mask >> i) & 1) === 0) continue;
      const value = registers.get(i);
      const contents = frame.get(i);
      const objection =
        valueObjection(contents, value, depth, found) ?? link(contents, value, numbers);
      if (objection === null) continue;
      return `r${i} of frame ${at} is 0x${value.toString(16)}: ${objection}`;
    }
    const objection = stackObjection(frame, at, depth, found, numbers);
    if (objection !== null) return `frame ${at}: ${objection}`;
  }
  return null;
}

/**
 * Numbers with the same id, in whatever frame, are made of one number: they are it in all 64 bits,
 * or so much more in all 64 bits; or they are a sum of 32 bits, and then it has no more than 32.
 */
function link(contents: Register, value: bigint, numbers: Map<number, bigint>): string | null {
  const { isScalar, id, sumWidth, off } = contents;
  if (!isScalar || id === 0) return null;
  const start = sumWidth === 0 ? value : BigInt.asUintN(sumWidth, value - BigInt(off));
  const before = numbers.get(id) ?? start;
  numbers.set(id, before);
  return before === start ? null : `not what id ${id} is elsewhere, 0x${before.toString(16)}`;
}

function isWithin(b: Readonly<B.Bounds>, value: bigint): boolean {
  const signed = BigInt.asIntN(64, value);
  const low = Number(BigInt.asUintN(32, value));
  return (
    value >= b.umin &&
    value <= b.umax &&
    signed >= b.smin &&
    signed <= b.smax &&
    low >= b.u32min &&
    low <= b.u32max &&
    (low | 0) >= b.s32min &&
    (low | 0) <= b.s32max &&
    (value & ~b.bits.mask) === b.bits.value
  );
}

function describe(b: Readonly<B.Bounds>): string {
  return `u64 ${b.umin}..${b.umax}, s64 ${b.smin}..${b.smax}, u32 ${b.u32min}..${b.u32max}`;
}

/** Types of pointers that all begin at the same place in one run. */
const ANCHORED: ReadonlySet<RegisterType> = new Set(["ctx", "pkt", "pkt_end", "flow_keys"]);

/** Finds out where things lie: from registers that are the same in whatever state this may be. */
function dropAnchors(here: readonly Belief[], { registers, anchors }: Found, live: number): void {
  for (let i = 0; i < 10; i++) {
    const first = here[0]?.at(-1)?.get(i);
    if (first === undefined || ((live >> i) & 1) === 0) continue;
    const { type, off, bounds, mayBeNull } = first;
    if (!ANCHORED.has(type) || anchors.has(type) || mayBeNull || bounds.bits.mask !== 0n) continue;
    const isSure = here.every((frames) => {
      const other = frames.at(-1)?.get(i);
      if (other === undefined) return false;
      const isSame = other.type === type && other.off === off && !other.mayBeNull;
      return isSame && other.bounds.bits.mask === 0n && other.bounds.smin === bounds.smin;
    });
    if (isSure) anchors.set(type, registers.get(i) - BigInt(off) - bounds.smin);
  }
}

function valueObjection(
  contents: Register,
  value: bigint,
  depth: number,
  found: Found,
): string | null {
  const { type, bounds, frame } = contents;
  if (type === "?" || contents.mayBeNull) return null;
  if (type === "scalar") return isWithin(bounds, value) ? null : `not in ${describe(bounds)}`;
  if (value === 0n) return `null, not ${type}`;
  if (type === "fp") {
    const top = found.registers.get(10) + BigInt(MAX_BPF_STACK * (depth - frame));
    return movedFrom(contents, value, top) ? null : `not that far into the stack`;
  }
  if (type === "map_value") return mapValueObjection(contents, value);
  if (!ANCHORED.has(type)) return null;
  const anchor = found.anchors.get(type);
  if (anchor === undefined) return null;
  if (!movedFrom(contents, value, anchor)) return `not that far from 0x${anchor.toString(16)}`;
  return type === "pkt" ? rangeObjection(contents, value, found.anchors.get("pkt_end")) : null;
}

/** Whether a pointer is as far from where it began as is believed. */
function movedFrom({ bounds, off }: Register, value: bigint, start: bigint): boolean {
  return isMoved(bounds, value - start - BigInt(off));
}

/** As {@link isWithin}: the 32-bit ranges of pointers say nothing. */
function isMoved({ smin, smax, bits }: Readonly<B.Bounds>, distance: bigint): boolean {
  const by = BigInt.asIntN(64, distance);
  return by >= smin && by <= smax && (BigInt.asUintN(64, by) & ~bits.mask) === bits.value;
}

function mapValueObjection({ map, bounds, off }: Register, value: bigint): string | null {
  if (!(map instanceof ArrayMap) || map.perCpu) return null;
  for (let i = 0; i < map.facts.maxEntries; i++) {
    const start = BigInt(map.base + i * map.stride);
    if (isMoved(bounds, value - start - BigInt(off))) return null;
  }
  return "not that far into any value";
}

/** What was proved of the bytes before the packet's end. */
function rangeObjection({ range, off }: Register, value: bigint, end?: bigint): string | null {
  if (end === undefined || range === 0) return null;
  if (range === AT_PACKET_END) return value >= end ? null : "before the packet's end";
  if (range === BEYOND_PACKET_END) return value > end ? null : "not behind the packet's end";
  const first = BigInt.asUintN(64, value - BigInt(off));
  return first + BigInt(range) <= end ? null : "too few bytes up to the end";
}

function stackObjection(
  { stack }: Frame,
  at: number,
  depth: number,
  found: Found,
  numbers: Map<number, bigint>,
): string | null {
  const top = Number(found.registers.get(10)) + MAX_BPF_STACK * (depth - at);
  for (const [index, slot] of stack.entries()) {
    const address = top - S.SLOT_BYTES * (index + 1);
    for (let i = 0; i < S.SLOT_BYTES; i++) {
      if (S.kindAt(slot, i) !== S.ZERO_BYTE || found.memory[address + i] === 0) continue;
      return `byte ${i} of fp-${S.SLOT_BYTES * (index + 1)} is not 0`;
    }
    if (slot.spilled === null) continue;
    const objection = spillObjection(slot, slot.spilled, address, depth, found, numbers);
    if (objection !== null) return `fp-${S.SLOT_BYTES * (index + 1)}: ${objection}`;
  }
  return null;
}

function spillObjection(
  slot: S.Slot,
  spilled: Register,
  address: number,
  depth: number,
  found: Found,
  numbers: Map<number, bigint>,
): string | null {
  const size = S.spillSize(slot);
  let value = 0n;
  for (let i = size - 1; i >= 0; i--)
    value = (value << 8n) | BigInt(found.memory[address + i] ?? 0);
  if (size === S.SLOT_BYTES) {
    return valueObjection(spilled, value, depth, found) ?? link(spilled, value, numbers);
  }
  const bounds = truncate(spilled.bounds, size);
  if (!isWithin(bounds, value)) return `${value} is not in ${describe(bounds)}`;
  // What is cut off by a spill has no id.
  return link(spilled, value, numbers);
}
