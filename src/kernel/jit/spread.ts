/**
 * The kernel's side of programs that run on several threads: what those threads are given, and the
 * helpers that it calls for them.
 */

import type { Prog } from "../bpf/prog.ts";
import type { Invocation } from "../engine.ts";
import type { RunFault } from "../interpreter/fault.ts";
import { invocationOf } from "../net/dissect_batch.ts";
import type { PacketBatch } from "../net/packet_batch.ts";
import type { DissectorImage, HelperCall } from "./replica.ts";
import type { JitRun } from "./run.ts";

/** Calls a helper in the state of a run; null unless that stops the program. */
export type HelperCaller = (
  prog: Prog,
  run: JitRun,
  invocation: Invocation,
  call: HelperCall,
) => RunFault | null;

/** Threads that share a kernel's memory, each a CPU. */
export class Spread {
  readonly image: DissectorImage;
  readonly #runs: readonly JitRun[];
  readonly #progs: ReadonlyMap<number, Prog>;
  readonly #callHelper: HelperCaller;

  /** @param runs - by CPU. @param progs - by entry in the table. */
  constructor(
    image: DissectorImage,
    runs: readonly JitRun[],
    progs: ReadonlyMap<number, Prog>,
    callHelper: HelperCaller,
  ) {
    this.image = image;
    this.#runs = runs;
    this.#progs = progs;
    this.#callHelper = callHelper;
  }

  /**
   * Calls a helper for a thread that waits for it. One is called at a time, so that what helpers do
   * to maps is never seen half done by another helper.
   *
   * @param batch - what the thread works on.
   * @returns whether the program goes on; false: it was stopped, and the fault noted.
   */
  call(batch: PacketBatch, call: HelperCall): boolean {
    const [run, prog] = [this.#runs[call.cpu], this.#progs.get(call.entry)];
    if (run === undefined) throw new RangeError(`call: there is no CPU ${call.cpu}`);
    if (prog === undefined) throw new RangeError(`call: there is no program ${call.entry}`);
    const invocation = invocationOf(run.machine, batch, call.index);
    return this.#callHelper(prog, run, invocation, call) === null;
  }
}
