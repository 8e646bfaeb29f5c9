/**
 * What a run of compiled code keeps in linear memory: the stacks of its frames and, right above
 * them, a block of state. The stacks begin at a multiple of their size, so that both the block's
 * address and whether there is room for one more frame follow from the address of any frame.
 */

import { MAX_BPF_STACK, MAX_CALL_FRAMES } from "../../abi/insn.ts";

/** Bytes of the stacks of all frames, the deepest lowest; a power of two. */
export const STACKS_BYTES: number = MAX_CALL_FRAMES * MAX_BPF_STACK;

/** `frame | STACK_MASK` is the last byte of the stacks; state begins after it. */
export const STACK_MASK: number = STACKS_BYTES - 1;

/** How many regions a run has besides stack and maps: its context, packet and keys. */
export const MAX_REGIONS = 3;
/** Bytes of a region in the state: its address, its size and whether it may be written, as u32. */
export const REGION_BYTES = 12;
/**
 * How many rounds all loops of one run may take in a hardened kernel when nothing else is asked
 * for: more than anyone waits for, so that no verified program is stopped where Linux goes on.
 */
export const MAX_ROUNDS: number = 2 ** 32 - 1;

/** Offsets in the state. */
export const STATE = {
  /** u64: r0 at the end of a run, a helper or a callback. */
  r0: 0,
  /** Five u64: r1 to r5 of a helper or a callback. */
  arguments: 8,
  /** u32: tail calls so far. */
  tail_calls: 48,
  /** u32: rounds of loops that are left, in a hardened kernel. */
  rounds: 52,
  /** Four u32: addresses in the packet that LD_ABS reads; all 0 without one. */
  skb_head: 56,
  skb_network: 60,
  skb_data: 64,
  skb_tail: 68,
  /** u32: how many packets of a batch are done. */
  done: 72,
  /** u32: the table index of the program that is attached, for a batch. */
  cell: 76,
  /** u32: the CPU that the run is on. */
  cpu: 80,
  /** u32: rounds that each run begins with. */
  max_rounds: 84,
  /** Two u32: of the region that the last check found, its address and its size less 8. */
  checked_start: 88,
  checked_limit: 92,
  /** u64: instructions that are left, where they are counted, and those that a run begins with. */
  budget: 96,
  max_budget: 104,
  /** {@link MAX_REGIONS} regions; size 0 where there is none. */
  regions: 112,
} as const;

/** Bytes of the state. */
export const STATE_BYTES: number = STATE.regions + MAX_REGIONS * REGION_BYTES;
