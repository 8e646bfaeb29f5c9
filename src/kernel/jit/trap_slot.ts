/**
 * Which instruction of a program a trap came from.
 */

import type { Prog } from "../bpf/prog.ts";
import { type CompiledFunction, type CompileOptions, compileProgram } from "./program.ts";
import type { Place } from "./trap.ts";

/**
 * The slot of the instruction that trapped; -1 where the engine doesn't say. The program is
 * compiled once more for it: traps are rare, and places would have to be kept for all programs.
 */
export function slotOfTrap(
  places: readonly Place[],
  prog: Prog,
  options: Omit<CompileOptions, "marks">,
): number {
  if (places.length === 0) return -1;
  const compiled = compileProgram(prog, { ...options, marks: true });
  if ("refused" in compiled) return -1;
  for (const [index, offset] of places) {
    const found = compiled.functions.find((each) => each.index === index);
    if (found !== undefined) return slotAt(found, offset);
  }
  return -1;
}

/** The last instruction that begins at an offset into the module or before. */
function slotAt({ marks, offset: start }: CompiledFunction, offset: number): number {
  let slot = -1;
  for (const mark of marks) {
    if (start + mark.offset > offset) break;
    slot = mark.slot;
  }
  return slot;
}
