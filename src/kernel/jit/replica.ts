/**
 * Compiled programs on another thread: the same modules on the same memory, with a stack and a CPU
 * of their own. What is JavaScript stays with the thread that has the kernel, which is asked.
 */

import { MAP_HEADER } from "../bpf/map/layout.ts";
import { PROG_ENTRY_OFFSET } from "../bpf/map/prog_array.ts";
import {
  DESCRIPTOR_BYTES,
  type PlacedBatch,
  RECORD,
  RECORD_BYTES,
  VERDICT,
} from "../net/packet_batch.ts";
import { type CountedMisses, MissCounter } from "../tail_call_misses.ts";
import type { BatchExports } from "./batch.ts";
import { OVER_LIMIT, TAIL_CALL_MISSED } from "./calls.ts";
import { IMPORT_MODULE } from "./module.ts";
import { STACK_MASK, STATE } from "./run_state.ts";
import { tailCallThrough } from "./tail_call.ts";
import { type Trap, trapOf } from "./trap.ts";

/** Programs as another thread is given them: can be sent in a message. */
export interface DissectorImage {
  readonly memory: WebAssembly.Memory;
  /** The loop over a batch: see batch.ts. */
  readonly batch: WebAssembly.Module;
  /** All programs that there are entries in the table for. */
  readonly programs: readonly { readonly entry: number; readonly module: WebAssembly.Module }[];
  /** The entry of the program that packets meet; 0 when there is none. */
  readonly attached: number;
  /** By CPU: the first frame of its stacks. */
  readonly frames: readonly number[];
}

/** A call of a helper that only the kernel's thread can make. Arguments are in the run's state. */
export interface HelperCall {
  readonly cpu: number;
  /** Which program calls, by its entry. */
  readonly entry: number;
  /** Which helper, from which frame and instruction. */
  readonly id: number;
  readonly frame: number;
  readonly slot: number;
  /** Which packet of the batch it is about. */
  readonly index: number;
}

/** Makes a call on the kernel's thread and waits for it; false when that stops the run. */
export type CallKernel = (call: HelperCall) => boolean;

/**
 * Why a packet's program was stopped; null when a helper did it, of which the kernel's thread knows
 * more.
 */
export type Stopped = Trap | null;

/** What came of a batch besides its records. Can be sent in a message. */
export interface Dissected extends CountedMisses {
  /** Its packets whose program was stopped, in order. */
  readonly stops: readonly Stopped[];
  /** Packets that were run: fewer than were given where one reached the limit of instructions. */
  readonly count: number;
}

/** Thrown through compiled code: the kernel's thread has the fault. */
class StoppedRun extends Error {
  override readonly name: string = "StoppedRun";
}

/** Dissects batches on a thread of its own. */
export class DissectorReplica {
  readonly #memory: WebAssembly.Memory;
  readonly #enter: BatchExports["batch"];
  readonly #frame: number;
  /** Address of the state of the run, and of the cell in it that names the attached program. */
  readonly #state: number;
  readonly #cell: number;
  /** Packets of the batch that were done before compiled code was entered. */
  #before: number = 0;
  readonly #misses: MissCounter = new MissCounter();
  /** Whether the run was stopped since it has no instructions left. */
  #isOverLimit: boolean = false;

  constructor(image: DissectorImage, cpu: number, callKernel: CallKernel) {
    const { memory, programs, frames } = image;
    const frame = frames[cpu];
    if (frame === undefined) throw new RangeError(`cpu: there are ${frames.length}, not ${cpu}`);
    this.#memory = memory;
    this.#frame = frame;
    this.#state = (frame | STACK_MASK) + 1;
    this.#cell = this.#state + STATE.cell;
    const length = 1 + programs.reduce((most, { entry }) => Math.max(most, entry), 0);
    const table = new WebAssembly.Table({ element: "anyfunc", initial: length });
    const tail = tailCallThrough(table);
    for (const { entry, module } of programs) {
      const helper = (id: number, at: number, slot: number): void => {
        if (id === TAIL_CALL_MISSED) {
          this.#missed();
          return;
        }
        this.#isOverLimit = id === OVER_LIMIT;
        const index = this.#before + this.#done;
        // Addresses come as s32.
        if (!callKernel({ cpu, entry, id, frame: at >>> 0, slot, index })) throw new StoppedRun();
      };
      const imports = { memory, tail, helper, check: unchecked };
      const { exports } = new WebAssembly.Instance(module, { [IMPORT_MODULE]: imports });
      table.set(entry, exports.main as CallableFunction);
    }
    const { exports } = new WebAssembly.Instance(image.batch, {
      [IMPORT_MODULE]: { memory, table },
    });
    this.#enter = (exports as unknown as BatchExports).batch;
    this.#view.setUint32(this.#cell, image.attached, true);
  }

  /**
   * Runs all packets of a batch; see {@link EmbeddedKernel.dissectBatch}.
   *
   * @returns what {@link Spread.note} is to be told.
   */
  dissect({ context, descriptors, records, count, stopsAtLimit }: PlacedBatch): Dissected {
    const stops: Stopped[] = [];
    let run = count;
    for (let index = 0; index < count; index++) {
      this.#before = index;
      const record = records + index * RECORD_BYTES;
      const descriptor = descriptors + index * DESCRIPTOR_BYTES;
      try {
        this.#enter(this.#cell, context, this.#frame, descriptor, record, count - index);
        break;
      } catch (error) {
        const view = this.#view;
        const tailCalls = view.getUint32(this.#state + STATE.tail_calls, true);
        const trap = trapOf(error, tailCalls);
        if (trap === null && !(error instanceof StoppedRun)) throw error;
        stops.push(trap);
        const stopped = record + this.#done * RECORD_BYTES;
        view.setUint32(stopped + RECORD.retval, 0, true);
        const isLimit = trap === null && this.#isOverLimit;
        view.setUint32(stopped + RECORD.verdict, isLimit ? VERDICT.limit : VERDICT.fault, true);
        index += this.#done;
        if (isLimit && stopsAtLimit) {
          run = index + 1;
          break;
        }
      }
    }
    return { stops, count: run, ...this.#misses.take() };
  }

  /** Counts a tail call that missed: r2 and r3 are in the state. */
  #missed(): void {
    const view = this.#view;
    const argument = (number: number): number => {
      return view.getUint32(this.#state + STATE.arguments + 8 * (number - 1), true);
    };
    const [map, index] = [argument(2), argument(3)];
    const header = (name: keyof typeof MAP_HEADER): number => {
      return view.getUint32(map + MAP_HEADER[name][0], true);
    };
    if (index >= header("max_entries")) {
      this.#misses.add(map, index, "range");
      return;
    }
    const slot = header("base") + index * header("stride");
    const isEmpty = view.getUint32(slot + PROG_ENTRY_OFFSET, true) === 0;
    this.#misses.add(map, index, isEmpty ? "empty" : "limit");
  }

  /** Memory as it is now. */
  get #view(): DataView {
    return new DataView(this.#memory.buffer);
  }

  /** Packets done since compiled code was entered. */
  get #done(): number {
    return this.#view.getUint32(this.#state + STATE.done, true);
  }
}

/** Hardened programs are not spread. */
function unchecked(): never {
  throw new TypeError("a hardened program runs on the kernel's own thread only");
}
