/**
 * One packet's way into compiled code: a single call, with numbers only. It has a run of its own,
 * so that all that stays the same from packet to packet stands ready.
 */

import { EFAULT } from "../../abi/errno.ts";
import type { Prog } from "../bpf/prog.ts";
import { Dissector } from "../net/dissector.ts";
import type { PacketArea } from "../net/packet_area.ts";
import type { BatchExports } from "./batch.ts";
import type { JitRun } from "./run.ts";

/** What a dissector needs of its engine. */
export interface DissectorEngine {
  entryOf(prog: Prog): number;
  /** Makes of an error a fault of the run, and records it; throws what is none. */
  faultOf(error: unknown, prog: Prog, run: JitRun): void;
}

/** A {@link Dissector} on compiled code. */
export class JitDissector extends Dissector {
  private readonly engine: DissectorEngine;
  private readonly owned: JitRun;
  private readonly enter: BatchExports["dissect"];
  private readonly context: number;
  private readonly frame: number;

  /** @param run - taken over. */
  constructor(
    engine: DissectorEngine,
    run: JitRun,
    area: PacketArea,
    enter: BatchExports["dissect"],
  ) {
    super(run.machine.memory, area);
    this.engine = engine;
    this.owned = run;
    this.enter = enter;
    this.context = area.context;
    this.frame = run.top;
    // What a hardened program may touch is noted by the code that is entered.
    run.prepare(null, this.invocation, false);
  }

  protected run(
    prog: Prog,
    data: Uint8Array,
    networkOffset: number,
    protocol: number,
    flags: number,
  ): number {
    const entry = prog.entry === 0 ? this.engine.entryOf(prog) : prog.entry;
    const { context, frame, enter } = this;
    try {
      return enter(context, frame, data.length, networkOffset, protocol, flags, entry) >>> 0;
    } catch (error) {
      this.engine.faultOf(error, prog, this.owned);
      return -EFAULT;
    }
  }
}
