/**
 * The interpreter: runs programs one checked instruction at a time. The slow twin of the JIT, and
 * its oracle: it needs no verifier, since whatever a program does wrong ends its run.
 */

import { EFAULT, ENOMEM } from "../abi/errno.ts";
import { BPF_FLOW_KEYS_SIZE } from "../abi/flow_keys.ts";
import type { Frame } from "../kernel.ts";
import type { Prog } from "./bpf/prog.ts";
import type {
  BatchRequest,
  Engine,
  Invocation,
  KeysTemplate,
  Outcome,
  ProgramEngine,
  RunOptions,
} from "./engine.ts";
import { RunFault } from "./interpreter/fault.ts";
import { recordFault } from "./interpreter/fault_log.ts";
import { Run } from "./interpreter/run.ts";
import type { Machine } from "./machine.ts";
import { dissectOneByOne } from "./net/dissect_batch.ts";
import { Dissector, OF_ETHERNET } from "./net/dissector.ts";
import { clampOffsets, resetKeys, SK_BUFF } from "./net/flow_dissector.ts";
import { PacketArea } from "./net/packet_area.ts";

export {
  DEFAULT_INSTRUCTION_LIMIT,
  type InstructionObserver,
  type Invocation,
  type Outcome,
  type Region,
  type RunOptions,
} from "./engine.ts";
export { RunFault } from "./interpreter/fault.ts";
export { type FaultLog, faultLog } from "./interpreter/fault_log.ts";
export type { Registers } from "./interpreter/registers.ts";

/** Runs that wait to be used again. More than one is in use when a run calls into the kernel. */
const idle: WeakMap<Machine, Run[]> = new WeakMap();

/**
 * Runs a program.
 *
 * @returns null when there is no memory for its stack.
 */
export function interpret(
  machine: Machine,
  prog: Prog,
  invocation: Invocation,
  options: RunOptions = {},
): Outcome | null {
  let waiting = idle.get(machine);
  if (waiting === undefined) {
    waiting = [];
    idle.set(machine, waiting);
  }
  const run = waiting.pop() ?? Run.create(machine);
  if (run === null) return null;
  try {
    run.execute(prog, invocation, options);
    const { registers, executed: instructions } = run;
    return { r0: registers.get(0), retval: registers.low(0), instructions, fault: null };
  } catch (error) {
    if (!(error instanceof RunFault)) throw error;
    recordFault(machine, error);
    return { r0: 0n, retval: 0, instructions: run.executed, fault: error };
  } finally {
    waiting.push(run);
  }
}

/** The interpreter, as an engine. */
export class InterpreterEngine implements Engine {
  readonly name = "interpreter" as const;
  readonly #machine: Machine;
  readonly #reason: string | null;

  /** @param reason - why it isn't the JIT; null when nobody asked for that. */
  constructor(machine: Machine, reason: string | null = null) {
    this.#machine = machine;
    this.#reason = reason;
  }

  run(prog: Prog, invocation: Invocation, options: RunOptions = {}): Outcome | null {
    return interpret(this.#machine, prog, invocation, options);
  }

  repeat(
    prog: Prog,
    invocation: Invocation,
    times: number,
    keys: KeysTemplate | null,
  ): Outcome | null {
    return repeatInterpreted(this.#machine, prog, invocation, times, keys);
  }

  dissector(): Dissector | null {
    const area = PacketArea.create(this.#machine);
    return area === null ? null : new InterpretedDissector(this.#machine, area);
  }

  dissectBatch(request: BatchRequest): boolean {
    return dissectOneByOne(this.#machine, request);
  }

  spread(): string {
    return "the interpreter runs programs on its own thread";
  }

  entryOf(): number {
    return 0;
  }

  forget(): void {}

  describe(): ProgramEngine {
    return { engine: this.name, reason: this.#reason, code: null };
  }
}

class InterpretedDissector extends Dissector {
  readonly #machine: Machine;

  constructor(machine: Machine, area: PacketArea) {
    super(machine.memory, area);
    this.#machine = machine;
  }

  protected run(
    prog: Prog,
    data: Uint8Array,
    networkOffset: number,
    protocol: number,
    flags: number,
  ): number {
    const { area, invocation } = this;
    const { view } = this.#machine.memory;
    view.setUint32(area.context + SK_BUFF.data_end, area.packet + data.length, true);
    const frame: Frame = {
      data,
      networkOffset,
      protocol: protocol === OF_ETHERNET ? etherType(data) : protocol,
    };
    resetKeys(this.#machine, area.keys, frame, flags);
    const outcome = interpret(this.#machine, prog, invocation);
    if (outcome === null) return -ENOMEM;
    clampOffsets(this.#machine, area.keys, frame);
    return outcome.fault === null ? outcome.retval : -EFAULT;
  }
}

/** What an Ethernet header ends with. */
function etherType(data: Uint8Array): number {
  return ((data[12] ?? 0) << 8) | (data[13] ?? 0);
}

/** {@link Engine.repeat} on the interpreter. */
export function repeatInterpreted(
  machine: Machine,
  prog: Prog,
  invocation: Invocation,
  times: number,
  keys: KeysTemplate | null,
): Outcome | null {
  let instructions = 0;
  for (let i = 1; ; i++) {
    if (keys !== null) {
      const { template } = keys;
      machine.memory.bytes.copyWithin(keys.keys, template, template + BPF_FLOW_KEYS_SIZE);
    }
    const outcome = interpret(machine, prog, invocation);
    if (outcome === null) return null;
    instructions += outcome.instructions;
    if (i === times || outcome.fault !== null) return { ...outcome, instructions };
  }
}
