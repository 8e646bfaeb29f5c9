/**
 * The kernel's side of programs that run on several threads: what those threads are given, and the
 * helpers that it calls for them.
 */

import type { Prog } from "../bpf/prog.ts";
import type { Invocation } from "../engine.ts";
import type { RunFault } from "../interpreter/fault.ts";
import { invocationOf } from "../net/dissect_batch.ts";
import type { PacketBatch } from "../net/packet_batch.ts";
import type { CountedMisses } from "../tail_call_misses.ts";
import type { Dissected, DissectorImage, HelperCall } from "./replica.ts";
import type { JitRun } from "./run.ts";
import type { Trap } from "./trap.ts";

/** Why a run was stopped: a helper's fault, or a trap in the program that packets meet. */
export type Stop = RunFault | Trap;

/** What the engine does for threads. */
export interface SpreadEngine {
  /** Calls a helper in the state of a run; null unless that stops the program. */
  callHelper(prog: Prog, run: JitRun, invocation: Invocation, call: HelperCall): RunFault | null;
  /** Notes that a run was stopped. */
  note(stop: Stop): void;
  /** Notes tail calls that missed. */
  noteMisses(misses: CountedMisses): void;
}

/** Threads that share a kernel's memory, each a CPU. */
export class Spread {
  readonly image: DissectorImage;
  readonly #runs: readonly JitRun[];
  readonly #progs: ReadonlyMap<number, Prog>;
  readonly #engine: SpreadEngine;
  /** By CPU: faults of helpers that are not noted yet, the oldest first. */
  readonly #faults: readonly RunFault[][];

  /** @param runs - by CPU. @param progs - by entry in the table. */
  constructor(
    image: DissectorImage,
    runs: readonly JitRun[],
    progs: ReadonlyMap<number, Prog>,
    engine: SpreadEngine,
  ) {
    this.image = image;
    this.#runs = runs;
    this.#progs = progs;
    this.#engine = engine;
    this.#faults = runs.map(() => []);
  }

  /**
   * Calls a helper for a thread that waits for it. One is called at a time, so that what helpers do
   * to maps is never seen half done by another helper.
   *
   * @param batch - what the thread works on.
   * @returns whether the program goes on; false: it is stopped.
   */
  call(batch: PacketBatch, call: HelperCall): boolean {
    const [run, prog] = [this.#runs[call.cpu], this.#progs.get(call.entry)];
    if (run === undefined) throw new RangeError(`call: there is no CPU ${call.cpu}`);
    if (prog === undefined) throw new RangeError(`call: there is no program ${call.entry}`);
    const invocation = invocationOf(run.machine, batch, call.index);
    const fault = this.#engine.callHelper(prog, run, invocation, call);
    if (fault !== null) this.#faults[call.cpu]?.push(fault);
    return fault === null;
  }

  /**
   * Notes which runs of a thread were stopped and which tail calls missed: batch after batch in the
   * order of the capture, so that the last one is the same as on one thread.
   *
   * @param dissected - what {@link DissectorReplica.dissect} gave of a batch.
   */
  note(cpu: number, { stops, ...misses }: Dissected): void {
    this.#engine.noteMisses(misses);
    for (const trap of stops) {
      const stop = trap ?? this.#faults[cpu]?.shift();
      if (stop !== undefined) this.#engine.note(stop);
    }
  }
}
