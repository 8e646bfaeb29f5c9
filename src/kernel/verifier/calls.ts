/**
 * Calls of a program's own functions, their returns, and callbacks. Analogous to
 * check_func_call(), push_callback_call() and prepare_func_exit() in kernel/bpf/verifier.c.
 */

import { E2BIG, EACCES, EINVAL, ENOMEM } from "../../abi/errno.ts";
import { BPF_REG_0, BPF_REG_1, BPF_REG_5, MAX_CALL_FRAMES } from "../../abi/insn.ts";
import { S64_MAX, S64_MIN } from "./bounds.ts";
import type { Environment } from "./environment.ts";
import { markPrecise } from "./precision.ts";
import { Refusal } from "./refusal.ts";
import { NOT_INIT, type Register } from "./register.ts";
import { Frame, type State } from "./state.ts";
import { widenFromEarlier } from "./widen.ts";

function pushFrame(state: State, callSite: number, start: number, isCallback: boolean): void {
  if (state.frames.length >= MAX_CALL_FRAMES) {
    const text = `the call stack of ${state.frames.length + 1} frames is too deep`;
    throw new Refusal(E2BIG, text);
  }
  const use = state.frame.use.call(callSite, start);
  state.frames.push(Frame.enter(state.frames.length, callSite, start, isCallback, use));
}

/** Enters a static function. */
export function enterFunction(env: Environment, start: number): void {
  const { state } = env;
  const caller = state.frame;
  pushFrame(state, env.slot, start, false);
  for (let i = BPF_REG_1; i <= BPF_REG_5; i++) state.frame.set(i, caller.get(i));
  for (let i = BPF_REG_0; i <= BPF_REG_5; i++) caller.set(i, NOT_INIT);
  env.trace?.touchAll();
  env.trace?.frame("caller:\n", state, state.depth - 1);
  env.trace?.frame("callee:\n", state, state.depth);
}

/** Lets a state wait that enters a callback; the current one goes on behind the call. */
export function enterCallback(
  env: Environment,
  start: number,
  setArguments: (state: State) => void,
): void {
  const waiting = env.branch(start, ENOMEM);
  pushFrame(waiting, env.slot, start, true);
  env.trace?.touchAll();
  setArguments(waiting);
  waiting.callbackDepth++;
  (waiting.frames[waiting.depth - 1] as Frame).callbackDepth++;
  env.state.frame.callbackDepth = 0;
}

/** Leaves a function that is not the outermost. @returns the slot to go on at. */
export function leaveFunction(env: Environment): number {
  const { state } = env;
  const { callSite, isCallback } = state.frame;
  state.frame.use.update();
  const result = state.frame.get(BPF_REG_0);
  if (result.type === "fp") {
    const text = "cannot return stack pointer to the caller";
    throw new Refusal(EINVAL, text);
  }
  if (isCallback) checkCallbackResult(env);
  const next = isCallback ? callSite : callSite + 1;
  if (!isCallback) (state.frames[state.depth - 1] as Frame).set(BPF_REG_0, result);
  env.trace?.frame("returning from callee:\n", state, state.depth);
  env.trace?.frame(`to caller at ${next}:\n`, state, state.depth - 1);
  state.frames.pop();
  if (isCallback) widenFromEarlier(env, callSite);
  return next;
}

/** r0 is not 0 or 1. Analogous to verbose_invalid_scalar() in Linux. */
export function outOfRange(when: string, { bounds }: Register): Refusal {
  const { smin, smax } = bounds;
  const least = smin > S64_MIN ? ` smin=${smin}` : "";
  const most = smax < S64_MAX ? ` smax=${smax}` : "";
  const known = least + most || " unknown scalar value";
  const text = `${when} the register R0 has${known} should have been in [0, 1]`;
  return new Refusal(EINVAL, text);
}

function checkCallbackResult(env: Environment): void {
  const result = env.state.frame.get(BPF_REG_0);
  if (!result.isScalar) throw new Refusal(EACCES, "R0 not a scalar value");
  markPrecise(env, BPF_REG_0);
  const { smin, smax } = result.bounds;
  if (smin >= 0n && smax <= 1n) return;
  throw outOfRange("At callback return", result);
}
