/** Links a program: copies it and every function that it reaches into one run of instructions. */

import {
  BPF_INSN_SIZE,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../abi/insn.ts";
import { ObjectError } from "./error.ts";
import type { FunctionCode } from "./functions.ts";
import { MAX_LINKED_SLOTS, MAX_PROGRAM_SLOTS, MAX_SUBPROGRAMS } from "./limits.ts";
import type { Reference, ReferenceFinder } from "./references.ts";
import type { MapReference } from "./spec.ts";

/** A function and the slot at which it starts in the linked program. */
export interface PlacedFunction {
  readonly code: FunctionCode;
  readonly slot: number;
}

/** A linked program. */
export interface LinkedProgram {
  readonly instructions: Uint8Array;
  readonly references: readonly MapReference[];
  /** The main function first. */
  readonly functions: readonly PlacedFunction[];
}

/** Links the programs of one object, and keeps count of what they come to together. */
export class Linker {
  readonly #finder: ReferenceFinder;
  #linkedSlots = 0;

  constructor(finder: ReferenceFinder) {
    this.#finder = finder;
  }

  /**
   * Links one program. Functions follow in the order in which calls first reach them, calls of
   * calls before the next call: libbpf's order, so the program gets the same tag from Linux.
   */
  link(main: FunctionCode): LinkedProgram {
    const slots = new Map<FunctionCode, number>();
    let end = 0;
    const place = (code: FunctionCode): void => {
      slots.set(code, end);
      end += (code.end - code.start) / BPF_INSN_SIZE;
      this.#checkLimits(main, slots.size, end);
      for (const reference of this.#finder.find(code)) {
        if ("target" in reference && !slots.has(reference.target)) place(reference.target);
      }
    };
    place(main);
    this.#linkedSlots += end;

    const instructions = new Uint8Array(end * BPF_INSN_SIZE);
    const view = new DataView(instructions.buffer);
    const references: MapReference[] = [];
    for (const [code, slot] of slots) {
      const bytes = code.section.content.subarray(code.start, code.end);
      instructions.set(bytes, slot * BPF_INSN_SIZE);
      for (const reference of this.#finder.find(code)) {
        const at = slot + reference.slot;
        patch(view, at, reference, slots);
        if ("map" in reference) {
          references.push({ ...reference, slot: at });
        }
      }
    }
    const functions = Array.from(slots, ([code, slot]) => ({ code, slot }));
    return { instructions, references, functions };
  }

  #checkLimits(main: FunctionCode, functionCount: number, slotCount: number): void {
    const fail = (problem: string): never => {
      throw new ObjectError(main.section.name, main.start, `program ${main.name}: ${problem}`);
    };
    if (functionCount > MAX_SUBPROGRAMS) fail(`more than ${MAX_SUBPROGRAMS} functions`);
    if (slotCount > MAX_PROGRAM_SLOTS) fail(`more than ${MAX_PROGRAM_SLOTS} instructions`);
    if (this.#linkedSlots + slotCount > MAX_LINKED_SLOTS) {
      fail(`the programs of the object come to more than ${MAX_LINKED_SLOTS} instructions`);
    }
  }
}

function patch(
  view: DataView,
  slot: number,
  reference: Reference,
  slots: ReadonlyMap<FunctionCode, number>,
): void {
  const at = slot * BPF_INSN_SIZE;
  const setSource = (pseudo: number): void => {
    view.setUint8(at + 1, (view.getUint8(at + 1) & 0x0f) | (pseudo << 4));
  };
  const setImmediates = (low: number, high: number): void => {
    view.setInt32(at + 4, low, true);
    view.setUint32(at + BPF_INSN_SIZE + 4, high, true);
  };
  switch (reference.kind) {
    case "call":
      view.setInt32(at + 4, (slots.get(reference.target) ?? 0) - slot - 1, true);
      break;
    case "address":
      setSource(BPF_PSEUDO_FUNC);
      setImmediates((slots.get(reference.target) ?? 0) - slot - 1, 0);
      break;
    case "fd":
      setSource(BPF_PSEUDO_MAP_FD);
      setImmediates(0, 0);
      break;
    case "value":
      setSource(BPF_PSEUDO_MAP_VALUE);
      setImmediates(0, reference.offset);
      break;
  }
}
