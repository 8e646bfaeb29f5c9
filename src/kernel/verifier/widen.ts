/**
 * Making loops converge: numbers that differ from one round to the next, and whose value matters
 * to nobody, become any number. Analogous to widen_imprecise_scalars() in kernel/bpf/verifier.c.
 */

import { MAX_BPF_REG } from "../../abi/insn.ts";
import { sameBounds } from "./bounds.ts";
import type { Environment } from "./environment.ts";
import { type Register, UNKNOWN_SCALAR } from "./register.ts";
import type { Checkpoint, Frame, State } from "./state.ts";

/** Whether both came there by the same calls. */
export function sameCallSites(a: readonly Frame[], b: readonly Frame[]): boolean {
  return (
    a.length === b.length && a.every((frame, i) => frame.callSite === (b[i] as Frame).callSite)
  );
}

/** Widens the current state against the last time that it was at `slot`. */
export function widenFromEarlier(env: Environment, slot: number): void {
  widen(env.state, env.state.parent, slot);
}

/** Widens `state` against the latest checkpoint at `slot` from `checkpoint` on upwards. */
export function widen(state: State, checkpoint: Checkpoint | null, slot: number): void {
  for (let at = checkpoint; at !== null; at = at.parent) {
    if (at.slot !== slot || !sameCallSites(at.frames, state.frames)) continue;
    widenAgainst(state, at);
    return;
  }
}

function differs(old: Register, now: Register): boolean {
  return (
    old.isScalar &&
    now.isScalar &&
    !(
      sameBounds(old.bounds, now.bounds) &&
      old.off === now.off &&
      (old.id === 0) === (now.id === 0)
    )
  );
}

function widenAgainst(state: State, { frames, precise }: Checkpoint): void {
  for (const [depth, old] of frames.entries()) {
    const now = state.frames[depth] as Frame;
    for (let i = 0; i < MAX_BPF_REG; i++) {
      if (precise.hasRegister(depth, i) || !differs(old.get(i), now.get(i))) continue;
      now.set(i, UNKNOWN_SCALAR);
    }
    for (let i = 0; i < old.stack.length; i++) {
      const before = old.slot(i).spilled;
      const { kinds, spilled } = now.slot(i);
      if (before === null || spilled === null || precise.hasSlot(depth, i)) continue;
      if (differs(before, spilled)) now.setSlot(i, { kinds, spilled: UNKNOWN_SCALAR });
    }
  }
}
