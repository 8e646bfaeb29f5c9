/**
 * What the runners of BPF_PROG_TEST_RUN have in common: taking the caller's packet and context in,
 * repeating, and giving results out. Mirrors bpf_test_init(), bpf_ctx_init(), bpf_test_run(),
 * bpf_test_finish() and bpf_ctx_finish() in net/bpf/test_run.c in Linux.
 */

import { TEST_RUN } from "../../abi/attr.ts";
import { E2BIG, EFAULT, EINTR, EINVAL, ENOMEM, ENOSPC } from "../../abi/errno.ts";
import { ETH_HLEN } from "../../abi/flow_keys.ts";
import type { Field } from "../../abi/layout.ts";
import type { Attr } from "../attr.ts";
import type { Outcome } from "../engine.ts";
import type { Task } from "../task.ts";
import { checkZeroTail } from "../user_memory.ts";

export const PAGE_SIZE = 4096;
/** What a socket buffer keeps after its data: struct skb_shared_info, aligned. */
export const SKB_TAILROOM = 320;
/**
 * Instructions after which a call repeats no more: it ends like one on Linux that a signal comes
 * to, EINTR with nothing written. A single run is longer if it likes.
 */
export const CALL_INSTRUCTION_LIMIT: number = 1 << 28;

/** How long a call repeats on an engine that doesn't count; one that takes longer is EINTR. */
export const CALL_TIME_LIMIT_NS = 30_000_000_000n;
/** Repetitions between two looks at the clock: at first, and at most. */
const FIRST_PORTION = 64;
const MAX_PORTION: number = 1 << 14;

const MAX_U32 = 0xffff_ffff;

/**
 * The caller's packet.
 *
 * @param size - how much of it to take in.
 * @param maxSize - the largest size there is room for.
 * @returns a copy, or a negative errno.
 */
export function readPacket(
  task: Task,
  attr: Attr,
  size: number,
  maxSize: number,
): Uint8Array | number {
  if (attr.u32(TEST_RUN.data_size_in) < ETH_HLEN || size > maxSize) return -EINVAL;
  return task.memory.read(attr.u64(TEST_RUN.data_in), size)?.slice() ?? -EFAULT;
}

/**
 * The caller's context, made as long as the kernel's struct.
 *
 * @param size - sizeof() of the struct.
 * @returns null when the call passes no context in and wants none out; or a negative errno.
 */
export function readContext(task: Task, attr: Attr, size: number): Uint8Array | null | number {
  const address = attr.u64(TEST_RUN.ctx_in);
  if (address === 0n) return attr.u64(TEST_RUN.ctx_out) === 0n ? null : new Uint8Array(size);
  const given = attr.u32(TEST_RUN.ctx_size_in);
  if (given > PAGE_SIZE) return -E2BIG;
  if (given > size) {
    const refused = checkZeroTail(task.memory, address + BigInt(size), given - size);
    if (refused !== 0) return refused;
  }
  const bytes = task.memory.read(address, Math.min(given, size));
  if (bytes === null) return -EFAULT;
  const context = new Uint8Array(size);
  context.set(bytes);
  return context;
}

/** Whether every byte of a context outside of some ranges is 0. */
export function isZeroBut(
  context: Uint8Array,
  ranges: readonly (readonly [start: number, end: number])[],
): boolean {
  return context.every(
    (byte, at) => byte === 0 || ranges.some(([start, end]) => at >= start && at < end),
  );
}

/** The last run of several, and how long one took. */
export interface Repeated<T extends Outcome> {
  readonly outcome: T;
  /** Mean ns per run. */
  readonly durationNs: number;
}

/**
 * Runs as often as the caller asks, in growing portions: between any two of them a call that
 * takes too long is ended.
 *
 * @param repeat - how often; 0 means once.
 * @param run - runs so many times.
 * @returns or a negative errno: ENOMEM, EINTR as {@link CALL_INSTRUCTION_LIMIT} and
 *   {@link CALL_TIME_LIMIT_NS} have it, and EFAULT when the program is stopped by a fault, which
 *   Linux knows nothing like.
 */
export function repeatRun<T extends Outcome>(
  task: Task,
  repeat: number,
  run: (times: number) => T | null,
): Repeated<T> | number {
  const { clock } = task.machine.options;
  const times = Math.max(repeat, 1);
  // The interpreter is limited by instructions, which are counted run by run.
  const counts = task.machine.engine.name === "interpreter";
  let instructions = CALL_INSTRUCTION_LIMIT;
  let portion = counts ? 1 : FIRST_PORTION;
  let last: T | null = null;
  const start = clock.monotonicNs();
  for (let done = 0; done < times; done += portion) {
    if (instructions <= 0) return -EINTR;
    if (!counts && done > 0) {
      if (clock.monotonicNs() - start > CALL_TIME_LIMIT_NS) return -EINTR;
      portion = Math.min(2 * portion, MAX_PORTION);
    }
    portion = Math.min(portion, times - done);
    last = run(portion);
    if (last === null) return -ENOMEM;
    if (last.fault !== null) return -EFAULT;
    instructions -= last.instructions;
  }
  if (last === null) return -EINVAL;
  const mean = Number((clock.monotonicNs() - start) / BigInt(times));
  return { outcome: last, durationNs: Math.min(mean, MAX_U32) };
}

/**
 * Gives out the packet (or keys), its size, the return value and the duration.
 *
 * With too little room a packet in fragments loses the end of its linear part, not of its
 * fragments; room for less than the fragments is -ENOSPC with nothing given out.
 *
 * @param linearSize - how much of `data` is not in fragments, in bytes.
 * @returns 0; -ENOSPC after all of that when the packet was cut; -EFAULT.
 */
export function finishData(
  task: Task,
  attr: Attr,
  data: Uint8Array,
  { outcome, durationNs }: Repeated<Outcome>,
  linearSize: number = data.length,
): number {
  const room = attr.u32(TEST_RUN.data_size_out) || data.length;
  const missing = Math.max(0, data.length - room);
  const isFragmented = linearSize < data.length;
  if (isFragmented && missing > linearSize && attr.u64(TEST_RUN.data_out) !== 0n) return -ENOSPC;
  const given = isFragmented && missing > 0 ? data.slice() : data;
  if (given !== data) given.copyWithin(linearSize - missing, linearSize);
  const { error, arrived } = copyOut(task, attr, given, TEST_RUN.data_out, TEST_RUN.data_size_out);
  if (!arrived) return error;
  attr.put(TEST_RUN.data_size_out, data.length);
  attr.put(TEST_RUN.retval, outcome.retval);
  attr.put(TEST_RUN.duration, durationNs);
  return error;
}

/** Gives out the context. 0; -ENOSPC after that when it was cut; -EFAULT. */
export function finishContext(task: Task, attr: Attr, context: Uint8Array | null): number {
  if (context === null || attr.u64(TEST_RUN.ctx_out) === 0n) return 0;
  const { error, arrived } = copyOut(task, attr, context, TEST_RUN.ctx_out, TEST_RUN.ctx_size_out);
  if (arrived) attr.put(TEST_RUN.ctx_size_out, context.length);
  return error;
}

/**
 * As many bytes as the caller says it has room for; a room of 0 is no limit. That something had to
 * be cut wins over a bad address.
 */
function copyOut(
  task: Task,
  attr: Attr,
  bytes: Uint8Array,
  address: Field<"u64">,
  room: Field<"u32">,
): { readonly error: number; readonly arrived: boolean } {
  const limit = attr.u32(room);
  const isCut = limit !== 0 && bytes.length > limit;
  const to = attr.u64(address);
  const copied = isCut ? bytes.subarray(0, limit) : bytes;
  const arrived = to === 0n || task.memory.write(to, copied);
  if (isCut) return { error: -ENOSPC, arrived };
  return { error: arrived ? 0 : -EFAULT, arrived };
}
