/**
 * By what the programs of an object would be run on the embedded kernel, found out by loading them
 * there.
 */

import { Collection } from "../collection.ts";
import type { ObjectSpec } from "../elf/index.ts";
import { BpfError } from "../errors.ts";
import { EmbeddedKernel, type ProgramEngine } from "../kernel/index.ts";
import { counted, grouped } from "./text.ts";

/** By what a program is run, or why the embedded kernel doesn't take it. */
export type Runner = ProgramEngine | { readonly refused: string };

/** What runs each program of an object, by name. */
export function runnersOf(object: ObjectSpec): ReadonlyMap<string, Runner> {
  using kernel = EmbeddedKernel.boot();
  return new Map([...object.programs.keys()].map((name) => [name, runnerOf(kernel, object, name)]));
}

function runnerOf(kernel: EmbeddedKernel, object: ObjectSpec, name: string): Runner {
  try {
    using collection = Collection.load(kernel, object, { programs: [name] });
    const described = kernel.describeProgram(collection.program(name).fd);
    if (typeof described === "number") return { refused: `error ${described}` };
    const { engine, reason, code } = described;
    return { engine, reason, code };
  } catch (error) {
    // A map that is too large, or pinned in another shape by the program before.
    if (error instanceof BpfError || error instanceof RangeError) {
      return { refused: error.message };
    }
    throw error;
  }
}

/** "jit, 3,206 bytes", "interpreter", or "-" for a program that isn't taken. */
export function runnerText(runner: Runner | undefined): string {
  if (runner === undefined || "refused" in runner) return "-";
  return runner.code === null
    ? runner.engine
    : `${runner.engine}, ${grouped(runner.code.bytes)} bytes`;
}

/** What is worth a line of its own: why a program isn't compiled, or not taken; null: nothing. */
export function runnerNote(name: string, runner: Runner): string | null {
  if ("refused" in runner) return `${name} is not loaded by the embedded kernel: ${runner.refused}`;
  if (runner.reason !== null) return `${name} is not compiled: ${runner.reason}`;
  const { dispatched } = runner.code ?? { dispatched: 0 };
  if (dispatched === 0) return null;
  return `${name}: loops of ${counted(dispatched, "function")} are entered at several places`;
}
