/**
 * Comparisons with the end of a packet: how many bytes they prove to be there. Analogous to
 * try_match_pkt_pointers() in kernel/bpf/verifier.c.
 */

import * as I from "../../abi/insn.ts";
import { flip } from "./compare.ts";
import { AT_PACKET_END, BEYOND_PACKET_END, type Register } from "./register.ts";
import type { State } from "./state.ts";
import { nearUnsigned } from "./words.ts";

/** A pointer further into a packet than this proves nothing. */
const MAX_PACKET_OFF = 0xffff;

/** Where nothing was added to it. */
function isStart({ type, id, off, bounds }: Register): boolean {
  return type === "pkt" && id === 0 && off === 0 && bounds.bits.isZero;
}

/** Whether `end` ends what `pointer` points into. */
function ends(end: Register, pointer: Register): boolean {
  return pointer.type === "pkt"
    ? end.type === "pkt_end"
    : pointer.type === "pkt_meta" && isStart(end);
}

/** Which way a comparison goes by what an earlier one proved; null when that isn't known. */
export function packetOutcome(a: Register, b: Register, operation: number): boolean | null {
  if (a.type === "pkt_end" && b.type !== "pkt_end") return packetOutcome(b, a, flip(operation));
  if (b.type !== "pkt_end" || a.range >= 0) return null;
  const isBeyond = a.range === BEYOND_PACKET_END;
  switch (operation) {
    case I.BPF_JGT:
    case I.BPF_JLE:
      return isBeyond ? operation === I.BPF_JGT : null;
    case I.BPF_JGE:
    case I.BPF_JLT:
      return operation === I.BPF_JGE;
    default:
      return null;
  }
}

/** Both ways of a jump. */
export interface Ways {
  readonly taken: State;
  readonly passed: State;
}

/**
 * Lets both ways learn from comparing two registers.
 *
 * @returns whether they are such pointers, and the comparison is one that proves something.
 */
export function learnPacketEnd(
  { taken, passed }: Ways,
  { dst, src, opcode }: { readonly dst: number; readonly src: number; readonly opcode: number },
): boolean {
  const a = passed.frame.get(dst);
  const b = passed.frame.get(src);
  const isForward = ends(b, a);
  if (!isForward && !ends(a, b)) return false;
  const operation = isForward ? I.BPF_OP(opcode) : flip(I.BPF_OP(opcode));
  const pointer = isForward ? a : b;
  const register = isForward ? dst : src;
  switch (operation) {
    case I.BPF_JGT:
      prove(passed, pointer, false);
      place(taken, register, BEYOND_PACKET_END);
      return true;
    case I.BPF_JLT:
      prove(taken, pointer, true);
      place(passed, register, AT_PACKET_END);
      return true;
    case I.BPF_JGE:
      prove(passed, pointer, true);
      place(taken, register, AT_PACKET_END);
      return true;
    case I.BPF_JLE:
      prove(taken, pointer, false);
      place(passed, register, BEYOND_PACKET_END);
      return true;
    default:
      return false;
  }
}

/**
 * All bytes before `pointer` are there, for every pointer with the same variable part.
 *
 * @param isBefore - it points before the end, so one more byte is there.
 */
function prove(state: State, { type, id, off, bounds }: Register, isBefore: boolean): void {
  if (off < 0 || (off === 0 && isBefore)) return;
  if (nearUnsigned(bounds.umaxHigh, bounds.umaxLow) + off > MAX_PACKET_OFF) return;
  const range = isBefore ? off + 1 : off;
  state.update((register) => {
    if (register.type !== type || register.id !== id || register.range >= range) return register;
    return register.withRange(range);
  });
}

/** The pointer is known to be at the end or behind it. */
function place(state: State, register: number, range: number): void {
  const pointer = state.frame.get(register);
  if (pointer.type === "pkt") state.frame.set(register, pointer.withRange(range));
}
