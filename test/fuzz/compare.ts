/**
 * One operation on two kernels, and what their answers differ in.
 */

import * as bpf from "../../src/abi/bpf.ts";
import { explain } from "./explained.ts";
import type { Operation } from "./operation.ts";
import { type Answer, equal, type Subject } from "./subject.ts";

/** The kernel that is tried, and the one that is right. */
export interface Pair {
  readonly tried: Subject;
  readonly oracle: Subject;
}

/** What two kernels answered differently. */
export interface Difference {
  readonly operation: Operation;
  readonly tried: Answer;
  readonly oracle: Answer;
  /** The reason why they may, when there is one. */
  readonly explained: string | null;
}

/** Calls that change nothing, so that they can be made again when the answer may still come. */
const READS: ReadonlySet<number> = new Set([
  bpf.BPF_MAP_LOOKUP_ELEM,
  bpf.BPF_MAP_GET_NEXT_KEY,
  bpf.BPF_MAP_LOOKUP_BATCH,
  bpf.BPF_PROG_GET_NEXT_ID,
  bpf.BPF_MAP_GET_NEXT_ID,
  bpf.BPF_LINK_GET_NEXT_ID,
  bpf.BPF_BTF_GET_NEXT_ID,
  bpf.BPF_PROG_GET_FD_BY_ID,
  bpf.BPF_MAP_GET_FD_BY_ID,
  bpf.BPF_LINK_GET_FD_BY_ID,
  bpf.BPF_BTF_GET_FD_BY_ID,
  bpf.BPF_OBJ_GET_INFO_BY_FD,
  bpf.BPF_PROG_QUERY,
  // It may change maps, but differs only when a prog array is not yet emptied behind its last user.
  bpf.BPF_PROG_TEST_RUN,
]);

/** Whether two answers are the same. */
export function alike(a: Answer, b: Answer): boolean {
  if (a.result !== b.result || a.outputs.length !== b.outputs.length) return false;
  return a.outputs.every((output, i) => {
    const other = b.outputs[i];
    return output instanceof Uint8Array && other instanceof Uint8Array
      ? equal(output, other)
      : output === other;
  });
}

/**
 * Carries an operation out on both kernels.
 *
 * @param maxWaitMs - how long the oracle's asynchronous effects may take.
 */
export async function compare(
  { tried, oracle }: Pair,
  operation: Operation,
  maxWaitMs: number,
): Promise<Difference | null> {
  const facts = tried.factsOf(operation);
  const a = tried.execute(operation);
  const end = performance.now() + maxWaitMs;
  // Linux lets go of maps late, and who opens one by its id in the meantime keeps it.
  while (a.result === "ENOENT" && oracle.listsMap(operation) && performance.now() < end) {
    await oracle.world.turn();
  }
  let b = oracle.execute(operation);
  if (alike(a, b)) return null;
  const explained = explain({ operation, facts, tried: a, oracle: b });
  if (explained !== null) return { operation, tried: a, oracle: b, explained };
  while (mayStillCome(operation, a, b) && performance.now() < end) {
    oracle.undo(operation);
    await oracle.world.turn();
    b = oracle.execute(operation);
    if (alike(a, b)) return null;
  }
  return { operation, tried: a, oracle: b, explained: null };
}

/** Whether the oracle may be asked again: its refusal may have been a matter of time. */
function mayStillCome(operation: Operation, tried: Answer, oracle: Answer): boolean {
  if (operation.do !== "bpf") return operation.do !== "close";
  if (READS.has(operation.cmd)) return true;
  return /^E/.test(oracle.result) && oracle.result !== tried.result;
}
