/**
 * The code that a program is compiled to, for people: each instruction with the one of the program
 * that it comes from.
 */

import type { Prog } from "../bpf/prog.ts";
import type { Mark } from "./function.ts";
import { type CompileOptions, compileProgram } from "./program.ts";
import { disassembleModule, type WasmFunction } from "./wasm_text.ts";

/** A function of a program's module. */
export interface CompiledListing extends WasmFunction {
  /** Where it begins in the program, in slots; null for one that the program didn't bring along. */
  readonly slot: number | null;
  /** How its control flow was put into WebAssembly's; null like `slot`. */
  readonly flow: "structured" | "dispatched" | null;
  /** Slots by where their code begins in the module, ascending. */
  readonly marks: readonly Mark[];
}

/** The functions of a program's module and its bytes; or why it can't be compiled. */
export type ProgramListing =
  | { readonly bytes: Uint8Array; readonly functions: readonly CompiledListing[] }
  | { readonly refused: string };

/** Compiles a program to look at it. */
export function listProgram(prog: Prog, options: Omit<CompileOptions, "marks">): ProgramListing {
  const compiled = compileProgram(prog, { ...options, marks: true });
  if ("refused" in compiled) return compiled;
  const written = new Map(compiled.functions.map((each) => [each.index, each]));
  const functions = disassembleModule(compiled.bytes).map((each): CompiledListing => {
    const from = written.get(each.index);
    if (from === undefined) return { ...each, slot: null, flow: null, marks: [] };
    const marks = from.marks.map(({ offset, slot }) => ({ offset: from.offset + offset, slot }));
    return { ...each, slot: from.start, flow: from.flow, marks };
  });
  return { bytes: compiled.bytes, functions };
}
