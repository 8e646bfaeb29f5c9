/**
 * Trampolines: what stands in the table for programs that aren't translated. They call JavaScript
 * with the entry, which a program finds in r2 when it is entered through the table.
 */

import { Code } from "./code.ts";
import { stateField } from "./function.ts";
import { IMPORT_MODULE, ModuleBuilder } from "./module.ts";
import { STACK_MASK } from "./run_state.ts";
import { TAIL_PARAMETERS } from "./tail_call.ts";
import { I32, I64 } from "./wasm.ts";

/** What is done about a program that isn't translated, by its entry. */
export interface TrampolineImports {
  readonly memory: WebAssembly.Memory;
  /** What goes on in the program with an entry: see tail_call.ts. */
  readonly tail: CallableFunction;
  /** Puts another function in the entry's place. */
  readonly translate: (entry: number) => void;
  /** Runs the program in a frame and leaves r0 in the state. */
  readonly interpret: (entry: number, frame: number) => void;
}

/** Functions to put into the table, each for any number of programs. */
export interface Trampolines {
  /** For a program that is translated once it is called. */
  readonly untranslated: CallableFunction;
  /** For a program that only the interpreter can run. */
  readonly interpreted: CallableFunction;
}

/** The same modules for all engines: for memory of their own, and for shared memory. */
const compiled: Map<boolean, WebAssembly.Module> = new Map();

/** @param shared - whether other threads have the memory as well. */
export function makeTrampolines(imports: TrampolineImports, shared: boolean): Trampolines {
  const module = compiled.get(shared) ?? new WebAssembly.Module(trampolineModule(shared));
  compiled.set(shared, module);
  const { exports } = new WebAssembly.Instance(module, { [IMPORT_MODULE]: { ...imports } });
  return exports as unknown as Trampolines;
}

function trampolineModule(shared: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importMemory("memory", shared);
  const tail = module.importFunction("tail", module.type(TAIL_PARAMETERS, [I64]));
  const translate = module.importFunction("translate", module.type([I32], []));
  const interpret = module.importFunction("interpret", module.type([I32, I32], []));
  const program = module.type([I32, I32, I32], [I64]);
  module.export("untranslated", module.add(program, [], untranslatedCode(translate, tail)));
  module.export("interpreted", module.add(program, [], interpretedCode(interpret)));
  return module.build().bytes;
}

// Parameters of a program.
const R1 = 0;
const ENTRY = 1;
const FRAME = 2;

function untranslatedCode(translate: number, tail: number): Code {
  const code = new Code();
  code.get(ENTRY);
  code.call(translate);
  code.get(R1);
  code.get(FRAME);
  code.get(ENTRY);
  code.returnCall(tail);
  return code;
}

function interpretedCode(interpret: number): Code {
  const code = new Code();
  code.get(ENTRY);
  code.get(FRAME);
  code.call(interpret);
  code.get(FRAME);
  code.i32(STACK_MASK);
  code.op("i32.or");
  code.access("i64.load", stateField("r0"));
  return code;
}
