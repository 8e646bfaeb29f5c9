/**
 * Which instruction of a program a trap came from.
 */

import type { Prog } from "../bpf/prog.ts";
import { type CompiledFunction, type CompileOptions, compileProgram } from "./program.ts";

/** How V8 names places in WebAssembly: a function, and an offset into the module. */
const PLACE = /wasm-function\[(\d+)\]:0x([0-9a-f]+)/g;

/**
 * The slot of the instruction that trapped; -1 where the engine doesn't say. The program is
 * compiled once more for it: traps are rare, and places would have to be kept for all programs.
 */
export function slotOfTrap(
  error: WebAssembly.RuntimeError,
  prog: Prog,
  options: Omit<CompileOptions, "marks">,
): number {
  const compiled = compileProgram(prog, { ...options, marks: true });
  if ("refused" in compiled) return -1;
  for (const [, index, offset] of (error.stack ?? "").matchAll(PLACE)) {
    const found = compiled.functions.find((each) => each.index === Number(index));
    if (found !== undefined) return slotAt(found, Number.parseInt(offset ?? "", 16));
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
