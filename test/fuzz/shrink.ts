/**
 * From the operations that showed a difference to the fewest that do.
 */

import { type Episode, replay, type Stages } from "./episode.ts";
import { type Block, type BpfOperation, type Operation, slotAt, type Value } from "./operation.ts";

/** As often as one difference is tried to be shown by less. */
const MAX_REPLAYS = 800;
/** As long as asynchronous effects may take in a replay; a true difference costs it each time. */
const MAX_WAIT_MS = 100;

/**
 * The shortest sequence that was found to end in an unexplained difference.
 *
 * @returns null when the operations show none any more: it was a matter of time.
 */
export async function shrink(
  stages: Stages,
  operations: readonly Operation[],
): Promise<Episode | null> {
  let replays = 0;
  const attempt = async (candidate: readonly Operation[]): Promise<Episode | null> => {
    if (replays++ >= MAX_REPLAYS) return null;
    const episode = await replay(stages, candidate, MAX_WAIT_MS);
    return episode.difference === null ? null : episode;
  };
  let best = await attempt(operations);
  if (best === null) return null;
  for (let size = best.operations.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.operations.length - 1; ) {
      const shorter = await attempt(best.operations.toSpliced(at, size));
      if (shorter === null) at += size;
      else best = shorter;
    }
  }
  for (let i = 0; i < best.operations.length; i++) {
    for (const simpler of simplifications(best.operations[i] as Operation)) {
      const found = await attempt(best.operations.with(i, simpler));
      if (found !== null && found.operations.length === best.operations.length) best = found;
    }
  }
  return best;
}

/** An operation with less in it. */
function* simplifications(operation: Operation): Generator<Operation> {
  if (operation.do !== "bpf") return;
  const { as, ...asRoot } = operation;
  if (as !== undefined) yield asRoot as BpfOperation;
  for (const [offset] of operation.attr?.slots ?? []) {
    yield { ...operation, attr: without(operation.attr as Block, offset) };
    const value: Value | undefined = slotAt(operation.attr, offset);
    if (typeof value !== "object" || !("to" in value)) continue;
    for (const [inner] of value.to.slots ?? []) {
      yield { ...operation, attr: within(operation.attr as Block, offset, inner) };
    }
  }
}

function without(block: Block, offset: number): Block {
  return { ...block, slots: (block.slots ?? []).filter(([at]) => at !== offset) };
}

function within(block: Block, offset: number, inner: number): Block {
  const slots = (block.slots ?? []).map((slot) => {
    const [at, width, value] = slot;
    const isIt = at === offset && typeof value === "object" && "to" in value;
    return isIt ? ([at, width, { to: without(value.to, inner) }] as const) : slot;
  });
  return { ...block, slots };
}
